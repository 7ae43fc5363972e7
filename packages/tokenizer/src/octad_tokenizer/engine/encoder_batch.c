/* Many texts in one call, without the GIL. */
#include "encoder.h"

#include <stdlib.h>

struct batch {
    const uint8_t **texts;
    size_t *sizes, *ends; /* ends: where the ids of each text end */
    size_t count;
};

static int batch_texts(struct batch *batch, PyObject *texts, Py_ssize_t start) {
    for (size_t k = 0; k < batch->count; k++) {
        Py_ssize_t size;
        PyObject *text = PyList_GetItem(texts, start + (Py_ssize_t)k);
        const char *utf8 = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
        if (!utf8) return -1;
        batch->texts[k] = (const uint8_t *)utf8;
        batch->sizes[k] = (size_t)size;
    }
    return 0;
}

static PyObject *batch_as_lists(OctadEncoder *self, const struct batch *batch, const uint32_t *ids) {
    PyObject *lists = PyList_New((Py_ssize_t)batch->count);
    size_t from = 0;
    for (size_t k = 0; lists && k < batch->count; from = batch->ends[k++]) {
        PyObject *list = octad_ids_as_list(self, ids + from, batch->ends[k] - from);
        if (!list || PyList_SetItem(lists, (Py_ssize_t)k, list) < 0) Py_CLEAR(lists);
    }
    return lists;
}

static PyObject *batch_as_arrays(OctadEncoder *self, const struct batch *batch, const struct octad_worker *worker) {
    PyObject *ids = octad_ids_as_array(self, worker->ids.ids, worker->ids.size);
    PyObject *ends = ids ? PyList_New((Py_ssize_t)batch->count) : NULL;
    for (size_t k = 0; ends && k < batch->count; k++) {
        PyObject *end = PyLong_FromSize_t(batch->ends[k]);
        if (!end || PyList_SetItem(ends, (Py_ssize_t)k, end) < 0) Py_CLEAR(ends);
    }
    PyObject *both = ends ? PyTuple_Pack(2, ids, ends) : NULL;
    Py_XDECREF(ids);
    Py_XDECREF(ends);
    return both;
}

static PyObject *run_batch(OctadEncoder *self, struct batch *batch, const struct octad_specials *specials, int as_arrays) {
    struct octad_worker *worker = octad_take_worker(self);
    if (!worker) return NULL;
    int failed = 0;
    Py_BEGIN_ALLOW_THREADS
    for (size_t k = 0; k < batch->count && !failed; k++) {
        failed = octad_encode_text(&self->bpe, specials, worker, batch->texts[k], batch->sizes[k]);
        batch->ends[k] = worker->ids.size;
    }
    Py_END_ALLOW_THREADS
    PyObject *result;
    if (failed) result = PyErr_NoMemory();
    else result = as_arrays ? batch_as_arrays(self, batch, worker) : batch_as_lists(self, batch, worker->ids.ids);
    octad_give_worker(self, worker);
    return result;
}

/* (texts, start, stop, specials, as_arrays): the lists of ids of texts[start:stop], or (ids, ends). The list of texts must
   not be changed meanwhile. */
PyObject *octad_encode_batch(PyObject *object, PyObject *arguments) {
    PyObject *texts, *special;
    Py_ssize_t start, stop;
    int as_arrays;
    const struct octad_specials *specials;
    if (!PyArg_ParseTuple(arguments, "O!nnOp:encode_batch", &PyList_Type, &texts, &start, &stop, &special, &as_arrays) ||
        octad_specials_of(special, &specials) < 0)
        return NULL;
    if (start < 0 || stop < start || stop > PyList_Size(texts)) {
        PyErr_SetString(PyExc_IndexError, "no such texts");
        return NULL;
    }
    struct batch batch = {.count = (size_t)(stop - start)};
    batch.texts = malloc((batch.count + 1) * sizeof *batch.texts);
    batch.sizes = malloc((batch.count + 1) * sizeof *batch.sizes);
    batch.ends = malloc((batch.count + 1) * sizeof *batch.ends);
    PyObject *result = NULL;
    if (!batch.texts || !batch.sizes || !batch.ends) PyErr_NoMemory();
    else if (batch_texts(&batch, texts, start) == 0) result = run_batch((OctadEncoder *)object, &batch, specials, as_arrays);
    free((void *)batch.texts);
    free(batch.sizes);
    free(batch.ends);
    return result;
}
