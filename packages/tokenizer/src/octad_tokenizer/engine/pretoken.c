/* The scanners by number. */
#include "pretoken_blocks.h"
#include "pretoken_inline.h"

static size_t octad_bytes_end(const uint8_t *text, size_t n, size_t start) {
    (void)text, (void)start;
    return n;
}

typedef struct octad_block octad_look(const uint8_t *text);
typedef uint64_t octad_rule(const uint8_t *text, size_t n, struct octad_block block, struct octad_family family);
typedef uint64_t octad_high_rule(const uint8_t *text, size_t n, struct octad_block block, int *is_hard);

static inline uint64_t gpt2_rule(const uint8_t *text, size_t n, struct octad_block block, struct octad_family family) {
    (void)family;
    return octad_gpt2_starts(text, n, block);
}

/* Blocks where they help, else a few pre-tokens one at a time. Inlined with all its constants. */
static OCTAD_INLINE size_t split_many(const uint8_t *text, size_t n, size_t start, size_t *ends, size_t room,
                                      octad_look *look, octad_rule *rule, octad_high_rule *high_rule,
                                      octad_split scanner, struct octad_family family) {
    size_t count = 0;
    while (start < n && room - count >= OCTAD_ENDS_MIN) {
        int singly = OCTAD_SINGLY;
        if (n - start >= OCTAD_BLOCK) {
            struct octad_block block = look(text + start);
            int is_hard = 0;
            uint64_t starts = 0;
            if (OCTAD_LIKELY(!block.high)) starts = rule(text + start, n - start, block, family);
            else if (octad_count_bits(block.high) <= OCTAD_MOST_HIGH)
                starts = high_rule(text + start, n - start, block, &is_hard);
            else
                singly = OCTAD_SINGLY_HIGH;
            size_t before = start;
            count += octad_write_places(starts, start, ends + count);
            if (starts) start = ends[count - 1];
            if (OCTAD_LIKELY(start - before >= OCTAD_PROGRESS && !is_hard)) singly = 0;
        }
        for (; singly > 0 && start < n && count < room; singly--) ends[count++] = start = scanner(text, n, start);
    }
    return count;
}

/* Many, with one way of looking at a block. */
#define MANY(target, name, suffix, look, rule)                                                                         \
    target static size_t name##_##suffix(const uint8_t *text, size_t n, size_t start, size_t *ends, size_t room) {     \
        return split_many(text, n, start, ends, room, look, rule, name##_high, name, name##_family);                   \
    }

#if defined(OCTAD_AVX2)
#define MANY_AVX2(name, rule) MANY(OCTAD_AVX2, name, avx2, octad_ascii_block_avx2, rule)
#define WAYS(name) {name##_avx2, name##_many}
#else
#define MANY_AVX2(name, rule)
#define WAYS(name) {name##_many, name##_many}
#endif

/* A scanner of one, and those of many. What is rare is kept out of the loop, which has no register to spare. */
#define SCANNER(name, rule, ...)                                                                                       \
    static const struct octad_family name##_family = {__VA_ARGS__};                                                    \
    static OCTAD_NOINLINE size_t name(const uint8_t *text, size_t n, size_t start) {                                   \
        return octad_##name##_end(text, n, start);                                                                     \
    }                                                                                                                  \
    static OCTAD_NOINLINE uint64_t name##_high(const uint8_t *text, size_t n, struct octad_block block, int *is_hard) { \
        octad_add_high(&block, text, name##_family);                                                                   \
        *is_hard = block.is_hard;                                                                                      \
        return rule(text, n, block, name##_family);                                                                    \
    }                                                                                                                  \
    MANY(, name, many, octad_ascii_block, rule)                                                                        \
    MANY_AVX2(name, rule)

SCANNER(gpt2, gpt2_rule, .any_number = 1)
SCANNER(cl100k, octad_line_starts, .digits = 3)
SCANNER(cl100k_tiktoken, octad_line_starts, .digits = 3)
SCANNER(qwen2, octad_line_starts, .digits = 1, .any_number = 1)
SCANNER(o200k, octad_line_starts, .digits = 3, .cased = 1)

static size_t bytes_many(const uint8_t *text, size_t n, size_t start, size_t *ends, size_t room) {
    (void)text, (void)room;
    ends[0] = n;
    return start < n;
}

static const octad_split one[OCTAD_PATTERNS] = {
    [OCTAD_GPT2] = gpt2,     [OCTAD_CL100K] = cl100k,         [OCTAD_O200K] = o200k,
    [OCTAD_QWEN2] = qwen2,   [OCTAD_LLAMA3] = cl100k,         [OCTAD_BYTES] = octad_bytes_end,
    [OCTAD_CL100K_TIKTOKEN] = cl100k_tiktoken,
};

static const octad_split_many many[OCTAD_PATTERNS][2] = {
    [OCTAD_GPT2] = WAYS(gpt2),   [OCTAD_CL100K] = WAYS(cl100k), [OCTAD_O200K] = WAYS(o200k),
    [OCTAD_QWEN2] = WAYS(qwen2), [OCTAD_LLAMA3] = WAYS(cl100k), [OCTAD_BYTES] = {bytes_many, bytes_many},
    [OCTAD_CL100K_TIKTOKEN] = WAYS(cl100k_tiktoken),
};

static int is_plain_processor(void) {
#if defined(OCTAD_AVX2)
    return !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
             && __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("popcnt"));
#else
    return 1;
#endif
}

octad_split octad_split_for(int pattern) {
    return pattern >= 0 && pattern < OCTAD_PATTERNS ? one[pattern] : NULL;
}

octad_split_many octad_split_many_for(int pattern) {
    return pattern >= 0 && pattern < OCTAD_PATTERNS ? many[pattern][is_plain_processor()] : NULL;
}

octad_split_many octad_split_many_plain_for(int pattern) {
    return pattern >= 0 && pattern < OCTAD_PATTERNS ? many[pattern][1] : NULL;
}
