/* Building the table of merges: where an entry lies is told by its pair and by a factor that its group shares. Groups
   take their places in turn, the largest first, each with the first factor that leads to free places only. */
#include <stdlib.h>

#include "bpe.h"
#include "table_memory.h"

enum { FIRST_FACTOR = 3, LAST_FACTOR = 65535, SLOTS_A_GROUP = 4, LARGEST_GROUP = 64 };

static int compare_entries(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The entries, of each pair the one with the highest rank; a pair listed twice has the later rank, as in the reference. */
static size_t unique_entries(uint64_t *entries, const uint32_t *left, const uint32_t *right, size_t n) {
    size_t kept = 0;
    for (size_t rank = 0; rank < n; rank++)
        entries[rank] = ((uint64_t)left[rank] << OCTAD_TOKEN_BITS | right[rank]) << OCTAD_RANK_BITS | rank;
    qsort(entries, n, sizeof *entries, compare_entries);
    for (size_t k = 0; k < n; k++)
        if (k + 1 == n || entries[k] >> OCTAD_RANK_BITS != entries[k + 1] >> OCTAD_RANK_BITS) entries[kept++] = entries[k];
    return kept;
}

/* 1 if the group found its places. */
static int place_group(struct octad_bpe *bpe, const uint64_t *entries, size_t count, size_t group) {
    size_t slots[LARGEST_GROUP], placed = 0;
    for (uint32_t factor = FIRST_FACTOR; factor <= LAST_FACTOR; factor++) {
        for (placed = 0; placed < count; placed++) {
            slots[placed] = octad_pair_slot(bpe, entries[placed] >> OCTAD_RANK_BITS, factor);
            if (bpe->pairs[slots[placed]] != OCTAD_NO_PAIR) break;
            bpe->pairs[slots[placed]] = entries[placed];
        }
        if (placed == count) {
            bpe->pair_factor[group] = (uint16_t)factor;
            return 1;
        }
        while (placed) bpe->pairs[slots[--placed]] = OCTAD_NO_PAIR;
    }
    return 0;
}

/* The entries by group; starts[g] tells where those of g begin. */
static void sort_by_group(const struct octad_bpe *bpe, const uint64_t *entries, size_t n, uint64_t *sorted,
                          uint32_t *starts, size_t num_groups) {
    memset(starts, 0, (num_groups + 2) * sizeof *starts);
    for (size_t k = 0; k < n; k++) starts[octad_pair_group(bpe, entries[k] >> OCTAD_RANK_BITS) + 2]++;
    for (size_t group = 2; group < num_groups + 2; group++) starts[group] += starts[group - 1];
    for (size_t k = 0; k < n; k++) sorted[starts[octad_pair_group(bpe, entries[k] >> OCTAD_RANK_BITS) + 1]++] = entries[k];
}

/* 1 if all found a place. */
static int place_all(struct octad_bpe *bpe, const uint64_t *sorted, const uint32_t *starts, size_t num_groups) {
    size_t largest = 0;
    for (size_t group = 0; group < num_groups; group++)
        if (starts[group + 1] - starts[group] > largest) largest = starts[group + 1] - starts[group];
    if (largest > LARGEST_GROUP) return 0;
    for (size_t size = largest; size > 0; size--)
        for (size_t group = 0; group < num_groups; group++)
            if (starts[group + 1] - starts[group] == size && !place_group(bpe, sorted + starts[group], size, group)) return 0;
    return 1;
}

/* A table of `size` places, and the other tables of the same block; -1 where memory is lacking. */
static int take_tables(struct octad_bpe *bpe, size_t size, size_t num_groups) {
    size_t words = 65536 + bpe->num_merges + 1;
    free(bpe->pairs_block);
    bpe->pairs = octad_table_new(size * sizeof *bpe->pairs + words * sizeof *bpe->product + num_groups * 2, &bpe->pairs_block);
    if (!bpe->pairs) return -1;
    bpe->byte_pair = (uint32_t *)(bpe->pairs + size);
    bpe->product = bpe->byte_pair + 65536;
    bpe->pair_factor = (uint16_t *)(bpe->product + bpe->num_merges + 1);
    memset(bpe->pairs, 0xFF, size * sizeof *bpe->pairs);
    for (bpe->pair_shift = 64; size > 1; size /= 2) bpe->pair_shift--;
    for (bpe->group_shift = 64; num_groups > 1; num_groups /= 2) bpe->group_shift--;
    return 0;
}

int octad_pairs_build(struct octad_bpe *bpe, const uint32_t *left, const uint32_t *right) {
    size_t n = bpe->num_merges, size = 64, most = 32 * (n + 64);
    uint64_t *entries = malloc((2 * n + 1) * sizeof *entries);
    if (!entries) return -1;
    n = unique_entries(entries, left, right, n);
    while (size < n + n / 4) size *= 2;
    int failed = -2;
    for (; failed == -2 && size < most; size *= 2) { /* a second size is hardly ever needed; made to be slow, a table ends */
        size_t num_groups = size / SLOTS_A_GROUP;
        uint32_t *starts = malloc((num_groups + 2) * sizeof *starts);
        failed = starts ? take_tables(bpe, size, num_groups) : -1;
        if (!failed) {
            sort_by_group(bpe, entries, n, entries + n, starts, num_groups);
            failed = place_all(bpe, entries + n, starts, num_groups) ? 0 : -2;
        }
        free(starts);
    }
    free(entries);
    return failed;
}
