/* writer.c - see writer.h. */
#include "daemon/writer.h"

#include "daemon/promise.h"
#include "util/error.h"
#include "wire/params.h"

#include <linux/limits.h>

static int
find_type(struct writer *writer, const struct registry *registry,
          const msgpack_object *spec, struct lighter_error *err)
{
    msgpack_object_str name;
    const char *text;
    int r;

    if (spec->type != MSGPACK_OBJECT_MAP)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'writers' expects maps, got %s",
                            params_type_name(spec));
    r = params_required(params_string(spec, "type", &name, err), "type", err);
    if (r < 0)
        return r;
    text = params_text(writer->zone, name);
    if (!text)
        return fail_nomem(err);
    writer->type = registry_writer(registry, text, err);
    return writer->type ? 0 : -EINVAL;
}

static int
parse_options(struct writer *writer, const struct registry *registry, const char *cwd,
              const msgpack_object *spec, struct lighter_error *err)
{
    static const msgpack_object no_options = {.type = MSGPACK_OBJECT_MAP};
    const struct lighter_writer *type = writer->type;
    const msgpack_object *options = &no_options;
    struct option_context context = {registry, cwd, writer->zone, NULL};
    size_t size;
    void *parsed;
    int r = params_map(spec, "options", &options, err), end;

    if (r < 0)
        return error_wrap(err, r, "'%s'", type->name);
    context.text = open_memstream(&writer->text, &size);
    if (!context.text)
        return fail_nomem(err);
    fputs(type->name, context.text);
    r = option_parse(&context, type->name, type->options, type->options_size, options,
                     &parsed, err);
    end = option_end_text(context.text, &writer->text, r < 0 ? NULL : err);
    if (r < 0 || end < 0)
        return r < 0 ? r : end;
    writer->options = parsed;
    writer->target = option_string(type->options, parsed, LIGHTER_OPTION_TARGET);
    if (!writer->target)
        return lighter_fail(err, LIGHTER_E_PARAMS, "writer '%s' has no target",
                            type->name);
    return overwrite_read(type, parsed, &writer->overwrite, err);
}

int
writer_init(struct writer *writer, const struct registry *registry, const char *cwd,
            const msgpack_object *spec, struct lighter_error *err)
{
    int r;

    *writer = (struct writer){.zone = msgpack_zone_new(1024)};
    if (!writer->zone)
        return fail_nomem(err);
    r = find_type(writer, registry, spec, err);
    if (r == 0)
        r = parse_options(writer, registry, cwd, spec, err);
    if (r < 0)
        writer_done(writer);
    return r;
}

static int
check_encoding(const struct lighter_encoding *encoding, struct lighter_error *err)
{
    const struct lighter_encoder *encoder = encoding->encoder;
    int r = encoder && encoder->check_options
                ? encoder->check_options(encoding->options, err)
                : 0;

    if (r < 0)
        return error_wrap(err, r, "'%s'", encoder->name);
    return encoder ? promise_check_suffix(encoding->suffix, encoder->name,
                                          encoder->suffixes, err)
                   : 0;
}

/* A table may be compressed, whatever writes it. */
static int
check_table_name(const struct writer *writer, struct lighter_error *err)
{
    const char *path = writer->target;
    size_t size = strlen(path);
    char plain[PATH_MAX];

    if (size > 3 && size < sizeof plain && strcasecmp(path + size - 3, ".gz") == 0) {
        snprintf(plain, sizeof plain, "%.*s", (int)(size - 3), path);
        path = plain;
    }
    return promise_check_suffix(strrchr(path, '/') + 1, writer->type->name,
                                writer->type->suffixes, err);
}

int
writer_check(const struct writer *writer, struct lighter_error *err)
{
    const struct lighter_writer *type = writer->type;
    const struct lighter_option *option = type->options;
    int r = promise_check_path(writer->target, err);

    if (r == 0 && type->check_options)
        r = type->check_options(writer->options, err);
    if (r == 0 && type->kind == LIGHTER_KIND_TABLE)
        r = check_table_name(writer, err);
    for (; option->name && r == 0; option++)
        if (option->type == LIGHTER_OPTION_ENCODER)
            r = check_encoding(
                (const void *)((const char *)writer->options + option->offset), err);
    return r < 0 ? error_wrap(err, r, "'%s'", type->name) : 0;
}

void
writer_names_files(const struct writer *writer, const char **ret_suffix,
                   const char **ret_names)
{
    const struct lighter_option *option = writer->type->options;

    *ret_suffix = "";
    *ret_names = writer->text;
    for (; option->name; option++) {
        const char *field = (const char *)writer->options + option->offset;

        if (option->type == LIGHTER_OPTION_ENCODER) {
            *ret_suffix = ((const struct lighter_encoding *)field)->suffix;
        } else if (strcmp(option->name, "name_key") == 0 &&
                   option->type == LIGHTER_OPTION_STRING) {
            *ret_names = *(const char *const *)field;
        }
    }
}

void
writer_done(struct writer *writer)
{
    if (writer->zone)
        msgpack_zone_free(writer->zone);
    free(writer->text);
    *writer = (struct writer){0};
}
