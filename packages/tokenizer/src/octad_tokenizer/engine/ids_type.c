/* The type `Ids`: the ints of an iterator of arrays, one by one, without a list of them. */
#include "encoder.h"

typedef struct {
    PyObject_HEAD
    PyObject *encoder, *arrays;
    Py_buffer block; /* of the array at hand; its `obj` is NULL where there is none */
    size_t next;
} OctadIds;

PyObject *octad_ids_new(PyObject *encoder, PyObject *arrays) {
    if (!PyIter_Check(arrays)) {
        PyErr_SetString(PyExc_TypeError, "an iterator of arrays is needed");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot((PyTypeObject *)octad_ids_type, Py_tp_alloc);
    OctadIds *self = (OctadIds *)allocate((PyTypeObject *)octad_ids_type, 0);
    if (!self) return NULL;
    self->encoder = Py_NewRef(encoder);
    self->arrays = Py_NewRef(arrays);
    return (PyObject *)self;
}

static void ids_dealloc(PyObject *object) {
    OctadIds *self = (OctadIds *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->block.obj) PyBuffer_Release(&self->block);
    Py_XDECREF(self->encoder);
    Py_XDECREF(self->arrays);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *ids_next(PyObject *object) {
    OctadIds *self = (OctadIds *)object;
    while (!self->block.obj || self->next * sizeof(uint32_t) >= (size_t)self->block.len) {
        PyObject *array = PyIter_Next(self->arrays); /* may run Python, which may come back to this very iterator */
        if (!array) return NULL;
        Py_buffer block;
        int failed = PyObject_GetBuffer(array, &block, PyBUF_SIMPLE);
        Py_DECREF(array);
        if (failed) return NULL;
        if (self->block.obj) PyBuffer_Release(&self->block);
        self->block = block;
        self->next = 0;
    }
    return octad_int_of((OctadEncoder *)self->encoder, ((const uint32_t *)self->block.buf)[self->next++]);
}

static PyType_Slot ids_slots[] = {
    {Py_tp_dealloc, (void *)ids_dealloc},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)ids_next},
    {Py_tp_doc, "Made by Encoder.ids_of"},
    {0, NULL}};

PyType_Spec octad_ids_spec = {
    .name = "octad_tokenizer._engine.Ids",
    .basicsize = sizeof(OctadIds),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = ids_slots,
};
