/* pipeline.c - see pipeline.h. */
#include "daemon/pipeline.h"

#include "daemon/jsonline.h"
#include "daemon/spec.h"
#include "util/error.h"
#include "wire/json.h"
#include "wire/params.h"

#include <inttypes.h>
#include <string.h>

const char *
pipelines_part_name(enum pipelines_part part)
{
    return part == PIPELINES_NAMED ? "pipelines" : "defaults";
}

bool
pipelines_is_part(const char *key)
{
    return strcmp(key, "pipelines") == 0 || strcmp(key, "defaults") == 0;
}

const msgpack_object *
pipelines_part(const struct pipelines *pipelines, enum pipelines_part part)
{
    static const msgpack_object nothing = {.type = MSGPACK_OBJECT_MAP};

    return pipelines ? params_find(pipelines->held.params, pipelines_part_name(part))
                     : &nothing;
}

bool
pipelines_are_same(const struct pipelines *a, const struct pipelines *b,
                   enum pipelines_part part)
{
    return msgpack_object_equal(*pipelines_part(a, part), *pipelines_part(b, part));
}

struct pipelines *
pipelines_free(struct pipelines *pipelines)
{
    if (pipelines) {
        message_done(&pipelines->held);
        free(pipelines->path);
        free(pipelines->text);
        free(pipelines);
    }
    return NULL;
}

/* ---- the file: is it of the right shape? ---- */

static int
expect_type(const json_t *value, json_type type, const char *key,
            struct lighter_error *err)
{
    if (value && json_typeof(value) == type)
        return 0;
    return lighter_fail(err, LIGHTER_E_PARAMS, "'%.100s' expects %s, got %s", key,
                        type == JSON_ARRAY    ? "an array"
                        : type == JSON_STRING ? "a string"
                                              : "an object",
                        value ? json_type_text(value) : "nothing");
}

/* Members beside the two. */
static int
expect_keys(const json_t *object, const char *first, const char *second,
            struct lighter_error *err)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        if (strcmp(key, first) != 0 && strcmp(key, second) != 0)
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "unknown key '%.64s'; there are: %s%s%s", key, first,
                                *second ? ", " : "", second);
    }
    return 0;
}

static int
check_writer_shape(const json_t *writer, struct lighter_error *err)
{
    const json_t *options = json_object_get(writer, "options");
    int r = expect_type(writer, JSON_OBJECT, "writers", err);

    if (r == 0)
        r = expect_type(json_object_get(writer, "type"), JSON_STRING, "type", err);
    if (r == 0 && options)
        r = expect_type(options, JSON_OBJECT, "options", err);
    return r < 0 ? r : expect_keys(writer, "type", "options", err);
}

static int
check_pipeline_shape(const char *path, const char *text, const char *name,
                     const json_t *pipeline, struct lighter_error *err)
{
    const json_t *writers = json_object_get(pipeline, "writers");
    size_t n = json_array_size(writers);
    int r = expect_type(pipeline, JSON_OBJECT, name, err);

    if (r == 0)
        r = expect_type(writers, JSON_ARRAY, "writers", err);
    if (r == 0)
        r = expect_keys(pipeline, "writers", "", err);
    if (r == 0 && (n == 0 || n > JOB_WRITERS_MAX))
        r = lighter_fail(err, LIGHTER_E_PARAMS, "'writers' expects 1 to %d, got %zu",
                         JOB_WRITERS_MAX, n);
    if (r < 0)
        return error_wrap(err, r, "%s:%d: pipeline '%.100s'", path,
                          json_line(text, "pipelines", name, NULL), name);
    for (size_t i = 0; i < n; i++) {
        char index[24];

        r = check_writer_shape(json_array_get(writers, i), err);
        snprintf(index, sizeof index, "%zu", i);
        if (r < 0)
            return error_wrap(
                err, r, "%s:%d: pipeline '%.100s'", path,
                json_line(text, "pipelines", name, "writers", index, NULL), name);
    }
    return 0;
}

static int
check_shape(const char *path, const char *text, const json_t *root,
            struct lighter_error *err)
{
    json_t *pipelines = json_object_get(root, "pipelines"), *value;
    json_t *defaults = json_object_get(root, "defaults");
    const char *name;
    int r = pipelines ? expect_type(pipelines, JSON_OBJECT, "pipelines", err) : 0;

    if (r < 0)
        return error_wrap(err, r, "%s:%d", path, json_line(text, "pipelines", NULL));
    r = defaults ? expect_type(defaults, JSON_OBJECT, "defaults", err) : 0;
    if (r < 0)
        return error_wrap(err, r, "%s:%d", path, json_line(text, "defaults", NULL));
    json_object_foreach (pipelines, name, value) {
        r = check_pipeline_shape(path, text, name, value, err);
        if (r < 0)
            return r;
    }
    json_object_foreach (defaults, name, value) {
        r = expect_type(value, JSON_OBJECT, name, err);
        if (r < 0)
            return error_wrap(err, r, "%s:%d: defaults", path,
                              json_line(text, "defaults", name, NULL));
    }
    return 0;
}

/* ---- the file: what is in it ---- */

static void
pack_part(msgpack_packer *packer, const json_t *root, enum pipelines_part part)
{
    const json_t *value = json_object_get(root, pipelines_part_name(part));

    pack_key(packer, pipelines_part_name(part));
    if (value)
        json_pack_value(packer, value);
    else
        msgpack_pack_map(packer, 0);
}

