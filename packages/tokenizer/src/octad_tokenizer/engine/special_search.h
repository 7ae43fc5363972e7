/* The first special token in a text; where two begin at the same place the longer one. */
#ifndef OCTAD_SPECIAL_SEARCH_H
#define OCTAD_SPECIAL_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "char_class.h"

struct octad_specials {
    size_t count, longest;  /* longest in bytes */
    uint8_t *bytes;         /* the names, joined */
    size_t *start;          /* count + 1 */
    uint32_t *ids;
    uint32_t *slots;        /* name + 1 by the hash of its bytes, open addressing; 0 where free */
    size_t slots_mask;
    size_t *lengths;        /* distinct, the longest first */
    size_t num_lengths;
    int only_first;         /* the byte that all names begin with, or -1 */
    uint64_t pairs[1024];   /* one bit for each pair of bytes that begins a name; of a one-byte name, any second byte */
};

/* Names are not empty and distinct; name k ends at ends[k]. 0, or -1 where memory is lacking. */
OCTAD_HIDDEN int octad_specials_build(struct octad_specials *specials, const uint8_t *bytes, const uint32_t *ends,
                                      const uint32_t *ids, size_t count);
OCTAD_HIDDEN void octad_specials_free(struct octad_specials *specials);

struct octad_special_match {
    size_t start, end;
    uint32_t id;
};

/* 1 and the first match that begins in text[from..n); 0 if there is none. */
OCTAD_HIDDEN int octad_specials_find(const struct octad_specials *specials, const uint8_t *text, size_t n, size_t from,
                                     struct octad_special_match *match);

#endif
