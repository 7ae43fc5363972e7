/* Ids as a list, whose ints are shared, or as an array of 4-byte unsigned integers. */
#include "encoder.h"

PyObject *octad_ids_as_list(OctadEncoder *encoder, const uint32_t *ids, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t k = 0; list && k < count; k++) {
        PyObject *number = octad_int_of(encoder, ids[k]);
        if (!number || PyList_SetItem(list, (Py_ssize_t)k, number) < 0) Py_CLEAR(list);
    }
    return list;
}

PyObject *octad_ids_as_array(OctadEncoder *encoder, const uint32_t *ids, size_t count) {
    PyObject *array = PyObject_CallFunction(encoder->array_type, "s", "I");
    if (!array || count == 0) return array;
    PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)ids, (Py_ssize_t)(count * sizeof *ids), PyBUF_READ);
    PyObject *done = view ? PyObject_CallMethod(array, "frombytes", "O", view) : NULL;
    Py_XDECREF(view);
    if (!done) Py_CLEAR(array);
    Py_XDECREF(done);
    return array;
}
