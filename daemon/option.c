/* option.c - see option.h. */
#include "daemon/option.h"

#include "util/error.h"
#include "util/utf8.h"
#include "wire/params.h"

#include <inttypes.h>
#include <linux/limits.h>

const char *
option_type_name(enum lighter_option_type type)
{
    static const char *const names[] = {"string", "strings", "int",    "bool",
                                        "target", "suffix",  "encoder"};

    return names[type];
}

int
option_end_text(FILE *text, char *const *ret_text, struct lighter_error *err)
{
    bool is_whole = !ferror(text);

    is_whole &= fclose(text) == 0; /* 0 also where the last piece had no room */
    return is_whole && *ret_text ? 0 : fail_nomem(err);
}

const char *
option_string(const struct lighter_option *table, const void *options,
              enum lighter_option_type type)
{
    for (const struct lighter_option *option = table; option->name; option++)
        if (option->type == type)
            return *(const char *const *)((const char *)options + option->offset);
    return NULL;
}

/* ---- the normal form ---- */

/* 'text', with quotes inside told apart from those around: what is compared must differ
 * where options differ.
 */
static void
print_quoted(FILE *text, const char *string)
{
    fputc('\'', text);
    for (; *string; string++) {
        if (*string == '\'' || *string == '\\')
            fputc('\\', text);
        fputc(*string, text);
    }
    fputc('\'', text);
}

static void
print_string(FILE *text, const char *name, const char *string)
{
    if (!text)
        return;
    fprintf(text, " %s=", name);
    print_quoted(text, string);
}

static void
print_strings(FILE *text, const char *name, const struct lighter_strings *strings)
{
    if (!text)
        return;
    fprintf(text, " %s=[", name);
    for (size_t i = 0; i < strings->count; i++) {
        fputs(i ? ", " : "", text);
        print_quoted(text, strings->items[i]);
    }
    fputc(']', text);
}

/* ---- one option ---- */

static int
text_of(const struct option_context *context, msgpack_object_str string,
        const char *name, const char **ret_text, struct lighter_error *err)
{
    if (!utf8_valid(string.ptr, string.size) || memchr(string.ptr, '\0', string.size))
        return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' expects UTF-8 without NUL",
                            name);
    *ret_text = params_text(context->zone, string);
    return *ret_text ? 0 : fail_nomem(err);
}

static int
parse_string(const struct option_context *context, const struct lighter_option *option,
             const msgpack_object *map, const char **field, struct lighter_error *err)
{
    msgpack_object_str string;
    int r = params_string(map, option->name, &string, err);

    if (r == 0)
        r = text_of(context, string, option->name, field, err);
    if (r == 0)
        print_string(context->text, option->name, *field);
    return r;
}

static int
parse_suffix(const struct option_context *context, const struct lighter_option *option,
             const msgpack_object *map, const char **field, struct lighter_error *err)
{
    int r = parse_string(context, option, map, field, err);

    if (r == 0 && (strchr(*field, '/') || strlen(*field) > 64 ||
                   !utf8_printable(*field, strlen(*field))))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects at most 64 bytes of printable UTF-8 "
                            "without '/', got '%.80s'",
                            option->name, *field);
    return r;
}

static int
parse_strings(const struct option_context *context, const struct lighter_option *option,
              const msgpack_object *map, struct lighter_strings *field,
              struct lighter_error *err)
{
    int r = params_texts(map, option->name, UINT32_MAX, context->zone, &field->items,
                         &field->count, err);

    if (r != 0)
        return r;
    if (field->count == 0 && option->required)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects one string or more, got none", option->name);
    print_strings(context->text, option->name, field);
    return 0;
}

/* Absolute, without "//", "/./" and a '/' at the end; ".." and links stay as they are.
 */
static int
clean_path(const char *cwd, const char *path, char *ret_path, size_t size,
           struct lighter_error *err)
{
    char joined[2 * PATH_MAX];
    size_t used = 0;
    char *rest, *part;

