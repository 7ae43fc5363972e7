/* The type `Stream`: chunks in, arrays of ids out. */
#include "encoder.h"

typedef struct {
    PyObject_HEAD
    PyObject *encoder, *specials;
    struct octad_stream stream;
    int is_busy;
} OctadStream;

PyObject *octad_stream_new(PyObject *encoder, PyObject *specials) {
    allocfunc allocate = (allocfunc)PyType_GetSlot((PyTypeObject *)octad_stream_type, Py_tp_alloc);
    OctadStream *self = (OctadStream *)allocate((PyTypeObject *)octad_stream_type, 0);
    if (!self) return NULL;
    self->encoder = Py_NewRef(encoder);
    self->specials = Py_NewRef(specials);
    self->stream.is_cuttable = ((OctadEncoder *)encoder)->bpe.split_many != octad_split_many_for(OCTAD_BYTES);
    return (PyObject *)self;
}

static void stream_dealloc(PyObject *object) {
    OctadStream *self = (OctadStream *)object;
    PyTypeObject *type = Py_TYPE(object);
    octad_stream_free(&self->stream);
    Py_XDECREF(self->encoder);
    Py_XDECREF(self->specials);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *push_bytes(OctadStream *self, const uint8_t *bytes, size_t n, int is_text, int is_last) {
    OctadEncoder *encoder = (OctadEncoder *)self->encoder;
    const struct octad_specials *specials;
    if (octad_specials_of(self->specials, &specials) < 0) return NULL;
    if (self->is_busy) {
        PyErr_SetString(PyExc_RuntimeError, "a stream takes one chunk at a time");
        return NULL;
    }
    struct octad_worker *worker = octad_take_worker(encoder);
    if (!worker) return NULL;
    int failed;
    self->is_busy = 1;
    Py_BEGIN_ALLOW_THREADS
    failed = octad_stream_push(&encoder->bpe, specials, worker, &self->stream, bytes, n, is_text, is_last);
    Py_END_ALLOW_THREADS
    self->is_busy = 0;
    PyObject *ids = NULL;
    if (failed == -2) PyErr_SetString(PyExc_UnicodeError, "the bytes are not UTF-8");
    else if (failed) PyErr_NoMemory();
    else ids = octad_ids_as_array(encoder, worker->ids.ids, worker->ids.size);
    octad_give_worker(encoder, worker);
    return ids;
}

/* (chunk: str or bytes, is_last=False): the ids that are settled now */
static PyObject *stream_push(PyObject *self, PyObject *arguments) {
    PyObject *chunk, *ids;
    int is_last = 0;
    if (!PyArg_ParseTuple(arguments, "O|p:push", &chunk, &is_last)) return NULL;
    if (PyUnicode_Check(chunk)) {
        Py_ssize_t size;
        const char *utf8 = PyUnicode_AsUTF8AndSize(chunk, &size);
        return utf8 ? push_bytes((OctadStream *)self, (const uint8_t *)utf8, (size_t)size, 1, is_last) : NULL;
    }
    Py_buffer data;
    if (PyObject_GetBuffer(chunk, &data, PyBUF_SIMPLE) < 0) return NULL;
    ids = push_bytes((OctadStream *)self, data.buf, (size_t)data.len, 0, is_last);
    PyBuffer_Release(&data);
    return ids;
}

static PyMethodDef stream_methods[] = {
    {"push", stream_push, METH_VARARGS, "push(chunk, is_last=False): the ids that are settled now, array('I')"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot stream_slots[] = {
    {Py_tp_dealloc, (void *)stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_doc, "Made by Encoder.stream"},
    {0, NULL}};

PyType_Spec octad_stream_spec = {
    .name = "octad_tokenizer._engine.Stream",
    .basicsize = sizeof(OctadStream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = stream_slots,
};
