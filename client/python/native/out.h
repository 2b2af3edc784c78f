/* out.h - a frame in the making, and what goes into it as MessagePack.
 *
 * Own code, small, where msgpack-c would be one more thing to install before pip can
 * build this: Python.h is all that it needs.
 */
#ifndef NATIVE_OUT_H
#define NATIVE_OUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

/* What put_*() did not do is nothing or half of it: then leave the value to the rest
 * (`REST`), or raise what Python has set (`RAISE`).
 */
enum { DONE = 0, REST = 1, RAISE = -1 };

struct out {
    PyObject *bytes; /* a bytearray; owned */
    uint8_t *at, *end;
};

/* Room for so many bytes, for a start. Return: DONE, RAISE. */
int out_init(struct out *out, size_t room);

/* Returns owned the bytearray, of the bytes that are in it; NULL: raise. */
PyObject *out_finish(struct out *out);

void out_drop(struct out *out);

int out_grow(struct out *out, size_t more);

static inline uint8_t *
out_start(const struct out *out)
{
    return (uint8_t *)PyByteArray_AS_STRING(out->bytes);
}

static inline size_t
out_size(const struct out *out)
{
    return (size_t)(out->at - out_start(out));
}

/* Room for `more` bytes at out->at. Return: DONE, RAISE. */
static inline int
out_need(struct out *out, size_t more)
{
    return (size_t)(out->end - out->at) >= more ? DONE : out_grow(out, more);
}

/* Forget what comes after the first `size` bytes. */
static inline void
out_cut(struct out *out, size_t size)
{
    out->at = out_start(out) + size;
}

/* Heads and numbers need no more than this; the callers have seen to the room. */
#define HEAD_MAX 9

void put_big_endian(uint8_t *at, uint64_t value, int n_bytes);
void put_int(struct out *out, int64_t value);
void put_array_head(struct out *out, size_t count);
void put_map_head(struct out *out, size_t count);
void put_bin_head(struct out *out, size_t size);

/* These see to it themselves. Return: DONE, REST, RAISE. */
int put_bytes(struct out *out, const void *bytes, size_t size);
int put_key(struct out *out, const char *key);

/* A text, bytes, a number, a bool or None, of just this type: subclasses may have
 * another text than the value within, and are the rest.
 */
int put_scalar(struct out *out, PyObject *value);

/* The items of a list: scalars, and lists and dicts of them that are no more than
 * `depth` within one another; of just these types. Text that stands in a list differs
 * where it has surrogates, and is the rest.
 */
int put_list(struct out *out, PyObject *list, int depth);

#endif
