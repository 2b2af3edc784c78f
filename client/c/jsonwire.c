/* jsonwire.c - see jsonwire.h. */
#include "client/c/jsonwire.h"

#include "util/error.h"
#include "util/utf8.h"
#include "wire/params.h"

#include <math.h>
#include <string.h>

/* ---- JSON to the wire ---------------------------------------------------------- */

static size_t
larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Containers inside one another; a scalar has none. jansson bounds the recursion. */
static size_t
depth_of(json_t *json)
{
    size_t deepest = 0, i;
    const char *key;
    json_t *item;

    if (!json_is_array(json) && !json_is_object(json))
        return 0;
    json_array_foreach (json, i, item) {
        deepest = larger(deepest, depth_of(item));
    }
    json_object_foreach (json, key, item) {
        deepest = larger(deepest, depth_of(item));
    }
    return deepest + 1;
}

int
jsonwire_parse(const char *text, json_type type, const char *what, json_t **ret_json,
               struct lighter_error *err)
{
    json_error_t why;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &why);

    if (!json)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "%s: not JSON at line %d, column %d: %s", what, why.line,
                            why.column, why.text);
    if (json_typeof(json) == type && depth_of(json) <= JSONWIRE_MAX_DEPTH) {
        *ret_json = json;
        return 0;
    }
    if (json_typeof(json) != type)
        lighter_fail(err, LIGHTER_E_PARAMS, "%s: expected a JSON %s", what,
                     type == JSON_ARRAY ? "array" : "object");
    else
        lighter_fail(err, LIGHTER_E_PARAMS, "%s: more than %d levels of nesting", what,
                     JSONWIRE_MAX_DEPTH);
    json_decref(json);
    return -EINVAL;
}

/* ---- the wire to JSON ---------------------------------------------------------- */

static int from_object(const msgpack_object *object, json_t **ret_json,
                       struct lighter_error *err);

/* Bytes of the sound character at `p`, 0 where there is none. */
static size_t
character_size(const char *p, size_t left)
{
    for (size_t size = 1; size <= 4 && size <= left; size++)
        if (utf8_valid(p, size))
            return size;
    return 0;
}

/* Sound UTF-8 in the place of what is not; NUL-terminated. Returns owned. */
static char *
repaired_text(msgpack_object_str text, size_t *ret_size)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *repaired = malloc(3 * (size_t)text.size + 1), *end = repaired;

    if (!repaired)
        return NULL;
    for (size_t at = 0; at < text.size;) {
        size_t size = character_size(text.ptr + at, text.size - at);

        end = mempcpy(end, size ? text.ptr + at : replacement, size ? size : 3);
        at += size ? size : 1;
    }
    *end = '\0';
    *ret_size = (size_t)(end - repaired);
    return repaired;
}

static json_t *
from_string(msgpack_object_str text)
{
    AUTO(free_bytes) char *repaired = NULL;
    size_t size;

    if (utf8_valid(text.ptr, text.size))
        return json_stringn_nocheck(text.ptr, text.size);
    repaired = repaired_text(text, &size);
    return repaired ? json_stringn_nocheck(repaired, size) : NULL;
}

static int
add_item(const msgpack_object *object, json_t *array, struct lighter_error *err)
{
    json_t *item;
    int r = from_object(object, &item, err);

    if (r < 0)
        return r;
    return json_array_append_new(array, item) < 0 ? fail_nomem(err) : 0; /* takes */
}

static int
add_pair(const msgpack_object_kv *pair, json_t *object, struct lighter_error *err)
{
    AUTO(free_bytes) char *key = NULL;
    json_t *value;
    size_t size;
    int r;

    if (pair->key.type != MSGPACK_OBJECT_STR)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "a map's key is %s",
                            params_type_name(&pair->key));
    key = repaired_text(pair->key.via.str, &size);
    if (!key)
        return fail_nomem(err);
    r = from_object(&pair->val, &value, err);
    if (r < 0)
        return r;
    r = json_object_set_new_nocheck(object, key, value); /* takes */
    return r < 0 ? fail_nomem(err) : 0;
}

static int
from_array(const msgpack_object_array *array, json_t **ret_json,
           struct lighter_error *err)
{
    json_t *json = json_array();
    int r = json ? 0 : fail_nomem(err);

    for (uint32_t i = 0; i < array->size && r == 0; i++)
        r = add_item(&array->ptr[i], json, err);
    if (r < 0)
        json_decref(json);
    else
        *ret_json = json;
    return r;
}

static int
from_map(const msgpack_object_map *map, json_t **ret_json, struct lighter_error *err)
{
    json_t *json = json_object();
    int r = json ? 0 : fail_nomem(err);

    for (uint32_t i = 0; i < map->size && r == 0; i++)
        r = add_pair(&map->ptr[i], json, err);
    if (r < 0)
        json_decref(json);
    else
        *ret_json = json;
    return r;
}

/* NULL: no memory. `object` is no container. */
static json_t *
from_scalar(const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        if (object->via.u64 > INT64_MAX) /* jansson has none: the nearest double */
            return json_real((double)object->via.u64);
        return json_integer((json_int_t)object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer(object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return isfinite(object->via.f64) ? json_real(object->via.f64) : json_null();
    case MSGPACK_OBJECT_STR:
        return from_string(object->via.str);
    default:
        return json_null();
    }
}

/* Recursion is bounded: check_object() allows CHECK_MAX_DEPTH containers. */
static int
from_object(const msgpack_object *object, json_t **ret_json, struct lighter_error *err)
{
    json_t *json;

    if (object->type == MSGPACK_OBJECT_ARRAY)
        return from_array(&object->via.array, ret_json, err);
    if (object->type == MSGPACK_OBJECT_MAP)
        return from_map(&object->via.map, ret_json, err);
    if (object->type == MSGPACK_OBJECT_BIN)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "bytes, which JSON cannot hold");
    json = from_scalar(object);
    if (!json)
        return fail_nomem(err);
    *ret_json = json;
    return 0;
}

int
jsonwire_text(const msgpack_object *object, char **ret_text, struct lighter_error *err)
{
    json_t *json;
    char *text;
    int r = from_object(object, &json, err);

    if (r < 0)
        return r;
    text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    if (!text)
        return fail_nomem(err);
    *ret_text = text;
    return 0;
}
