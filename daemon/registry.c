/* registry.c - see registry.h. */
#include "daemon/registry.h"

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

/* ---- soundness of what a plugin says of itself ---- */

/* How many options of `type` a table has; -1 where the table is unsound. */
static int
count_options(const struct lighter_option *options, size_t options_size,
              enum lighter_option_type type)
{
    int n = 0;

    for (const struct lighter_option *option = options; option && option->name;
         option++) {
        if (option->offset >= options_size || option->type > LIGHTER_OPTION_ENCODER)
            return -1;
        n += option->type == type;
    }
    return n;
}

static int
check_writer(const struct lighter_writer *writer, struct lighter_error *err)
{
    if (!writer->name || !*writer->name)
        return lighter_fail(err, LIGHTER_E_PARAMS, "a writer has no name");
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
    if (!encoder->name || !*encoder->name)
        return lighter_fail(err, LIGHTER_E_PARAMS, "an encoder has no name");
    if (!encoder->encode)
        return refuse(err, "encoder", encoder->name, "has no encode");
    if (count_options(encoder->options, encoder->options_size, LIGHTER_OPTION_SUFFIX) !=
        1)
        return refuse(err, "encoder", encoder->name,
                      "needs a sound option table with one suffix");
    return 0;
}

/* ---- looking up ---- */

static struct registry_writer *
find_writer(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->n_writers; i++)
        if (strcmp(registry->writers[i]->writer.name, name) == 0)
            return registry->writers[i];
    return NULL;
}

static struct registry_encoder *
find_encoder(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->n_encoders; i++)
        if (strcmp(registry->encoders[i]->encoder.name, name) == 0)
            return registry->encoders[i];
    return NULL;
}

static void
add_name(char *list, size_t size, const char *name)
{
    size_t used = strlen(list);

    snprintf(list + used, size - used, "%s'%s'", used ? ", " : "", name);
}

const struct lighter_writer *
registry_writer(const struct registry *registry, const char *name,
                struct lighter_error *err)
{
    struct registry_writer *found = find_writer(registry, name);
    char names[512] = "";

    if (found)
        return &found->writer;
    for (size_t i = 0; i < registry->n_writers; i++)
        add_name(names, sizeof names, registry->writers[i]->writer.name);
    lighter_fail(err, LIGHTER_E_PARAMS, "no writer is called '%.64s'; there are: %s",
                 name, *names ? names : "none");
    return NULL;
}

const struct lighter_encoder *
registry_encoder(const struct registry *registry, const char *name,
                 struct lighter_error *err)
{
    struct registry_encoder *found = find_encoder(registry, name);
    char names[512] = "";

    if (found)
        return &found->encoder;
    for (size_t i = 0; i < registry->n_encoders; i++)
        add_name(names, sizeof names, registry->encoders[i]->encoder.name);
    lighter_fail(err, LIGHTER_E_PARAMS,
                 "Writer with name '%.64s' is not registered; there are: %s", name,
                 *names ? names : "none");
    return NULL;
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

static int
add_writer(struct registry *registry, const struct lighter_writer *source,
           struct lighter_error *err)
{
    AUTO(free_bytes) struct registry_writer *entry = calloc(1, sizeof *entry);
    size_t at = registry->n_writers;
    int r;

    if (!entry)
        return fail_nomem(err);
    memcpy(&entry->writer, source,
           source->size < sizeof entry->writer ? source->size : sizeof entry->writer);
    r = check_writer(&entry->writer, err);
    if (r < 0)
        return r;
    if (find_writer(registry, entry->writer.name))
        return refuse(err, "writer", entry->writer.name, "is registered already");
    r = grow(&registry->writers, at, sizeof(void *), err);
    if (r < 0)
        return r;
    entry->plugin = registry->n_plugins;
    for (; at && strcmp(registry->writers[at - 1]->writer.name, entry->writer.name) > 0;
         at--)
        registry->writers[at] = registry->writers[at - 1];
    registry->writers[at] = entry;
    registry->n_writers++;
    entry = NULL;
    return 0;
}

static int
add_encoder(struct registry *registry, const struct lighter_encoder *source,
            struct lighter_error *err)
{
    AUTO(free_bytes) struct registry_encoder *entry = calloc(1, sizeof *entry);
    size_t at = registry->n_encoders;
    int r;

    if (!entry)
        return fail_nomem(err);
    memcpy(&entry->encoder, source,
           source->size < sizeof entry->encoder ? source->size : sizeof entry->encoder);
    r = check_encoder(&entry->encoder, err);
    if (r < 0)
        return r;
    if (find_encoder(registry, entry->encoder.name))
        return refuse(err, "encoder", entry->encoder.name, "is registered already");
    r = grow(&registry->encoders, at, sizeof(void *), err);
    if (r < 0)
        return r;
    entry->plugin = registry->n_plugins;
    for (; at &&
           strcmp(registry->encoders[at - 1]->encoder.name, entry->encoder.name) > 0;
         at--)
        registry->encoders[at] = registry->encoders[at - 1];
    registry->encoders[at] = entry;
    registry->n_encoders++;
    entry = NULL;
    return 0;
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
    size_t kept = 0;

    for (size_t i = 0; i < registry->n_writers; i++)
        if (registry->writers[i]->plugin == plugin)
            free(registry->writers[i]);
        else
            registry->writers[kept++] = registry->writers[i];
    registry->n_writers = kept;
    kept = 0;
    for (size_t i = 0; i < registry->n_encoders; i++)
        if (registry->encoders[i]->plugin == plugin)
            free(registry->encoders[i]);
        else
            registry->encoders[kept++] = registry->encoders[i];
    registry->n_encoders = kept;
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
    for (size_t i = 0; r == 0 && plugin.writers && plugin.writers[i]; i++)
        r = add_writer(registry, plugin.writers[i], err);
    for (size_t i = 0; r == 0 && plugin.encoders && plugin.encoders[i]; i++)
        r = add_encoder(registry, plugin.encoders[i], err);
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
    for (size_t i = 0; i < registry->n_writers; i++)
        free(registry->writers[i]);
    for (size_t i = 0; i < registry->n_encoders; i++)
        free(registry->encoders[i]);
    for (size_t i = 0; i < registry->n_plugins; i++) {
        free(registry->plugins[i].name);
        free(registry->plugins[i].version);
        free(registry->plugins[i].path);
    }
    for (size_t i = 0; i < registry->n_refusals; i++) {
        free(registry->refusals[i].path);
        free(registry->refusals[i].reason);
    }
    free(registry->writers);
    free(registry->encoders);
    free(registry->plugins);
    free(registry->refusals);
    *registry = (struct registry){0};
}
