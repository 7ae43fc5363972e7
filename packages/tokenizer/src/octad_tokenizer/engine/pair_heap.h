/* A heap of candidate pairs: the most frequent first, and among equals the one that the tie-break prefers. */
#ifndef OCTAD_PAIR_HEAP_H
#define OCTAD_PAIR_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "piece_counts.h"

enum octad_tie_break { OCTAD_LOWEST_IDS = 0, OCTAD_GREATEST = 1, OCTAD_LEAST = 2 };

/* Tokens so far: the bytes of token t are bytes[start[t]] to bytes[start[t + 1]]. */
struct octad_tokens {
    uint32_t count;
    uint32_t *length;
    uint64_t *head;  /* the first 8 bytes as a big-endian number, so that numbers compare as byte strings do */
    size_t *start;
    uint8_t *bytes;
    size_t bytes_size;
};

/* A pair and where it may occur. `count` is an upper bound: counts of a pair fall while others are merged. */
struct octad_candidate {
    uint64_t count;
    uint32_t left, right;
    size_t first; /* its occurrences: from here on in the learner's list */
    uint32_t occurrences;
    uint32_t counted_at; /* how many merges had been done when `count` was exact */
};

struct octad_heap {
    struct octad_candidate *items;
    size_t count, room;
    enum octad_tie_break tie_break;
    const struct octad_tokens *tokens;
};

OCTAD_HIDDEN enum octad_status octad_heap_push(struct octad_heap *heap, struct octad_candidate item);

/* Remove the best. */
OCTAD_HIDDEN void octad_heap_pop(struct octad_heap *heap);

/* Put the best one where it belongs after its count has fallen. */
OCTAD_HIDDEN void octad_heap_fallen(struct octad_heap *heap);

#endif
