/* out.c - see out.h. */
#include "out.h"

#include <stdbool.h>
#include <string.h>

#define FETCH_AHEAD 12 /* objects; what comes from memory takes as long as a dozen */

/* ---- the buffer ---------------------------------------------------------------- */

int
out_init(struct out *out, size_t room)
{
    out->bytes = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (!out->bytes)
        return RAISE;
    out->at = out_start(out);
    out->end = out->at + room;
    return DONE;
}

PyObject *
out_finish(struct out *out)
{
    if (PyByteArray_Resize(out->bytes, (Py_ssize_t)out_size(out)) < 0)
        Py_CLEAR(out->bytes);
    return out->bytes;
}

void
out_drop(struct out *out)
{
    Py_CLEAR(out->bytes);
}

int
out_grow(struct out *out, size_t more)
{
    size_t size = out_size(out), room = 2 * size + more;

    if (room > PY_SSIZE_T_MAX / 2) {
        PyErr_NoMemory();
        return RAISE;
    }
    if (PyByteArray_Resize(out->bytes, (Py_ssize_t)room) < 0)
        return RAISE;
    out->at = out_start(out) + size;
    out->end = out_start(out) + room;
    return DONE;
}

/* ---- heads and numbers --------------------------------------------------------- */

void
put_big_endian(uint8_t *at, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(value >> 8 * (n_bytes - 1 - i));
}

static inline void
put_head(struct out *out, uint8_t type, uint64_t value, int n_bytes)
{
    *out->at = type;
    put_big_endian(out->at + 1, value, n_bytes);
    out->at += 1 + n_bytes;
}

static void
put_uint(struct out *out, uint64_t value)
{
    if (value < 0x80)
        *out->at++ = (uint8_t)value;
    else if (value <= UINT8_MAX)
        put_head(out, 0xcc, value, 1);
    else if (value <= UINT16_MAX)
        put_head(out, 0xcd, value, 2);
    else if (value <= UINT32_MAX)
        put_head(out, 0xce, value, 4);
    else
        put_head(out, 0xcf, value, 8);
}

void
put_int(struct out *out, int64_t value)
{
    if (value >= 0)
        put_uint(out, (uint64_t)value);
    else if (value >= -32)
        *out->at++ = (uint8_t)value;
    else if (value >= INT8_MIN)
        put_head(out, 0xd0, (uint64_t)value, 1);
    else if (value >= INT16_MIN)
        put_head(out, 0xd1, (uint64_t)value, 2);
    else if (value >= INT32_MIN)
        put_head(out, 0xd2, (uint64_t)value, 4);
    else
        put_head(out, 0xd3, (uint64_t)value, 8);
}

static void
put_float(struct out *out, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_head(out, 0xcb, bits, 8);
}

static void
put_count(struct out *out, uint8_t small, uint8_t large, size_t count)
{
    if (count < 16)
        *out->at++ = (uint8_t)(small | count);
    else if (count <= UINT16_MAX)
        put_head(out, large, count, 2);
    else
        put_head(out, large + 1, count, 4);
}

void
put_array_head(struct out *out, size_t count)
{
    put_count(out, 0x90, 0xdc, count);
}

void
put_map_head(struct out *out, size_t count)
{
    put_count(out, 0x80, 0xde, count);
}

void
put_bin_head(struct out *out, size_t size)
{
    if (size <= UINT8_MAX)
        put_head(out, 0xc4, size, 1);
    else if (size <= UINT16_MAX)
        put_head(out, 0xc5, size, 2);
    else
        put_head(out, 0xc6, size, 4);
}

/* ---- text and numbers ---------------------------------------------------------- */

int
put_bytes(struct out *out, const void *bytes, size_t size)
{
    if (out_need(out, size) < 0)
        return RAISE;
    if (size) /* an empty tensor may lie nowhere */
        memcpy(out->at, bytes, size);
    out->at += size;
    return DONE;
}

static int
put_utf8(struct out *out, const char *text, size_t size)
{
    if (size > UINT32_MAX)
        return REST;
    if (out_need(out, size + HEAD_MAX) < 0)
        return RAISE;
    if (size < 32)
        *out->at++ = (uint8_t)(0xa0 | size);
    else if (size <= UINT8_MAX)
        put_head(out, 0xd9, size, 1);
    else if (size <= UINT16_MAX)
        put_head(out, 0xda, size, 2);
    else
        put_head(out, 0xdb, size, 4);
    memcpy(out->at, text, size);
    out->at += size;
    return DONE;
}

