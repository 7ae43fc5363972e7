/* A growing array of ids. */
#ifndef OCTAD_IDS_H
#define OCTAD_IDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "char_class.h"

struct octad_ids {
    uint32_t *ids;
    size_t size, room;
};

enum { OCTAD_IDS_SLACK = 16 }; /* so that whole vectors may be stored where fewer ids are meant */

/* Room for `more` ids, and the slack. -1 where memory is lacking. */
static inline int octad_ids_reserve(struct octad_ids *out, size_t more) {
    size_t need = out->size + more + OCTAD_IDS_SLACK;
    if (OCTAD_LIKELY(need <= out->room)) return 0;
    size_t room = out->room + out->room / 2 > need ? out->room + out->room / 2 : need;
    uint32_t *grown = room <= SIZE_MAX / sizeof *grown ? realloc(out->ids, room * sizeof *grown) : NULL;
    if (!grown) return -1;
    out->ids = grown;
    out->room = room;
    return 0;
}

#endif
