/* A text that comes in pieces: what is settled is encoded, the rest waits. */
#ifndef OCTAD_STREAM_H
#define OCTAD_STREAM_H

#include "encode_text.h"
#include "special_search.h"

struct octad_stream {
    uint8_t *text;      /* what waits */
    size_t size, room;
    size_t valid;       /* how much of it is known to be whole characters */
    size_t special_from; /* no special token begins before */
    size_t cut_from;    /* no cut is before */
    int is_cuttable;    /* whether the pattern is one for which the rule about cuts holds */
};

/* The whole of a text, with special tokens (or NULL). 0, or -1 where memory is lacking. */
OCTAD_HIDDEN int octad_encode_text(const struct octad_bpe *bpe, const struct octad_specials *specials,
                                   struct octad_worker *worker, const uint8_t *text, size_t n);

/* Adds the ids of what is settled now to worker->ids; all of it if `is_last`.
   0; -1 where memory is lacking; -2 where the bytes are no UTF-8 (is_text: they are, need not be checked). */
OCTAD_HIDDEN int octad_stream_push(const struct octad_bpe *bpe, const struct octad_specials *specials,
                                   struct octad_worker *worker, struct octad_stream *stream, const uint8_t *bytes,
                                   size_t n, int is_text, int is_last);
OCTAD_HIDDEN void octad_stream_free(struct octad_stream *stream);

#endif
