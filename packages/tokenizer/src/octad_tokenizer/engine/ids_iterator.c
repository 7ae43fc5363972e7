/* The type `IdIterator`: the ints of blocks of ids, one after another, without lists on the way. */
#include "encoder.h"

typedef struct {
    PyObject_HEAD
    PyObject *encoder, *blocks; /* an iterator */
    Py_buffer block;            /* its `obj` is NULL where there is none */
    const uint32_t *at, *end;   /* what is left of it */
} OctadIdIterator;

static void release_block(OctadIdIterator *self) {
    self->at = self->end = NULL;
    if (self->block.obj) PyBuffer_Release(&self->block);
}

/* 1; 0 at the end; -1 and an exception. */
static int next_block(OctadIdIterator *self) {
    PyObject *array = self->blocks ? PyIter_Next(self->blocks) : NULL;
    if (!array) return PyErr_Occurred() ? -1 : 0;
    release_block(self);
    int failed = PyObject_GetBuffer(array, &self->block, PyBUF_SIMPLE);
    Py_DECREF(array);
    if (failed) return -1;
    self->at = self->block.buf;
    self->end = self->at + (size_t)self->block.len / sizeof *self->at;
    return 1;
}

static PyObject *iterator_next(PyObject *object) {
    OctadIdIterator *self = (OctadIdIterator *)object;
    while (OCTAD_UNLIKELY(self->at == self->end))
        if (next_block(self) <= 0) return NULL;
    return octad_int_of((OctadEncoder *)self->encoder, *self->at++);
}

static int iterator_traverse(PyObject *object, visitproc visit, void *arg) {
    OctadIdIterator *self = (OctadIdIterator *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->encoder);
    Py_VISIT(self->blocks);
    return 0;
}

static int iterator_clear(PyObject *object) { /* the encoder stays, as it is in no circle and may be needed */
    Py_CLEAR(((OctadIdIterator *)object)->blocks);
    return 0;
}

static void iterator_dealloc(PyObject *object) {
    OctadIdIterator *self = (OctadIdIterator *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    release_block(self);
    iterator_clear(object);
    Py_XDECREF(self->encoder);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

PyObject *octad_encoder_ints(PyObject *encoder, PyObject *blocks) {
    PyObject *iterator = PyObject_GetIter(blocks);
    if (!iterator) return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot((PyTypeObject *)octad_iterator_type, Py_tp_alloc);
    OctadIdIterator *self = (OctadIdIterator *)allocate((PyTypeObject *)octad_iterator_type, 0);
    if (!self) {
        Py_DECREF(iterator);
        return NULL;
    }
    self->encoder = Py_NewRef(encoder);
    self->blocks = iterator;
    return (PyObject *)self;
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, (void *)iterator_dealloc},
    {Py_tp_traverse, (void *)iterator_traverse},
    {Py_tp_clear, (void *)iterator_clear},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)iterator_next},
    {Py_tp_doc, "Made by Encoder.ints"},
    {0, NULL}};

PyType_Spec octad_iterator_spec = {
    .name = "octad_tokenizer._engine.IdIterator",
    .basicsize = sizeof(OctadIdIterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC,
    .slots = iterator_slots,
};
