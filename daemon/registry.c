/* registry.c - see registry.h. */
#include "daemon/registry.h"

#include "daemon/overwrite.h"
#include "util/error.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

static int
refuse(struct lighter_error *err, const char *what, const char *name, const char *why)
{
    return lighter_fail(err, LIGHTER_E_PARAMS, "%s '%s' %s", what, name, why);
}

_Static_assert(offsetof(struct lighter_writer, summary) ==
                       offsetof(struct lighter_encoder, summary) &&
                   offsetof(struct lighter_writer, summary) ==
                       offsetof(struct lighter_policy, summary),
               "descriptors begin alike");

/* ---- soundness of what a plugin says of itself ---- */

/* Bytes of the field that an option of this type fills; 0: there is no such type. */
static size_t
field_size(enum lighter_option_type type)
{
    switch (type) {
    case LIGHTER_OPTION_STRING:
    case LIGHTER_OPTION_TARGET:
    case LIGHTER_OPTION_SUFFIX:
        return sizeof(const char *);
    case LIGHTER_OPTION_STRINGS:
        return sizeof(struct lighter_strings);
    case LIGHTER_OPTION_INT:
        return sizeof(int64_t);
    case LIGHTER_OPTION_BOOL:
        return sizeof(bool);
    case LIGHTER_OPTION_ENCODER:
        return sizeof(struct lighter_encoding);
    }
    return 0;
}

static bool
is_sound(const struct lighter_option *option, size_t options_size)
{
    size_t size = field_size(option->type);

    return size && option->offset <= options_size &&
           size <= options_size - option->offset &&
           (option->type != LIGHTER_OPTION_SUFFIX || option->fallback);
}

/* How many options of `type` a table has; -1 where the table is unsound. */
static int
count_options(const struct lighter_option *options, size_t options_size,
              enum lighter_option_type type)
{
    int n = 0;

    if (!options)
        return -1;
    for (const struct lighter_option *option = options; option->name; option++) {
        if (!is_sound(option, options_size))
            return -1;
        n += option->type == type;
    }
    return n;
}

static int
check_writer(const struct lighter_writer *writer, struct lighter_error *err)
{
    if (!writer->check || !writer->write)
        return refuse(err, "writer", writer->name, "has no check or no write");
    if (count_options(writer->options, writer->options_size, LIGHTER_OPTION_TARGET) !=
        1)
        return refuse(err, "writer", writer->name,
                      "needs a sound option table with one target");
    if (writer->threads == LIGHTER_THREADS_SAMPLES &&
        writer->kind != LIGHTER_KIND_FILES)
        return refuse(err, "writer", writer->name,
                      "splits batches, which only writers of files may");
    return 0;
}

static int
check_encoder(const struct lighter_encoder *encoder, struct lighter_error *err)
{
    if (!encoder->encode)
        return refuse(err, "encoder", encoder->name, "has no encode");
    if (count_options(encoder->options, encoder->options_size, LIGHTER_OPTION_SUFFIX) !=
        1)
        return refuse(err, "encoder", encoder->name,
                      "needs a sound option table with one suffix");
    return 0;
}

static int
check_policy(const struct lighter_policy *policy, struct lighter_error *err)
{
    if (!policy->open || !policy->decide)
        return refuse(err, "policy", policy->name, "has no open or no decide");
    if (count_options(policy->options, policy->options_size, LIGHTER_OPTION_TARGET) !=
        0)
        return refuse(err, "policy", policy->name,
                      "needs a sound option table without a target");
    return 0;
}

static int
check_entry(enum registry_kind kind, const struct registry_entry *entry,
            struct lighter_error *err)
{
    switch (kind) {
    case REGISTRY_WRITER:
        return check_writer(&entry->as.writer, err);
    case REGISTRY_ENCODER:
        return check_encoder(&entry->as.encoder, err);
    default:
        return check_policy(&entry->as.policy, err);
    }
}

/* ---- looking up ---- */

static const char *const kind_names[] = {"writer", "encoder", "policy"};

static struct registry_entry *
find(const struct registry *registry, enum registry_kind kind, const char *name)
{
    const struct registry_list *list = &registry->lists[kind];

    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i]->name, name) == 0)
            return list->items[i];
    return NULL;
}

/* "'csv', 'file'", as far as there is room. */
static void
list_names(const struct registry_list *list, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "none");
    for (size_t i = 0; i < list->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s'%s'", used ? ", " : "",
                                 list->items[i]->name);
}

static struct registry_entry *
look_up(const struct registry *registry, enum registry_kind kind, const char *name,
        struct lighter_error *err)
{
    struct registry_entry *entry = find(registry, kind, name);
    char names[512];

    if (entry)
        return entry;
    list_names(&registry->lists[kind], names, sizeof names);
    if (kind == REGISTRY_ENCODER) /* the words of lighter */
        lighter_fail(err, LIGHTER_E_PARAMS,
                     "Writer with name '%.64s' is not registered; there are: %s", name,
                     names);
    else
        lighter_fail(err, LIGHTER_E_PARAMS, "no %s is called '%.64s'; there are: %s",
                     kind_names[kind], name, names);
    return NULL;
}

