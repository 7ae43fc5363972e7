/* The module `octad_tokenizer._engine`: the methods of its parts, and its types.

   A part exports a NULL-ended table of methods; that of encoding has types instead. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

static PyMethodDef *const parts[] = {
    octad_pretoken_methods, octad_count_methods, octad_run_methods, octad_learn_methods,
};

static int execute(PyObject *module) {
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (PyModule_AddFunctions(module, parts[k]) < 0) return -1;
    return octad_add_encode_types(module);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_engine",
    .m_doc = "The parts of octad_tokenizer that are worth C.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__engine(void) { return PyModuleDef_Init(&definition); }
