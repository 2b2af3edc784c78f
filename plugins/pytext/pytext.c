/* pytext.c - the text of each type of value; see pytext.h. */
#include "plugins/pytext/pytext.h"

#include "plugins/pytext/number.h"

#include <utf8proc.h>

/* Recursion goes as deep as a value: the frame's nesting and a tensor's dimensions are
 * both limited to 64. */
static int put_value(struct pytext *text, const struct lighter_value *value,
                     struct lighter_error *err);

static int
put_char(struct pytext *text, char c, struct lighter_error *err)
{
    return pytext_put(text, &c, 1, err);
}

/* ---- strings and bytes --------------------------------------------------------- */

#define ESCAPE_ROOM 10 /* \UNNNNNNNN */

/* Double quotes only where they save escapes: for text with ' and without ". */
static char
pick_quote(const char *data, size_t size)
{
    if (size && memchr(data, '\'', size) && !memchr(data, '"', size))
        return '"';
    return '\'';
}

static char *
put_hex(char *at, char letter, uint32_t value, int n_digits)
{
    *at++ = '\\';
    *at++ = letter;
    for (int shift = 4 * (n_digits - 1); shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[value >> shift & 15];
    return at;
}

static char *
put_ascii(char *at, char c, char quote)
{
    static const char letters[] = {['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};

    if (c == quote || c == '\\')
        *at++ = '\\';
    else if (c == '\t' || c == '\n' || c == '\r') {
        *at++ = '\\';
        c = letters[(unsigned char)c];
    } else if ((unsigned char)c < ' ' || c == 0x7f)
        return put_hex(at, 'x', (unsigned char)c, 2);
    *at++ = c;
    return at;
}

/* str.isprintable() of one character beyond ASCII. Characters that Unicode added after
 * the version that Python or utf8proc knows are escaped by the one and not the other.
 */
static bool
is_printable(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

/* One character beyond ASCII; moves *data behind it. */
static char *
put_wide(char *at, const char **data, const char *end)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t size =
        utf8proc_iterate((const utf8proc_uint8_t *)*data, end - *data, &c);

    if (size <= 0) { /* not UTF-8: the daemon lets none in, and here none does harm */
        c = (unsigned char)**data;
        *data += 1;
        return put_hex(at, 'x', (uint32_t)c, 2);
    }
    if (is_printable(c)) {
        memcpy(at, *data, (size_t)size);
        at += size;
    } else if (c <= 0xff)
        at = put_hex(at, 'x', (uint32_t)c, 2);
    else if (c <= 0xffff)
        at = put_hex(at, 'u', (uint32_t)c, 4);
    else
        at = put_hex(at, 'U', (uint32_t)c, 8);
    *data += size;
    return at;
}

static int
put_string_repr(struct pytext *text, const char *data, size_t size,
                struct lighter_error *err)
{
    const char quote = pick_quote(data, size), *end = size ? data + size : data;
    char *at;
    int r;

    r = put_char(text, quote, err);
    while (r == 0 && data < end) {
        at = pytext_room(text, ESCAPE_ROOM, err);
        if (!at)
            return text->failed;
        if ((unsigned char)*data < 0x80)
            text->at = put_ascii(at, *data++, quote);
        else
            text->at = put_wide(at, &data, end);
    }
    return r < 0 ? r : put_char(text, quote, err);
}

static int
put_bytes(struct pytext *text, const char *data, size_t size, struct lighter_error *err)
{
    const char prefix[2] = {'b', pick_quote(data, size)};
    char *at;
    int r;

    r = pytext_put(text, prefix, 2, err);
    for (size_t i = 0; r == 0 && i < size; i++) {
        at = pytext_room(text, ESCAPE_ROOM, err);
        if (!at)
            return text->failed;
        if ((unsigned char)data[i] < 0x80)
            text->at = put_ascii(at, data[i], prefix[1]);
        else
            text->at = put_hex(at, 'x', (unsigned char)data[i], 2);
    }
    return r < 0 ? r : put_char(text, prefix[1], err);
}

/* ---- tensors ------------------------------------------------------------------- */

static int
put_element(struct pytext *text, number_put_element *put, const uint8_t *element,
            struct lighter_error *err)
{
    char *at = pytext_room(text, NUMBER_ROOM, err);

    if (!at)
        return text->failed;
    text->at = put(at, element);
    return 0;
}

/* "0.5, 1.5": the last dimension, which is where the time goes */
static int
put_elements(struct pytext *text, const struct lighter_tensor *tensor,
             number_put_element *put, struct lighter_error *err)
{
    const uint8_t *element = tensor->data;
    size_t size = lighter_dtype_size(tensor->dtype);
    char *at;

    for (uint64_t i = 0; i < tensor->shape[0]; i++, element += size) {
        at = pytext_room(text, NUMBER_ROOM + 2, err);
        if (!at)
            return text->failed;
        if (i) {
            memcpy(at, ", ", 2);
            at += 2;
        }
        text->at = put(at, element);
    }
    return 0;
}

static int put_tensor(struct pytext *text, const struct lighter_tensor *tensor,
                      number_put_element *put, struct lighter_error *err);

static int
put_rows(struct pytext *text, const struct lighter_tensor *tensor,
         number_put_element *put, struct lighter_error *err)
{
    struct lighter_value row;
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < tensor->shape[0]; i++) {
        lighter_tensor_item(tensor, i, &row);
        r = pytext_put(text, ", ", i ? 2 : 0, err);
        if (r == 0)
            r = put_tensor(text, &row.as.tensor, put, err);
    }
    return r;
}

static int
put_tensor(struct pytext *text, const struct lighter_tensor *tensor,
           number_put_element *put, struct lighter_error *err)
{
    int r;

    if (tensor->ndim == 0)
        return put_element(text, put, tensor->data, err);
    r = put_char(text, '[', err);
    if (r == 0)
        r = tensor->ndim == 1 ? put_elements(text, tensor, put, err)
                              : put_rows(text, tensor, put, err);
    return r < 0 ? r : put_char(text, ']', err);
}

static int
put_any_tensor(struct pytext *text, const struct lighter_tensor *tensor,
               struct lighter_error *err)
{
    number_put_element *put = number_element(tensor->dtype);

    if (!put)
        return lighter_fail(err, LIGHTER_E_TYPE, "a tensor of the unknown dtype %u",
                            (unsigned)tensor->dtype);
    return put_tensor(text, tensor, put, err);
}

/* ---- lists and dicts ----------------------------------------------------------- */

static int
put_list(struct pytext *text, const struct lighter_value *list,
         struct lighter_error *err)
{
    int r = put_char(text, '[', err);

    for (uint32_t i = 0; r == 0 && i < list->count; i++) {
        r = pytext_put(text, ", ", i ? 2 : 0, err);
        if (r == 0)
            r = put_value(text, &list->as.items[i], err);
    }
    return r < 0 ? r : put_char(text, ']', err);
}

static int
put_pair(struct pytext *text, const struct lighter_value *pair,
         struct lighter_error *err)
{
    int r = put_value(text, &pair[0], err);

    if (r == 0)
        r = pytext_put(text, ": ", 2, err);
    return r < 0 ? r : put_value(text, &pair[1], err);
}

static int
put_dict(struct pytext *text, const struct lighter_value *map,
         struct lighter_error *err)
{
    int r = put_char(text, '{', err);

    for (size_t i = 0; r == 0 && i < map->count; i++) {
        r = pytext_put(text, ", ", i ? 2 : 0, err);
        if (r == 0)
            r = put_pair(text, &map->as.items[2 * i], err);
    }
    return r < 0 ? r : put_char(text, '}', err);
}

/* ---- values -------------------------------------------------------------------- */

static int
put_number(struct pytext *text, const struct lighter_value *value,
           struct lighter_error *err)
{
    char *at = pytext_room(text, NUMBER_ROOM, err);

    if (!at)
        return text->failed;
    if (value->type == LIGHTER_FLOAT)
        text->at = number_put_float(at, value->as.real);
    else if (value->type == LIGHTER_UINT)
        text->at = number_put_uint(at, value->as.uinteger);
    else
        text->at = number_put_int(at, value->as.integer);
    return 0;
}

static int
put_value(struct pytext *text, const struct lighter_value *value,
          struct lighter_error *err)
{
    switch (value->type) {
    case LIGHTER_NIL:
        return pytext_put(text, "None", 4, err);
    case LIGHTER_BOOL:
        return value->as.boolean ? pytext_put(text, "True", 4, err)
                                 : pytext_put(text, "False", 5, err);
    case LIGHTER_INT:
    case LIGHTER_UINT:
    case LIGHTER_FLOAT:
        return put_number(text, value, err);
    case LIGHTER_STRING:
        return put_string_repr(text, value->as.string.data, value->as.string.size, err);
    case LIGHTER_BYTES:
        return put_bytes(text, value->as.string.data, value->as.string.size, err);
    case LIGHTER_LIST:
        return put_list(text, value, err);
    case LIGHTER_MAP:
        return put_dict(text, value, err);
    case LIGHTER_TENSOR:
        return put_any_tensor(text, &value->as.tensor, err);
    default:
        return lighter_fail(err, LIGHTER_E_TYPE, "a value of the unknown type %u",
                            (unsigned)value->type);
    }
}

int
pytext_repr(struct pytext *text, const struct lighter_value *value,
            struct lighter_error *err)
{
    return put_value(text, value, err);
}

int
pytext_str(struct pytext *text, const struct lighter_value *value,
           struct lighter_error *err)
{
    if (value->type == LIGHTER_STRING)
        return pytext_put(text, value->as.string.data, value->as.string.size, err);
    return put_value(text, value, err);
}
