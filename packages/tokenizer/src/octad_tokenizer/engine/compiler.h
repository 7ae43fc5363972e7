/* What compilers spell differently. */
#ifndef OCTAD_COMPILER_H
#define OCTAD_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define OCTAD_HIDDEN __attribute__((visibility("hidden")))
#define OCTAD_INLINE inline __attribute__((always_inline))
#define OCTAD_NOINLINE __attribute__((noinline))
#define OCTAD_LIKELY(x) __builtin_expect(!!(x), 1)
#define OCTAD_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#include <intrin.h>
#define OCTAD_HIDDEN
#define OCTAD_INLINE __forceinline
#define OCTAD_NOINLINE __declspec(noinline)
#define OCTAD_LIKELY(x) (x)
#define OCTAD_UNLIKELY(x) (x)
#endif

/* The place of the lowest bit that is set; bits != 0. */
static inline unsigned octad_lowest_bit(uint64_t bits) {
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned long at;
    _BitScanForward64(&at, bits);
    return (unsigned)at;
#endif
}

/* The place of the highest; bits != 0. */
static inline unsigned octad_highest_bit(uint64_t bits) {
#if defined(__GNUC__)
    return 63u - (unsigned)__builtin_clzll(bits);
#else
    unsigned long at;
    _BitScanReverse64(&at, bits);
    return (unsigned)at;
#endif
}

/* How many bits are set. Arithmetic, as the oldest x86-64 has no instruction for it. */
static inline unsigned octad_count_bits(uint64_t bits) {
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    return (unsigned)(((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

#endif
