/* Counting pieces. Pieces follow Zipf's law: most look-ups find one of a few thousand slots, so a look-up should be one
   cache line and no comparison of bytes; and the rare ones are asked for early (prefetch), a batch at a time. */
#include "piece_counts.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BITS = 12, BEHIND = 64, BATCH = 256, FIRST_ARENA = 1 << 14 };

static const uint64_t K1 = 0x9E3779B97F4A7C15u, K2 = 0xD1B54A32D192ED03u;

static inline uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

/* The top bits are the home. */
static inline uint64_t mixed(uint64_t low, uint64_t high) {
    uint64_t x = (low ^ rotated(high * K1, 29)) * K2;
    return (x ^ x >> 32) * K1;
}

uint64_t octad_slot_hash(const struct octad_slot *slot) {
    return octad_slot_tag(slot) == OCTAD_LONG ? slot->low : mixed(slot->low, slot->high);
}

static inline uint64_t loaded(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static uint64_t long_hash(const uint8_t *piece, size_t length) {
    uint64_t hash = length * K1;
    size_t i = 0;
    for (; length - i >= 8; i += 8) hash = rotated((hash ^ loaded(piece + i)) * K2, 31);
    uint8_t rest[8] = {0};
    memcpy(rest, piece + i, length - i);
    return mixed(hash, loaded(rest));
}

/* Byte k of row L is 255 for k < L; the 16th byte of row L of the other table is L. */
#define MASK(l) {l > 0 ? 255 : 0, l > 1 ? 255 : 0, l > 2 ? 255 : 0, l > 3 ? 255 : 0, l > 4 ? 255 : 0, l > 5 ? 255 : 0, \
    l > 6 ? 255 : 0, l > 7 ? 255 : 0, l > 8 ? 255 : 0, l > 9 ? 255 : 0, l > 10 ? 255 : 0, l > 11 ? 255 : 0,            \
    l > 12 ? 255 : 0, l > 13 ? 255 : 0, l > 14 ? 255 : 0, 0}
#define LAST(l) {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, l}
static const uint8_t masks[16][16] = {MASK(0), MASK(1), MASK(2), MASK(3), MASK(4), MASK(5), MASK(6), MASK(7), MASK(8),
    MASK(9), MASK(10), MASK(11), MASK(12), MASK(13), MASK(14), MASK(15)};
static const uint8_t lasts[16][16] = {LAST(0), LAST(1), LAST(2), LAST(3), LAST(4), LAST(5), LAST(6), LAST(7), LAST(8),
    LAST(9), LAST(10), LAST(11), LAST(12), LAST(13), LAST(14), LAST(15)};

/* The key of a short piece. `readable`: how many bytes may be read there. */
static inline void short_key(const uint8_t *piece, size_t length, size_t readable, struct octad_slot *key) {
    uint8_t padded[16] = {0};
    const uint8_t *from = piece;
    if (OCTAD_UNLIKELY(readable < 16)) {
        memcpy(padded, piece, length);
        from = padded;
    }
    key->low = (loaded(from) & loaded(masks[length])) | loaded(lasts[length]);
    key->high = (loaded(from + 8) & loaded(masks[length] + 8)) | loaded(lasts[length] + 8);
}

uint64_t octad_piece_hash(const uint8_t *piece, size_t length) {
    if (length > OCTAD_SHORT_MAX) return long_hash(piece, length);
    struct octad_slot key;
    short_key(piece, length, length, &key);
    return mixed(key.low, key.high);
}

static inline size_t slots_for(unsigned bits) { return ((size_t)1 << bits) + BEHIND; }

size_t octad_counts_slots(const struct octad_counts *counts) { return slots_for(counts->bits); }

size_t octad_counts_memory(const struct octad_counts *counts) {
    return slots_for(counts->bits) * sizeof(struct octad_slot) + counts->arena_size;
}

static enum octad_status make_small(struct octad_counts *counts) {
    counts->bits = FIRST_BITS;
    counts->arena_size = FIRST_ARENA;
    counts->slots = calloc(slots_for(FIRST_BITS), sizeof(struct octad_slot));
    counts->arena = malloc(FIRST_ARENA);
    if (counts->slots && counts->arena) return OCTAD_OK;
    octad_counts_free(counts);
    return OCTAD_NO_MEMORY;
}

void octad_counts_free(struct octad_counts *counts) {
    free(counts->slots);
    free(counts->arena);
    counts->slots = NULL;
    counts->arena = NULL;
    counts->used = counts->arena_used = counts->arena_size = 0;
}

enum octad_status octad_counts_init(struct octad_counts *counts) {
    memset(counts, 0, sizeof *counts);
    counts->limit = SIZE_MAX;
    return make_small(counts);
}