const struct lighter_writer *
registry_writer(const struct registry *registry, const char *name,
                struct lighter_error *err)
{
    struct registry_entry *entry = look_up(registry, REGISTRY_WRITER, name, err);

    return entry ? &entry->as.writer : NULL;
}

const struct lighter_encoder *
registry_encoder(const struct registry *registry, const char *name,
                 struct lighter_error *err)
{
    struct registry_entry *entry = look_up(registry, REGISTRY_ENCODER, name, err);

    return entry ? &entry->as.encoder : NULL;
}

const struct lighter_policy *
registry_policy(const struct registry *registry, const char *name,
                struct lighter_error *err)
{
    struct registry_entry *entry = look_up(registry, REGISTRY_POLICY, name, err);

    return entry ? &entry->as.policy : NULL;
}

/* ---- registering ---- */

/* Room for one more pointer or struct of `size` bytes at the end of an array. */
static int
grow(void *array, size_t n, size_t size, struct lighter_error *err)
{
    void **items = array;
    void *grown = realloc(*items, (n + 1) * size);

    if (!grown)
        return fail_nomem(err);
    *items = grown;
    return 0;
}

/* Keeps the list sorted by name. */
static void
insert(struct registry_list *list, struct registry_entry *entry)
{
    size_t at = list->count++;

    for (; at && strcmp(list->items[at - 1]->name, entry->name) > 0; at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = entry;
}

/* What all kinds have, out of the descriptor. */
static void
describe(struct registry_entry *entry, enum registry_kind kind)
{
    bool is_writer = kind == REGISTRY_WRITER, is_encoder = kind == REGISTRY_ENCODER;

    /* all three begin with size, name and summary */
    entry->name = entry->as.writer.name;
    entry->summary = entry->as.writer.summary;
    entry->options = is_writer    ? entry->as.writer.options
                     : is_encoder ? entry->as.encoder.options
                                  : entry->as.policy.options;
}

static struct registry_entry *
entry_free(struct registry_entry *entry)
{
    if (entry)
        free(entry->with_ours);
    free(entry);
    return NULL;
}

static void
entry_freep(struct registry_entry **entry)
{
    *entry = entry_free(*entry);
}

/* What the daemon reads of every writer's options stands behind the writer's own. */
static int
add_our_options(struct registry_entry *entry, struct lighter_error *err)
{
    struct lighter_writer *writer = &entry->as.writer;
    int r = overwrite_add_option(writer, &entry->with_ours, &writer->options_size, err);

    if (r == 0)
        entry->options = writer->options = entry->with_ours;
    return r;
}

/* `source` is a descriptor of `kind`; all begin with their size, and `room` is ours. */
static int
add_entry(struct registry *registry, enum registry_kind kind, const void *source,
          size_t room, struct lighter_error *err)
{
    AUTO(entry_freep) struct registry_entry *entry = calloc(1, sizeof *entry);
    struct registry_list *list = &registry->lists[kind];
    size_t size = *(const size_t *)source;
    int r;

    if (!entry)
        return fail_nomem(err);
    memcpy(&entry->as, source, size < room ? size : room);
    describe(entry, kind);
    if (!entry->name || !*entry->name)
        return lighter_fail(err, LIGHTER_E_PARAMS, "%s %s has no name",
                            kind == REGISTRY_ENCODER ? "an" : "a", kind_names[kind]);
    r = check_entry(kind, entry, err);
    if (r < 0)
        return r;
    if (find(registry, kind, entry->name))
        return refuse(err, kind_names[kind], entry->name, "is registered already");
    if (kind == REGISTRY_WRITER)
        r = add_our_options(entry, err);
    if (r < 0)
        return r;
    r = grow(&list->items, list->count, sizeof *list->items, err);
    if (r < 0)
        return r;
    entry->plugin = registry->n_plugins;
    insert(list, entry);
    entry = NULL;
    return 0;
}

static int
add_entries(struct registry *registry, enum registry_kind kind,
            const void *const *descriptors, size_t room, struct lighter_error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && descriptors && descriptors[i]; i++)
        r = add_entry(registry, kind, descriptors[i], room, err);
    return r;
}

static int
add_plugin(struct registry *registry, const struct lighter_plugin *plugin,
           const char *path, struct lighter_error *err)
{
    struct registry_plugin entry = {.name = strdup(plugin->name),
                                    .version =
                                        strdup(plugin->version ? plugin->version : ""),
                                    .path = strdup(path)};

    if (!entry.name || !entry.version || !entry.path ||
        grow(&registry->plugins, registry->n_plugins, sizeof entry, err) < 0) {
        free(entry.name);
        free(entry.version);
        free(entry.path);
        return fail_nomem(err);
    }
    registry->plugins[registry->n_plugins++] = entry;
    return 0;
}

/* Take back what a plugin registered before it failed. */
static void
forget_plugin(struct registry *registry, size_t plugin)
{
    for (int kind = 0; kind < REGISTRY_N_KINDS; kind++) {
        struct registry_list *list = &registry->lists[kind];
        size_t kept = 0;

        for (size_t i = 0; i < list->count; i++)
            if (list->items[i]->plugin == plugin)
                entry_free(list->items[i]);
            else
                list->items[kept++] = list->items[i];
        list->count = kept;
    }
}

