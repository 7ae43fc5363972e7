/* Merging a long piece by small windows; merge_long.c says why they may be joined.

   Windows begin at fixed distances, so that several are merged at once without knowing the others. Where two neighbours
   have no token in common, one is put between them that begins with a token of the former. */
#include "bpe.h"
#include "compiler.h"

enum { DISTANCE = 52, LAST_TOKENS_NOT_TRUSTED = 2, MOST_TRIES = 8 };

struct joined {
    const struct octad_bpe *bpe;
    const uint8_t *end;
    struct octad_window now;
    unsigned from; /* the first place of `now` of which the token is not yet written */
    struct octad_window ahead[OCTAD_LANES];
    size_t next_ahead, num_ahead;
    uint32_t *tokens;
    size_t count;
};

static uint64_t places_from(unsigned place) { return place < 64 ? UINT64_MAX << place : 0; }

/* Write the tokens of `now` that begin before `place`. */
static void write_until(struct joined *joined, unsigned place) {
    uint64_t left = joined->now.starts & places_from(joined->from) & ~places_from(place);
    for (; left; left &= left - 1) joined->tokens[joined->count++] = joined->now.tokens[octad_lowest_bit(left)];
    joined->from = place;
}

static const uint8_t *end_of(const struct octad_window *window) { return window->bytes + window->length; }

static size_t length_from(const struct joined *joined, const uint8_t *at) {
    return (size_t)(joined->end - at) < OCTAD_SHORT_PIECE ? (size_t)(joined->end - at) : OCTAD_SHORT_PIECE;
}

/* The next window that leads on, or NULL at the end. */
static const struct octad_window *window_ahead(struct joined *joined) {
    for (; joined->next_ahead < joined->num_ahead; joined->next_ahead++) {
        const struct octad_window *window = joined->ahead + joined->next_ahead;
        if (window->bytes > joined->now.bytes && end_of(window) > end_of(&joined->now)) return window;
    }
    const uint8_t *at = joined->now.bytes;
    size_t count = 0;
    do {
        at += DISTANCE;
        joined->ahead[count].bytes = at;
        joined->ahead[count].length = length_from(joined, at);
    } while (end_of(joined->ahead + count++) < joined->end && count < OCTAD_LANES);
    octad_merge_lanes(joined->bpe, joined->ahead, count);
    joined->next_ahead = 0;
    joined->num_ahead = count;
    return joined->ahead;
}

/* 1 if the window has a token in common with `now`, of which it takes the place. */
static int join(struct joined *joined, const struct octad_window *window) {
    size_t shift = (size_t)(window->bytes - joined->now.bytes);
    if (shift >= OCTAD_SHORT_PIECE) return 0;
    uint64_t common = joined->now.starts & window->starts << shift & places_from(joined->from);
    for (; common; common &= common - 1) {
        unsigned place = octad_lowest_bit(common);
        if (joined->now.tokens[place] != window->tokens[place - shift]) continue;
        write_until(joined, place);
        joined->now = *window;
        joined->from = place - (unsigned)shift;
        return 1;
    }
    return 0;
}

/* 1 if the text repeats itself, so that `now` says also what follows it. */
static int repeat(struct joined *joined) {
    struct octad_window *now = &joined->now;
    uint64_t starts = now->starts;
    for (unsigned skip = 0; skip < LAST_TOKENS_NOT_TRUSTED && starts; skip++)
        starts &= ~((uint64_t)1 << octad_highest_bit(starts));
    if (!starts) return 0;
    unsigned place = octad_highest_bit(starts);
    const uint8_t *at = now->bytes + place;
    if (place == 0 || place < joined->from || length_from(joined, at) != now->length) return 0;
    if (now->tokens[place] != now->tokens[0] || memcmp(at, now->bytes, now->length) != 0) return 0;
    write_until(joined, place);
    now->bytes = at;
    joined->from = 0;
    return 1;
}

/* 1 if a window that begins at one of the last tokens of `now` has it too. */
static int step(struct joined *joined) {
    uint64_t starts = joined->now.starts & places_from(joined->from ? joined->from : 1);
    for (unsigned skip = 0; skip < LAST_TOKENS_NOT_TRUSTED && (starts & (starts - 1)); skip++)
        starts &= ~((uint64_t)1 << octad_highest_bit(starts));
    for (unsigned tries = 0; starts && tries < MOST_TRIES; tries++) {
        unsigned place = octad_highest_bit(starts);
        struct octad_window window = {.bytes = joined->now.bytes + place};
        window.length = length_from(joined, window.bytes);
        octad_merge_lanes(joined->bpe, &window, 1);
        if (end_of(&window) > end_of(&joined->now) && window.tokens[0] == joined->now.tokens[place]) {
            write_until(joined, place);
            joined->now = window;
            joined->from = 0;
            return 1;
        }
        starts &= ~((uint64_t)1 << place);
    }
    return 0;
}

size_t octad_merge_windows(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens) {
    struct joined joined = {.bpe = bpe, .end = bytes + n, .tokens = tokens};
    joined.now.bytes = bytes;
    joined.now.length = length_from(&joined, bytes);
    octad_merge_lanes(bpe, &joined.now, 1);
    while (end_of(&joined.now) < joined.end)
        if (!repeat(&joined) && !join(&joined, window_ahead(&joined)) && !step(&joined)) return 0;
    write_until(&joined, OCTAD_SHORT_PIECE);
    return joined.count;
}
