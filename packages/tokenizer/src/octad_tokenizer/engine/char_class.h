/* What kind of character stands somewhere in a UTF-8 text. */
#ifndef OCTAD_CHAR_CLASS_H
#define OCTAD_CHAR_CLASS_H

#include "compiler.h"

enum {
    OCTAD_LETTER = 1,     /* \p{L} */
    OCTAD_NUMBER = 2,     /* \p{N} */
    OCTAD_SPACE = 4,      /* \s */
    OCTAD_UPPER = 8,      /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
    OCTAD_LOWER = 16,     /* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
    OCTAD_WORDLIKE = OCTAD_LETTER | OCTAD_NUMBER | OCTAD_SPACE, /* none of them: punctuation, symbols, marks, controls */
};

/* Two stages: octad_blocks[octad_block_of[c / 128]][c % 128]. */
OCTAD_HIDDEN extern const char octad_unicode_version[];
OCTAD_HIDDEN extern const uint8_t octad_block_of[8704];
OCTAD_HIDDEN extern const uint8_t octad_blocks[][128];

static inline unsigned octad_class_of(uint32_t code_point) {
    return octad_blocks[octad_block_of[code_point >> 7]][code_point & 127];
}

/* The class of the character at p, and its length in bytes. The text must be valid UTF-8. */
static inline unsigned octad_class_at(const uint8_t *p, size_t *length) {
    uint32_t lead = p[0];
    if (lead < 0x80) {
        *length = 1;
        return octad_blocks[0][lead]; /* the first block has number 0 */
    }
    uint32_t code_point = p[1] & 0x3F;
    if (lead < 0xE0) {
        *length = 2;
        return octad_class_of((lead & 0x1F) << 6 | code_point);
    }
    code_point = code_point << 6 | (p[2] & 0x3F);
    if (lead < 0xF0) {
        *length = 3;
        return octad_class_of((lead & 0x0F) << 12 | code_point);
    }
    *length = 4;
    return octad_class_of((lead & 0x07) << 18 | code_point << 6 | (p[3] & 0x3F));
}

#endif
