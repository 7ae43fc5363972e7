/* All pairs of neighbours in the cells, counted in one pass; those that are frequent become candidates in a second. */
#include <stdlib.h>
#include <string.h>

#include "merge_learner.h"

struct pair_slot {
    uint64_t key;         /* left and right */
    uint64_t count;       /* of a listed one later: where its next occurrence goes */
    uint32_t occurrences; /* 0: a free slot */
    int is_listed;
};

struct pair_table {
    struct pair_slot *slots;
    size_t used;
    unsigned bits;
};

static inline size_t home_of(uint64_t key, unsigned bits) {
    uint64_t x = (key ^ key >> 29) * 0x9E3779B97F4A7C15u;
    return (size_t)((x ^ x >> 32) * 0xD1B54A32D192ED03u >> (64 - bits));
}

static inline struct pair_slot *slot_of(const struct pair_table *table, uint64_t key) {
    size_t last = ((size_t)1 << table->bits) - 1, at = home_of(key, table->bits);
    while (table->slots[at].occurrences && table->slots[at].key != key) at = (at + 1) & last;
    return &table->slots[at];
}

static enum octad_status grow(struct pair_table *table) {
    struct pair_table larger = {.bits = table->bits + 1, .used = table->used};
    if (larger.bits >= sizeof(size_t) * 8 - 6) return OCTAD_NO_MEMORY;
    larger.slots = calloc((size_t)1 << larger.bits, sizeof *larger.slots);
    if (!larger.slots) return OCTAD_NO_MEMORY;
    for (size_t k = 0; k < (size_t)1 << table->bits; k++)
        if (table->slots[k].occurrences) *slot_of(&larger, table->slots[k].key) = table->slots[k];
    free(table->slots);
    *table = larger;
    return OCTAD_OK;
}

/* Sums of counts by the pairs' homes: no pair is more frequent than its sum, so most rare ones need no slot. */
struct sketch {
    uint64_t *sums; /* NULL: all pairs may be frequent */
    unsigned bits;
};

static enum octad_status make_sketch(const struct octad_learner *learner, struct sketch *sketch) {
    sketch->bits = 12;
    while (sketch->bits < 24 && learner->used >> sketch->bits > 16) sketch->bits++;
    sketch->sums = calloc((size_t)1 << sketch->bits, sizeof *sketch->sums);
    if (!sketch->sums) return OCTAD_NO_MEMORY;
    struct octad_walk walk = {0};
    uint32_t left, right;
    size_t at;
    while (octad_next_pair(learner, &walk, &left, &right, &at))
        sketch->sums[home_of((uint64_t)left << 32 | right, sketch->bits)] += walk.full_weight;
    return OCTAD_OK;
}

static enum octad_status count_pairs(
    const struct octad_learner *learner, struct pair_table *table, const struct sketch *sketch, uint64_t floor
) {
    struct octad_walk walk = {0};
    uint32_t left, right;
    size_t at;
    while (octad_next_pair(learner, &walk, &left, &right, &at)) {
        uint64_t key = (uint64_t)left << 32 | right;
        if (sketch->sums && sketch->sums[home_of(key, sketch->bits)] < floor) continue;
        struct pair_slot *slot = slot_of(table, key);
        if (!slot->occurrences) {
            slot->key = key;
            table->used++;
        }
        slot->count += walk.full_weight;
        slot->occurrences++;
        if (table->used > ((size_t)1 << table->bits) / 8 * 5) {
            enum octad_status status = grow(table);
            if (status) return status;
        }
    }
    return OCTAD_OK;
}

enum { PARTS = 8, BUCKETS = 64 * PARTS };

/* The number of count's power of two and the next three bits, and the least count with that number. */
static unsigned bucket_of(uint64_t count) {
    unsigned power = 0;
    while (count >> power > 1) power++;
    unsigned part = (unsigned)((power >= 3 ? count >> (power - 3) : count << (3 - power)) & (PARTS - 1));
    return power * PARTS + part;
}

