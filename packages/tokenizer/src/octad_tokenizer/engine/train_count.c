/* Python's side of counting pieces: a counter is a capsule, texts are str or UTF-8 buffers. */
#include "train.h"

#include <stdlib.h>
#include <string.h>

#include "piece_runs.h"

static const char CAPSULE[] = "octad_tokenizer.counter";

struct octad_counter *octad_counter_of(PyObject *capsule) {
    return (struct octad_counter *)PyCapsule_GetPointer(capsule, CAPSULE);
}

PyObject *octad_raise(enum octad_status status) {
    if (status == OCTAD_NO_MEMORY) return PyErr_NoMemory();
    if (status == OCTAD_IO) return PyErr_SetFromErrno(PyExc_OSError);
    if (status == OCTAD_TOO_LONG)
        PyErr_SetString(PyExc_OverflowError, "the distinct pre-tokens have more than 2**31 bytes");
    return NULL;
}

static void free_counter(struct octad_counter *counter) {
    octad_counts_free(&counter->counts);
    octad_specials_free(&counter->specials);
    Py_XDECREF(counter->new_run);
    free(counter);
}

static void destroy(PyObject *capsule) {
    struct octad_counter *counter = octad_counter_of(capsule);
    if (counter)
        free_counter(counter);
    else
        PyErr_Clear();
}

/* The counts are too large: write them into a new run. The GIL is released before and after. */
static enum octad_status spill(struct octad_counts *counts, void *context) {
    struct octad_counter *counter = context;
    PyEval_RestoreThread(counter->thread);
    PyObject *number = PyObject_CallNoArgs(counter->new_run);
    int file = number ? (int)PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    int failed = PyErr_Occurred() != NULL;
    counter->thread = PyEval_SaveThread();
    return failed ? OCTAD_STOPPED : octad_run_write(counts, file);
}

/* Names of special tokens, a tuple of bytes. 0, or -1 with an exception. */
static int build_specials(struct octad_specials *specials, PyObject *names) {
    Py_ssize_t count = PyTuple_Size(names), size = 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        Py_ssize_t length = PyBytes_Size(PyTuple_GetItem(names, k));
        if (length < 0) return -1;
        size += length;
    }
    uint32_t *ends = malloc(((size_t)count + 1) * sizeof *ends), *ids = calloc((size_t)count + 1, sizeof *ids);
    uint8_t *bytes = malloc((size_t)size + 1);
    int failed = !ends || !ids || !bytes;
    size = 0;
    for (Py_ssize_t k = 0; !failed && k < count; k++) {
        PyObject *name = PyTuple_GetItem(names, k);
        memcpy(bytes + size, PyBytes_AsString(name), (size_t)PyBytes_Size(name));
        size += PyBytes_Size(name);
        ends[k] = (uint32_t)size;
    }
    if (!failed) failed = octad_specials_build(specials, bytes, ends, ids, (size_t)count);
    free(ends);
    free(ids);
    free(bytes);
    if (failed) PyErr_NoMemory();
    return failed ? -1 : 0;
}

static PyObject *counter_new(PyObject *self, PyObject *args) {
    (void)self;
    int pattern;
    PyObject *names, *new_run;
    unsigned long long limit;
    if (!PyArg_ParseTuple(args, "iO!KO:counter_new", &pattern, &PyTuple_Type, &names, &limit, &new_run)) return NULL;
    octad_split_many split = octad_split_many_for(pattern);
    if (!split) return PyErr_Format(PyExc_ValueError, "pattern %d is unknown", pattern);
    struct octad_counter *counter = calloc(1, sizeof *counter);
    if (!counter) return PyErr_NoMemory();
    counter->split = split;
    if (octad_counts_init(&counter->counts)) {
        free(counter);
        return PyErr_NoMemory();
    }
    counter->new_run = Py_NewRef(new_run);
    counter->counts.context = counter;
    counter->counts.limit = limit < SIZE_MAX ? (size_t)limit : SIZE_MAX;
    if (new_run != Py_None) counter->counts.spill = spill;
    PyObject *capsule = build_specials(&counter->specials, names) ? NULL : PyCapsule_New(counter, CAPSULE, destroy);
    if (!capsule) free_counter(counter);
    return capsule;
}

