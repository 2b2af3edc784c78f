/* params.c - see params.h. */
#include "wire/params.h"

#include "util/error.h"
#include "util/utf8.h"

#include <inttypes.h>
#include <string.h>

bool
params_str_is(msgpack_object_str string, const char *text)
{
    return string.size == strlen(text) && memcmp(string.ptr, text, string.size) == 0;
}

const msgpack_object *
params_find(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];

        if (pair->key.type == MSGPACK_OBJECT_STR &&
            params_str_is(pair->key.via.str, key))
            return pair->val.type == MSGPACK_OBJECT_NIL ? NULL : &pair->val;
    }
    return NULL;
}

const char *
params_type_name(const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        return "nil";
    case MSGPACK_OBJECT_BOOLEAN:
        return "a bool";
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return "an int";
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return "a float";
    case MSGPACK_OBJECT_STR:
        return "a string";
    case MSGPACK_OBJECT_BIN:
        return "bytes";
    case MSGPACK_OBJECT_ARRAY:
        return "an array";
    case MSGPACK_OBJECT_MAP:
        return "a map";
    default:
        return "an extension type";
    }
}

static int
wrong_type(const msgpack_object *object, const char *key, const char *expected,
           struct lighter_error *err)
{
    return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' expects %s, got %s", key, expected,
                        params_type_name(object));
}

static int
find_typed(const msgpack_object *map, const char *key, msgpack_object_type type,
           const char *expected, const msgpack_object **ret, struct lighter_error *err)
{
    const msgpack_object *object = params_find(map, key);

    if (!object)
        return PARAMS_ABSENT;
    if (object->type != type)
        return wrong_type(object, key, expected, err);
    *ret = object;
    return 0;
}

int
params_int(const msgpack_object *map, const char *key, int64_t min, int64_t max,
           int64_t *ret, struct lighter_error *err)
{
    const msgpack_object *object = params_find(map, key);
    int64_t value;

    if (!object)
        return PARAMS_ABSENT;
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER &&
        object->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return wrong_type(object, key, "an int", err);
    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 > INT64_MAX)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects an int from %" PRId64 " to %" PRId64
                            ", got %" PRIu64,
                            key, min, max, object->via.u64);
    value = object->via.i64;
    if (value < min || value > max)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects an int from %" PRId64 " to %" PRId64
                            ", got %" PRId64,
                            key, min, max, value);
    *ret = value;
    return 0;
}

static bool
number_of(const msgpack_object *object, double *ret)
{
    switch (object->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        *ret = (double)object->via.u64;
        return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *ret = (double)object->via.i64;
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *ret = object->via.f64;
        return true;
    default:
        return false;
    }
}

int
params_double(const msgpack_object *map, const char *key, double min, double max,
              double *ret, struct lighter_error *err)
{
    const msgpack_object *object = params_find(map, key);
    double value;

    if (!object)
        return PARAMS_ABSENT;
    if (!number_of(object, &value))
        return wrong_type(object, key, "a number", err);
    if (!(value >= min && value <= max)) /* nor is NaN */
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects a number from %.15g to %.15g, got %.15g", key,
                            min, max, value);
    *ret = value;
    return 0;
}

int
params_bool(const msgpack_object *map, const char *key, bool *ret,
            struct lighter_error *err)
{
    const msgpack_object *object = NULL;
    int r = find_typed(map, key, MSGPACK_OBJECT_BOOLEAN, "a bool", &object, err);

    if (r == 0)
        *ret = object->via.boolean;
    return r;
}

int
params_string(const msgpack_object *map, const char *key, msgpack_object_str *ret,
              struct lighter_error *err)
{
    const msgpack_object *object = NULL;
    int r = find_typed(map, key, MSGPACK_OBJECT_STR, "a string", &object, err);

    if (r == 0)
        *ret = object->via.str;
    return r;
}

int
params_map(const msgpack_object *map, const char *key, const msgpack_object **ret,
           struct lighter_error *err)
{
    return find_typed(map, key, MSGPACK_OBJECT_MAP, "a map", ret, err);
}

int
params_array(const msgpack_object *map, const char *key, msgpack_object_array *ret,
             struct lighter_error *err)
{
    const msgpack_object *object = NULL;
    int r = find_typed(map, key, MSGPACK_OBJECT_ARRAY, "an array", &object, err);

    if (r == 0)
        *ret = object->via.array;
    return r;
}

static int
text_item(const msgpack_object *item, const char *key, uint32_t index,
          msgpack_zone *zone, const char **ret_text, struct lighter_error *err)
{
    if (item->type != MSGPACK_OBJECT_STR)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects strings, got %s at index %u", key,
                            params_type_name(item), index);
    if (!utf8_valid(item->via.str.ptr, item->via.str.size) ||
        memchr(item->via.str.ptr, '\0', item->via.str.size))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects UTF-8 without NUL at index %u", key, index);
    *ret_text = params_text(zone, item->via.str);
    return *ret_text ? 0 : fail_nomem(err);
}

int
params_texts(const msgpack_object *map, const char *key, uint32_t max,
             msgpack_zone *zone, const char *const **ret_items, size_t *ret_count,
             struct lighter_error *err)
{
    msgpack_object_array array;
    const char **items;
    int r = params_array(map, key, &array, err);

    if (r != 0)
        return r;
    if (array.size > max)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects at most %u strings, got %u", key, max,
                            array.size);
    items = msgpack_zone_malloc(zone, (array.size + 1u) * sizeof *items);
    if (!items)
        return fail_nomem(err);
    for (uint32_t i = 0; i < array.size && r == 0; i++)
        r = text_item(&array.ptr[i], key, i, zone, &items[i], err);
    *ret_items = items;
    *ret_count = array.size;
    return r;
}

int
params_required(int r, const char *key, struct lighter_error *err)
{
    if (r == PARAMS_ABSENT)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' is missing", key);
    return r;
}

char *
params_text(msgpack_zone *zone, msgpack_object_str string)
{
    char *text = msgpack_zone_malloc(zone, (size_t)string.size + 1);

    if (text) {
        memcpy(text, string.ptr, string.size);
        text[string.size] = '\0';
    }
    return text;
}
