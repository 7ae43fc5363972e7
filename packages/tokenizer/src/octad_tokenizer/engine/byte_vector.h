/* A few bytes of text at once: which of them lie in a range. 16 with SSE2, which every x86-64 has, else 8 in a word. */
#ifndef OCTAD_BYTE_VECTOR_H
#define OCTAD_BYTE_VECTOR_H

#include "compiler.h"

/* OCTAD_PORTABLE chooses the words everywhere, for tests. */
#if (defined(__SSE2__) || defined(_M_X64)) && !defined(OCTAD_PORTABLE)
#include <emmintrin.h>

typedef __m128i octad_bytes;
enum { OCTAD_LANES = 16, OCTAD_ALL_LANES = 0xFFFF };

static inline octad_bytes octad_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline octad_bytes octad_lower(octad_bytes b) { return _mm_or_si128(b, _mm_set1_epi8(0x20)); }
static inline uint64_t octad_past_ascii(octad_bytes b) { return (unsigned)_mm_movemask_epi8(b); }
/* 10xxxxxx: doubling a byte brings its second bit to the top. */
static inline uint64_t octad_trail(octad_bytes b) { return octad_past_ascii(_mm_andnot_si128(_mm_add_epi8(b, b), b)); }
static inline uint64_t octad_equal(octad_bytes b, uint8_t to) {
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(b, _mm_set1_epi8((char)to)));
}
/* Bytes in [first, first + count): moved so that they are the smallest signed ones. */
static inline uint64_t octad_within(octad_bytes b, uint8_t first, uint8_t count) {
    octad_bytes moved = _mm_add_epi8(b, _mm_set1_epi8((char)(128 - first)));
    return (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(moved, _mm_set1_epi8((char)(count - 128))));
}

#else
typedef uint64_t octad_bytes;
enum { OCTAD_LANES = 8, OCTAD_ALL_LANES = 0xFF };
#define OCTAD_EACH(byte) ((uint64_t)(byte) * 0x0101010101010101u)

static inline octad_bytes octad_load(const uint8_t *p) {
    uint64_t word = 0;
    for (int k = 0; k < 8; k++) word |= (uint64_t)p[k] << (8 * k); /* one load on little-endian machines */
    return word;
}
static inline octad_bytes octad_lower(octad_bytes b) { return b | OCTAD_EACH(0x20); }
/* The top bit of each byte: gathered by a product in which no two of them meet. */
static inline uint64_t octad_past_ascii(octad_bytes b) {
    return ((b >> 7 & OCTAD_EACH(1)) * 0x0102040810204080u) >> 56;
}
static inline uint64_t octad_trail(octad_bytes b) { return octad_past_ascii(b & ~(b << 1)); }
/* Bytes in [first, first + count), all of them ASCII: sums of seven bits never leave their byte. */
static inline uint64_t octad_within(octad_bytes b, uint8_t first, uint8_t count) {
    uint64_t seven = b & OCTAD_EACH(0x7F);
    uint64_t at_least = seven + OCTAD_EACH(128 - first), too_much = seven + OCTAD_EACH(128 - first - count);
    return octad_past_ascii(at_least & ~too_much & ~b);
}
static inline uint64_t octad_equal(octad_bytes b, uint8_t to) { return octad_within(b, to, 1); }
#endif

#endif
