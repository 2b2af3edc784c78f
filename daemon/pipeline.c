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
pipelines_ref(struct pipelines *pipelines)
{
    if (pipelines)
        pipelines->refs++;
    return pipelines;
}

struct pipelines *
pipelines_free(struct pipelines *pipelines)
{
    if (pipelines && --pipelines->refs == 0) {
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

/* One that has a wrong writer is wrong, but the others are looked at, too. */
static int
check_pipeline_shape(const char *path, const char *text, const char *name,
                     const json_t *pipeline, struct problems *problems,
                     struct lighter_error *err)
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
    problems_at(problems, "%s:%d: pipeline '%.100s'", path,
                json_line(text, "pipelines", name, NULL), name);
    r = problems_add(problems, r, err);
    for (size_t i = 0; i < n && r == 0; i++) {
        char index[24];

        snprintf(index, sizeof index, "%zu", i);
        problems_at(problems, "%s:%d: pipeline '%.100s'", path,
                    json_line(text, "pipelines", name, "writers", index, NULL), name);
        r = check_writer_shape(json_array_get(writers, i), err);
        r = problems_add(problems, r, err);
    }
    return r;
}

/* Is `root`'s part an object? One that is not goes. */
static int
check_part(const char *path, const char *text, json_t *root, const char *key,
           struct problems *problems, struct lighter_error *err)
{
    const json_t *part = json_object_get(root, key);
    int r = part ? expect_type(part, JSON_OBJECT, key, err) : 0;

    problems_at(problems, "%s:%d", path, json_line(text, key, NULL));
    if (r < 0)
        json_object_del(root, key);
    return problems_add(problems, r, err);
}

static int
check_named_shapes(const char *path, const char *text, json_t *named,
                   struct problems *problems, struct lighter_error *err)
{
    json_t *value;
    const char *name;
    void *next;

    json_object_foreach_safe(named, next, name, value)
    {
        unsigned before = problems->n;
        int r = check_pipeline_shape(path, text, name, value, problems, err);

        if (r < 0)
            return r;
        if (problems->n != before)
            json_object_del(named, name);
    }
    return 0;
}

static int
check_default_shapes(const char *path, const char *text, json_t *defaults,
                     struct problems *problems, struct lighter_error *err)
{
    json_t *value;
    const char *name;
    void *next;

    json_object_foreach_safe(defaults, next, name, value)
    {
        int wrong = expect_type(value, JSON_OBJECT, name, err), r;

        problems_at(problems, "%s:%d: defaults", path,
                    json_line(text, "defaults", name, NULL));
        r = problems_add(problems, wrong, err);
        if (r < 0)
            return r;
        if (wrong < 0)
            json_object_del(defaults, name);
    }
    return 0;
}

static int
check_shape(const char *path, const char *text, json_t *root, struct problems *problems,
            struct lighter_error *err)
{
    int r = check_part(path, text, root, "pipelines", problems, err);

    if (r == 0)
        r = check_part(path, text, root, "defaults", problems, err);
    if (r == 0)
        r = check_named_shapes(path, text, json_object_get(root, "pipelines"), problems,
                               err);
    if (r == 0)
        r = check_default_shapes(path, text, json_object_get(root, "defaults"),
                                 problems, err);
    return r;
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
    pipelines->refs = 1;
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
               json_t *root, struct problems *problems, struct lighter_error *err)
{
    int r = check_shape(path, text, root, problems, err);

    if (r < 0)
        return r;
    *ret_pipelines = pipelines_free(*ret_pipelines);
    if (!json_object_get(root, "pipelines") && !json_object_get(root, "defaults"))
        return 0;
    return make(ret_pipelines, path, text, root, err);
}

/* ---- the plugins: do they have all that? ---- */

/* What a pipelines_check() goes by. Borrowed. */
struct checking {
    const struct pipelines *pipelines;
    const struct registry *registry;
    msgpack_zone *zone;
    struct problems *problems;
};

static int
check_pipeline(struct checking *checking, const char *name,
               const msgpack_object *pipeline, struct lighter_error *err)
{
    const msgpack_object *writers = params_find(pipeline, "writers");
    const struct pipelines *pipelines = checking->pipelines;
    int r = 0;

    for (uint32_t i = 0; i < writers->via.array.size && r == 0; i++) {
        struct writer writer;
        char index[16];

        snprintf(index, sizeof index, "%" PRIu32, i);
        problems_at(
            checking->problems, "%s:%d: pipeline '%.100s'", pipelines->path,
            json_line(pipelines->text, "pipelines", name, "writers", index, NULL),
            name);
        r = writer_init(&writer, checking->registry, "/", &writers->via.array.ptr[i],
                        err);
        if (r == 0)
            r = writer_check(&writer, err);
        writer_done(&writer);
        r = problems_add(checking->problems, r, err);
    }
    return r;
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
check_default(struct checking *checking, const char *name,
              const msgpack_object_kv *pair, struct lighter_error *err)
{
    const struct option_context context = {checking->registry, "/", checking->zone,
                                           NULL};
    msgpack_object one = {.type = MSGPACK_OBJECT_MAP,
                          .via.map = {1, (msgpack_object_kv *)pair}};
    const char *key = params_text(checking->zone, pair->key.via.str);
    const struct lighter_option *options;
    size_t size;
    int r;

    if (!key)
        return fail_nomem(err);
    problems_at(checking->problems, "%s:%d: defaults", checking->pipelines->path,
                json_line(checking->pipelines->text, "defaults", name, key, NULL));
    options = find_options(checking->registry, name, &size);
    r = options ? option_check(&context, name, options, size, &one, err)
                : lighter_fail(err, LIGHTER_E_PARAMS,
                               "no writer or encoder is called '%.64s'; see "
                               "lighterctl plugins",
                               name);
    return problems_add(checking->problems, r, err);
}

static int
check_named(struct checking *checking, struct lighter_error *err)
{
    const msgpack_object_map *named =
        &pipelines_part(checking->pipelines, PIPELINES_NAMED)->via.map;
    int r = 0;

    for (uint32_t i = 0; i < named->size && r == 0; i++) {
        const char *name = params_text(checking->zone, named->ptr[i].key.via.str);

        r = name ? check_pipeline(checking, name, &named->ptr[i].val, err)
                 : fail_nomem(err);
    }
    return r;
}

static int
check_defaults(struct checking *checking, struct lighter_error *err)
{
    const msgpack_object_map *defaults =
        &pipelines_part(checking->pipelines, PIPELINES_DEFAULTS)->via.map;
    int r = 0;

    for (uint32_t i = 0; i < defaults->size && r == 0; i++) {
        const char *name = params_text(checking->zone, defaults->ptr[i].key.via.str);
        const msgpack_object_map *options = &defaults->ptr[i].val.via.map;

        r = name ? 0 : fail_nomem(err);
        for (uint32_t j = 0; j < options->size && r == 0; j++)
            r = check_default(checking, name, &options->ptr[j], err);
    }
    return r;
}

int
pipelines_check(const struct pipelines *pipelines, const struct registry *registry,
                struct problems *problems, struct lighter_error *err)
{
    struct problems none = {0};
    struct checking checking = {pipelines, registry, msgpack_zone_new(1024),
                                problems ? problems : &none};
    int r = checking.zone ? 0 : fail_nomem(err);

    if (r == 0)
        r = check_named(&checking, err);
    if (r == 0)
        r = check_defaults(&checking, err);
    if (checking.zone)
        msgpack_zone_free(checking.zone);
    return r;
}
