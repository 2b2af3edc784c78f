/* tensor.c - see tensor.h.
 *
 * A numpy array is seen by Python's buffer protocol, a torch tensor by DLPack: of all
 * that torch offers it touches least. After 7 ms of convolutions, caches cold,
 * to_dlpack() takes 14 us, numpy() 25 us; warm, 0.3 and 0.5.
 */
#include "tensor.h"

#include <string.h>

#define MAX_DIMS 64

static PyObject *torch_tensor, *to_dlpack, *is_neg, *numpy_array; /* NULL before */

static void
keep(PyObject **place, PyObject *value)
{
    Py_INCREF(value);
    Py_XSETREF(*place, value);
}

void
tensor_know_torch(PyObject *type, PyObject *torch_to_dlpack, PyObject *torch_is_neg)
{
    keep(&torch_tensor, type);
    keep(&to_dlpack, torch_to_dlpack);
    keep(&is_neg, torch_is_neg);
}

void
tensor_know_numpy(PyObject *type)
{
    keep(&numpy_array, type);
}

static bool
is_torch(PyObject *value)
{
    return (PyObject *)Py_TYPE(value) == torch_tensor;
}

static bool
is_numpy(PyObject *value)
{
    return (PyObject *)Py_TYPE(value) == numpy_array;
}

bool
tensor_is(PyObject *value)
{
    return is_torch(value) || is_numpy(value);
}

/* ---- as the protocol has them -------------------------------------------------- */

/* A tensor whose bytes are in order; lent. */
struct tensor {
    const char *type; /* as the protocol names it */
    int ndim;
    const int64_t *shape;
    const void *data;
    size_t size; /* bytes */
};

static int
put_shape(struct out *out, const struct tensor *tensor)
{
    if (put_key(out, "shape") < 0 ||
        out_need(out, HEAD_MAX * (1 + (size_t)tensor->ndim)) < 0)
        return RAISE;
    put_array_head(out, (size_t)tensor->ndim);
    for (int i = 0; i < tensor->ndim; i++)
        put_int(out, tensor->shape[i]);
    return DONE;
}

static int
put_tensor(struct out *out, const struct tensor *tensor)
{
    static const uint8_t begin[] = "\x84\xa2nd\xc3";

    if (put_bytes(out, begin, sizeof begin - 1) < 0 || put_key(out, "type") < 0 ||
        put_key(out, tensor->type) < 0 || put_shape(out, tensor) < 0 ||
        put_key(out, "data") < 0 || out_need(out, HEAD_MAX) < 0)
        return RAISE;
    put_bin_head(out, tensor->size);
    return put_bytes(out, tensor->data, tensor->size);
}

/* NULL where the protocol has no such type, or this machine has its bytes reversed. */
static const char *
type_name(char kind, size_t item_size)
{
    static const struct {
        char kind;
        size_t item_size;
        const char *name;
    } types[] = {
        {'f', 4, "<f4"},      {'i', 8, "<i8"}, {'b', 1, "|b1"}, {'u', 1, "|u1"},
        {'f', 8, "<f8"},      {'i', 4, "<i4"}, {'f', 2, "<f2"}, {'i', 1, "|i1"},
        {'i', 2, "<i2"},      {'u', 2, "<u2"}, {'u', 4, "<u4"}, {'u', 8, "<u8"},
        {'B', 2, "bfloat16"},
    };

    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ && item_size > 1)
        return NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].kind == kind && types[i].item_size == item_size)
            return types[i].name;
    return NULL;
}

/* ---- numpy --------------------------------------------------------------------- */

static char
format_kind(const char *format)
{
    if (!format || !format[0] || format[1])
        return 0; /* complex numbers, other byte orders, records */
    if (strchr("efd", format[0]))
        return 'f';
    if (strchr("bhilq", format[0]))
        return 'i';
    if (strchr("BHILQ", format[0]))
        return 'u';
    return format[0] == '?' ? 'b' : 0;
}

