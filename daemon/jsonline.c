/* jsonline.c - see jsonline.h. */
#include "daemon/jsonline.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *
skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* From the quote that begins it to behind the one that ends it. */
static const char *
skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

static const char *
skip_value(const char *p)
{
    int depth = 0;

    if (*p != '"' && *p != '{' && *p != '[')
        return p + strcspn(p, ",]} \t\r\n");
    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
    } while (depth);
    return p;
}

static bool
is_key(const char *quoted, const char *key)
{
    size_t size = strlen(key);

    return strncmp(quoted + 1, key, size) == 0 && quoted[1 + size] == '"';
}

/* The value under `key` in the container at `p`, and in *ret_member where the member
 * begins; NULL: there is none.
 */
static const char *
enter(const char *p, const char *key, const char **ret_member)
{
    bool is_object = *p == '{';
    long index = 0, wanted = strtol(key, NULL, 10);

    if (*p != '{' && *p != '[')
        return NULL;
    for (p = skip_space(p + 1); *p != '}' && *p != ']'; index++) {
        const char *member = p;

        if (is_object)
            p = skip_space(skip_space(skip_string(p)) + 1); /* the colon */
        if (is_object ? is_key(member, key) : index == wanted) {
            *ret_member = member;
            return p;
        }
        p = skip_space(skip_value(p));
        p = *p == ',' ? skip_space(p + 1) : p;
    }
    return NULL;
}

int
json_line(const char *text, ...)
{
    const char *value = skip_space(text), *found = value, *key;
    int line = 1;
    va_list keys;

    va_start(keys, text);
    while (value && (key = va_arg(keys, const char *)))
        value = enter(value, key, &found);
    va_end(keys);
    for (const char *p = text; p < found; p++)
        line += *p == '\n';
    return line;
}

const char *
json_type_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a bool";
    case JSON_NULL:
        break;
    }
    return "null";
}
