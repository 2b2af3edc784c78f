/* writer.c - see writer.h. */
#include "daemon/writer.h"

#include "util/error.h"
#include "wire/params.h"

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
    return writer->target ? 0
                          : lighter_fail(err, LIGHTER_E_PARAMS,
                                         "writer '%s' has no target", type->name);
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

void
writer_done(struct writer *writer)
{
    if (writer->zone)
        msgpack_zone_free(writer->zone);
    free(writer->text);
    *writer = (struct writer){0};
}
