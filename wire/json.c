/* json.c - see json.h. */
#include "wire/json.h"

#include <string.h>

static void
pack_array(msgpack_packer *packer, const json_t *array)
{
    msgpack_pack_array(packer, json_array_size(array));
    for (size_t i = 0; i < json_array_size(array); i++)
        json_pack_value(packer, json_array_get(array, i));
}

static void
pack_object(msgpack_packer *packer, const json_t *object)
{
    const char *key;
    json_t *value;

    msgpack_pack_map(packer, json_object_size(object));
    json_object_foreach ((json_t *)object, key, value) {
        msgpack_pack_str_with_body(packer, key, strlen(key));
        json_pack_value(packer, value);
    }
}

void
json_pack_value(msgpack_packer *packer, const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        pack_object(packer, json);
        return;
    case JSON_ARRAY:
        pack_array(packer, json);
        return;
    case JSON_STRING:
        msgpack_pack_str_with_body(packer, json_string_value(json),
                                   json_string_length(json));
        return;
    case JSON_INTEGER:
        msgpack_pack_int64(packer, json_integer_value(json));
        return;
    case JSON_REAL:
        msgpack_pack_double(packer, json_real_value(json));
        return;
    case JSON_TRUE:
        msgpack_pack_true(packer);
        return;
    case JSON_FALSE:
        msgpack_pack_false(packer);
        return;
    default:
        msgpack_pack_nil(packer);
    }
}
