/* The type `Decoder`: ids to bytes. */
#include "encoder.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    uint8_t *bytes;
    uint64_t *place; /* of each id: start << 24 | length; ~0 where there is no such id */
    size_t num_ids;
} OctadDecoder;

#define NO_TOKEN UINT64_MAX

static int fill(OctadDecoder *self, const Py_buffer *bytes, const uint32_t *ends, const uint32_t *ids, size_t count) {
    for (size_t k = 0; k < count; k++) self->num_ids = ids[k] >= self->num_ids ? (size_t)ids[k] + 1 : self->num_ids;
    self->bytes = malloc((size_t)bytes->len + 1);
    self->place = malloc((self->num_ids + 1) * sizeof *self->place);
    if (!self->bytes || !self->place) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(self->bytes, bytes->buf, (size_t)bytes->len);
    memset(self->place, 0xFF, (self->num_ids + 1) * sizeof *self->place);
    for (size_t k = 0, start = 0; k < count; start = ends[k++]) {
        if (ends[k] < start || ends[k] > (size_t)bytes->len || ends[k] - start >= 1u << 24) {
            PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
            return -1;
        }
        self->place[ids[k]] = (uint64_t)start << 24 | (ends[k] - start);
    }
    return 0;
}

/* (bytes, ends, ids): the tokens' bytes joined; buffers of uint32 */
static PyObject *decoder_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords)) {
    Py_buffer bytes, ends, ids;
    if (!PyArg_ParseTuple(arguments, "y*y*y*:Decoder", &bytes, &ends, &ids)) return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = NULL;
    if (ends.len != ids.len) PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
    else self = allocate(type, 0);
    if (self && fill((OctadDecoder *)self, &bytes, ends.buf, ids.buf, (size_t)ids.len / 4) < 0) Py_CLEAR(self);
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&ids);
    return self;
}

static void decoder_dealloc(PyObject *object) {
    OctadDecoder *self = (OctadDecoder *)object;
    PyTypeObject *type = Py_TYPE(object);
    free(self->bytes);
    free(self->place);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* Where the bytes of one Python int are; NO_TOKEN where it is none of the ids. */
static uint64_t place_of(const OctadDecoder *self, PyObject *number) {
    if (!PyLong_Check(number)) return NO_TOKEN;
    int overflow;
    long long id = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow || id < 0 || (size_t)id >= self->num_ids ? NO_TOKEN : self->place[id];
}

/* (list of ints): their bytes; None if one of them is no id that it knows */
static PyObject *decoder_decode(PyObject *object, PyObject *ids) {
    OctadDecoder *self = (OctadDecoder *)object;
    if (!PyList_Check(ids)) {
        PyErr_SetString(PyExc_TypeError, "ids is no list");
        return NULL;
    }
    Py_ssize_t count = PyList_Size(ids);
    uint64_t *places = malloc(((size_t)count + 1) * sizeof *places);
    if (!places) return PyErr_NoMemory();
    size_t size = 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        places[k] = place_of(self, PyList_GetItem(ids, k));
        if (places[k] == NO_TOKEN) {
            free(places);
            return Py_NewRef(Py_None);
        }
        size += places[k] & 0xFFFFFF;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    char *at = bytes ? PyBytes_AsString(bytes) : NULL;
    for (Py_ssize_t k = 0; at && k < count; k++) {
        size_t length = places[k] & 0xFFFFFF;
        memcpy(at, self->bytes + (places[k] >> 24), length);
        at += length;
    }
    free(places);
    return bytes;
}

/* (buffer of uint32): their bytes; None if one of them is no id */
static PyObject *decoder_decode_array(PyObject *object, PyObject *arguments) {
    OctadDecoder *self = (OctadDecoder *)object;
    Py_buffer ids;
    if (!PyArg_ParseTuple(arguments, "y*:decode_array", &ids)) return NULL;
    const uint8_t *buffer = ids.buf;
    size_t count = (size_t)ids.len / 4, size = 0;
    PyObject *bytes = NULL;
    for (size_t k = 0; k < count; k++) {
        uint32_t id;
        memcpy(&id, buffer + 4 * k, 4);
        uint64_t place = id < self->num_ids ? self->place[id] : NO_TOKEN;
        if (place == NO_TOKEN) {
            PyBuffer_Release(&ids);
            return Py_NewRef(Py_None);
        }
        size += place & 0xFFFFFF;
    }
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    char *at = bytes ? PyBytes_AsString(bytes) : NULL;
    for (size_t k = 0; at && k < count; k++) {
        uint32_t id;
        memcpy(&id, buffer + 4 * k, 4);
        uint64_t place = id < self->num_ids ? self->place[id] : 0; /* another thread may write to the buffer */
        size_t length = place == NO_TOKEN ? 0 : place & 0xFFFFFF;
        if (length > size) break;
        size -= length;
        memcpy(at, self->bytes + (place >> 24), length);
        at += length;
    }
    PyBuffer_Release(&ids);
    return bytes;
}

static PyMethodDef decoder_methods[] = {
    {"decode", decoder_decode, METH_O, "decode(ids: list): bytes, or None if one is no id"},
    {"decode_array", decoder_decode_array, METH_VARARGS, "decode_array(ids: buffer of uint32): bytes, or None"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot decoder_slots[] = {
    {Py_tp_new, (void *)decoder_new},
    {Py_tp_dealloc, (void *)decoder_dealloc},
    {Py_tp_methods, decoder_methods},
    {Py_tp_doc, "Decoder(bytes, ends, ids)"},
    {0, NULL}};

PyType_Spec octad_decoder_spec = {
    .name = "octad_tokenizer._engine.Decoder",
    .basicsize = sizeof(OctadDecoder),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = decoder_slots,
};
