/* The Python types of encoding. */
#ifndef OCTAD_ENCODER_H
#define OCTAD_ENCODER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "compiler.h"
#include "encode_text.h"
#include "special_search.h"
#include "stream.h"

enum { OCTAD_IDLE_WORKERS = 8 };

typedef struct {
    PyObject_HEAD
    struct octad_bpe bpe;
    struct octad_worker *idle[OCTAD_IDLE_WORKERS]; /* guarded by the GIL, as are the next two */
    size_t num_idle;
    PyObject **ints; /* the int of each id, made when it is first asked for */
    size_t num_ints;
    PyObject *array_type;
} OctadEncoder;

typedef struct {
    PyObject_HEAD
    struct octad_specials specials;
} OctadSpecials;

OCTAD_HIDDEN extern PyType_Spec octad_specials_spec, octad_encoder_spec, octad_stream_spec, octad_iterator_spec,
    octad_decoder_spec;

/* A worker of its own for the caller, with no ids; NULL and MemoryError. Give it back. */
OCTAD_HIDDEN struct octad_worker *octad_take_worker(OctadEncoder *encoder);
OCTAD_HIDDEN void octad_give_worker(OctadEncoder *encoder, struct octad_worker *worker);

/* One id; the ints of tokens are shared. NULL and MemoryError. */
static inline PyObject *octad_int_of(OctadEncoder *encoder, uint32_t id) {
    if (OCTAD_UNLIKELY(id >= encoder->num_ints)) return PyLong_FromUnsignedLong(id); /* a special token's */
    PyObject *number = encoder->ints[id];
    if (OCTAD_UNLIKELY(!number)) {
        number = PyLong_FromUnsignedLong(id);
        if (!number) return NULL;
        encoder->ints[id] = number;
    }
    Py_INCREF(number);
    return number;
}

/* Ids as Python has them; NULL and an exception. */
OCTAD_HIDDEN PyObject *octad_ids_as_list(OctadEncoder *encoder, const uint32_t *ids, size_t count);
OCTAD_HIDDEN PyObject *octad_ids_as_array(OctadEncoder *encoder, const uint32_t *ids, size_t count);

/* None or a Specials: its content or NULL. -1 and TypeError for anything else. */
OCTAD_HIDDEN int octad_specials_of(PyObject *object, const struct octad_specials **specials);

OCTAD_HIDDEN PyObject *octad_encoder_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords);
OCTAD_HIDDEN PyObject *octad_encode_batch(PyObject *encoder, PyObject *arguments);
OCTAD_HIDDEN PyObject *octad_stream_new(PyObject *encoder, PyObject *specials);
OCTAD_HIDDEN PyObject *octad_encoder_ints(PyObject *encoder, PyObject *blocks);

/* The types, once the module is made. */
OCTAD_HIDDEN extern PyObject *octad_specials_type, *octad_stream_type, *octad_iterator_type;

#endif