static int
put_array(struct out *out, PyObject *array, size_t below)
{
    _Static_assert(sizeof(Py_ssize_t) == sizeof(int64_t),
                   "shapes are lent as they are");
    struct tensor tensor;
    Py_buffer view;
    int r = REST;

    if (PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        return REST;
    }
    tensor = (struct tensor){type_name(format_kind(view.format), (size_t)view.itemsize),
                             view.ndim, (const int64_t *)view.shape, view.buf,
                             (size_t)view.len};
    if (tensor.type && tensor.size < below)
        r = put_tensor(out, &tensor);
    PyBuffer_Release(&view);
    return r;
}

/* ---- torch --------------------------------------------------------------------- */

/* The layout is DLPack's (dmlc.github.io/dlpack), a contract between libraries. */
struct dlpack {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};

enum { DLPACK_CPU = 1 };

static char
dlpack_kind(uint8_t code)
{
    static const char kinds[] = {'i', 'u', 'f', 0, 'B', 0, 'b'};

    return code < sizeof kinds ? kinds[code] : 0;
}

/* Are its elements in order? Counts their bytes. */
static bool
is_in_order(const struct dlpack *dlpack, size_t *ret_size)
{
    int64_t expected = 1;
    bool in_order = true;

    for (int i = dlpack->ndim - 1; i >= 0; i--) {
        if (dlpack->strides && dlpack->shape[i] != 1 && dlpack->strides[i] != expected)
            in_order = false;
        expected *= dlpack->shape[i];
    }
    *ret_size = (size_t)expected * dlpack->bits / 8;
    return in_order || expected == 0;
}

static int
put_dlpack(struct out *out, const struct dlpack *dlpack, size_t below)
{
    struct tensor tensor;
    size_t size;

    if (dlpack->device_type != DLPACK_CPU || dlpack->lanes != 1 ||
        dlpack->ndim > MAX_DIMS || !is_in_order(dlpack, &size) || size >= below ||
        (!dlpack->data && size))
        return REST;
    tensor = (struct tensor){type_name(dlpack_kind(dlpack->code), dlpack->bits / 8u),
                             dlpack->ndim, dlpack->shape,
                             (const char *)dlpack->data + dlpack->byte_offset, size};
    return tensor.type ? put_tensor(out, &tensor) : REST;
}

/* Look into a torch tensor. Returns owned what keeps *ret_dlpack; NULL, and nothing
 * raised, where torch does not show it.
 */
static PyObject *
open_tensor(PyObject *tensor, const struct dlpack **ret_dlpack)
{
    PyObject *capsule = PyObject_CallOneArg(to_dlpack, tensor);
    const struct dlpack *dlpack =
        capsule ? PyCapsule_GetPointer(capsule, "dltensor") : NULL;

    if (dlpack) {
        *ret_dlpack = dlpack;
        return capsule;
    }
    PyErr_Clear();
    Py_XDECREF(capsule);
    return NULL;
}

/* The sign of a tensor may be a mark on it, which DLPack does not know. */
static bool
has_own_sign(PyObject *tensor)
{
    PyObject *neg = PyObject_CallOneArg(is_neg, tensor);
    bool has_own = neg == Py_False;

    PyErr_Clear();
    Py_XDECREF(neg);
    return has_own;
}

static int
put_torch(struct out *out, PyObject *tensor, size_t below)
{
    const struct dlpack *dlpack;
    PyObject *keeper = has_own_sign(tensor) ? open_tensor(tensor, &dlpack) : NULL;
    int r = keeper ? put_dlpack(out, dlpack, below) : REST;

    Py_XDECREF(keeper);
    return r;
}

/* ---- either -------------------------------------------------------------------- */

int
tensor_put(struct out *out, PyObject *value, size_t below)
{
    return is_torch(value) ? put_torch(out, value, below)
                           : put_array(out, value, below);
}

/* It is looked into as it will be when it is packed: that code is then in the caches.
 */
Py_ssize_t
tensor_length(PyObject *value)
{
    const struct dlpack *dlpack;
    Py_ssize_t count = -1;
    PyObject *keeper;

    if (is_numpy(value)) {
        count = PyObject_Size(value);
        PyErr_Clear(); /* no dimensions, no length */
    } else if (is_torch(value)) {
        keeper = open_tensor(value, &dlpack);
        if (keeper && dlpack->ndim > 0)
            count = (Py_ssize_t)dlpack->shape[0];
        Py_XDECREF(keeper);
    }
    return count;
}
