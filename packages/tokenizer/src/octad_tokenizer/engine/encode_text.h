/* Text to ids, without Python. */
#ifndef OCTAD_ENCODE_TEXT_H
#define OCTAD_ENCODE_TEXT_H

#include "bpe.h"
#include "ids.h"
#include "piece_cache.h"

/* What one thread needs to encode. */
struct octad_worker {
    struct octad_cache cache;
    struct octad_ids ids;
    uint32_t *tokens; /* scratch for pieces that are not cached */
    size_t tokens_room;
};

/* All of them: 0, or -1 where memory is lacking. `text` is valid UTF-8; ids are added to worker->ids. */
OCTAD_HIDDEN int octad_encode_ordinary(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *text,
                                       size_t n);
/* One pre-token, which may be any bytes. */
OCTAD_HIDDEN int octad_encode_piece(const struct octad_bpe *bpe, struct octad_worker *worker, const uint8_t *piece,
                                    size_t n);

#endif
