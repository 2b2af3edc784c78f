/* pack.c - see pack.h. */
#include "tests/unit/pack.h"

#include "wire/params.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void
pack_string(msgpack_packer *packer, const char *text, size_t size)
{
    if (size >= 4 && memcmp(text, "bin:", 4) == 0)
        msgpack_pack_bin_with_body(packer, text + 4, size - 4);
    else
        msgpack_pack_str_with_body(packer, text, size);
}

static void
pack_name(msgpack_packer *packer, const char *name)
{
    if (strncmp(name, "int:", 4) == 0)
        msgpack_pack_int64(packer, strtoll(name + 4, NULL, 10));
    else
        pack_string(packer, name, strlen(name));
}

static void
pack_value(msgpack_packer *packer, const json_t *value)
{
    const char *key;
    json_t *inner;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        msgpack_pack_map(packer, json_object_size(value));
        json_object_foreach ((json_t *)value, key, inner) {
            pack_name(packer, key);
            pack_value(packer, inner);
        }
        break;
    case JSON_ARRAY:
        msgpack_pack_array(packer, json_array_size(value));
        json_array_foreach (value, i, inner)
            pack_value(packer, inner);
        break;
    case JSON_STRING:
        pack_string(packer, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        msgpack_pack_int64(packer, json_integer_value(value));
        break;
    case JSON_REAL:
        msgpack_pack_double(packer, json_real_value(value));
        break;
    case JSON_TRUE:
        msgpack_pack_true(packer);
        break;
    case JSON_FALSE:
        msgpack_pack_false(packer);
        break;
    case JSON_NULL:
        msgpack_pack_nil(packer);
        break;
    }
}

void
pack_json(msgpack_packer *packer, const char *json)
{
    char *text = strdup(json);
    json_error_t problem;
    json_t *value;

    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    ck_assert_msg(value != NULL, "%s in %s", problem.text, text);
    pack_value(packer, value);
    json_decref(value);
    free(text);
}

void
pack_parse(struct message *ret_message, struct frame *frame)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    frame->size -= FRAME_HEAD_SIZE;
    memmove(frame->data, frame->data + FRAME_HEAD_SIZE, frame->size);
    ck_assert_msg(message_parse(ret_message, frame, CHECK_MAX_OBJECTS, &err) == 0, "%s",
                  err.message);
}

void
pack_request(struct message *ret_message, uint32_t id, const char *method,
             const char *params)
{
    struct message_out out;
    struct frame frame;

    message_begin_request(&out, id, method);
    pack_json(&out.packer, params);
    ck_assert_int_eq(message_finish(&out, &frame, NULL), 0);
    pack_parse(ret_message, &frame);
}

const char *
pack_text_of(const msgpack_object *map, const char *key)
{
    static char text[2048];
    msgpack_object_str string = {0, ""};

    ck_assert_int_ge(params_string(map, key, &string, NULL), 0);
    ck_assert_uint_lt(string.size, sizeof text);
    memcpy(text, string.ptr, string.size);
    text[string.size] = '\0';
    return text;
}
