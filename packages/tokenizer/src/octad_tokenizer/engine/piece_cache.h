/* What pre-tokens became: a bounded table that forgets by overwriting.

   A key is two words: a piece of at most 15 bytes itself, with its length in the last byte, or the hash and length of a
   longer one. Four entries, two neighbouring cache lines, share a place. Up to three ids lie in the entry; more, and the
   bytes of longer pieces, are a record in a ring, whose oldest records make room for new ones. A small table in front
   holds copies of what was seen last. A cache belongs to one thread at a time. */
#ifndef OCTAD_PIECE_CACHE_H
#define OCTAD_PIECE_CACHE_H

#include <stdint.h>
#include <string.h>

#include "char_class.h"

enum {
    OCTAD_KEY_BYTES = 15,
    OCTAD_CACHED_BYTES = 128, /* longer pieces are not cached as a whole */
    OCTAD_FRONT_BITS = 14,    /* 512 KiB: stays in a core's own cache */
    OCTAD_CACHE_BITS = 19,
    OCTAD_WAYS = 4,
    OCTAD_CACHED_IDS = 3, /* in the entry itself */
    OCTAD_RING_BITS = 21,
    OCTAD_RECORD_SLACK = 16, /* words that may be read past a record's end */
};
#define OCTAD_IN_RING 0x80000000u /* in an entry's count: ids[0] is where the record begins */
#define OCTAD_LONG_KEY ((uint64_t)0xFF << 56)

struct octad_key {
    uint64_t low, high;
};

struct octad_cached {
    struct octad_key key; /* high == 0 where the entry is free */
    uint32_t ids[OCTAD_CACHED_IDS];
    uint32_t count;
};

/* A record in the ring, in words: the number of the entry that owns it if that still says so, how many words the record
   has, the ids, the bytes of a long piece. */
enum { OCTAD_RECORD_OWNER, OCTAD_RECORD_WORDS, OCTAD_RECORD_IDS };

struct octad_cache {
    struct octad_cached *front; /* one a place */
    struct octad_cached *entries;
    uint32_t *ring;
    size_t next, oldest, lap_end; /* where the next record goes; records of the last lap lie in [oldest, lap_end) */
    uint64_t num_put;
    void *front_block, *entries_block, *ring_block; /* what was allocated */
};

/* -1 where memory is lacking. All of it is written at once, so that encoding does not grow the process later. */
OCTAD_HIDDEN int octad_cache_new(struct octad_cache *cache);
OCTAD_HIDDEN void octad_cache_free(struct octad_cache *cache);

/* The piece is not there: puts it there, one of four entries goes if need be. */
OCTAD_HIDDEN void octad_cache_put(struct octad_cache *cache, struct octad_key key, uint64_t hash, const uint8_t *piece,
                                  const uint32_t *ids, size_t count);

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
/* The key of a piece of 1 to 15 bytes. */
static inline struct octad_key octad_key_of_exactly(const uint8_t *bytes, size_t n) {
    struct octad_key key = {0, (uint64_t)n << 56};
    for (size_t i = 0; i < n; i++) *(i < 8 ? &key.low : &key.high) |= (uint64_t)bytes[i] << (8 * (i & 7));
    return key;
}

static inline struct octad_key octad_key_of(const uint8_t *bytes, size_t n) { return octad_key_of_exactly(bytes, n); }
#else
/* The key of a piece of 1 to 15 bytes from 16 readable ones. */
static inline struct octad_key octad_key_of(const uint8_t *bytes, size_t n) {
    static const uint64_t low_mask[16] = {
        0x0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF,
        UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    static const uint64_t high_mask[16] = {
        0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0,
        0x0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF};
    struct octad_key key;
    memcpy(&key.low, bytes, 8);
    memcpy(&key.high, bytes + 8, 8);
    key.low &= low_mask[n];
    key.high = (key.high & high_mask[n]) | (uint64_t)n << 56;
    return key;
}

/* The same from n readable bytes. */
static inline struct octad_key octad_key_of_exactly(const uint8_t *bytes, size_t n) {
    struct octad_key key = {0, (uint64_t)n << 56};
    if (n >= 8) { /* two words that overlap */
        uint64_t last;
        memcpy(&key.low, bytes, 8);
        memcpy(&last, bytes + n - 8, 8);
        if (n > 8) key.high |= last >> (8 * (16 - n));
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, 4);
        memcpy(&last, bytes + n - 4, 4);
        key.low = first | (uint64_t)last << (8 * (n - 4));
    } else {
        key.low = bytes[0] | (uint64_t)bytes[n / 2] << (8 * (n / 2)) | (uint64_t)bytes[n - 1] << (8 * (n - 1));
    }
    return key;
}

#endif

static inline void octad_prefetch(const void *address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
#else
    (void)address;
#endif
}

static inline uint64_t octad_key_hash(struct octad_key key) {
    return key.low * 0x9E3779B97F4A7C15u + key.high * 0xD6E8FEB86659FD93u; /* the upper bits are the good ones */
}

static inline size_t octad_front_place(uint64_t hash) { return (size_t)(hash >> (64 - OCTAD_FRONT_BITS)); }

/* Where the entries begin that a piece may be in. */
static inline size_t octad_cache_place(uint64_t hash) { return (size_t)(hash >> (66 - OCTAD_CACHE_BITS)) << 2; }

static inline int octad_key_equals(struct octad_key a, struct octad_key b) {
    return ((a.low ^ b.low) | (a.high ^ b.high)) == 0;
}

/* The key of a piece of 16 to OCTAD_CACHED_BYTES bytes. */
static inline struct octad_key octad_long_key_of(const uint8_t *bytes, size_t n) {
    uint64_t hash = 0, word;
    for (size_t at = 0; at + 8 < n; at += 8) {
        memcpy(&word, bytes + at, 8);
        hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    memcpy(&word, bytes + n - 8, 8);
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
    return (struct octad_key){hash ^ hash >> 29, OCTAD_LONG_KEY | n};
}

/* Whether an entry with the key of a piece is that piece's: short keys say all, hashes do not. */
static inline int octad_is_piece(const struct octad_cache *cache, const struct octad_cached *entry, const uint8_t *piece) {
    if (OCTAD_LIKELY(entry->key.high < OCTAD_LONG_KEY)) return 1;
    const uint32_t *record = cache->ring + entry->ids[0];
    return memcmp(record + OCTAD_RECORD_IDS + (entry->count & ~OCTAD_IN_RING), piece, entry->key.high & 0xFF) == 0;
}

/* The entry among the four at `place` that has the key, or NULL. */
static inline const struct octad_cached *octad_cache_find(const struct octad_cache *cache, struct octad_key key,
                                                          size_t place) {
    const struct octad_cached *entry = cache->entries + place;
    unsigned second = (unsigned)octad_key_equals(entry[1].key, key), third = (unsigned)octad_key_equals(entry[2].key, key);
    entry += second + 2 * third + 3 * (unsigned)octad_key_equals(entry[3].key, key); /* a guess would be a bad one */
    return octad_key_equals(entry->key, key) ? entry : NULL;
}

#endif
