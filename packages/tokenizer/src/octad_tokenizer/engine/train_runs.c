/* Python's side of runs: their files are numbers in a list. */
#include "train.h"

#include <stdlib.h>

#include "module.h"
#include "piece_runs.h"

int *octad_file_numbers(PyObject *list) {
    Py_ssize_t count = PyList_Size(list);
    int *files = malloc(((size_t)count + 1) * sizeof *files);
    if (!files) PyErr_NoMemory();
    for (Py_ssize_t k = 0; files && k < count; k++) files[k] = (int)PyLong_AsLong(PyList_GetItem(list, k));
    if (PyErr_Occurred()) {
        free(files);
        return NULL;
    }
    return files;
}

static PyObject *runs_join(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *runs;
    int into;
    if (!PyArg_ParseTuple(args, "O!i:runs_join", &PyList_Type, &runs, &into)) return NULL;
    int *files = octad_file_numbers(runs);
    if (!files) return NULL;
    size_t count = (size_t)PyList_Size(runs);
    PyThreadState *thread = PyEval_SaveThread();
    enum octad_status status = octad_runs_join(files, count, into);
    PyEval_RestoreThread(thread);
    free(files);
    if (status) return octad_raise(status);
    return Py_NewRef(Py_None);
}

PyMethodDef octad_run_methods[] = {
    {"runs_join", runs_join, METH_VARARGS, "runs_join(runs, into): make one run of several; all are open files."},
    {NULL, NULL, 0, NULL},
};