struct text {
    const uint8_t *bytes;
    size_t n;
    Py_buffer view; /* of what is no str: view.obj is NULL for a str */
};

static int get_text(PyObject *object, struct text *text) {
    if (PyUnicode_Check(object)) {
        Py_ssize_t n;
        text->bytes = (const uint8_t *)PyUnicode_AsUTF8AndSize(object, &n);
        text->n = (size_t)n;
        return text->bytes ? 0 : -1;
    }
    if (PyObject_GetBuffer(object, &text->view, PyBUF_SIMPLE) < 0) {
        text->view.obj = NULL;
        return -1;
    }
    text->bytes = text->view.buf;
    text->n = (size_t)text->view.len;
    return 0;
}

/* Count a text between its special tokens. */
static enum octad_status count_text(struct octad_counter *counter, const uint8_t *bytes, size_t n) {
    size_t start = 0;
    struct octad_special_match match;
    while (octad_specials_find(&counter->specials, bytes, n, start, &match)) {
        enum octad_status status =
            octad_counts_text(&counter->counts, counter->split, bytes + start, match.start - start);
        if (status) return status;
        start = match.end;
    }
    return octad_counts_text(&counter->counts, counter->split, bytes + start, n - start);
}

/* Count all texts without the GIL; `bad` is the number of a text that is not UTF-8, or -1. */
static enum octad_status count_texts(struct octad_counter *counter, const struct text *texts, Py_ssize_t count, Py_ssize_t *bad) {
    enum octad_status status = OCTAD_OK;
    counter->thread = PyEval_SaveThread();
    for (Py_ssize_t k = 0; !status && *bad < 0 && k < count; k++) {
        if (texts[k].view.obj && octad_utf8_prefix(texts[k].bytes, texts[k].n) < texts[k].n)
            *bad = k;
        else
            status = count_text(counter, texts[k].bytes, texts[k].n);
    }
    PyEval_RestoreThread(counter->thread);
    return status;
}

static PyObject *counter_texts(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *list;
    if (!PyArg_ParseTuple(args, "OO:counter_texts", &capsule, &list)) return NULL;
    struct octad_counter *counter = octad_counter_of(capsule);
    PyObject *items = counter ? PySequence_Tuple(list) : NULL; /* our own references */
    if (!items) return NULL;
    Py_ssize_t count = PyTuple_Size(items), got = 0, bad = -1;
    struct text *texts = calloc((size_t)count + 1, sizeof *texts);
    enum octad_status status = texts ? OCTAD_OK : OCTAD_NO_MEMORY;
    while (!status && got < count)
        if (get_text(PyTuple_GetItem(items, got), &texts[got]) < 0)
            status = OCTAD_STOPPED;
        else
            got++;
    if (!status) status = count_texts(counter, texts, count, &bad);
    for (Py_ssize_t k = 0; k < got; k++)
        if (texts[k].view.obj) PyBuffer_Release(&texts[k].view);
    free(texts);
    Py_DECREF(items);
    return status ? octad_raise(status) : PyLong_FromSsize_t(bad);
}

static PyObject *counter_pieces(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *counts, *piece, *count;
    if (!PyArg_ParseTuple(args, "OO!:counter_pieces", &capsule, &PyDict_Type, &counts)) return NULL;
    struct octad_counter *counter = octad_counter_of(capsule);
    if (!counter) return NULL;
    enum octad_status status = OCTAD_OK;
    for (Py_ssize_t at = 0; !status && PyDict_Next(counts, &at, &piece, &count);) {
        char *bytes;
        Py_ssize_t length;
        unsigned long long times = PyLong_AsUnsignedLongLong(count);
        if (PyErr_Occurred() || PyBytes_AsStringAndSize(piece, &bytes, &length) < 0) return NULL;
        if (!length || !times) continue;
        counter->thread = PyEval_SaveThread();
        status = octad_counts_piece(&counter->counts, (const uint8_t *)bytes, (size_t)length, times);
        PyEval_RestoreThread(counter->thread);
    }
    if (status) return octad_raise(status);
    return Py_NewRef(Py_None);
}