    if (*path != '/' && !cwd)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%.200s' is a relative path, and 'cwd' is missing", path);
    snprintf(joined, sizeof joined, "%s/%s", *path == '/' ? "" : cwd, path);
    for (part = strtok_r(joined, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (used + strlen(part) + 2 > size)
            return lighter_fail_os(err, ENAMETOOLONG, "the path '%.200s...'", path);
        used += (size_t)snprintf(ret_path + used, size - used, "/%s", part);
    }
    return used ? 0
                : lighter_fail(err, LIGHTER_E_PARAMS, "the path '%.200s' is no target",
                               path);
}

static int
parse_target(const struct option_context *context, const struct lighter_option *option,
             const msgpack_object *map, const char **field, struct lighter_error *err)
{
    char path[PATH_MAX];
    msgpack_object_str string;
    const char *text;
    char *kept;
    int r = params_string(map, option->name, &string, err);

    if (r != 0)
        return r;
    if (string.size >= PATH_MAX || !utf8_printable(string.ptr, string.size))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects a path of printable UTF-8 below %d bytes",
                            option->name, PATH_MAX);
    r = text_of(context, string, option->name, &text, err);
    if (r == 0)
        r = clean_path(context->cwd, text, path, sizeof path, err);
    if (r < 0)
        return r;
    kept = msgpack_zone_malloc(context->zone, strlen(path) + 1);
    if (!kept)
        return fail_nomem(err);
    strcpy(kept, path);
    *field = kept;
    print_string(context->text, option->name, path);
    return 0;
}

static int
parse_int(const struct option_context *context, const struct lighter_option *option,
          const msgpack_object *map, int64_t *field, struct lighter_error *err)
{
    int r = params_int(map, option->name, option->min, option->max, field, err);

    if (r == 0 && context->text)
        fprintf(context->text, " %s=%" PRId64, option->name, *field);
    return r;
}

static int
parse_bool(const struct option_context *context, const struct lighter_option *option,
           const msgpack_object *map, bool *field, struct lighter_error *err)
{
    int r = params_bool(map, option->name, field, err);

    if (r == 0 && context->text)
        fprintf(context->text, " %s=%s", option->name, *field ? "true" : "false");
    return r;
}

/* A name, or a map of "name" and the encoder's own options. */
static int
parse_encoder(const struct option_context *context, const struct lighter_option *option,
              const msgpack_object *map, struct lighter_encoding *field,
              struct lighter_error *err)
{
    static const msgpack_object no_options = {.type = MSGPACK_OBJECT_MAP};
    const msgpack_object *value = params_find(map, option->name), *options = value;
    const struct lighter_encoder *encoder;
    msgpack_object_str name;
    const char *text;
    void *parsed;
    int r;

    if (!value)
        return PARAMS_ABSENT;
    if (value->type == MSGPACK_OBJECT_STR) {
        name = value->via.str;
        options = &no_options;
    } else if (value->type == MSGPACK_OBJECT_MAP) {
        r = params_required(params_string(value, "name", &name, err), "name", err);
        if (r < 0)
            return error_wrap(err, r, "'%s'", option->name);
    } else {
        return lighter_fail(err, LIGHTER_E_TYPE, "'%s' expects a name or a map, got %s",
                            option->name, params_type_name(value));
    }
    r = text_of(context, name, option->name, &text, err);
    if (r < 0)
        return r;
    encoder = registry_encoder(context->registry, text, err);
    if (!encoder)
        return -EINVAL;
    if (context->text)
        fprintf(context->text, " %s=%s(", option->name, text);
    r = option_parse(context, text, encoder->options, encoder->options_size, options,
                     &parsed, err);
    if (r < 0)
        return r;
    if (context->text)
        fputs(" )", context->text);
    *field = (struct lighter_encoding){
        encoder, parsed,
        option_string(encoder->options, parsed, LIGHTER_OPTION_SUFFIX)};
    return 0;
}

