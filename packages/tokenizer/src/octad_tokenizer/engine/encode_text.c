/* Text to ids: pre-tokens from the scanner, their ids from the cache, and merges for what it lacks. */
#include "encode_text.h"

#include "compiler.h"

/* So many pieces at once, as every loop over them ends in a branch that is guessed wrongly; what is kept of them fits
   into the first cache. */
enum { AT_ONCE = 768, TRIAL = 1024, MERGED = 1 << 15 };

/* Merges alone, no cache: ids of any bytes. */
static int encode_merged(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n) {
    if (octad_ids_reserve(&worker->ids, n) < 0) return -1;
    uint32_t *ids = worker->ids.ids + worker->ids.size;
    size_t count = octad_merge(bpe, piece, n, ids);
    if (count == SIZE_MAX) return -1;
    for (size_t k = 0; k < count; k++) ids[k] = bpe->id[ids[k]];
    worker->ids.size += count;
    return 0;
}

/* 1 if the piece is a token as a whole. */
static int encode_whole(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n) {
    int64_t token = octad_bpe_find(bpe, piece, n);
    if (token < 0 || !bpe->is_whole[token]) return 0;
    worker->ids.ids[worker->ids.size++] = bpe->id[token];
    return 1;
}

/* The ids of a whole pre-token, without the cache. */
static int encode_uncached(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n) {
    if (octad_ids_reserve(&worker->ids, n) < 0) return -1;
    return encode_whole(bpe, worker, piece, n) ? 0 : encode_merged(bpe, worker, piece, n);
}

static int encode_new(const struct octad_bpe *bpe, struct octad_worker *worker, struct octad_key key, uint64_t hash,
                      const uint8_t *piece, size_t n) {
    size_t before = worker->ids.size;
    if (encode_uncached(bpe, worker, piece, n) < 0) return -1;
    octad_cache_put(&worker->cache, key, hash, piece, worker->ids.ids + before, worker->ids.size - before);
    return 0;
}

/* The ids of an entry that has them in the ring. */
static inline void write_record(struct octad_worker *worker, const struct octad_cached *entry) {
    uint32_t *ids = worker->ids.ids + worker->ids.size;
    const uint32_t *record = worker->cache.ring + entry->ids[0] + OCTAD_RECORD_IDS;
    size_t count = entry->count & ~OCTAD_IN_RING;
    memcpy(ids, record, OCTAD_RECORD_SLACK * sizeof *ids);
    if (OCTAD_UNLIKELY(count > OCTAD_RECORD_SLACK))
        memcpy(ids + OCTAD_RECORD_SLACK, record + OCTAD_RECORD_SLACK, (count - OCTAD_RECORD_SLACK) * sizeof *ids);
    worker->ids.size += count;
}

static inline void write_cached(struct octad_worker *worker, const struct octad_cached *entry) {
    if (OCTAD_UNLIKELY(entry->count > OCTAD_CACHED_IDS)) {
        write_record(worker, entry);
        return;
    }
    memcpy(worker->ids.ids + worker->ids.size, entry->ids, 4 * sizeof *entry->ids); /* the fourth will be overwritten */
    worker->ids.size += entry->count;
}

/* A piece that is not in front. */
static OCTAD_NOINLINE int encode_behind(const struct octad_bpe *bpe, struct octad_worker *worker, struct octad_key key,
                                        uint64_t hash, const uint8_t *piece, size_t n) {
    const struct octad_cached *entry = octad_cache_find(&worker->cache, key, octad_cache_place(hash));
    if (!entry || !octad_is_piece(&worker->cache, entry, piece)) return encode_new(bpe, worker, key, hash, piece, n);
    worker->cache.front[octad_front_place(hash)] = *entry;
    write_cached(worker, entry);
    return 0;
}

/* A piece that may be cached, of which key and hash are known; the room for its ids is there. */
static inline int encode_key(const struct octad_bpe *bpe, struct octad_worker *worker, struct octad_key key,
                             uint64_t hash, const uint8_t *piece, size_t n) {
    const struct octad_cached *entry = worker->cache.front + octad_front_place(hash);
    if (OCTAD_UNLIKELY(!octad_key_equals(entry->key, key) || !octad_is_piece(&worker->cache, entry, piece)))
        return encode_behind(bpe, worker, key, hash, piece, n);
    write_cached(worker, entry);
    return 0;
}

/* A piece of 1 to OCTAD_CACHED_BYTES bytes. */
static int encode_cached(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n) {
    struct octad_key key = n <= OCTAD_KEY_BYTES ? octad_key_of_exactly(piece, n) : octad_long_key_of(piece, n);
    if (octad_ids_reserve(&worker->ids, n) < 0) return -1;
    return encode_key(bpe, worker, key, octad_key_hash(key), piece, n);
}

/* Where the stretch that begins at `start` ends: the first place where no two bytes ever join. */
static size_t segment_end(const struct octad_bpe *bpe, const uint8_t *piece, size_t n, size_t start) {
    size_t end = start + 1;
    while (end < n && octad_joins(bpe, piece[end - 1], piece[end])) end++;
    return end;
}

/* Stretch by stretch, those that are short from the cache, up to the first end at `until` or later. Returns that end, 0
   where memory is lacking; adds the bytes that the cache knew. */
