/* What Python sees of the scanners. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pretoken.h"

/* How to find pre-tokens: one at a time if `one` is set, else many. */
struct way {
    octad_split one;
    octad_split_many many;
};

/* For tests there is a choice of ways: 0 the fastest, 1 that of the oldest processors, 2 one at a time. */
static int checked_way(int pattern, int choice, struct way *way) {
    way->one = choice == 2 ? octad_split_for(pattern) : NULL;
    way->many = choice == 0 ? octad_split_many_for(pattern) : octad_split_many_plain_for(pattern);
    if (way->many) return 0;
    PyErr_Format(PyExc_ValueError, "pattern %d is unknown; patterns are 0 to %d", pattern, OCTAD_PATTERNS - 1);
    return -1;
}

enum { ENDS = 256 };

static size_t next_ends(const struct way *way, const uint8_t *text, size_t n, size_t start, size_t *ends) {
    if (!way->one) return way->many(text, n, start, ends, ENDS);
    ends[0] = way->one(text, n, start);
    return 1;
}

/* Append the pieces of text to list; 0, or -1 with an exception. */
static int append_pieces(PyObject *list, const struct way *way, const uint8_t *text, size_t n) {
    size_t ends[ENDS], start = 0;
    while (start < n) {
        size_t count = next_ends(way, text, n, start, ends);
        for (size_t k = 0; k < count; k++) {
            PyObject *piece = PyUnicode_FromStringAndSize((const char *)text + start, (Py_ssize_t)(ends[k] - start));
            if (!piece) return -1;
            int failed = PyList_Append(list, piece);
            Py_DECREF(piece);
            if (failed) return -1;
            start = ends[k];
        }
    }
    return 0;
}

static PyObject *pre_tokens(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *text;
    struct way way;
    int pattern, choice = 0;
    if (!PyArg_ParseTuple(args, "Ui|i:pre_tokens", &text, &pattern, &choice)) return NULL;
    if (checked_way(pattern, choice, &way) < 0) return NULL;
    PyObject *encoded = PyUnicode_AsUTF8String(text); /* a copy, because the str would keep its own as long as it lives */
    if (!encoded) return NULL;
    PyObject *list = PyList_New(0);
    if (list) {
        const uint8_t *bytes = (const uint8_t *)PyBytes_AsString(encoded);
        if (append_pieces(list, &way, bytes, (size_t)PyBytes_Size(encoded)) < 0) Py_CLEAR(list);
    }
    Py_DECREF(encoded);
    return list;
}

static size_t count_all(const uint8_t *text, size_t n, const struct way *way) {
    size_t total = 0, start = 0, ends[ENDS];
    while (start < n) {
        size_t count = next_ends(way, text, n, start, ends);
        total += count;
        start = ends[count - 1];
    }
    return total;
}

static PyObject *count_pre_tokens(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    struct way way;
    int pattern, choice = 0, valid = 0;
    if (!PyArg_ParseTuple(args, "y*i|i:count_pre_tokens", &data, &pattern, &choice)) return NULL;
    size_t n = (size_t)data.len, total = 0;
    if (checked_way(pattern, choice, &way) == 0) {
        Py_BEGIN_ALLOW_THREADS
        valid = octad_utf8_prefix(data.buf, n) == n;
        if (valid) total = count_all(data.buf, n, &way);
        Py_END_ALLOW_THREADS
        if (!valid) PyErr_SetString(PyExc_ValueError, "data is not UTF-8");
    }
    PyBuffer_Release(&data);
    return valid ? PyLong_FromSize_t(total) : NULL;
}

static PyObject *character_classes(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    PyObject *classes = PyBytes_FromStringAndSize(NULL, 0x110000);
    if (!classes) return NULL;
    char *to = PyBytes_AsString(classes);
    for (uint32_t c = 0; c < 0x110000; c++) to[c] = (char)octad_class_of(c);
    return classes;
}

static PyObject *unicode_version(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return PyUnicode_FromString(octad_unicode_version);
}

static PyObject *utf8_prefix(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:utf8_prefix", &data)) return NULL;
    size_t prefix;
    Py_BEGIN_ALLOW_THREADS
    prefix = octad_utf8_prefix(data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromSize_t(prefix);
}

PyMethodDef octad_pretoken_methods[] = {
    {"pre_tokens", pre_tokens, METH_VARARGS, "pre_tokens(text, pattern, way=0): the pieces of a str, in order; way: 1 as on old processors, 2 one at a time."},
    {"count_pre_tokens", count_pre_tokens, METH_VARARGS,
     "count_pre_tokens(data, pattern, way=0): how many UTF-8 data has."},
    {"character_classes", character_classes, METH_NOARGS, "One byte of class bits (char_class.h) a code point."},
    {"unicode_version", unicode_version, METH_NOARGS, "The version of the table of classes."},
    {"utf8_prefix", utf8_prefix, METH_VARARGS, "utf8_prefix(data): the length of its longest prefix that is UTF-8."},
    {NULL, NULL, 0, NULL},
};
