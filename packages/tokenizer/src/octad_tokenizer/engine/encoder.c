/* The type `Encoder`: a vocabulary that encodes. */
#include "encoder.h"

#include <stdlib.h>

enum { RELEASE_FROM = 2048, KEPT_IDS = 1 << 18 };

struct octad_worker *octad_take_worker(OctadEncoder *encoder) {
    if (encoder->num_idle) {
        struct octad_worker *worker = encoder->idle[--encoder->num_idle];
        worker->ids.size = 0;
        return worker;
    }
    struct octad_worker *worker = calloc(1, sizeof *worker);
    if (worker && octad_cache_new(&worker->cache) == 0) return worker;
    free(worker);
    PyErr_NoMemory();
    return NULL;
}

static void free_worker(struct octad_worker *worker) {
    octad_cache_free(&worker->cache);
    free(worker->ids.ids);
    free(worker);
}

void octad_give_worker(OctadEncoder *encoder, struct octad_worker *worker) {
    if (worker->ids.room > KEPT_IDS) {
        free(worker->ids.ids);
        worker->ids = (struct octad_ids){0};
    }
    if (encoder->num_idle < OCTAD_IDLE_WORKERS) encoder->idle[encoder->num_idle++] = worker;
    else free_worker(worker);
}

static void encoder_dealloc(PyObject *object) {
    OctadEncoder *self = (OctadEncoder *)object;
    PyTypeObject *type = Py_TYPE(object);
    while (self->num_idle) free_worker(self->idle[--self->num_idle]);
    for (size_t k = 0; k < self->num_ints; k++) Py_XDECREF(self->ints[k]);
    free(self->ints);
    octad_bpe_free(&self->bpe);
    Py_XDECREF(self->array_type);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* One text into a worker that the caller gives back; NULL and an exception. */
static struct octad_worker *encode(OctadEncoder *self, PyObject *arguments) {
    PyObject *text, *special = Py_None;
    const struct octad_specials *specials;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "U|O", &text, &special) || octad_specials_of(special, &specials) < 0) return NULL;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    struct octad_worker *worker = utf8 ? octad_take_worker(self) : NULL;
    if (!worker) return NULL;
    int failed;
    if (size < RELEASE_FROM) {
        failed = octad_encode_text(&self->bpe, specials, worker, (const uint8_t *)utf8, (size_t)size);
    } else {
        Py_BEGIN_ALLOW_THREADS
        failed = octad_encode_text(&self->bpe, specials, worker, (const uint8_t *)utf8, (size_t)size);
        Py_END_ALLOW_THREADS
    }
    if (!failed) return worker;
    octad_give_worker(self, worker);
    PyErr_NoMemory();
    return NULL;
}

static PyObject *encoder_encode(PyObject *object, PyObject *arguments) {
    OctadEncoder *self = (OctadEncoder *)object;
    struct octad_worker *worker = encode(self, arguments);
    if (!worker) return NULL;
    PyObject *list = octad_ids_as_list(self, worker->ids.ids, worker->ids.size);
    octad_give_worker(self, worker);
    return list;
}

static PyObject *encoder_encode_to_array(PyObject *object, PyObject *arguments) {
    OctadEncoder *self = (OctadEncoder *)object;
    struct octad_worker *worker = encode(self, arguments);
    if (!worker) return NULL;
    PyObject *array = octad_ids_as_array(self, worker->ids.ids, worker->ids.size);
    octad_give_worker(self, worker);
    return array;
}

static PyObject *encoder_count(PyObject *object, PyObject *arguments) {
    OctadEncoder *self = (OctadEncoder *)object;
    struct octad_worker *worker = encode(self, arguments);
    if (!worker) return NULL;
    size_t count = worker->ids.size;
    octad_give_worker(self, worker);
    return PyLong_FromSize_t(count);
}

static PyObject *encoder_merge_bytes(PyObject *object, PyObject *arguments) {
    OctadEncoder *self = (OctadEncoder *)object;
    Py_buffer data;
    if (!PyArg_ParseTuple(arguments, "y*:merge_bytes", &data)) return NULL;
    struct octad_worker *worker = octad_take_worker(self);
    int failed = 0;
    if (worker) {
        Py_BEGIN_ALLOW_THREADS
        failed = octad_encode_piece(&self->bpe, worker, data.buf, (size_t)data.len);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    if (!worker) return NULL;
    PyObject *list = failed ? PyErr_NoMemory() : octad_ids_as_list(self, worker->ids.ids, worker->ids.size);
    octad_give_worker(self, worker);
    return list;
}

/* Each str of a list is one pre-token. */
static PyObject *encoder_encode_pieces(PyObject *object, PyObject *arguments) {
    OctadEncoder *self = (OctadEncoder *)object;
    PyObject *pieces, *list = NULL;
    if (!PyArg_ParseTuple(arguments, "O!:encode_pieces", &PyList_Type, &pieces)) return NULL;
    struct octad_worker *worker = octad_take_worker(self);
    if (!worker) return NULL;
    for (Py_ssize_t k = 0; k < PyList_Size(pieces); k++) {
        PyObject *piece = PyList_GetItem(pieces, k);
        Py_ssize_t size;
        const char *utf8 = piece ? PyUnicode_AsUTF8AndSize(piece, &size) : NULL;
        if (!utf8) goto done;
        if (octad_encode_piece(&self->bpe, worker, (const uint8_t *)utf8, (size_t)size) < 0) {
            PyErr_NoMemory();
            goto done;
        }
    }
    list = octad_ids_as_list(self, worker->ids.ids, worker->ids.size);
done:
    octad_give_worker(self, worker);
    return list;
}

static PyObject *encoder_stream(PyObject *self, PyObject *arguments) {
    PyObject *special = Py_None;
    const struct octad_specials *specials;
    if (!PyArg_ParseTuple(arguments, "|O:stream", &special) || octad_specials_of(special, &specials) < 0) return NULL;
    return octad_stream_new(self, special);
}

static PyMethodDef encoder_methods[] = {
    {"encode", encoder_encode, METH_VARARGS, "encode(text, specials=None): the ids as a list"},
    {"encode_to_array", encoder_encode_to_array, METH_VARARGS, "encode_to_array(text, specials=None): array('I')"},
    {"count", encoder_count, METH_VARARGS, "count(text, specials=None): how many ids there are"},
    {"merge_bytes", encoder_merge_bytes, METH_VARARGS, "merge_bytes(data): the ids of one pre-token"},
    {"encode_pieces", encoder_encode_pieces, METH_VARARGS, "encode_pieces(pieces): the ids of a list of pre-tokens"},
    {"encode_batch", octad_encode_batch, METH_VARARGS,
     "encode_batch(texts, start, stop, specials, as_arrays): lists of ids of texts[start:stop], or (ids, ends)"},
    {"stream", encoder_stream, METH_VARARGS, "stream(specials=None): a Stream"},
    {"ints", octad_encoder_ints, METH_O, "ints(blocks): the ids of an iterable of array('I') as ints, lazily"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot encoder_slots[] = {
    {Py_tp_new, (void *)octad_encoder_new},
    {Py_tp_dealloc, (void *)encoder_dealloc},
    {Py_tp_methods, encoder_methods},
    {Py_tp_doc, "Encoder(bytes, ends, ids, left, right, product, pattern, ignore_merges)"},
    {0, NULL}};

PyType_Spec octad_encoder_spec = {
    .name = "octad_tokenizer._engine.Encoder",
    .basicsize = sizeof(OctadEncoder),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = encoder_slots,
};