enum octad_status octad_counts_shrink(struct octad_counts *counts) {
    octad_counts_free(counts);
    return make_small(counts);
}

void octad_counts_clear(struct octad_counts *counts) {
    memset(counts->slots, 0, octad_counts_slots(counts) * sizeof(struct octad_slot));
    counts->used = counts->arena_used = 0;
}

/* Put all slots into a table of twice the size; `bits` grows further if the slots behind do not suffice. */
static enum octad_status rehashed(struct octad_counts *counts, unsigned bits) {
    if (bits >= sizeof(size_t) * 8 - 6) return OCTAD_NO_MEMORY; /* a slot has 24 bytes */
    struct octad_slot *slots = calloc(slots_for(bits), sizeof *slots);
    if (!slots) return OCTAD_NO_MEMORY;
    size_t end = slots_for(bits);
    for (size_t k = 0; k < octad_counts_slots(counts); k++) {
        const struct octad_slot *old = &counts->slots[k];
        if (!old->high) continue;
        size_t at = (size_t)(octad_slot_hash(old) >> (64 - bits));
        while (at < end && slots[at].high) at++;
        if (at == end) {
            free(slots);
            return rehashed(counts, bits + 1);
        }
        slots[at] = *old;
    }
    free(counts->slots);
    counts->slots = slots;
    counts->bits = bits;
    return OCTAD_OK;
}

/* Make room: more slots, or none taken. While slots move, the old and the new ones are there. */
static enum octad_status more_slots(struct octad_counts *counts) {
    size_t needed = (slots_for(counts->bits) + slots_for(counts->bits + 1)) * sizeof(struct octad_slot);
    if (counts->spill && counts->used && needed + counts->arena_size > counts->limit)
        return counts->spill(counts, counts->context);
    return rehashed(counts, counts->bits + 1);
}

/* Make room for `needed` bytes in the arena. It may spill, and then the table is empty. */
static enum octad_status more_arena(struct octad_counts *counts, size_t needed) {
    size_t size = counts->arena_size;
    while (size - counts->arena_used < needed) {
        if (size > SIZE_MAX / 2) return OCTAD_NO_MEMORY;
        size *= 2;
    }
    size_t total = slots_for(counts->bits) * sizeof(struct octad_slot) + size;
    if (counts->spill && counts->used && total > counts->limit) {
        enum octad_status status = counts->spill(counts, counts->context);
        return status ? status : more_arena(counts, needed);
    }
    uint8_t *arena = realloc(counts->arena, size);
    if (!arena) return OCTAD_NO_MEMORY;
    counts->arena = arena;
    counts->arena_size = size;
    return OCTAD_OK;
}

static inline int is_crowded(const struct octad_counts *counts) {
    return counts->used >= ((size_t)1 << counts->bits) / 8 * 5;
}

/* Add to the slot of a short piece, which its key tells. */
static inline enum octad_status add_short(
    struct octad_counts *counts, uint64_t low, uint64_t high, uint64_t hash, uint64_t count
) {
    for (;;) {
        size_t at = (size_t)(hash >> (64 - counts->bits)), end = slots_for(counts->bits);
        struct octad_slot *slots = counts->slots;
        for (; OCTAD_LIKELY(at < end); at++) {
            if (OCTAD_LIKELY(slots[at].low == low && slots[at].high == high)) {
                slots[at].count += count;
                return OCTAD_OK;
            }
            if (!slots[at].high) {
                if (OCTAD_UNLIKELY(is_crowded(counts))) break;
                slots[at] = (struct octad_slot){low, high, count};
                counts->used++;
                return OCTAD_OK;
            }
        }
        enum octad_status status = more_slots(counts);
        if (status) return status;
    }
}

static int is_same_long(
    const struct octad_counts *counts, const struct octad_slot *slot, uint64_t hash, const uint8_t *piece, size_t length
) {
    if (slot->low != hash || octad_slot_tag(slot) != OCTAD_LONG) return 0;
    size_t stored;
    const uint8_t *bytes = octad_slot_bytes(counts, slot, &stored);
    return stored == length && memcmp(bytes, piece, length) == 0;
}

/* Write a long piece into the arena, which has room, and a slot that tells where. */
static void put_long(
    struct octad_counts *counts, size_t at, uint64_t hash, const uint8_t *piece, size_t length, uint64_t count
) {
    size_t place = counts->arena_used;
    uint8_t *entry = counts->arena + place;
    for (int k = 0; k < 8; k++) entry[k] = (uint8_t)((uint64_t)length >> 8 * k);
    memcpy(entry + 8, piece, length);
    counts->arena_used += length + 8;
    struct octad_slot *slot = &counts->slots[at];
    slot->low = hash;
    uint8_t *key = (uint8_t *)slot;
    for (int k = 8; k < 15; k++, place >>= 8) key[k] = (uint8_t)place;
    key[15] = OCTAD_LONG;
    slot->count = count;
    counts->used++;
}

