/* Building the tables of a byte-pair vocabulary. */
#include "bpe.h"

#include <stdlib.h>

static size_t power_of_two_above(size_t least) {
    size_t size = 16;
    while (size < least) size *= 2;
    return size;
}

static int copy_tokens(struct octad_bpe *bpe, const struct octad_bpe_parts *parts) {
    size_t n = parts->num_tokens, size = n ? parts->ends[n - 1] : 0;
    bpe->num_tokens = (uint32_t)n;
    bpe->id = malloc((n + 1) * sizeof *bpe->id);
    bpe->start = malloc((n + 1) * sizeof *bpe->start);
    bpe->bytes = malloc(size + 8);
    if (!bpe->id || !bpe->start || !bpe->bytes) return -1;
    memcpy(bpe->bytes, parts->bytes, size);
    memset(bpe->bytes + size, 0, 8);
    bpe->start[0] = 0;
    for (size_t k = 0; k < n; k++) {
        bpe->id[k] = parts->ids[k];
        bpe->start[k + 1] = parts->ends[k];
        if (octad_token_length(bpe, (uint32_t)k) > bpe->longest) bpe->longest = octad_token_length(bpe, (uint32_t)k);
    }
    return 0;
}

static int index_tokens(struct octad_bpe *bpe) {
    size_t size = power_of_two_above(2 * (size_t)bpe->num_tokens);
    bpe->by_bytes = calloc(size, sizeof *bpe->by_bytes);
    if (!bpe->by_bytes) return -1;
    bpe->by_bytes_mask = size - 1;
    for (uint32_t token = 0; token < bpe->num_tokens; token++) {
        const uint8_t *bytes = bpe->bytes + bpe->start[token];
        size_t at = (size_t)octad_hash_bytes(bytes, octad_token_length(bpe, token)) & bpe->by_bytes_mask;
        while (bpe->by_bytes[at]) at = (at + 1) & bpe->by_bytes_mask;
        bpe->by_bytes[at] = token + 1;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t one = (uint8_t)byte;
        int64_t token = octad_bpe_find(bpe, &one, 1);
        if (token < 0) return -3;
        bpe->byte_token[byte] = (uint32_t)token;
    }
    return 0;
}

int64_t octad_bpe_find(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n) {
    if (n > bpe->longest) return -1;
    size_t at = (size_t)octad_hash_bytes(bytes, n) & bpe->by_bytes_mask;
    for (uint32_t found; (found = bpe->by_bytes[at]) != 0; at = (at + 1) & bpe->by_bytes_mask) {
        uint32_t token = found - 1;
        if (octad_token_length(bpe, token) == n && memcmp(bpe->bytes + bpe->start[token], bytes, n) == 0) return token;
    }
    return -1;
}

static void mark_joins(struct octad_bpe *bpe, uint32_t token) {
    for (uint32_t at = bpe->start[token] + 1; at < bpe->start[token + 1]; at++) {
        unsigned pair = (unsigned)bpe->bytes[at - 1] << 8 | bpe->bytes[at];
        bpe->joins[pair >> 6] |= (uint64_t)1 << (pair & 63);
    }
}

static int index_merges(struct octad_bpe *bpe, const struct octad_bpe_parts *parts) {
    bpe->num_merges = (uint32_t)parts->num_merges;
    for (size_t rank = 0; rank < parts->num_merges; rank++)
        if (parts->left[rank] >= bpe->num_tokens || parts->right[rank] >= bpe->num_tokens ||
            parts->product[rank] >= bpe->num_tokens)
            return -2;
    int failed = octad_pairs_build(bpe, parts->left, parts->right);
    if (failed) return failed;
    for (size_t rank = 0; rank < parts->num_merges; rank++) {
        bpe->product[rank] = parts->product[rank];
        mark_joins(bpe, parts->product[rank]);
    }
    for (unsigned pair = 0; pair < 65536; pair++)
        bpe->byte_pair[pair] = octad_pair_rank(bpe, bpe->byte_token[pair >> 8], bpe->byte_token[pair & 255]);
    return 0;
}

/* Which tokens a pre-token of their own bytes becomes: all if merges are ignored; else those that merges lead to. */
static int check_whole(struct octad_bpe *bpe) {
    bpe->is_whole = malloc(bpe->num_tokens + 1);
    uint32_t *found = malloc((bpe->longest + 1) * sizeof *found);
    if (!bpe->is_whole || !found) {
        free(found);
        return -1;
    }
    bpe->merges_make_all = 1;
    for (uint32_t token = 0; token < bpe->num_tokens; token++) {
        size_t count = octad_merge(bpe, bpe->bytes + bpe->start[token], octad_token_length(bpe, token), found);
        if (count == SIZE_MAX) {
            free(found);
            return -1;
        }
        int is_made = count == 1 && found[0] == token;
        bpe->merges_make_all &= is_made;
        bpe->is_whole[token] = (uint8_t)(is_made || bpe->ignore_merges);
    }
    free(found);
    return 0;
}

int octad_bpe_build(struct octad_bpe *bpe, const struct octad_bpe_parts *parts) {
    memset(bpe, 0, sizeof *bpe);
    bpe->ignore_merges = parts->ignore_merges;
    bpe->split_many = octad_split_many_for(parts->pattern);
    if (!bpe->split_many || parts->num_tokens >= (1u << OCTAD_TOKEN_BITS) || parts->num_merges >= OCTAD_NO_RANK) return -2;
    int failed = copy_tokens(bpe, parts);
    if (!failed) failed = index_tokens(bpe);
    if (!failed) failed = index_merges(bpe, parts);
    if (!failed) failed = check_whole(bpe);
    if (failed) octad_bpe_free(bpe);
    return failed;
}

void octad_bpe_free(struct octad_bpe *bpe) {
    free(bpe->id);
    free(bpe->start);
    free(bpe->bytes);
    free(bpe->pairs_block);
    free(bpe->by_bytes);
    free(bpe->is_whole);
    memset(bpe, 0, sizeof *bpe);
}
