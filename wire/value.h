/* value.h - a MessagePack object to the value that plugins see (protocol, section 3).
 */
#ifndef WIRE_VALUE_H
#define WIRE_VALUE_H

#include <lighter/error.h>
#include <lighter/value.h>

#include <msgpack.h>

/* Memory beside the frame, in which tensors may lie. `used` counts the bytes that they
 * ask for, and stops at `size`: a tensor costs its sender nothing here, and a frame
 * could name the same bytes a million times.
 */
struct value_memory {
    const uint8_t *data;
    size_t size, used; /* bytes */
};

/* `ret_value` and what it points to live in the zone, in the object's frame, and in
 * `memory`, which is NULL where there is none. Strings are checked to be UTF-8, tensors
 * to have as many bytes as their shape says and, in the memory, to lie within it.
 * Return: 0; -EINVAL or another that lighter_fail() gives, `err` says where; -ENOMEM.
 */
int value_convert(const msgpack_object *object, struct value_memory *memory,
                  msgpack_zone *zone, struct lighter_value *ret_value,
                  struct lighter_error *err);

/* The dtype of a type string such as "<f4"; -1 where there is none. */
int value_dtype(const char *name, size_t size);

/* The type string of a dtype. Static text. */
const char *value_dtype_text(uint32_t dtype);

#endif
