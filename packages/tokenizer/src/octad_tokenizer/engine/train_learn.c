/* Python's side of learning merges. */
#include "train.h"

#include <stdlib.h>

#include "merge_learner.h"
#include "piece_runs.h"

/* Look at signals each time this much is done: some tens of milliseconds. */
enum { WORK_BETWEEN_SIGNALS = 1 << 21 };

struct learning {
    struct octad_learner learner;
    PyObject *progress; /* or None */
    Py_ssize_t wanted;
    uint64_t work;
    PyThreadState *thread;
};

static int report(const struct learning *learning) {
    if (PyErr_CheckSignals() < 0) return -1;
    if (learning->progress == Py_None || learning->learner.replay) return 0;
    Py_ssize_t done = (Py_ssize_t)learning->learner.merge_count;
    PyObject *result = PyObject_CallFunction(learning->progress, "nn", done, learning->wanted);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static enum octad_status tick(const struct octad_learner *learner, uint64_t work, void *context) {
    (void)learner;
    struct learning *learning = context;
    learning->work += work;
    if (learning->progress == Py_None && learning->work < WORK_BETWEEN_SIGNALS) return OCTAD_OK;
    learning->work = 0;
    PyEval_RestoreThread(learning->thread);
    int failed = report(learning);
    learning->thread = PyEval_SaveThread();
    return failed ? OCTAD_STOPPED : OCTAD_OK;
}

static enum octad_status take_piece(void *context, const uint8_t *piece, size_t length, uint64_t count) {
    return octad_learner_add(context, piece, length, count);
}

/* Move all pieces from a counter into the learner. */
static enum octad_status take_counter(struct octad_learner *learner, struct octad_counts *counts) {
    size_t cells = 1;
    for (size_t k = 0; k < octad_counts_slots(counts); k++) {
        if (!counts->slots[k].high) continue;
        size_t length;
        octad_slot_bytes(counts, &counts->slots[k], &length);
        cells += length + 1;
    }
    enum octad_status status = octad_learner_reserve(learner, cells);
    for (size_t k = 0; !status && k < octad_counts_slots(counts); k++) {
        const struct octad_slot *slot = &counts->slots[k];
        if (!slot->high) continue;
        size_t length;
        const uint8_t *bytes = octad_slot_bytes(counts, slot, &length);
        status = octad_learner_add(learner, bytes, length, slot->count);
    }
    return status ? status : octad_counts_shrink(counts);
}

/* The list of occurrences may take half of what the cells leave of the memory; surveys and neighbours need the rest.
   Returns 0, or the memory that is needed. */
static unsigned long long limit_list(struct octad_learner *learner, unsigned long long memory) {
    unsigned long long cells = (unsigned long long)learner->used * sizeof *learner->cells;
    if (memory / 4 * 3 < cells) return 2 * cells;
    unsigned long long entries = (memory - cells) / 2 / sizeof(struct octad_occurrence);
    if (entries < learner->list_limit) learner->list_limit = (size_t)entries;
    return 0;
}

static PyObject *pairs_of(const struct octad_learner *learner) {
    PyObject *pairs = PyList_New((Py_ssize_t)learner->merge_count);
    for (size_t k = 0; pairs && k < learner->merge_count; k++) {
        PyObject *pair = Py_BuildValue("II", learner->merges[2 * k], learner->merges[2 * k + 1]);
        if (!pair || PyList_SetItem(pairs, (Py_ssize_t)k, pair) < 0) Py_CLEAR(pairs);
    }
    return pairs;
}

/* Pairs of ids of which number k makes 256 + k. NULL with an exception, or an array to free. */
static uint32_t *known_merges(PyObject *pairs) {
    Py_ssize_t count = PyList_Size(pairs);
    uint32_t *merges = malloc(((size_t)count + 1) * 2 * sizeof *merges);
    if (!merges) PyErr_NoMemory();
    for (Py_ssize_t k = 0; merges && k < count; k++) {
        unsigned left, right;
        PyObject *pair = PyList_GetItem(pairs, k);
        if (!PyTuple_Check(pair)) PyErr_SetString(PyExc_TypeError, "a known merge is a pair of ids");
        int failed = !PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "II", &left, &right);
        if (!failed && (left >= 256 + (size_t)k || right >= 256 + (size_t)k)) {
            PyErr_Format(PyExc_ValueError, "known merge %zd needs a token that no merge before it makes", k);
            failed = 1;
        }
        if (failed) {
            free(merges);
            return NULL;
        }
        merges[2 * k] = left;
        merges[2 * k + 1] = right;
    }
    return merges;
}

