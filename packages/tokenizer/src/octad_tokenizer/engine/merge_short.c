/* Merging a piece of at most 64 bytes: the lowest of all neighbours' ranks, again and again.

   keys[i] = rank << 8 | i for the pair that begins at byte i, so that the smallest key is the lowest rank and, among
   equals, the leftmost; a vector minimum finds it. Which bytes begin a token is one bit each. */
#include "bpe.h"
#include "compiler.h"

#define NO_KEY (OCTAD_NO_RANK << 8)

#if defined(__SSE2__) || defined(_M_X64)
#define SSE2 1
#include <emmintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#define NEON 1
#include <arm_neon.h>
#endif
#if defined(SSE2) && defined(__GNUC__)
#define AVX2 1 /* chosen when it runs */
#include <immintrin.h>
#endif

/* The smallest of keys[0..n), n a multiple of 8; keys are below 2**31. */
static inline uint32_t smallest(const uint32_t *keys, size_t n) {
#if defined(SSE2)
    __m128i least = _mm_load_si128((const __m128i *)(const void *)keys);
    for (size_t i = 4; i < n; i += 4) {
        __m128i more = _mm_load_si128((const __m128i *)(const void *)(keys + i));
        __m128i is_less = _mm_cmplt_epi32(more, least);
        least = _mm_or_si128(_mm_and_si128(is_less, more), _mm_andnot_si128(is_less, least));
    }
    uint32_t four[4];
    memcpy(four, &least, 16);
    uint32_t a = four[0] < four[1] ? four[0] : four[1], b = four[2] < four[3] ? four[2] : four[3];
    return a < b ? a : b;
#elif defined(NEON)
    uint32x4_t least = vld1q_u32(keys);
    for (size_t i = 4; i < n; i += 4) least = vminq_u32(least, vld1q_u32(keys + i));
    return vminvq_u32(least);
#else
    uint32_t least = keys[0];
    for (size_t i = 1; i < n; i++) least = keys[i] < least ? keys[i] : least;
    return least;
#endif
}

#if defined(AVX2)
__attribute__((target("avx2"))) static inline uint32_t smallest_avx2(const uint32_t *keys, size_t n) {
    __m256i least = _mm256_load_si256((const __m256i *)(const void *)keys);
    for (size_t i = 8; i < n; i += 8)
        least = _mm256_min_epu32(least, _mm256_load_si256((const __m256i *)(const void *)(keys + i)));
    __m128i four = _mm_min_epu32(_mm256_castsi256_si128(least), _mm256_extracti128_si256(least, 1));
    four = _mm_min_epu32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_min_epu32(four, _mm_shuffle_epi32(four, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(four);
}
#endif

/* What pair begins at byte i and at every other one; which bytes begin a token (all). */
static OCTAD_INLINE void begin(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, size_t padded,
                               struct octad_window *window, uint32_t *keys) {
    for (size_t i = 0; i + 1 < n; i++) {
        window->tokens[i] = bpe->byte_token[bytes[i]];
        keys[i] = bpe->byte_pair[(size_t)bytes[i] << 8 | bytes[i + 1]] << 8 | (uint32_t)i;
    }
    if (n) window->tokens[n - 1] = bpe->byte_token[bytes[n - 1]];
    for (size_t i = n ? n - 1 : 0; i < padded; i++) keys[i] = NO_KEY;
    window->starts = n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

/* Merge the pair of that key. */
static OCTAD_INLINE void merge_pair(const struct octad_bpe *bpe, struct octad_window *window, uint32_t *keys, uint32_t key) {
    uint32_t *tokens = window->tokens, product = bpe->product[key >> 8];
    unsigned i = key & 63, next = octad_lowest_bit(window->starts & (UINT64_MAX - 1) << i);
    uint64_t starts = window->starts & ~((uint64_t)1 << next);
    uint64_t after = starts & (UINT64_MAX - 1) << i, before = starts & (((uint64_t)1 << i) - 1);
    window->starts = starts;
    tokens[i] = product;
    keys[next] = NO_KEY;
    keys[i] = after ? octad_pair_rank(bpe, product, tokens[octad_lowest_bit(after)]) << 8 | i : NO_KEY;
    if (before) {
        unsigned previous = octad_highest_bit(before);
        keys[previous] = octad_pair_rank(bpe, tokens[previous], product) << 8 | previous;
    }
}

/* One piece; and several at once: a merge waits for memory and for the one before it in the same piece, so that others
   run meanwhile. */
#define MERGE(attribute, one, many, minimum)                                                                           \
    attribute static void one(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n,                             \
                              struct octad_window *window) {                                                           \
        _Alignas(32) uint32_t keys[OCTAD_SHORT_PIECE];                                                                 \
        size_t padded = (n + 7) & ~(size_t)7;                                                                          \
        begin(bpe, bytes, n, padded, window, keys);                                                                    \
        for (uint32_t key; (key = minimum(keys, padded)) < NO_KEY;) merge_pair(bpe, window, keys, key);                \
    }                                                                                                                  \
    attribute static void many(const struct octad_bpe *bpe, struct octad_window *windows) {                            \
        _Alignas(32) uint32_t keys[OCTAD_LANES][OCTAD_SHORT_PIECE];                                                    \
        for (size_t k = 0; k < OCTAD_LANES; k++)                                                                       \
            begin(bpe, windows[k].bytes, windows[k].length, OCTAD_SHORT_PIECE, windows + k, keys[k]);                  \
        for (int is_busy = 1; is_busy;) {                                                                              \
            is_busy = 0;                                                                                               \
            for (size_t k = 0; k < OCTAD_LANES; k++) {                                                                 \
                uint32_t key = minimum(keys[k], OCTAD_SHORT_PIECE);                                                    \
                if (key == NO_KEY) continue;                                                                           \
                merge_pair(bpe, windows + k, keys[k], key);                                                            \
                is_busy = 1;                                                                                           \
            }                                                                                                          \
        }                                                                                                              \
    }

MERGE(, one_portable, many_portable, smallest)
#if defined(AVX2)
MERGE(__attribute__((target("avx2,bmi,lzcnt"))), one_avx2, many_avx2, smallest_avx2)

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("lzcnt");
}
#endif

static void merge_one(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, struct octad_window *window) {
#if defined(AVX2)
    if (has_avx2()) {
        one_avx2(bpe, bytes, n, window);
        return;
    }
#endif
    one_portable(bpe, bytes, n, window);
}

size_t octad_merge_short(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens) {
    struct octad_window window;
    merge_one(bpe, bytes, n, &window);
    size_t count = 0;
    for (uint64_t left = window.starts; left; left &= left - 1) tokens[count++] = window.tokens[octad_lowest_bit(left)];
    return count;
}

void octad_merge_lanes(const struct octad_bpe *bpe, struct octad_window *windows, size_t count) {
    if (count == 1) {
        merge_one(bpe, windows->bytes, windows->length, windows);
        return;
    }
    for (; count < OCTAD_LANES; count++) windows[count].length = 0;
#if defined(AVX2)
    if (has_avx2()) {
        many_avx2(bpe, windows);
        return;
    }
#endif
    many_portable(bpe, windows);
}
