/* resolve.c - an `open` whose client leaves something to the configuration, made whole.
 * See pipeline.h.
 */
#include "daemon/pipeline.h"

#include "daemon/spec.h"
#include "util/error.h"
#include "wire/params.h"

#include <string.h>

static const msgpack_object nothing = {.type = MSGPACK_OBJECT_MAP};

static bool
is_key(const msgpack_object *key, const char *name)
{
    return key->type == MSGPACK_OBJECT_STR && params_str_is(key->via.str, name);
}

/* Does the map say something under the key? To say nil is to say nothing. */
static bool
has(const msgpack_object *map, const msgpack_object *key)
{
    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (msgpack_object_equal(map->via.map.ptr[i].key, *key))
            return map->via.map.ptr[i].val.type != MSGPACK_OBJECT_NIL;
    return false;
}

struct resolving {
    const msgpack_object *defaults;
    const struct registry *registry;
    msgpack_zone *zone; /* for texts */
    msgpack_packer *packer;
    bool no_memory; /* for a text: what was packed is not what it should be */
};

/* The text of a map's string; NULL where it has none such. */
static const char *
text_in(struct resolving *to, const msgpack_object *map, const char *key)
{
    msgpack_object_str string;
    const char *text;

    if (map->type != MSGPACK_OBJECT_MAP || params_string(map, key, &string, NULL) != 0)
        return NULL;
    text = params_text(to->zone, string);
    to->no_memory |= !text;
    return text;
}

static const msgpack_object *
defaults_of(const struct resolving *to, const char *owner)
{
    const msgpack_object *found = owner ? params_find(to->defaults, owner) : NULL;

    return found ? found : &nothing;
}

static bool
is_encoder_option(const struct lighter_option *table, const msgpack_object *key)
{
    for (const struct lighter_option *option = table; table && option->name; option++)
        if (option->type == LIGHTER_OPTION_ENCODER && is_key(key, option->name))
            return true;
    return false;
}

static void pack_encoding(struct resolving *to, const msgpack_object *value);

static void
pack_option(struct resolving *to, const struct lighter_option *table,
            const msgpack_object_kv *option)
{
    msgpack_pack_object(to->packer, option->key);
    if (is_encoder_option(table, &option->key))
        pack_encoding(to, &option->val);
    else
        msgpack_pack_object(to->packer, option->val);
}

/* The client's own options, then the defaults of those that it left out. */
static void
pack_options(struct resolving *to, const char *owner,
             const struct lighter_option *table, const msgpack_object *own)
{
    const msgpack_object *defaults = defaults_of(to, owner);
    const msgpack_object_map *mine = &own->via.map, *theirs = &defaults->via.map;
    uint32_t n = 0;

    for (uint32_t i = 0; i < mine->size; i++)
        n += mine->ptr[i].val.type != MSGPACK_OBJECT_NIL;
    for (uint32_t i = 0; i < theirs->size; i++)
        n += !has(own, &theirs->ptr[i].key);
    msgpack_pack_map(to->packer, n);
    for (uint32_t i = 0; i < mine->size; i++)
        if (mine->ptr[i].val.type != MSGPACK_OBJECT_NIL)
            pack_option(to, table, &mine->ptr[i]);
    for (uint32_t i = 0; i < theirs->size; i++)
        if (!has(own, &theirs->ptr[i].key))
            pack_option(to, table, &theirs->ptr[i]);
}

/* An encoder that an encoder has for an option gets no defaults: it could be itself. */
static void
pack_encoding(struct resolving *to, const msgpack_object *value)
{
    static const msgpack_object name_key = {.type = MSGPACK_OBJECT_STR,
                                            .via.str = {4, "name"}};
    msgpack_object_kv pair = {name_key, *value};
    msgpack_object map = {.type = MSGPACK_OBJECT_MAP, .via.map = {1, &pair}};

    if (value->type == MSGPACK_OBJECT_MAP)
        pack_options(to, text_in(to, value, "name"), NULL, value);
    else if (value->type == MSGPACK_OBJECT_STR)
        pack_options(to, text_in(to, &map, "name"), NULL, &map);
    else
        msgpack_pack_object(to->packer, *value); /* to be refused */
}

static void
pack_writer(struct resolving *to, const msgpack_object *writer)
{
    const char *type = text_in(to, writer, "type");
    const struct lighter_writer *known =
        type ? registry_writer(to->registry, type, NULL) : NULL;
    const msgpack_object *options = known ? params_find(writer, "options") : NULL;

    if (!known || (options && options->type != MSGPACK_OBJECT_MAP)) {
        msgpack_pack_object(to->packer, *writer); /* to be refused */
        return;
    }
    msgpack_pack_map(to->packer, 2);
    pack_key_text(to->packer, "type", type);
    pack_key(to->packer, "options");
    pack_options(to, type, known->options, options ? options : &nothing);
}