static enum octad_status take_all(struct learning *learning, PyObject *counter_capsule, const int *files, size_t count) {
    struct octad_counter *counter = octad_counter_of(counter_capsule);
    if (!counter) return OCTAD_STOPPED;
    learning->thread = PyEval_SaveThread();
    enum octad_status status = take_counter(&learning->learner, &counter->counts);
    if (!status) status = octad_runs_merge(files, count, take_piece, &learning->learner);
    PyEval_RestoreThread(learning->thread);
    return status;
}

static enum octad_status learn(
    struct learning *learning, size_t max_tokens, int tie_break, uint64_t min_frequency, const uint32_t *known, size_t count
) {
    struct octad_learner *learner = &learning->learner;
    learning->thread = PyEval_SaveThread();
    enum octad_status status = octad_learner_start(learner, max_tokens, count, (enum octad_tie_break)tie_break, min_frequency);
    learner->tick = tick;
    learner->context = learning;
    if (!status && count) status = octad_learner_replay(learner, known, count);
    if (!status) status = octad_learner_run(learner);
    PyEval_RestoreThread(learning->thread);
    return status;
}

static PyObject *learn_merges(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *counter, *runs, *order, *known, *progress;
    char *bytes;
    Py_ssize_t bytes_count, max_tokens;
    int tie_break;
    unsigned long long min_frequency, memory;
    if (!PyArg_ParseTuple(args, "OO!O!niKO!KO:learn_merges", &counter, &PyList_Type, &runs, &PyBytes_Type, &order,
            &max_tokens, &tie_break, &min_frequency, &PyList_Type, &known, &memory, &progress))
        return NULL;
    if (PyBytes_AsStringAndSize(order, &bytes, &bytes_count) < 0) return NULL;
    if (bytes_count != 256 || max_tokens < 256 + PyList_Size(known) || tie_break < 0 || tie_break > OCTAD_LEAST)
        return PyErr_Format(PyExc_ValueError, "learn_merges needs 256 bytes, as many tokens and known merges, and a tie-break that it knows");
    struct learning *learning = calloc(1, sizeof *learning);
    if (!learning) return PyErr_NoMemory();
    learning->progress = progress;
    learning->wanted = max_tokens - 256;
    int *files = octad_file_numbers(runs);
    uint32_t *merges = files ? known_merges(known) : NULL;
    PyObject *result = NULL;
    if (merges) {
        enum octad_status status = octad_learner_init(&learning->learner, (const uint8_t *)bytes);
        if (!status) status = take_all(learning, counter, files, (size_t)PyList_Size(runs));
        unsigned long long needed = status ? 0 : limit_list(&learning->learner, memory);
        if (!status && !needed)
            status = learn(learning, (size_t)max_tokens, tie_break, min_frequency, merges, (size_t)PyList_Size(known));
        if (status)
            octad_raise(status);
        else
            result = needed ? PyLong_FromUnsignedLongLong(needed) : pairs_of(&learning->learner);
    }
    octad_learner_free(&learning->learner);
    free(learning);
    free(merges);
    free(files);
    return result;
}

PyMethodDef octad_learn_methods[] = {
    {"learn_merges", learn_merges, METH_VARARGS,
     "learn_merges(counter, runs, bytes, max_tokens, tie_break, min_frequency, known, memory_bytes, progress): the pairs "
     "of ids, the k-th makes 256 + k; or how much memory it needs. Empties the counter. tie_break: 0 lowest ids, 1 greatest bytes, 2 least bytes."},
    {NULL, NULL, 0, NULL},
};