int
put_key(struct out *out, const char *key)
{
    return put_utf8(out, key, strlen(key));
}

static int
put_text(struct out *out, PyObject *text)
{
    const char *utf8;
    Py_ssize_t size;

    if (PyUnicode_IS_COMPACT_ASCII(text))
        return put_utf8(out, (const char *)PyUnicode_1BYTE_DATA(text),
                        (size_t)PyUnicode_GET_LENGTH(text));
    utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (!utf8) { /* surrogates */
        PyErr_Clear();
        return REST;
    }
    return put_utf8(out, utf8, (size_t)size);
}

static int
put_long(struct out *out, PyObject *number)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    unsigned long long large;

    if (out_need(out, HEAD_MAX) < 0)
        return RAISE;
    if (overflow == 0) {
        put_int(out, value);
        return DONE;
    }
    large = overflow > 0 ? PyLong_AsUnsignedLongLong(number) : 0;
    if (overflow < 0 || PyErr_Occurred()) {
        PyErr_Clear();
        return REST;
    }
    put_uint(out, large);
    return DONE;
}

/* There is room for the head. */
static int
put_bin(struct out *out, PyObject *bytes)
{
    size_t size = (size_t)PyBytes_GET_SIZE(bytes);

    if (size > UINT32_MAX)
        return REST;
    put_bin_head(out, size);
    return put_bytes(out, PyBytes_AS_STRING(bytes), size);
}

int
put_scalar(struct out *out, PyObject *value)
{
    if (PyUnicode_CheckExact(value))
        return put_text(out, value);
    if (PyLong_CheckExact(value))
        return put_long(out, value);
    if (out_need(out, HEAD_MAX) < 0)
        return RAISE;
    if (PyFloat_CheckExact(value))
        put_float(out, PyFloat_AS_DOUBLE(value));
    else if (PyBool_Check(value))
        *out->at++ = value == Py_True ? 0xc3 : 0xc2;
    else if (value == Py_None)
        *out->at++ = 0xc0;
    else if (PyBytes_CheckExact(value))
        return put_bin(out, value);
    else
        return REST;
    return DONE;
}

/* A short text lies behind its object's head: two cache lines. */
static void
fetch(PyObject *const *items, Py_ssize_t i, Py_ssize_t count)
{
    if (i < count) {
        __builtin_prefetch(items[i]);
        __builtin_prefetch((const char *)items[i] + 64);
    }
}

static int put_dict(struct out *out, PyObject *dict, int depth);

static int
put_nested(struct out *out, PyObject *value, int depth)
{
    int r = put_scalar(out, value);

    if (r == REST && PyList_CheckExact(value))
        return put_list(out, value, depth);
    if (r == REST && PyDict_CheckExact(value))
        return put_dict(out, value, depth);
    return r;
}

/* No code of Python's runs in between: the items stay, here and in a dict. */
int
put_list(struct out *out, PyObject *list, int depth)
{
    PyObject *const *items = PySequence_Fast_ITEMS(list);
    Py_ssize_t count = PyList_GET_SIZE(list);
    int r = depth > 0 ? out_need(out, HEAD_MAX) : REST;

    if (r == DONE)
        put_array_head(out, (size_t)count);
    for (Py_ssize_t i = 0; i < FETCH_AHEAD; i++)
        fetch(items, i, count);
    for (Py_ssize_t i = 0; r == DONE && i < count; i++) {
        fetch(items, i + FETCH_AHEAD, count);
        r = put_nested(out, items[i], depth - 1);
    }
    return r;
}

static int
put_dict(struct out *out, PyObject *dict, int depth)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int r = depth > 0 ? out_need(out, HEAD_MAX) : REST;

    if (r == DONE)
        put_map_head(out, (size_t)PyDict_GET_SIZE(dict));
    while (r == DONE && PyDict_Next(dict, &at, &key, &value)) {
        r = put_scalar(out, key);
        if (r == DONE)
            r = put_nested(out, value, depth - 1);
    }
    return r;
}
