/* lighter/value.h - one value that a model put out, as a plugin sees it.
 *
 * A value is a read-only view: it and all it points to belong to the batch and live
 * until the callback that got it returns. It is made from the wire's msgpack
 * (doc/protocol.md, "Values"), but needs no msgpack to read.
 */
#ifndef LIGHTER_VALUE_H
#define LIGHTER_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* New members of both enumerations are added at the end: the numbers are ABI. */
enum lighter_type {
    LIGHTER_NIL,
    LIGHTER_BOOL,
    LIGHTER_INT,  /* any integer that fits int64_t */
    LIGHTER_UINT, /* an integer above INT64_MAX */
    LIGHTER_FLOAT,
    LIGHTER_STRING, /* UTF-8, checked; may contain NUL */
    LIGHTER_BYTES,
    LIGHTER_LIST,
    LIGHTER_MAP,
    LIGHTER_TENSOR,
};

enum lighter_dtype {
    LIGHTER_BOOL8, /* one byte, zero or not */
    LIGHTER_UINT8,
    LIGHTER_INT8,
    LIGHTER_INT16,
    LIGHTER_UINT16,
    LIGHTER_INT32,
    LIGHTER_UINT32,
    LIGHTER_INT64,
    LIGHTER_UINT64,
    LIGHTER_FLOAT16,  /* IEEE 754 binary16 */
    LIGHTER_BFLOAT16, /* the upper half of a binary32 */
    LIGHTER_FLOAT32,
    LIGHTER_FLOAT64,
    LIGHTER_COMPLEX64,  /* two binary32: real, imaginary */
    LIGHTER_COMPLEX128, /* two binary64 */
    LIGHTER_N_DTYPES
};

#define LIGHTER_MAX_DIMS 64 /* as in torch */

/* Row-major, contiguous, little-endian elements. */
struct lighter_tensor {
    uint32_t dtype; /* enum lighter_dtype */
    uint32_t ndim;  /* 0 (a scalar) to LIGHTER_MAX_DIMS */
    const uint64_t
        *shape;          /* ndim lengths; their product times the item size is `size` */
    const uint8_t *data; /* not aligned; may be NULL where size is 0 */
    size_t size;         /* bytes */
};

struct lighter_value {
    uint32_t type;  /* enum lighter_type */
    uint32_t count; /* items of a list, pairs of a map */
    union {
        bool boolean;
        int64_t integer;
        uint64_t uinteger; /* LIGHTER_UINT */
        double real;
        struct {
            const char *data;
            size_t size; /* bytes */
        } string;        /* LIGHTER_STRING and LIGHTER_BYTES */
        const struct lighter_value
            *items; /* list: count values; map: key, value, ... */
        struct lighter_tensor tensor;
    } as;
};

/* Bytes of one element. */
static inline size_t
lighter_dtype_size(uint32_t dtype)
{
    static const uint8_t sizes[LIGHTER_N_DTYPES] = {1, 1, 1, 2, 2, 4, 4, 8,
                                                    8, 2, 2, 4, 8, 8, 16};

    return dtype < LIGHTER_N_DTYPES ? sizes[dtype] : 0;
}

/* The name that torch gives a dtype, such as "float32". Static text. */
static inline const char *
lighter_dtype_name(uint32_t dtype)
{
    static const char *const names[LIGHTER_N_DTYPES] = {
        "bool",     "uint8",   "int8",    "int16",     "uint16",
        "int32",    "uint32",  "int64",   "uint64",    "float16",
        "bfloat16", "float32", "float64", "complex64", "complex128"};

    return dtype < LIGHTER_N_DTYPES ? names[dtype] : "unknown";
}

/* What a value is, for messages: "a string", "a tensor", ... Static text. */
static inline const char *
lighter_type_name(uint32_t type)
{
    static const char *const names[] = {"None",    "a bool",   "an int", "an int",
                                        "a float", "a string", "bytes",  "a list",
                                        "a dict",  "a tensor"};

    return type <= LIGHTER_TENSOR ? names[type] : "unknown";
}

/* The value under a string key of a map, NULL where it has none. */
static inline const struct lighter_value *
lighter_map_get(const struct lighter_value *map, const char *key)
{
    size_t size = strlen(key);

    for (uint32_t i = 0; i < map->count; i++) {
        const struct lighter_value *name = &map->as.items[2 * i];

        if (name->type == LIGHTER_STRING && name->as.string.size == size &&
            memcmp(name->as.string.data, key, size) == 0)
            return name + 1;
    }
    return NULL;
}

/* The `index`th item along the first axis of a tensor of one or more dimensions.
 * *ret_item views the same bytes. index < tensor->shape[0].
 */
static inline void
lighter_tensor_item(const struct lighter_tensor *tensor, uint64_t index,
                    struct lighter_value *ret_item)
{
    size_t stride = tensor->shape[0] ? tensor->size / (size_t)tensor->shape[0] : 0;

    ret_item->type = LIGHTER_TENSOR;
    ret_item->count = 0;
    ret_item->as.tensor.dtype = tensor->dtype;
    ret_item->as.tensor.ndim = tensor->ndim - 1;
    ret_item->as.tensor.shape = tensor->shape + 1;
    ret_item->as.tensor.data =
        tensor->data ? tensor->data + stride * (size_t)index : NULL;
    ret_item->as.tensor.size = stride;
}

#ifdef __cplusplus
}
#endif

#endif
