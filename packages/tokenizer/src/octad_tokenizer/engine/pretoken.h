/* Pre-tokens: where the pieces of a text end that merges never cross.

   Each scanner splits as its regular expression in patterns.py does. */
#ifndef OCTAD_PRETOKEN_H
#define OCTAD_PRETOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "char_class.h"

enum octad_pattern {
    OCTAD_GPT2 = 0,
    OCTAD_CL100K = 1,
    OCTAD_O200K = 2,
    OCTAD_QWEN2 = 3,
    OCTAD_LLAMA3 = 4,
    OCTAD_BYTES = 5, /* the whole text is one */
    OCTAD_CL100K_TIKTOKEN = 6,
    OCTAD_PATTERNS = 7,
};

/* The end of the pre-token that begins at `start`.
   `text` is valid UTF-8, ends at n for the expression too, and start < n is where a pre-token or the text begins. */
typedef size_t (*octad_split)(const uint8_t *text, size_t n, size_t start);

/* NULL for an unknown pattern. */
OCTAD_HIDDEN octad_split octad_split_for(int pattern);

/* Many at once, which is three times as fast: the ends of the pre-tokens from `start` on. Stops when fewer than
   OCTAD_ENDS_MIN places of `room` are left, so room must be at least that; what lies past the last end is overwritten.
   Returns how many ends; 0 only if start == n. The next call starts at the last end. */
typedef size_t (*octad_split_many)(const uint8_t *text, size_t n, size_t start, size_t *ends, size_t room);
enum { OCTAD_ENDS_MIN = 64 };
OCTAD_HIDDEN octad_split_many octad_split_many_for(int pattern);

/* The one for the oldest processors, for tests. */
OCTAD_HIDDEN octad_split_many octad_split_many_plain_for(int pattern);

/* The length of the longest prefix of data that is valid UTF-8 and whole characters. */
OCTAD_HIDDEN size_t octad_utf8_prefix(const uint8_t *data, size_t n);

#endif
