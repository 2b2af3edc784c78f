/* answer.c - see answer.h. */
#include "client/c/answer.h"

#include "util/error.h"
#include "wire/params.h"

#define ERRNUM_MAX 4095 /* the kernel's own */

/* Codes that are newer than this client stand as what is left: internal. */
static enum lighter_code
find_code(const msgpack_object *map)
{
    msgpack_object_str name;

    if (params_string(map, "code", &name, NULL) != 0)
        return LIGHTER_E_INTERNAL;
    for (uint32_t code = LIGHTER_OK + 1; code < LIGHTER_N_CODES; code++)
        if (params_str_is(name, lighter_code_name(code)))
            return (enum lighter_code)code;
    return LIGHTER_E_INTERNAL;
}

/* Bytes of the longest beginning that fits and cuts no character. */
static size_t
fitting_size(msgpack_object_str text)
{
    size_t size = text.size;

    if (size < LIGHTER_ERROR_TEXT_MAX)
        return size;
    size = LIGHTER_ERROR_TEXT_MAX - 1;
    while (size && ((unsigned char)text.ptr[size] & 0xc0) == 0x80)
        size--;
    return size;
}

int
answer_error(const msgpack_object *map, struct lighter_error *err)
{
    enum lighter_code code = find_code(map);
    msgpack_object_str text = {.ptr = "lighterd gave no reason", .size = 23};
    const msgpack_object *details = NULL;
    int64_t errnum = 0, sample = -1;

    params_string(map, "message", &text, NULL);
    params_map(map, "details", &details, NULL);
    if (details) {
        params_int(details, "errno", 1, ERRNUM_MAX, &errnum, NULL);
        params_int(details, "sample", 0, INT64_MAX, &sample, NULL);
    }
    lighter_fail(err, code, "%.*s", (int)fitting_size(text), text.ptr);
    if (err) {
        err->errnum = (int32_t)errnum;
        err->sample = sample;
    }
    return code == LIGHTER_E_OS && errnum ? -(int)errnum : -lighter_fail_errnum(code);
}

int
answer_malformed(const char *method, struct lighter_error *err)
{
    if (err)
        err->code = LIGHTER_E_PROTOCOL;
    error_wrap(err, 0, "the answer of lighterd to '%s'", method);
    return -EPROTO;
}