static PyObject *counter_merge(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *into, *from;
    if (!PyArg_ParseTuple(args, "OO:counter_merge", &into, &from)) return NULL;
    struct octad_counter *counter = octad_counter_of(into), *other = counter ? octad_counter_of(from) : NULL;
    if (!other) return NULL;
    if (counter == other) return PyErr_Format(PyExc_ValueError, "a counter cannot be merged into itself");
    counter->thread = PyEval_SaveThread();
    enum octad_status status = octad_counts_merge(&counter->counts, &other->counts);
    octad_counts_clear(&other->counts);
    PyEval_RestoreThread(counter->thread);
    if (status) return octad_raise(status);
    return Py_NewRef(Py_None);
}

static PyObject *counter_spill(PyObject *self, PyObject *capsule) {
    (void)self;
    struct octad_counter *counter = octad_counter_of(capsule);
    if (!counter) return NULL;
    enum octad_status status = OCTAD_OK;
    if (counter->counts.used) {
        counter->thread = PyEval_SaveThread();
        status = spill(&counter->counts, counter);
        PyEval_RestoreThread(counter->thread);
    }
    if (status) return octad_raise(status);
    return Py_NewRef(Py_None);
}

static PyObject *counter_size(PyObject *self, PyObject *capsule) {
    (void)self;
    struct octad_counter *counter = octad_counter_of(capsule);
    if (!counter) return NULL;
    return Py_BuildValue("nn", (Py_ssize_t)counter->counts.used, (Py_ssize_t)octad_counts_memory(&counter->counts));
}

static PyObject *counter_items(PyObject *self, PyObject *capsule) {
    (void)self;
    struct octad_counter *counter = octad_counter_of(capsule);
    PyObject *items = counter ? PyDict_New() : NULL;
    if (!items) return NULL;
    for (size_t k = 0; k < octad_counts_slots(&counter->counts); k++) {
        const struct octad_slot *slot = &counter->counts.slots[k];
        if (!slot->high) continue;
        size_t length;
        const uint8_t *bytes = octad_slot_bytes(&counter->counts, slot, &length);
        PyObject *piece = PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)length);
        PyObject *count = piece ? PyLong_FromUnsignedLongLong(slot->count) : NULL;
        int failed = !count || PyDict_SetItem(items, piece, count) < 0;
        Py_XDECREF(piece);
        Py_XDECREF(count);
        if (failed) {
            Py_DECREF(items);
            return NULL;
        }
    }
    return items;
}

PyMethodDef octad_count_methods[] = {
    {"counter_new", counter_new, METH_VARARGS,
     "counter_new(pattern, special_names, limit_bytes, new_run): a counter of pieces."},
    {"counter_texts", counter_texts, METH_VARARGS,
     "counter_texts(counter, texts): count the pieces of str and UTF-8 buffers; the number of one that is not, or -1."},
    {"counter_pieces", counter_pieces, METH_VARARGS, "counter_pieces(counter, counts): add a dict of bytes to counts."},
    {"counter_merge", counter_merge, METH_VARARGS, "counter_merge(into, source): add and empty the source."},
    {"counter_spill", counter_spill, METH_O, "counter_spill(counter): write what it holds into a run."},
    {"counter_size", counter_size, METH_O, "counter_size(counter): distinct pieces, and bytes of memory."},
    {"counter_items", counter_items, METH_O, "counter_items(counter): a dict of bytes to counts."},
    {NULL, NULL, 0, NULL},
};
