/* Exact streaming; patterns.py tells the rule where a text may be cut and why. */
#include "stream.h"

#include <stdlib.h>

int octad_encode_text(const struct octad_bpe *bpe, const struct octad_specials *specials, struct octad_worker *worker,
                      const uint8_t *text, size_t n) {
    size_t from = 0;
    struct octad_special_match match;
    while (specials && octad_specials_find(specials, text, n, from, &match)) {
        if (octad_encode_ordinary(bpe, worker, text + from, match.start - from) < 0) return -1;
        if (octad_ids_reserve(&worker->ids, 1) < 0) return -1;
        worker->ids.ids[worker->ids.size++] = match.id;
        from = match.end;
    }
    return octad_encode_ordinary(bpe, worker, text + from, n - from);
}

static size_t character_before(const uint8_t *text, size_t at) {
    do at--;
    while ((text[at] & 0xC0) == 0x80);
    return at;
}

/* A letter or number before anything but a letter, number, mark or apostrophe; or no space before a space that is no
   line end. */
static int is_cut(const uint8_t *text, size_t before, size_t after) {
    size_t length;
    unsigned left = octad_class_at(text + before, &length), right = octad_class_at(text + after, &length);
    uint8_t byte = text[after];
    if ((right & OCTAD_SPACE) && !(left & OCTAD_SPACE) && byte != '\n' && byte != '\r') return 1;
    int is_mark = (right & OCTAD_UPPER) && !(right & OCTAD_LETTER);
    return (left & (OCTAD_LETTER | OCTAD_NUMBER)) && !(right & (OCTAD_LETTER | OCTAD_NUMBER)) && !is_mark && byte != '\'';
}

/* The last cut of text[first..n) that is at `from` or later; 0 if there is none. n is where a character begins or the
   text ends. */
static size_t last_cut(const uint8_t *text, size_t first, size_t from, size_t n) {
    if (n <= first) return 0;
    for (size_t after = character_before(text, n); after > first && after >= from;) {
        size_t before = character_before(text, after);
        if (is_cut(text, before, after)) return after;
        after = before;
    }
    return 0;
}

static int append(struct octad_stream *stream, const uint8_t *bytes, size_t n) {
    if (n > stream->room - stream->size) {
        size_t room = stream->size + n + stream->room / 2;
        uint8_t *grown = n > SIZE_MAX / 4 || stream->size > SIZE_MAX / 4 ? NULL : realloc(stream->text, room);
        if (!grown) return -1;
        stream->text = grown;
        stream->room = room;
    }
    if (n) memcpy(stream->text + stream->size, bytes, n);
    stream->size += n;
    return 0;
}

static void drop(struct octad_stream *stream, size_t n) {
    if (n) memmove(stream->text, stream->text + n, stream->size - n);
    stream->size -= n;
    stream->valid -= n;
    stream->special_from = stream->special_from > n ? stream->special_from - n : 0;
    stream->cut_from = stream->cut_from > n ? stream->cut_from - n : 0;
}

/* Encodes up to the last special token that surely is one; returns where it ends, SIZE_MAX where memory is lacking. */
static size_t settle_specials(const struct octad_bpe *bpe, const struct octad_specials *specials,
                              struct octad_worker *worker, struct octad_stream *stream, int is_last) {
    size_t done = 0, n = stream->valid, longest = specials->longest;
    struct octad_special_match match;
    while (octad_specials_find(specials, stream->text, n, stream->special_from, &match)) {
        if (!is_last && match.start + longest > n) break; /* a longer one may begin there */
        if (octad_encode_ordinary(bpe, worker, stream->text + done, match.start - done) < 0) return SIZE_MAX;
        if (octad_ids_reserve(&worker->ids, 1) < 0) return SIZE_MAX;
        worker->ids.ids[worker->ids.size++] = match.id;
        done = stream->special_from = match.end;
    }
    if (stream->special_from + longest <= n) stream->special_from = n - longest + 1;
    return done;
}

int octad_stream_push(const struct octad_bpe *bpe, const struct octad_specials *specials, struct octad_worker *worker,
                      struct octad_stream *stream, const uint8_t *bytes, size_t n, int is_text, int is_last) {
    if (append(stream, bytes, n) < 0) return -1;
    if (is_text && stream->valid + n == stream->size) stream->valid = stream->size;
    else stream->valid += octad_utf8_prefix(stream->text + stream->valid, stream->size - stream->valid);
    if (stream->size - stream->valid > (is_last ? 0u : 3u)) return -2;
    int is_searched = specials && specials->count;
    size_t done = is_searched ? settle_specials(bpe, specials, worker, stream, is_last) : 0;
    if (done == SIZE_MAX) return -1;
    size_t plain = is_searched && !is_last ? stream->special_from : stream->valid, settled = plain;
    if (!is_last) {
        while (plain > done && plain < stream->valid && (stream->text[plain] & 0xC0) == 0x80) plain--;
        settled = stream->is_cuttable ? last_cut(stream->text, done, stream->cut_from, plain) : 0;
        stream->cut_from = plain;
    }
    if (settled > done) {
        if (octad_encode_ordinary(bpe, worker, stream->text + done, settled - done) < 0) return -1;
        done = settled;
    }
    drop(stream, done);
    return 0;
}

void octad_stream_free(struct octad_stream *stream) {
    free(stream->text);
    memset(stream, 0, sizeof *stream);
}