int
registry_add(struct registry *registry, const struct lighter_plugin *source,
             const char *path, struct lighter_error *err)
{
    struct lighter_plugin plugin = {0};
    int r = 0;

    if (source->abi != LIGHTER_PLUGIN_ABI)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "it has plugin ABI %u; this lighterd has %d", source->abi,
                            LIGHTER_PLUGIN_ABI);
    memcpy(&plugin, source,
           source->size < sizeof plugin ? source->size : sizeof plugin);
    if (!plugin.name || !*plugin.name)
        return lighter_fail(err, LIGHTER_E_PARAMS, "the plugin has no name");
    r = add_entries(registry, REGISTRY_WRITER, (const void *const *)plugin.writers,
                    sizeof(struct lighter_writer), err);
    if (r == 0)
        r = add_entries(registry, REGISTRY_ENCODER,
                        (const void *const *)plugin.encoders,
                        sizeof(struct lighter_encoder), err);
    if (r == 0)
        r = add_entries(registry, REGISTRY_POLICY, (const void *const *)plugin.policies,
                        sizeof(struct lighter_policy), err);
    if (r == 0)
        r = add_plugin(registry, &plugin, path, err);
    if (r < 0)
        forget_plugin(registry, registry->n_plugins);
    return r;
}

/* dlopen() maps what the head of the file announces, and touches it: a torn file would
 * end us by SIGBUS. What is no ELF file is left to dlopen(), which says so.
 */
static int
check_whole(const char *path, struct lighter_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    ElfW(Ehdr) head;
    ElfW(Phdr) part;
    bool torn = false;

    if (fd < 0)
        return 0;
    if (fstat(fd, &status) < 0 || pread(fd, &head, sizeof head, 0) != sizeof head ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        head.e_phnum = 0;
    for (int i = 0; i < head.e_phnum && !torn; i++) {
        off_t at = (off_t)(head.e_phoff + (size_t)i * sizeof part);

        torn = pread(fd, &part, sizeof part, at) != sizeof part ||
               part.p_offset > (size_t)status.st_size ||
               part.p_filesz > (size_t)status.st_size - part.p_offset;
    }
    close(fd);
    return torn ? lighter_fail(err, LIGHTER_E_PARAMS, "the file is cut off") : 0;
}

static int
load_file(struct registry *registry, const char *path, struct lighter_error *err)
{
    const struct lighter_plugin *plugin;
    void *object;
    int r = check_whole(path, err);

    if (r < 0)
        return r;
    /* never closed again: threads may be in it, and sanitizers need its symbols */
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return lighter_fail(err, LIGHTER_E_PARAMS, "it cannot be loaded: %s",
                            dlerror());
    plugin = dlsym(object, "lighter_plugin");
    if (!plugin)
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "it is no plugin of lighterd: it has no symbol lighter_plugin");
    return registry_add(registry, plugin, path, err);
}

static int
add_refusal(struct registry *registry, const char *path,
            const struct lighter_error *why, struct lighter_error *err)
{
    struct registry_refusal entry = {strdup(path), strdup(why->message)};

    if (!entry.path || !entry.reason ||
        grow(&registry->refusals, registry->n_refusals, sizeof entry, err) < 0) {
        free(entry.path);
        free(entry.reason);
        return fail_nomem(err);
    }
    registry->refusals[registry->n_refusals++] = entry;
    return 0;
}

static int
is_shared_object(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return entry->d_name[0] != '.' && size > 3 &&
           strcmp(entry->d_name + size - 3, ".so") == 0;
}

int
registry_load(struct registry *registry, const char *directory,
              struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    struct dirent **entries;
    int n = scandir(directory, &entries, is_shared_object, alphasort), r = 0;

    if (n < 0)
        return lighter_fail_os(err, errno, "read the plugin directory '%s'", directory);
    for (int i = 0; i < n; i++) {
        AUTO(free_bytes) char *path = NULL;

        if (r == 0 && asprintf(&path, "%s/%s", directory, entries[i]->d_name) < 0) {
            path = NULL;
            r = fail_nomem(err);
        }
        if (r == 0 && load_file(registry, path, &why) < 0)
            r = add_refusal(registry, path, &why, err);
        free(entries[i]);
    }
    free(entries);
    return r;
}

void
registry_done(struct registry *registry)
{
    for (int kind = 0; kind < REGISTRY_N_KINDS; kind++) {
        for (size_t i = 0; i < registry->lists[kind].count; i++)
            entry_free(registry->lists[kind].items[i]);
        free(registry->lists[kind].items);
    }
    for (size_t i = 0; i < registry->n_plugins; i++) {
        free(registry->plugins[i].name);
        free(registry->plugins[i].version);
        free(registry->plugins[i].path);
    }
    for (size_t i = 0; i < registry->n_refusals; i++) {
        free(registry->refusals[i].path);
        free(registry->refusals[i].reason);
    }
    free(registry->plugins);
    free(registry->refusals);
    *registry = (struct registry){0};
}