/* As the wire would have brought it: limits and all. */
static int
hold(struct message *ret_message, const json_t *root, struct lighter_error *err)
{
    struct message_out out;

    message_begin_request(&out, 0, "config");
    msgpack_pack_map(&out.packer, PIPELINES_N_PARTS);
    pack_part(&out.packer, root, PIPELINES_NAMED);
    pack_part(&out.packer, root, PIPELINES_DEFAULTS);
    return message_turn(&out, ret_message, err);
}

static int
make(struct pipelines **ret_pipelines, const char *path, const char *text,
     const json_t *root, struct lighter_error *err)
{
    struct pipelines *pipelines = calloc(1, sizeof *pipelines);
    int r;

    if (!pipelines)
        return fail_nomem(err);
    pipelines->path = strdup(path);
    pipelines->text = strdup(text);
    r = pipelines->path && pipelines->text ? hold(&pipelines->held, root, err)
                                           : fail_nomem(err);
    if (r < 0)
        pipelines_free(pipelines);
    else
        *ret_pipelines = pipelines;
    return r;
}

int
pipelines_read(struct pipelines **ret_pipelines, const char *path, const char *text,
               const json_t *root, struct lighter_error *err)
{
    int r = check_shape(path, text, root, err);

    if (r < 0)
        return r;
    *ret_pipelines = pipelines_free(*ret_pipelines);
    if (!json_object_get(root, "pipelines") && !json_object_get(root, "defaults"))
        return 0;
    return make(ret_pipelines, path, text, root, err);
}

/* ---- the plugins: do they have all that? ---- */

static int
check_pipeline(const struct pipelines *pipelines, const struct registry *registry,
               const char *name, const msgpack_object *pipeline,
               struct lighter_error *err)
{
    const msgpack_object *writers = params_find(pipeline, "writers");

    for (uint32_t i = 0; i < writers->via.array.size; i++) {
        struct writer writer;
        char index[16];
        int r = writer_init(&writer, registry, "/", &writers->via.array.ptr[i], err);

        if (r == 0)
            r = writer_check(&writer, err);
        writer_done(&writer);
        snprintf(index, sizeof index, "%" PRIu32, i);
        if (r < 0)
            return error_wrap(
                err, r, "%s:%d: pipeline '%.100s'", pipelines->path,
                json_line(pipelines->text, "pipelines", name, "writers", index, NULL),
                name);
    }
    return 0;
}

/* The options of the writer, or else encoder, of that name; NULL: there is none. */
static const struct lighter_option *
find_options(const struct registry *registry, const char *name, size_t *ret_size)
{
    const struct lighter_writer *writer = registry_writer(registry, name, NULL);
    const struct lighter_encoder *encoder =
        writer ? NULL : registry_encoder(registry, name, NULL);

    if (writer) {
        *ret_size = writer->options_size;
        return writer->options;
    }
    *ret_size = encoder ? encoder->options_size : 0;
    return encoder ? encoder->options : NULL;
}

static int
check_default(const struct pipelines *pipelines, const struct option_context *context,
              const char *name, const msgpack_object_kv *pair,
              struct lighter_error *err)
{
    msgpack_object one = {.type = MSGPACK_OBJECT_MAP,
                          .via.map = {1, (msgpack_object_kv *)pair}};
    const char *key = params_text(context->zone, pair->key.via.str);
    const struct lighter_option *options;
    size_t size;
    int r;

    if (!key)
        return fail_nomem(err);
    options = find_options(context->registry, name, &size);
    r = options ? option_check(context, name, options, size, &one, err)
                : lighter_fail(err, LIGHTER_E_PARAMS,
                               "no writer or encoder is called '%.64s'; see "
                               "lighterctl plugins",
                               name);
    return r < 0 ? error_wrap(err, r, "%s:%d: defaults", pipelines->path,
                              json_line(pipelines->text, "defaults", name, key, NULL))
                 : 0;
}

static int
check_named(const struct pipelines *pipelines, const struct option_context *context,
            struct lighter_error *err)
{
    const msgpack_object_map *named =
        &pipelines_part(pipelines, PIPELINES_NAMED)->via.map;
    int r = 0;

    for (uint32_t i = 0; i < named->size && r == 0; i++) {
        const char *name = params_text(context->zone, named->ptr[i].key.via.str);

        r = name ? check_pipeline(pipelines, context->registry, name,
                                  &named->ptr[i].val, err)
                 : fail_nomem(err);
    }
    return r;
}

static int
check_defaults(const struct pipelines *pipelines, const struct option_context *context,
               struct lighter_error *err)
{
    const msgpack_object_map *defaults =
        &pipelines_part(pipelines, PIPELINES_DEFAULTS)->via.map;
    int r = 0;

    for (uint32_t i = 0; i < defaults->size && r == 0; i++) {
        const char *name = params_text(context->zone, defaults->ptr[i].key.via.str);
        const msgpack_object_map *options = &defaults->ptr[i].val.via.map;

        r = name ? 0 : fail_nomem(err);
        for (uint32_t j = 0; j < options->size && r == 0; j++)
            r = check_default(pipelines, context, name, &options->ptr[j], err);
    }
    return r;
}

int
pipelines_check(const struct pipelines *pipelines, const struct registry *registry,
                struct lighter_error *err)
{
    struct option_context context = {registry, "/", msgpack_zone_new(1024), NULL};
    int r = context.zone ? 0 : fail_nomem(err);

    if (r == 0)
        r = check_named(pipelines, &context, err);
    if (r == 0)
        r = check_defaults(pipelines, &context, err);
    if (context.zone)
        msgpack_zone_free(context.zone);
    return r;
}