static int
parse_one(const struct option_context *context, const struct lighter_option *option,
          const msgpack_object *map, void *field, struct lighter_error *err)
{
    switch (option->type) {
    case LIGHTER_OPTION_STRING:
        return parse_string(context, option, map, field, err);
    case LIGHTER_OPTION_SUFFIX:
        return parse_suffix(context, option, map, field, err);
    case LIGHTER_OPTION_STRINGS:
        return parse_strings(context, option, map, field, err);
    case LIGHTER_OPTION_INT:
        return parse_int(context, option, map, field, err);
    case LIGHTER_OPTION_BOOL:
        return parse_bool(context, option, map, field, err);
    case LIGHTER_OPTION_TARGET:
        return parse_target(context, option, map, field, err);
    case LIGHTER_OPTION_ENCODER:
        return parse_encoder(context, option, map, field, err);
    }
    return lighter_fail(err, LIGHTER_E_INTERNAL, "option '%s' has an unknown type",
                        option->name);
}

/* ---- defaults, and what must not be there ---- */

static void
set_fallback(const struct lighter_option *option, void *field)
{
    if (!option->fallback)
        return; /* the struct is zeroed */
    switch (option->type) {
    case LIGHTER_OPTION_STRING:
    case LIGHTER_OPTION_SUFFIX:
        *(const char **)field = option->fallback;
        break;
    case LIGHTER_OPTION_INT:
        *(int64_t *)field = strtoll(option->fallback, NULL, 10);
        break;
    case LIGHTER_OPTION_BOOL:
        *(bool *)field = strcmp(option->fallback, "true") == 0;
        break;
    case LIGHTER_OPTION_STRINGS:
    case LIGHTER_OPTION_TARGET:
    case LIGHTER_OPTION_ENCODER:
        break;
    }
}

static bool
is_known(const struct lighter_option *table, msgpack_object_str key)
{
    for (const struct lighter_option *option = table; option->name; option++)
        if (params_str_is(key, option->name))
            return true;
    return params_str_is(key,
                         "name"); /* an encoder's own name stands among its options */
}

static int
refuse_unknown(const char *owner, const struct lighter_option *table,
               const msgpack_object *map, struct lighter_error *err)
{
    char names[512] = "";
    size_t used = 0;

    for (const struct lighter_option *option = table; option->name; option++)
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'",
                                     used ? ", " : "", option->name);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *key = &map->via.map.ptr[i].key;

        if (key->type != MSGPACK_OBJECT_STR)
            return lighter_fail(err, LIGHTER_E_PARAMS, "'%s': an option's name is %s",
                                owner, params_type_name(key));
        if (!is_known(table, key->via.str))
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "'%s' has no option '%.*s'; there are: %s", owner,
                                (int)(key->via.str.size < 64 ? key->via.str.size : 64),
                                key->via.str.ptr, names);
    }
    return 0;
}

int
option_parse(const struct option_context *context, const char *owner,
             const struct lighter_option *table, size_t options_size,
             const msgpack_object *map, void **ret_options, struct lighter_error *err)
{
    char *options = msgpack_zone_malloc(context->zone, options_size + 1);
    int r;

    if (!options)
        return fail_nomem(err);
    memset(options, 0, options_size);
    r = refuse_unknown(owner, table, map, err);
    if (r < 0)
        return r;
    for (const struct lighter_option *option = table; option->name; option++) {
        void *field = options + option->offset;

        r = parse_one(context, option, map, field, err);
        if (r == PARAMS_ABSENT && option->required)
            r = lighter_fail(err, LIGHTER_E_PARAMS, "option '%s' is missing",
                             option->name);
        if (r < 0)
            return error_wrap(err, r, "'%s'", owner);
        if (r == PARAMS_ABSENT)
            set_fallback(option, field);
    }
    *ret_options = options;
    return 0;
}

int
option_check(const struct option_context *context, const char *owner,
             const struct lighter_option *table, size_t options_size,
             const msgpack_object *map, struct lighter_error *err)
{
    char *unused = msgpack_zone_malloc(context->zone, options_size + 1);
    int r = unused ? refuse_unknown(owner, table, map, err) : fail_nomem(err);

    for (const struct lighter_option *option = table; r >= 0 && option->name; option++)
        r = parse_one(context, option, map, unused + option->offset, err);
    return r < 0 ? error_wrap(err, r, "'%s'", owner) : 0;
}
