/* The parts of the module. */
#ifndef OCTAD_MODULE_H
#define OCTAD_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "char_class.h"

OCTAD_HIDDEN extern PyMethodDef octad_pretoken_methods[];
OCTAD_HIDDEN extern PyMethodDef octad_count_methods[];
OCTAD_HIDDEN extern PyMethodDef octad_run_methods[];
OCTAD_HIDDEN extern PyMethodDef octad_learn_methods[];

OCTAD_HIDDEN int octad_add_encode_types(PyObject *module);

#endif
