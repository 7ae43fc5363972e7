/* How often each piece (pre-token) occurs: a hash table that is told of whole texts. */
#ifndef OCTAD_PIECE_COUNTS_H
#define OCTAD_PIECE_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "char_class.h"
#include "pretoken.h"

#if defined(__GNUC__)
#define OCTAD_PREFETCH(p) __builtin_prefetch(p)
#elif defined(_M_X64)
#include <xmmintrin.h>
#define OCTAD_PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#else
#define OCTAD_PREFETCH(p) ((void)(p))
#endif

enum octad_status { OCTAD_OK = 0, OCTAD_NO_MEMORY = -1, OCTAD_STOPPED = -2, OCTAD_TOO_LONG = -3, OCTAD_IO = -4 };

/* A piece of up to 15 bytes lies in the slot itself: its bytes, zeros, and its length as the 16th byte. Of a longer one
   there are 8 bytes of hash and 7 of place in the arena, and the 16th byte is OCTAD_LONG. A free slot is all zeros. */
enum { OCTAD_SHORT_MAX = 15, OCTAD_LONG = 255 };

struct octad_slot {
    uint64_t low, high, count;
};

struct octad_counts {
    struct octad_slot *slots;
    unsigned bits; /* 2**bits homes, and some slots behind the last home, so that no probe wraps around */
    size_t used;   /* slots that are taken */
    uint8_t *arena; /* of each long piece: its length (8 bytes), then its bytes */
    size_t arena_used, arena_size;
    size_t limit;                               /* bytes it may use; more than that is spilled */
    enum octad_status (*spill)(struct octad_counts *counts, void *context); /* must leave the table empty, or fail */
    void *context;
};

OCTAD_HIDDEN enum octad_status octad_counts_init(struct octad_counts *counts);
OCTAD_HIDDEN void octad_counts_free(struct octad_counts *counts);

/* Forget everything, keep the memory. */
OCTAD_HIDDEN void octad_counts_clear(struct octad_counts *counts);

/* Forget everything and give the memory back; the table stays usable while memory for a small one is there. */
OCTAD_HIDDEN enum octad_status octad_counts_shrink(struct octad_counts *counts);

/* Count all pieces of a text that is valid UTF-8. */
OCTAD_HIDDEN enum octad_status octad_counts_text(
    struct octad_counts *counts, octad_split_many split, const uint8_t *text, size_t n
);

/* Count one piece (length > 0) `count` times. */
OCTAD_HIDDEN enum octad_status octad_counts_piece(
    struct octad_counts *counts, const uint8_t *piece, size_t length, uint64_t count
);

/* Add all of `other`. */
OCTAD_HIDDEN enum octad_status octad_counts_merge(struct octad_counts *counts, const struct octad_counts *other);

/* Slots to look at: homes and those behind. */
OCTAD_HIDDEN size_t octad_counts_slots(const struct octad_counts *counts);
OCTAD_HIDDEN size_t octad_counts_memory(const struct octad_counts *counts);

OCTAD_HIDDEN uint64_t octad_slot_hash(const struct octad_slot *slot);
OCTAD_HIDDEN uint64_t octad_piece_hash(const uint8_t *piece, size_t length);

static inline uint8_t octad_slot_tag(const struct octad_slot *slot) { return ((const uint8_t *)slot)[15]; }

static inline size_t octad_slot_place(const struct octad_slot *slot) {
    size_t place = 0;
    for (int k = 14; k >= 8; k--) place = place << 8 | ((const uint8_t *)slot)[k];
    return place;
}

/* The bytes of the piece in a taken slot. */
static inline const uint8_t *octad_slot_bytes(
    const struct octad_counts *counts, const struct octad_slot *slot, size_t *length
) {
    if (octad_slot_tag(slot) != OCTAD_LONG) {
        *length = octad_slot_tag(slot);
        return (const uint8_t *)slot;
    }
    const uint8_t *entry = counts->arena + octad_slot_place(slot);
    uint64_t stored = 0;
    for (int k = 0; k < 8; k++) stored |= (uint64_t)entry[k] << 8 * k;
    *length = (size_t)stored;
    return entry + 8;
}

#endif
