/* How far runs of ASCII letters go. */
#ifndef OCTAD_BYTE_RUNS_H
#define OCTAD_BYTE_RUNS_H

#include "byte_vector.h"

static inline int octad_is_ascii_letter(uint8_t byte) {
    return (uint8_t)((byte | 0x20) - 'a') < 26;
}

/* The first place from i on that holds no ASCII letter. */
static inline size_t octad_skip_ascii_letters(const uint8_t *text, size_t n, size_t i) {
    for (; n - i >= OCTAD_LANES; i += OCTAD_LANES) {
        uint64_t letters = octad_within(octad_lower(octad_load(text + i)), 'a', 26);
        if (letters != OCTAD_ALL_LANES) return i + octad_lowest_bit(~letters);
    }
    while (i < n && octad_is_ascii_letter(text[i])) i++;
    return i;
}

/* The first place from i on that holds no ASCII letter in lower case. */
static inline size_t octad_skip_ascii_lower(const uint8_t *text, size_t n, size_t i) {
    for (; n - i >= OCTAD_LANES; i += OCTAD_LANES) {
        uint64_t letters = octad_within(octad_load(text + i), 'a', 26);
        if (letters != OCTAD_ALL_LANES) return i + octad_lowest_bit(~letters);
    }
    while (i < n && (uint8_t)(text[i] - 'a') < 26) i++;
    return i;
}

#endif
