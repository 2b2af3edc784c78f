/* params.h - what a map of the wire holds under a name, with the type that is wanted.
 *
 * Each function says in `err` which key has what type and range instead of what came.
 * Strings are lent for the life of the message.
 */
#ifndef WIRE_PARAMS_H
#define WIRE_PARAMS_H

#include <lighter/error.h>

#include <msgpack.h>
#include <stdbool.h>

enum { PARAMS_ABSENT = 1 };

/* The value under `key`, NULL where there is none or it is nil. */
const msgpack_object *params_find(const msgpack_object *map, const char *key);

/* Return: 0; PARAMS_ABSENT, *ret untouched; -EINVAL. */
int params_int(const msgpack_object *map, const char *key, int64_t min, int64_t max,
               int64_t *ret, struct lighter_error *err);
/* An int or a float. */
int params_double(const msgpack_object *map, const char *key, double min, double max,
                  double *ret, struct lighter_error *err);
int params_bool(const msgpack_object *map, const char *key, bool *ret,
                struct lighter_error *err);
int params_string(const msgpack_object *map, const char *key, msgpack_object_str *ret,
                  struct lighter_error *err);
int params_map(const msgpack_object *map, const char *key, const msgpack_object **ret,
               struct lighter_error *err);
int params_array(const msgpack_object *map, const char *key, msgpack_object_array *ret,
                 struct lighter_error *err);

/* An array of up to `max` strings, UTF-8 without NUL, as texts in the zone. */
int params_texts(const msgpack_object *map, const char *key, uint32_t max,
                 msgpack_zone *zone, const char *const **ret_items, size_t *ret_count,
                 struct lighter_error *err);

/* PARAMS_ABSENT becomes an error that names `key`; all else is handed through. */
int params_required(int r, const char *key, struct lighter_error *err);

/* What an object is, for messages: "a string", ... Static text. */
const char *params_type_name(const msgpack_object *object);

/* A string with a NUL at its end, in the zone. NULL where there is no memory. */
char *params_text(msgpack_zone *zone, msgpack_object_str string);

bool params_str_is(msgpack_object_str string, const char *text);

#endif
