/* A byte-pair vocabulary in the form that encoding wants.

   Tokens are numbered inside from 0 without gaps ("token"); what the outside calls them is `id`. */
#ifndef OCTAD_BPE_H
#define OCTAD_BPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "char_class.h"
#include "pretoken.h"

enum {
    OCTAD_TOKEN_BITS = 21,
    OCTAD_RANK_BITS = 22,
    OCTAD_SHORT_PIECE = 64, /* bytes; longer pieces are merged in windows of this size */
    OCTAD_LANES = 4,        /* so many windows at once */
};
#define OCTAD_NO_RANK ((1u << 22) - 1)
#define OCTAD_NO_PAIR UINT64_MAX

struct octad_bpe {
    uint32_t num_tokens, num_merges;
    uint32_t *id;          /* of each token */
    uint32_t *start;       /* num_tokens + 1: where its bytes begin in `bytes` */
    uint8_t *bytes;
    uint32_t byte_token[256];
    uint32_t *product;     /* of each rank */
    uint64_t *pairs;       /* left << 43 | right << 22 | rank, a perfect hash; OCTAD_NO_PAIR where free */
    uint16_t *pair_factor; /* of each group of pairs: what leads all of them to places of their own */
    unsigned pair_shift, group_shift;
    void *pairs_block;     /* the memory of pairs, pair_factor, byte_pair and product */
    uint32_t *byte_pair;   /* rank of each pair of bytes; OCTAD_NO_RANK */
    uint64_t joins[1024];  /* one bit a pair of bytes: whether some product holds them side by side */
    uint32_t *by_bytes;    /* token + 1 by the hash of its bytes, open addressing; 0 where free */
    size_t by_bytes_mask;
    uint8_t *is_whole;     /* whether a pre-token with the token's bytes becomes the token */
    size_t longest;        /* bytes of the longest token */
    int ignore_merges, merges_make_all; /* the latter: merges alone lead to every token's own bytes */
    octad_split_many split_many;
};

/* Takes the tokens' bytes (joined; token k ends at ends[k]), and pairs of tokens, earliest merge first.
   0; or -1 where memory is lacking, -2 where a number is out of range, -3 where a byte has no token. */
struct octad_bpe_parts {
    const uint8_t *bytes;
    const uint32_t *ends, *ids;
    size_t num_tokens;
    const uint32_t *left, *right, *product;
    size_t num_merges;
    int pattern, ignore_merges;
};
OCTAD_HIDDEN int octad_bpe_build(struct octad_bpe *bpe, const struct octad_bpe_parts *parts);
OCTAD_HIDDEN void octad_bpe_free(struct octad_bpe *bpe);

/* Fills the table of pairs, and takes the memory of byte_pair and product. 0; -1 where memory is lacking, -2 where the
   table would be too large for its pairs. */
OCTAD_HIDDEN int octad_pairs_build(struct octad_bpe *bpe, const uint32_t *left, const uint32_t *right);

/* The token whose bytes these are, or -1. */
OCTAD_HIDDEN int64_t octad_bpe_find(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n);

/* Merges alone, whatever is in the vocabulary: writes the tokens (not ids; room for n) and returns how many;
   SIZE_MAX where memory is lacking. O(n log n). */
OCTAD_HIDDEN size_t octad_merge(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens);
OCTAD_HIDDEN size_t octad_merge_short(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens);
OCTAD_HIDDEN size_t octad_merge_heap(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens);

/* The encoding of at most OCTAD_SHORT_PIECE bytes, by place: tokens[i] where bit i of `starts` is set. */
struct octad_window {
    const uint8_t *bytes;
    size_t length;
    uint64_t starts;
    uint32_t tokens[OCTAD_SHORT_PIECE];
};

/* Fills `count` windows, of which bytes and length are given; what lies in the others up to OCTAD_LANES is lost. */
OCTAD_HIDDEN void octad_merge_lanes(const struct octad_bpe *bpe, struct octad_window *windows, size_t count);

/* By windows of OCTAD_SHORT_PIECE bytes: how many tokens; 0 where windows do not agree. */
OCTAD_HIDDEN size_t octad_merge_windows(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens);

static inline size_t octad_token_length(const struct octad_bpe *bpe, uint32_t token) {
    return bpe->start[token + 1] - bpe->start[token];
}

static inline size_t octad_pair_group(const struct octad_bpe *bpe, uint64_t pair) {
    return (size_t)((pair * 0x9E3779B97F4A7C15u) >> bpe->group_shift);
}

static inline size_t octad_pair_slot(const struct octad_bpe *bpe, uint64_t pair, uint32_t factor) {
    return (size_t)((pair * 0xD6E8FEB86659FD93u * factor) >> bpe->pair_shift);
}

/* The rank of two neighbours; OCTAD_NO_RANK where they never merge. Whether there is one is a coin's toss, so there is no
   branch: a pair has but one place where it may be. */
static inline uint32_t octad_pair_rank(const struct octad_bpe *bpe, uint32_t left, uint32_t right) {
    uint64_t pair = (uint64_t)left << OCTAD_TOKEN_BITS | right;
    uint64_t found = bpe->pairs[octad_pair_slot(bpe, pair, bpe->pair_factor[octad_pair_group(bpe, pair)])];
    return (uint32_t)(found >> OCTAD_RANK_BITS == pair ? found : OCTAD_NO_PAIR) & OCTAD_NO_RANK;
}

/* Whether any merge can ever join across the border of two bytes. */
static inline int octad_joins(const struct octad_bpe *bpe, uint8_t left, uint8_t right) {
    unsigned pair = (unsigned)left << 8 | right;
    return (int)(bpe->joins[pair >> 6] >> (pair & 63) & 1);
}

static inline uint64_t octad_hash_bytes(const uint8_t *bytes, size_t n) {
    uint64_t hash = n * 0x9E3779B97F4A7C15u, word;
    for (; n >= 8; bytes += 8, n -= 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, bytes, n);
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 29;
}

#endif