static void
pack_open(struct resolving *to, const msgpack_object_map *params,
          const msgpack_object_array *writers)
{
    uint32_t n = 1;

    for (uint32_t i = 0; i < params->size; i++)
        n += !is_key(&params->ptr[i].key, "writers");
    msgpack_pack_map(to->packer, n);
    for (uint32_t i = 0; i < params->size; i++) {
        if (is_key(&params->ptr[i].key, "writers"))
            continue;
        msgpack_pack_object(to->packer, params->ptr[i].key);
        msgpack_pack_object(to->packer, params->ptr[i].val);
    }
    pack_key(to->packer, "writers");
    msgpack_pack_array(to->packer, writers->size);
    for (uint32_t i = 0; i < writers->size; i++)
        pack_writer(to, &writers->ptr[i]);
}

static int
rewrite(const struct pipelines *pipelines, const struct registry *registry,
        struct message *message, const msgpack_object_array *writers,
        struct lighter_error *err)
{
    struct resolving to = {pipelines_part(pipelines, PIPELINES_DEFAULTS), registry,
                           message->zone, NULL, false};
    struct message resolved;
    struct message_out out;
    int r;

    message_begin_request(&out, message->id, "open");
    to.packer = &out.packer;
    pack_open(&to, &message->params->via.map, writers);
    if (to.no_memory) {
        message_out_done(&out);
        return fail_nomem(err);
    }
    r = message_turn(&out, &resolved, err);
    if (r < 0)
        return r;
    message_done(message);
    *message = resolved;
    return 0;
}

static int
refuse_name(const msgpack_object *named, msgpack_object_str name,
            struct lighter_error *err)
{
    char names[512] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < named->via.map.size && used < sizeof names; i++) {
        const msgpack_object_str *each = &named->via.map.ptr[i].key.via.str;

        used += (size_t)snprintf(names + used, sizeof names - used, "%s'%.*s'",
                                 used ? ", " : "", (int)each->size, each->ptr);
    }
    if (!used)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'pipeline': there is no pipeline '%.*s': this daemon has "
                            "no configuration with pipelines; see lighterd --config, "
                            "lighterctl config show and lighterd.json(5)",
                            (int)(name.size < 100 ? name.size : 100), name.ptr);
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'pipeline': the configuration has no pipeline '%.*s'; there "
                        "are: %s",
                        (int)(name.size < 100 ? name.size : 100), name.ptr, names);
}

/* The writers that the `open` names or lists. */
static int
find_writers(const struct pipelines *pipelines, const msgpack_object *params,
             msgpack_object_array *ret_writers, struct lighter_error *err)
{
    const msgpack_object *named = pipelines_part(pipelines, PIPELINES_NAMED);
    msgpack_object_str name;
    int r = params_string(params, "pipeline", &name, err);

    if (r < 0)
        return r;
    if (r == PARAMS_ABSENT)
        return params_array(params, "writers", ret_writers, err);
    if (params_find(params, "writers"))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'pipeline' and 'writers' came together: one of them says "
                            "what is written");
    for (uint32_t i = 0; i < named->via.map.size; i++) {
        const msgpack_object_kv *pair = &named->via.map.ptr[i];

        if (pair->key.via.str.size == name.size &&
            memcmp(pair->key.via.str.ptr, name.ptr, name.size) == 0) {
            *ret_writers = params_find(&pair->val, "writers")->via.array;
            return 0;
        }
    }
    return refuse_name(named, name, err);
}

static bool
comes_back(const msgpack_object *params)
{
    bool resume = false;

    params_bool(params, "resume", &resume, NULL);
    return resume && params_find(params, "id");
}

int
pipelines_resolve(const struct pipelines *pipelines, const struct registry *registry,
                  struct message *message, struct lighter_error *err)
{
    msgpack_object_array writers;
    int r;

    if (comes_back(message->params))
        return 0;
    r = find_writers(pipelines, message->params, &writers, err);
    if (r < 0)
        return r;
    if (r == PARAMS_ABSENT || !pipelines || writers.size > JOB_WRITERS_MAX)
        return 0; /* there is nothing to fill in, or it is to be refused */
    return rewrite(pipelines, registry, message, &writers, err);
}