static enum octad_status add_long(struct octad_counts *counts, const uint8_t *piece, size_t length, uint64_t count) {
    uint64_t hash = long_hash(piece, length);
    for (;;) {
        size_t at = (size_t)(hash >> (64 - counts->bits)), end = slots_for(counts->bits);
        while (at < end && counts->slots[at].high && !is_same_long(counts, &counts->slots[at], hash, piece, length)) at++;
        if (at < end && counts->slots[at].high) {
            counts->slots[at].count += count;
            return OCTAD_OK;
        }
        enum octad_status status;
        if (at == end || is_crowded(counts)) {
            status = more_slots(counts);
        } else if (counts->arena_size - counts->arena_used < length + 8) {
            status = more_arena(counts, length + 8);
        } else {
            put_long(counts, at, hash, piece, length, count);
            return OCTAD_OK;
        }
        if (status) return status;
    }
}

enum octad_status octad_counts_piece(struct octad_counts *counts, const uint8_t *piece, size_t length, uint64_t count) {
    if (length > OCTAD_SHORT_MAX) return add_long(counts, piece, length, count);
    struct octad_slot key;
    short_key(piece, length, length, &key);
    return add_short(counts, key.low, key.high, mixed(key.low, key.high), count);
}

/* Keys and hashes of a batch, and its slots asked for; then the counting. */
static enum octad_status add_batch(
    struct octad_counts *counts, const uint8_t *text, size_t n, size_t start, const size_t *ends, size_t pieces
) {
    struct octad_slot keys[BATCH]; /* `count` holds the hash; high == 0: a long piece */
    size_t at = start;
    for (size_t k = 0; k < pieces; at = ends[k++]) {
        size_t length = ends[k] - at;
        if (OCTAD_UNLIKELY(length > OCTAD_SHORT_MAX)) {
            keys[k].high = 0;
            continue;
        }
        short_key(text + at, length, n - at, &keys[k]);
        keys[k].count = mixed(keys[k].low, keys[k].high);
        OCTAD_PREFETCH(&counts->slots[keys[k].count >> (64 - counts->bits)]);
    }
    at = start;
    for (size_t k = 0; k < pieces; at = ends[k++]) {
        enum octad_status status = OCTAD_LIKELY(keys[k].high)
            ? add_short(counts, keys[k].low, keys[k].high, keys[k].count, 1)
            : add_long(counts, text + at, ends[k] - at, 1);
        if (OCTAD_UNLIKELY(status)) return status;
    }
    return OCTAD_OK;
}

enum octad_status octad_counts_text(struct octad_counts *counts, octad_split_many split, const uint8_t *text, size_t n) {
    size_t ends[BATCH], start = 0, pieces;
    while ((pieces = split(text, n, start, ends, BATCH)) > 0) {
        enum octad_status status = add_batch(counts, text, n, start, ends, pieces);
        if (status) return status;
        start = ends[pieces - 1];
    }
    return OCTAD_OK;
}

/* Room for as many slots more, or an emptied table that has it. Slots that come in the order of their hashes must not find
   the table crowded: all of them would pile up at its beginning. */
static enum octad_status reserve_slots(struct octad_counts *counts, size_t more) {
    unsigned bits = counts->bits;
    while (counts->used + more >= ((size_t)1 << bits) / 8 * 5) bits++;
    if (bits == counts->bits) return OCTAD_OK;
    size_t needed = (slots_for(counts->bits) + slots_for(bits)) * sizeof(struct octad_slot);
    if (counts->spill && counts->used && needed + counts->arena_size > counts->limit) {
        enum octad_status status = counts->spill(counts, counts->context);
        return status ? status : reserve_slots(counts, more);
    }
    return rehashed(counts, bits);
}

enum octad_status octad_counts_merge(struct octad_counts *counts, const struct octad_counts *other) {
    enum octad_status reserved = reserve_slots(counts, other->used);
    if (reserved) return reserved;
    for (size_t k = 0; k < octad_counts_slots(other); k++) {
        const struct octad_slot *slot = &other->slots[k];
        if (!slot->high) continue;
        size_t length;
        const uint8_t *bytes = octad_slot_bytes(other, slot, &length);
        enum octad_status status = octad_counts_piece(counts, bytes, length, slot->count);
        if (status) return status;
    }
    return OCTAD_OK;
}