static uint64_t bucket_floor(unsigned bucket) {
    unsigned power = bucket / PARTS;
    uint64_t parts = PARTS + bucket % PARTS;
    return power >= 3 ? parts << (power - 3) : (parts + ((1u << (3 - power)) - 1)) >> (3 - power);
}

/* A floor above which the occurrences fill at most half of the list's limit; at least the most frequent pairs pass. */
static uint64_t fitting_floor(struct octad_learner *learner, const struct pair_table *table, uint64_t floor) {
    size_t occurrences[BUCKETS] = {0}, sum = 0;
    for (size_t k = 0; k < (size_t)1 << table->bits; k++) {
        const struct pair_slot *slot = &table->slots[k];
        if (slot->occurrences && slot->count >= floor) occurrences[bucket_of(slot->count)] += slot->occurrences;
    }
    unsigned lowest = BUCKETS;
    for (unsigned bucket = BUCKETS; bucket-- > 0;) {
        if (sum && sum + occurrences[bucket] > learner->list_limit / 2) break;
        sum += occurrences[bucket];
        lowest = bucket;
    }
    if (learner->list_limit < sum) learner->list_limit = sum + sum / 2;
    return lowest && bucket_floor(lowest) > floor ? bucket_floor(lowest) : floor;
}

/* Give each frequent pair its part of the list, and a place in the heap. */
static enum octad_status make_candidates(struct octad_learner *learner, struct pair_table *table) {
    size_t sum = 0;
    for (size_t k = 0; k < (size_t)1 << table->bits; k++)
        if (table->slots[k].count >= learner->floor) sum += table->slots[k].occurrences;
    enum octad_status status = octad_learner_list_room(learner, sum);
    for (size_t k = 0; !status && k < (size_t)1 << table->bits; k++) {
        struct pair_slot *slot = &table->slots[k];
        if (!slot->occurrences || slot->count < learner->floor) continue;
        struct octad_candidate pair = {
            .count = slot->count,
            .left = (uint32_t)(slot->key >> 32),
            .right = (uint32_t)slot->key,
            .first = learner->list_used,
            .occurrences = slot->occurrences,
            .counted_at = (uint32_t)learner->merge_count,
        };
        slot->is_listed = 1;
        slot->count = learner->list_used;
        learner->list_used += slot->occurrences;
        status = octad_heap_push(&learner->heap, pair);
    }
    return status;
}

static void fill_list(struct octad_learner *learner, const struct pair_table *table) {
    struct octad_walk walk = {0};
    uint32_t left, right;
    size_t at;
    while (octad_next_pair(learner, &walk, &left, &right, &at)) {
        struct pair_slot *slot = slot_of(table, (uint64_t)left << 32 | right);
        if (slot->is_listed) learner->list[slot->count++] = (struct octad_occurrence){(uint32_t)at, walk.weight};
    }
}

static enum octad_status count_frequent(struct octad_learner *learner, struct pair_table *table, uint64_t floor) {
    struct sketch sketch = {0};
    enum octad_status status = OCTAD_OK;
    if (floor > 1 && learner->merge_count) status = make_sketch(learner, &sketch); /* bytes alone make few pairs */
    if (!status) status = count_pairs(learner, table, &sketch, floor);
    free(sketch.sums);
    return status;
}

enum octad_status octad_learner_survey(struct octad_learner *learner, uint64_t floor) {
    struct pair_table table = {.bits = 14};
    table.slots = calloc((size_t)1 << table.bits, sizeof *table.slots);
    if (!table.slots) return OCTAD_NO_MEMORY;
    enum octad_status status = count_frequent(learner, &table, floor);
    if (!status) {
        learner->heap.count = learner->list_used = 0;
        learner->floor = fitting_floor(learner, &table, floor);
        status = make_candidates(learner, &table);
    }
    if (!status) fill_list(learner, &table);
    free(table.slots);
    learner->work += learner->used;
    return status;
}
