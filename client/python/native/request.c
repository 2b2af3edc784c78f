/* request.c - a batch, to its frame, and the look at it before.
 *
 * In: a request's parameters and outputs. Out: its frame, byte for byte the one that
 * wire.py packs. After a model's work nothing of this process is in the caches any
 * more, and then it is the number of places that are touched that counts: so this is
 * one pass over the batch, without a Python frame, and objects are fetched ahead.
 *
 * What is common is packed here: lists of texts and numbers, scalars, small tensors.
 * All else is left to wire.py, value by value ("the rest").
 */
#include "functions.h"
#include "out.h"
#include "tensor.h"

#define FIRST_ROOM 4096
#define MAX_ROOM (1 << 20) /* a longer frame is one that grows */

#define MAX_DEPTH 27 /* containers of a sample; values.py says why */

struct request {
    struct out out;
    size_t below;     /* bytes: a tensor from there on is the rest */
    PyObject *rest;   /* called with key, value, the bytes before it, and `places` */
    PyObject *places; /* borrowed, both */
};

static int
put_value(struct request *request, PyObject *value)
{
    struct out *out = &request->out;

    if (PyList_CheckExact(value))
        return put_list(out, value, MAX_DEPTH + 1);
    if (tensor_is(value))
        return tensor_put(out, value, request->below);
    return put_scalar(out, value);
}

static int
put_rest(struct request *request, PyObject *key, PyObject *value)
{
    PyObject *packed =
        PyObject_CallFunction(request->rest, "OOnO", key, value,
                              (Py_ssize_t)out_size(&request->out), request->places);
    int r = RAISE;

    if (packed && PyByteArray_Check(packed))
        r = put_bytes(&request->out, PyByteArray_AS_STRING(packed),
                      (size_t)PyByteArray_GET_SIZE(packed));
    else if (packed)
        PyErr_SetString(PyExc_TypeError, "the rest must be a bytearray");
    Py_XDECREF(packed);
    return r;
}

static int
put_output(struct request *request, PyObject *key, PyObject *value)
{
    size_t before;
    int r = put_scalar(&request->out, key);

    if (r != DONE)
        return r;
    before = out_size(&request->out);
    r = put_value(request, value);
    if (r != REST)
        return r;
    out_cut(&request->out, before);
    return put_rest(request, key, value);
}

/* A key is never the rest: is_common() was asked before. Values are kept, for the rest
 * is Python code.
 */
static int
put_outputs(struct request *request, PyObject *outputs)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int r = put_key(&request->out, "outputs");

    if (r == DONE)
        r = out_need(&request->out, HEAD_MAX);
    if (r == DONE)
        put_map_head(&request->out, (size_t)PyDict_GET_SIZE(outputs));
    while (r == DONE && PyDict_Next(outputs, &at, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        r = put_output(request, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return r;
}

static int
put_params(struct request *request, PyObject *params)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int r = out_need(&request->out, HEAD_MAX);

    if (r == DONE)
        put_map_head(&request->out, (size_t)PyDict_GET_SIZE(params) + 1);
    while (r == DONE && PyDict_Next(params, &at, &key, &value)) {
        r = put_scalar(&request->out, key);
        if (r == DONE)
            r = put_scalar(&request->out, value);
    }
    return r;
}

static int
put_request(struct request *request, PyObject *id, PyObject *method, PyObject *params,
            PyObject *outputs)
{
    static const uint8_t begin[] = "\0\0\0\0\x94"; /* the length comes last; and 0 */
    int r = put_bytes(&request->out, begin, sizeof begin);

    if (r == DONE)
        r = put_scalar(&request->out, id);
    if (r == DONE)
        r = put_scalar(&request->out, method);
    if (r == DONE)
        r = put_params(request, params);
    if (r == DONE)
        r = put_outputs(request, outputs);
    if (r == DONE)
        put_big_endian(out_start(&request->out), out_size(&request->out) - 4, 4);
    return r;
}

/* Keys that are text without surrogates, in plain dicts. */
static bool
is_common(PyObject *outputs)
{
    PyObject *key;
    Py_ssize_t at = 0;

    if (!PyDict_CheckExact(outputs))
        return false;
    while (PyDict_Next(outputs, &at, &key, NULL))
        if (!PyUnicode_CheckExact(key) || !PyUnicode_IS_COMPACT_ASCII(key))
            return false;
    return true;
}

PyObject *
pack_request(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    static size_t room = FIRST_ROOM; /* what the last frame took, and some more */
    struct request request;
    int r;

    (void)module;
    if (n_args != 7 || !PyDict_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "pack_request: 7 arguments, params a dict");
        return NULL;
    }
    if (!is_common(args[3]))
        Py_RETURN_NONE;
    request = (struct request){
        .below = PyLong_AsSize_t(args[4]), .rest = args[5], .places = args[6]};
    if (PyErr_Occurred() || out_init(&request.out, room) < 0)
        return NULL;
    r = put_request(&request, args[0], args[1], args[2], args[3]);
    if (r == DONE) {
        room = out_size(&request.out) + out_size(&request.out) / 8;
        room = room < MAX_ROOM ? room : MAX_ROOM;
        return out_finish(&request.out);
    }
    out_drop(&request.out);
    if (r == REST) /* of id, method or params, before any output */
        Py_RETURN_NONE;
    return NULL;
}

/* ---- the check of a table's batch ---------------------------------------------- */

static Py_ssize_t
row_count(PyObject *value)
{
    if (PyList_CheckExact(value))
        return PyList_GET_SIZE(value);
    return tensor_is(value) ? tensor_length(value) : -1;
}

PyObject *
are_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t expected = -1;

    (void)module;
    if (n_args != 2 || !PyDict_CheckExact(args[0]) || !PyList_CheckExact(args[1]))
        Py_RETURN_FALSE;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[1]); i++) {
        PyObject *value = PyDict_GetItemWithError(args[0], PyList_GET_ITEM(args[1], i));
        Py_ssize_t count = value ? row_count(value) : -1;

        if (PyErr_Occurred()) /* of a key that cannot be one */
            return NULL;
        if (count < 0 || (expected >= 0 && count != expected))
            Py_RETURN_FALSE;
        expected = count;
    }
    Py_RETURN_TRUE;
}
