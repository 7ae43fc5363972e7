/* 64 bytes of text as sets of places: bit p of a set says what byte p is. */
#ifndef OCTAD_BYTE_BLOCK_H
#define OCTAD_BYTE_BLOCK_H

#include "byte_vector.h"

struct octad_block {
    uint64_t letter, number, space;  /* \p{L}, \p{N}, \s: no two of them at one place */
    uint64_t upper;                  /* letters that may begin a word and not end one: \p{Lu}\p{Lt} */
    uint64_t both;                   /* characters that may do either: \p{Lm}\p{Lo}\p{M}; never ASCII */
    uint64_t blank, line_end;        /* ' '; \r and \n */
    uint64_t apostrophe;
    uint64_t high, trail;            /* bytes of characters past ASCII; those that do not begin them */
    unsigned known;                  /* places from here on are left open */
    int is_hard;                     /* whether that is for a character that no rule can follow */
};

/* The places from `from` on. */
static inline uint64_t octad_from(unsigned from) { return from < 64 ? ~(uint64_t)0 << from : 0; }

/* The ASCII of 64 bytes. Bytes past ASCII are in `high` and nowhere else. */
static inline struct octad_block octad_ascii_block(const uint8_t *text) {
    struct octad_block block = {.known = 64};
    uint64_t control = 0;
    for (unsigned p = 0; p < 64; p += OCTAD_LANES) {
        octad_bytes bytes = octad_load(text + p);
        block.letter |= octad_within(octad_lower(bytes), 'a', 26) << p;
        block.number |= octad_within(bytes, '0', 10) << p;
        block.upper |= octad_within(bytes, 'A', 26) << p;
        block.blank |= octad_equal(bytes, ' ') << p;
        control |= octad_within(bytes, '\t', 5) << p; /* \t \n \v \f \r */
        block.line_end |= (octad_equal(bytes, '\n') | octad_equal(bytes, '\r')) << p;
        block.apostrophe |= octad_equal(bytes, '\'') << p;
        block.high |= octad_past_ascii(bytes) << p;
    }
    block.space = block.blank | control;
    return block;
}

#if defined(__GNUC__) && defined(__x86_64__) && !defined(OCTAD_PORTABLE)
#include <immintrin.h>
/* For processors since 2013, chosen when the program runs. */
#define OCTAD_AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))

OCTAD_AVX2 static inline uint64_t octad_equal_avx2(__m256i b, uint8_t to) {
    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, _mm256_set1_epi8((char)to)));
}
OCTAD_AVX2 static inline uint64_t octad_within_avx2(__m256i b, uint8_t first, uint8_t count) {
    __m256i moved = _mm256_add_epi8(b, _mm256_set1_epi8((char)(128 - first)));
    return (unsigned)_mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_set1_epi8((char)(count - 128)), moved));
}

/* The same with 32 bytes at a step. */
OCTAD_AVX2 static inline struct octad_block octad_ascii_block_avx2(const uint8_t *text) {
    struct octad_block block = {.known = 64};
    uint64_t control = 0;
    for (unsigned p = 0; p < 64; p += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(text + p));
        block.letter |= octad_within_avx2(_mm256_or_si256(bytes, _mm256_set1_epi8(0x20)), 'a', 26) << p;
        block.number |= octad_within_avx2(bytes, '0', 10) << p;
        block.upper |= octad_within_avx2(bytes, 'A', 26) << p;
        block.blank |= octad_equal_avx2(bytes, ' ') << p;
        control |= octad_within_avx2(bytes, '\t', 5) << p;
        block.line_end |= (octad_equal_avx2(bytes, '\n') | octad_equal_avx2(bytes, '\r')) << p;
        block.apostrophe |= octad_equal_avx2(bytes, '\'') << p;
        block.high |= (uint64_t)(unsigned)_mm256_movemask_epi8(bytes) << p;
    }
    block.space = block.blank | control;
    return block;
}
#endif

#endif
