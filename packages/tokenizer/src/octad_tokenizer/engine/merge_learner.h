/* Learning merges from pieces and their counts. */
#ifndef OCTAD_MERGE_LEARNER_H
#define OCTAD_MERGE_LEARNER_H

#include "pair_heap.h"
#include "piece_counts.h"

/* Cells with this bit are marks between pieces; the other 31 bits are a weight, or OCTAD_HEAVY. */
#define OCTAD_MARK 0x80000000u
#define OCTAD_HEAVY 0x7FFFFFFFu
/* What the first byte of a merge's right part becomes: no token's id. */
#define OCTAD_STALE 0x7FFFFFFFu
#define OCTAD_MAX_TOKENS 0x7FFFFFF0u

/* Where a pair may occur, and how often the piece there does (OCTAD_HEAVY: look it up). */
struct octad_occurrence {
    uint32_t at, weight;
};

struct octad_heavy {
    size_t at; /* the place of the piece's mark */
    uint64_t weight;
};

/* A token that stands beside the new one in a merge, on one side. */
struct octad_neighbour {
    uint64_t count;
    size_t next; /* where the next of its occurrences goes in the list */
    uint32_t token, occurrences;
    int is_listed;
};

struct octad_beside {
    uint32_t neighbour, at, weight;
};

/* The tokens on one side of the new one. */
struct octad_side {
    uint32_t *number; /* token -> its place in neighbours, plus 1 */
    struct octad_neighbour *neighbours;
    struct octad_beside *found; /* each occurrence, in order */
    size_t neighbour_count, found_count, neighbour_room, found_room;
};

struct octad_learner {
    /* All pieces one after another, one cell a byte; before each and at the end a mark with the piece's weight.
       A token is written into the cells of its first and its last byte; what is between is stale. So the neighbours of
       a token are found without links: the next one begins `length` cells on, the one before ends one cell before. */
    uint32_t *cells;
    size_t used, room;
    struct octad_heavy *heavy; /* pieces whose weight does not fit into a mark, in order */
    size_t heavy_count, heavy_room;
    uint32_t id_of[256];

    struct octad_tokens tokens;
    uint32_t max_tokens;
    struct octad_heap heap;
    struct octad_occurrence *list; /* of all candidates */
    size_t list_used, list_room;
    size_t list_limit;      /* entries; where the candidates need more, the rarer ones wait */
    uint64_t min_frequency; /* rarer pairs are not merged */
    uint64_t floor;         /* rarer pairs are not in the heap now */

    struct octad_side before, after;
    struct octad_replay *replay; /* while known merges are done again */
    uint32_t *merged_as_left, *merged_as_right; /* token -> the last merge (from 1) that had it as that part */
    uint32_t *merges; /* left, right of each merge */
    size_t merge_count;

    /* Called after each merge with the work since the last call, in occurrences; all but OCTAD_OK ends the learning. */
    enum octad_status (*tick)(const struct octad_learner *learner, uint64_t work, void *context);
    void *context;
    uint64_t work;
};

/* In this order: init, add pieces, start, replay if need be, run. After any failure: free.
   `bytes[id]` is the byte that id < 256 stands for. */
OCTAD_HIDDEN enum octad_status octad_learner_init(struct octad_learner *learner, const uint8_t bytes[256]);
OCTAD_HIDDEN void octad_learner_free(struct octad_learner *learner);

/* Room for pieces of `cells` bytes and marks altogether; not needed, but it saves moves. */
OCTAD_HIDDEN enum octad_status octad_learner_reserve(struct octad_learner *learner, size_t cells);
OCTAD_HIDDEN enum octad_status octad_learner_add(
    struct octad_learner *learner, const uint8_t *piece, size_t length, uint64_t count
);

/* No more pieces come; there will be at most max_tokens tokens, and `known` merges will be replayed first. */
OCTAD_HIDDEN enum octad_status octad_learner_start(
    struct octad_learner *learner, size_t max_tokens, size_t known, enum octad_tie_break tie_break,
    uint64_t min_frequency
);

/* Do `count` merges that were learned before, given as pairs of ids, of which merge k makes 256 + k. */
OCTAD_HIDDEN enum octad_status octad_learner_replay(
    struct octad_learner *learner, const uint32_t *merges, size_t count
);

/* Merge until there are max_tokens, or no pair is frequent enough. */
OCTAD_HIDDEN enum octad_status octad_learner_run(struct octad_learner *learner);

/* Between the parts of the learner. */

/* Fill heap and list with all pairs of at least `floor`, or more where the list would pass its limit. */
OCTAD_HIDDEN enum octad_status octad_learner_survey(struct octad_learner *learner, uint64_t floor);
OCTAD_HIDDEN enum octad_status octad_learner_list_room(struct octad_learner *learner, size_t needed);

OCTAD_HIDDEN uint64_t octad_heavy_weight(const struct octad_learner *learner, size_t at);

/* Merges that are done again, by their pairs. */
struct octad_replay {
    uint64_t *keys;  /* open addressing; UINT64_MAX is free */
    uint32_t *ranks; /* of each key's pair */
    unsigned bits;
    struct octad_candidate *pairs; /* by rank */
};

/* What becomes of a pair of the new token: a place in the heap, or in the replay. */
OCTAD_HIDDEN struct octad_candidate *octad_replay_find(const struct octad_replay *replay, uint32_t left, uint32_t right);
OCTAD_HIDDEN enum octad_status octad_learner_merge(struct octad_learner *learner, const struct octad_candidate *pair);

/* Walks over the pairs of neighbours from the left; begin with {0}. */
struct octad_walk {
    size_t at, heavy;
    uint32_t weight;
    uint64_t full_weight;
};

/* The next pair and its place; 0 at the end. */
static inline int octad_next_pair(
    const struct octad_learner *learner, struct octad_walk *walk, uint32_t *left, uint32_t *right, size_t *at
) {
    const uint32_t *cells = learner->cells;
    while (walk->at < learner->used - 1) {
        *left = cells[walk->at];
        if (*left & OCTAD_MARK) {
            walk->weight = *left & ~OCTAD_MARK;
            int is_heavy = walk->weight == OCTAD_HEAVY;
            walk->full_weight = is_heavy ? learner->heavy[walk->heavy++].weight : walk->weight;
            walk->at++;
            continue;
        }
        *at = walk->at;
        walk->at += learner->tokens.length[*left];
        *right = cells[walk->at];
        if (!(*right & OCTAD_MARK)) return 1;
    }
    return 0;
}

static inline uint64_t octad_full_weight(const struct octad_learner *learner, uint32_t weight, size_t at) {
    return OCTAD_LIKELY(weight != OCTAD_HEAVY) ? weight : octad_heavy_weight(learner, at);
}

#endif
