/* report_plugins.c - what there is to write with, and its options, for people.
 *
 * In: the registry. Out: the result of `plugins` (doc/protocol.md, section 6).
 */
#include "daemon/report.h"

#include "util/error.h"

/* The name that was asked for; NULL selects everything. */
struct selection {
    const char *name;
    const struct registry *registry;
};

static bool
selects(const struct selection *selection, const struct registry_entry *entry)
{
    const char *plugin = selection->registry->plugins[entry->plugin].name;

    return !selection->name || strcmp(selection->name, entry->name) == 0 ||
           strcmp(selection->name, plugin) == 0;
}

static void
pack_options(struct message_out *out, const struct lighter_option *options)
{
    uint32_t n = 0;

    while (options[n].name)
        n++;
    pack_key(&out->packer, "options");
    msgpack_pack_array(&out->packer, n);
    for (uint32_t i = 0; i < n; i++) {
        msgpack_pack_map(&out->packer, 5);
        pack_key_text(&out->packer, "name", options[i].name);
        pack_key_text(&out->packer, "type", option_type_name(options[i].type));
        pack_key_bool(&out->packer, "required", options[i].required);
        pack_key_text(&out->packer, "default", options[i].fallback);
        pack_key_text(&out->packer, "help", options[i].help);
    }
}

static void
pack_entry(struct message_out *out, const struct registry *registry,
           enum registry_kind kind, const struct registry_entry *entry)
{
    bool is_writer = kind == REGISTRY_WRITER;

    msgpack_pack_map(&out->packer, 4 + is_writer);
    pack_key_text(&out->packer, "name", entry->name);
    pack_key_text(&out->packer, "plugin", registry->plugins[entry->plugin].name);
    pack_key_text(&out->packer, "summary", entry->summary);
    if (is_writer)
        pack_key_text(&out->packer, "kind",
                      entry->as.writer.kind == LIGHTER_KIND_TABLE ? "table" : "files");
    pack_options(out, entry->options);
}

/* Those of one kind that are selected. Return: how many. */
static size_t
pack_kind(struct message_out *out, const struct selection *selection,
          enum registry_kind kind, const char *key)
{
    const struct registry_list *list = &selection->registry->lists[kind];
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++)
        n += selects(selection, list->items[i]);
    pack_key(&out->packer, key);
    msgpack_pack_array(&out->packer, n);
    for (size_t i = 0; i < list->count; i++)
        if (selects(selection, list->items[i]))
            pack_entry(out, selection->registry, kind, list->items[i]);
    return n;
}

static void
pack_loaded(struct message_out *out, const struct registry *registry)
{
    pack_key(&out->packer, "plugins");
    msgpack_pack_array(&out->packer, registry->n_plugins);
    for (size_t i = 0; i < registry->n_plugins; i++) {
        msgpack_pack_map(&out->packer, 3);
        pack_key_text(&out->packer, "name", registry->plugins[i].name);
        pack_key_text(&out->packer, "version", registry->plugins[i].version);
        pack_key_text(&out->packer, "path", registry->plugins[i].path);
    }
    pack_key(&out->packer, "refused");
    msgpack_pack_array(&out->packer, registry->n_refusals);
    for (size_t i = 0; i < registry->n_refusals; i++) {
        msgpack_pack_map(&out->packer, 2);
        pack_key_text(&out->packer, "path", registry->refusals[i].path);
        pack_key_text(&out->packer, "reason", registry->refusals[i].reason);
    }
}

size_t
report_plugins(const struct registry *registry, const char *name,
               struct message_out *out)
{
    struct selection selection = {name, registry};
    size_t n;

    msgpack_pack_map(&out->packer, 5);
    pack_loaded(out, registry);
    n = pack_kind(out, &selection, REGISTRY_WRITER, "writers");
    n += pack_kind(out, &selection, REGISTRY_ENCODER, "encoders");
    return n + pack_kind(out, &selection, REGISTRY_POLICY, "policies");
}