static size_t encode_segments(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n,
                              size_t start, size_t until, size_t *known) {
    for (size_t end; start < until; start = end) {
        end = segment_end(bpe, piece, n, start);
        uint64_t put = worker->cache.num_put;
        /* A pre-token that is whole in the vocabulary need not be what merges make of the same bytes inside another. */
        int is_cached = end - start <= OCTAD_KEY_BYTES && bpe->merges_make_all;
        int failed = is_cached ? encode_cached(bpe, worker, piece + start, end - start)
                               : encode_merged(bpe, worker, piece + start, end - start);
        if (failed) return 0;
        if (is_cached && worker->cache.num_put == put) *known += end - start;
    }
    return start;
}

/* A pre-token too long for the cache, in stretches across whose borders nothing merges. What comes again is had from the
   cache; where little does, merging many stretches at once is faster. */
static int encode_endless(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n) {
    for (size_t start = 0, end; start < n; start = end) {
        size_t known = 0;
        end = encode_segments(bpe, worker, piece, n, start, n - start > TRIAL ? start + TRIAL : n, &known);
        if (end == 0) return -1;
        if (known > (end - start) / 2 || end == n) continue;
        start = end;
        end = segment_end(bpe, piece, n, n - start > MERGED ? start + MERGED : n - 1);
        if (encode_merged(bpe, worker, piece + start, end - start) < 0) return -1;
    }
    return 0;
}

int octad_encode_piece(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece, size_t n) {
    if (n == 0) return 0;
    if (n <= OCTAD_CACHED_BYTES) return encode_cached(bpe, worker, piece, n);
    if (octad_ids_reserve(&worker->ids, 1) < 0) return -1;
    if (!bpe->merges_make_all && encode_whole(bpe, worker, piece, n)) return 0;
    return encode_endless(bpe, worker, piece, n);
}

/* Bring what a batch of pieces needs to the front, so that nothing waits for memory later: first the lines of entries that
   are not there are asked for, all at once, then the entries are copied and their records asked for. Copies may displace
   each other; whoever needs one looks again. */
static inline void bring_to_front(struct octad_cache *cache, const struct octad_key *keys, const uint64_t *hashes,
                                  size_t many) {
    uint16_t missing[AT_ONCE];
    size_t num_missing = 0;
    for (size_t k = 0; k < many; k++) { /* no branch, which would be guessed wrongly */
        const struct octad_cached *copy = cache->front + octad_front_place(hashes[k]);
        missing[num_missing] = (uint16_t)k;
        num_missing += !octad_key_equals(copy->key, keys[k]);
    }
    for (size_t at = 0; at < num_missing; at++) {
        const struct octad_cached *entries = cache->entries + octad_cache_place(hashes[missing[at]]);
        octad_prefetch(entries);
        octad_prefetch(entries + OCTAD_WAYS / 2);
    }
    for (size_t at = 0; at < num_missing; at++) {
        size_t k = missing[at];
        const struct octad_cached *entry = octad_cache_find(cache, keys[k], octad_cache_place(hashes[k]));
        if (!entry) continue;
        cache->front[octad_front_place(hashes[k])] = *entry;
        if (entry->count & OCTAD_IN_RING) octad_prefetch(cache->ring + entry->ids[0]);
    }
}

/* The pieces text[start..ends[0]), .., each up to ends[k]: keys first, so that the cache's lines are under way when they
   are asked for. */
static int encode_pieces(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *text, size_t n,
                         size_t start, const size_t *ends, size_t many) {
    struct octad_key keys[AT_ONCE];
    uint64_t hashes[AT_ONCE];
    for (size_t k = 0, from = start; k < many; from = ends[k++]) {
        size_t length = ends[k] - from;
        if (OCTAD_LIKELY(length <= OCTAD_KEY_BYTES && n - from > OCTAD_KEY_BYTES))
            keys[k] = octad_key_of(text + from, length);
        else if (length <= OCTAD_KEY_BYTES)
            keys[k] = octad_key_of_exactly(text + from, length);
        else
            keys[k] = length <= OCTAD_CACHED_BYTES ? octad_long_key_of(text + from, length) : (struct octad_key){0, 0};
        hashes[k] = octad_key_hash(keys[k]);
        octad_prefetch(worker->cache.front + octad_front_place(hashes[k]));
    }
    bring_to_front(&worker->cache, keys, hashes, many);
    for (size_t k = 0; k < many; start = ends[k++]) {
        size_t length = ends[k] - start;
        int failed = OCTAD_LIKELY(keys[k].high != 0)
                         ? encode_key(bpe, worker, keys[k], hashes[k], text + start, length)
                         : octad_encode_piece(bpe, worker, text + start, length);
        if (OCTAD_UNLIKELY(failed)) return -1;
    }
    return 0;
}

int octad_encode_ordinary(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *text, size_t n) {
    size_t ends[AT_ONCE];
    for (size_t start = 0; start < n;) {
        size_t many = bpe->split_many(text, n, start, ends, AT_ONCE);
        if (octad_ids_reserve(&worker->ids, ends[many - 1] - start) < 0) return -1;
        if (encode_pieces(bpe, worker, text, n, start, ends, many) < 0) return -1;
        start = ends[many - 1];
    }
    return 0;
}
