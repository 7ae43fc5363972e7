/* Making an `Encoder` from the tables that Python gives. */
#include "encoder.h"

#include <stdlib.h>

static int build(OctadEncoder *self, const struct octad_bpe_parts *parts) {
    switch (octad_bpe_build(&self->bpe, parts)) {
        case -1: PyErr_NoMemory(); return -1;
        case -2: PyErr_SetString(PyExc_OverflowError, "a number is out of the engine's range"); return -1;
        case -3: PyErr_SetString(PyExc_ValueError, "a byte has no token"); return -1;
        default: break;
    }
    uint32_t largest = 0;
    for (size_t k = 0; k < parts->num_tokens; k++) largest = parts->ids[k] > largest ? parts->ids[k] : largest;
    size_t size = largest < 8 * parts->num_tokens ? (size_t)largest + 1 : 0;
    self->ints = calloc(size + 1, sizeof *self->ints);
    if (!self->ints) {
        PyErr_NoMemory();
        return -1;
    }
    self->num_ints = size;
    PyObject *module = PyImport_ImportModule("array");
    self->array_type = module ? PyObject_GetAttrString(module, "array") : NULL;
    Py_XDECREF(module);
    return self->array_type ? 0 : -1;
}

enum { LARGEST_ID = (1 << 26) - 1 };

/* The tokens that have these ids, in one new block; NULL and an exception. */
static uint32_t *tokens_of(const struct octad_bpe_parts *parts, const uint32_t *const lists[3]) {
    uint32_t largest = 0;
    for (size_t k = 0; k < parts->num_tokens; k++) largest = parts->ids[k] > largest ? parts->ids[k] : largest;
    if (largest > LARGEST_ID) {
        PyErr_SetString(PyExc_OverflowError, "an id is out of the engine's range");
        return NULL;
    }
    uint32_t *token_of = malloc(((size_t)largest + 1) * sizeof *token_of);
    uint32_t *tokens = malloc((3 * parts->num_merges + 1) * sizeof *tokens);
    if (token_of && tokens) {
        memset(token_of, 0xFF, ((size_t)largest + 1) * sizeof *token_of); /* what is no token is out of range later */
        for (size_t k = 0; k < parts->num_tokens; k++) token_of[parts->ids[k]] = (uint32_t)k;
        for (size_t list = 0, n = parts->num_merges; list < 3; list++)
            for (size_t k = 0; k < n; k++) {
                uint32_t id = lists[list][k];
                tokens[list * n + k] = id <= largest ? token_of[id] : UINT32_MAX;
            }
    } else {
        PyErr_NoMemory();
        free(tokens);
        tokens = NULL;
    }
    free(token_of);
    return tokens;
}

/* (bytes, ends, ids, left, right, product, pattern, ignore_merges); all but the last two are buffers of uint32, and the
   last three of these hold ids */
PyObject *octad_encoder_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords)) {
    Py_buffer b[6];
    struct octad_bpe_parts parts;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*y*ip:Encoder", b, b + 1, b + 2, b + 3, b + 4, b + 5, &parts.pattern,
                          &parts.ignore_merges))
        return NULL;
    PyObject *self = NULL;
    size_t tokens = (size_t)b[1].len / 4, merges = (size_t)b[3].len / 4;
    parts.bytes = b[0].buf, parts.ends = b[1].buf, parts.ids = b[2].buf;
    parts.num_tokens = tokens, parts.num_merges = merges;
    int fits = (size_t)b[2].len / 4 == tokens && (size_t)b[4].len / 4 == merges && (size_t)b[5].len / 4 == merges &&
               (tokens == 0 || parts.ends[tokens - 1] == (size_t)b[0].len);
    for (size_t k = 1; fits && k < tokens; k++) fits = parts.ends[k - 1] <= parts.ends[k];
    if (!fits) PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
    uint32_t *pairs = fits ? tokens_of(&parts, (const uint32_t *const[3]){b[3].buf, b[4].buf, b[5].buf}) : NULL;
    if (pairs) {
        parts.left = pairs, parts.right = pairs + merges, parts.product = pairs + 2 * merges;
        allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
        if ((self = allocate(type, 0)) != NULL && build((OctadEncoder *)self, &parts) < 0) Py_CLEAR(self);
    }
    free(pairs);
    for (int k = 0; k < 6; k++) PyBuffer_Release(b + k);
    return self;
}
