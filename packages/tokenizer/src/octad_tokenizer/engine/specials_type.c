/* The type `Specials`: the special tokens to look for. And the types' way into the module. */
#include "encoder.h"
#include "module.h"

PyObject *octad_specials_type, *octad_stream_type, *octad_iterator_type;

/* (bytes, ends, ids): the names joined; buffers of uint32 */
static PyObject *specials_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords)) {
    Py_buffer bytes, ends, ids;
    if (!PyArg_ParseTuple(arguments, "y*y*y*:Specials", &bytes, &ends, &ids)) return NULL;
    size_t count = (size_t)ends.len / 4;
    const uint32_t *end = ends.buf;
    int fits = (size_t)ids.len / 4 == count && (count == 0 || end[count - 1] == (size_t)bytes.len);
    for (size_t k = 0; fits && k < count; k++) fits = end[k] > (k ? end[k - 1] : 0);
    PyObject *self = NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    if (!fits) PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
    else if ((self = allocate(type, 0)) != NULL &&
             octad_specials_build(&((OctadSpecials *)self)->specials, bytes.buf, end, ids.buf, count) < 0) {
        Py_CLEAR(self);
        PyErr_NoMemory();
    }
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&ids);
    return self;
}

static void specials_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    octad_specials_free(&((OctadSpecials *)self)->specials);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

int octad_specials_of(PyObject *object, const struct octad_specials **specials) {
    *specials = NULL;
    if (object == Py_None) return 0;
    if ((PyObject *)Py_TYPE(object) != octad_specials_type) {
        PyErr_SetString(PyExc_TypeError, "specials is None or a Specials");
        return -1;
    }
    *specials = &((OctadSpecials *)object)->specials;
    return 0;
}

static PyType_Slot specials_slots[] = {
    {Py_tp_new, (void *)specials_new},
    {Py_tp_dealloc, (void *)specials_dealloc},
    {Py_tp_doc, "Specials(bytes, ends, ids)"},
    {0, NULL}};

PyType_Spec octad_specials_spec = {
    .name = "octad_tokenizer._engine.Specials",
    .basicsize = sizeof(OctadSpecials),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = specials_slots,
};

int octad_add_encode_types(PyObject *module) {
    struct {
        const char *name;
        PyType_Spec *spec;
        PyObject **kept;
    } types[] = {{"Specials", &octad_specials_spec, &octad_specials_type},
                 {"Stream", &octad_stream_spec, &octad_stream_type},
                 {"IdIterator", &octad_iterator_spec, &octad_iterator_type},
                 {"Encoder", &octad_encoder_spec, NULL},
                 {"Decoder", &octad_decoder_spec, NULL}};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        PyObject *type = PyType_FromSpec(types[k].spec);
        if (!type || PyModule_AddObjectRef(module, types[k].name, type) < 0) {
            Py_XDECREF(type);
            return -1;
        }
        if (types[k].kept) *types[k].kept = type; /* for as long as the process lives */
        else Py_DECREF(type);
    }
    return 0;
}
