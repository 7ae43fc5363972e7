/* What the two halves of training's Python side share. */
#ifndef OCTAD_TRAIN_H
#define OCTAD_TRAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "piece_counts.h"
#include "special_search.h"

/* Counts that Python holds in a capsule. One thread at a time may use them. */
struct octad_counter {
    struct octad_counts counts;
    octad_split_many split;
    struct octad_specials specials;
    PyObject *new_run;     /* called for the file descriptor of each run; or None */
    PyThreadState *thread; /* while the GIL is released */
};

/* The counter in a capsule; NULL with an exception if it is something else. */
OCTAD_HIDDEN struct octad_counter *octad_counter_of(PyObject *capsule);

/* File descriptors in a list, to be freed; NULL with an exception. */
OCTAD_HIDDEN int *octad_file_numbers(PyObject *list);

/* An exception for a status; returns NULL. OCTAD_STOPPED has its exception already. */
OCTAD_HIDDEN PyObject *octad_raise(enum octad_status status);

#endif
