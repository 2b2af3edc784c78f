/* registry.h - the plugins of this daemon, and what they registered by name.
 *
 * In: a directory of shared objects, read once before the loop runs. Out: writers,
 * encoders and policies by name, in the order of their names. Nothing is ever unloaded.
 * Read-only after registry_load(): any thread.
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include <lighter/plugin.h>

#include <stddef.h>

struct registry_plugin {
    char *name, *version, *path; /* owned */
};

enum registry_kind {
    REGISTRY_WRITER,
    REGISTRY_ENCODER,
    REGISTRY_POLICY,
    REGISTRY_N_KINDS,
};

/* What is registered under a name. */
struct registry_entry {
    const char *name, *summary;
    const struct lighter_option *options;
    struct lighter_option *with_ours; /* a writer's, and the daemon's own; owned */
    size_t plugin;                    /* index into plugins */
    union {                           /* a copy, complete for this ABI */
        struct lighter_writer writer;
        struct lighter_encoder encoder;
        struct lighter_policy policy;
    } as;
};

struct registry_list {
    struct registry_entry **items; /* by name; owned */
    size_t count;
};

/* A file that is no plugin of ours, and why in one sentence. */
struct registry_refusal {
    char *path, *reason; /* owned */
};

struct registry {
    struct registry_plugin *plugins;
    struct registry_list lists[REGISTRY_N_KINDS];
    struct registry_refusal *refusals;
    size_t n_plugins, n_refusals;
};

/* Load every *.so of `directory`, in the order of their names. A file that is foreign,
 * broken or takes a taken name becomes a refusal, and the next one is loaded.
 * Return: 0; -errno where the directory cannot be read; -ENOMEM.
 */
int registry_load(struct registry *registry, const char *directory,
                  struct lighter_error *err);
void registry_done(struct registry *registry);

/* Return: the descriptor, lent for the life of the registry; NULL and `err` that lists
 * what there is.
 */
const struct lighter_writer *registry_writer(const struct registry *registry,
                                             const char *name,
                                             struct lighter_error *err);
const struct lighter_encoder *registry_encoder(const struct registry *registry,
                                               const char *name,
                                               struct lighter_error *err);
const struct lighter_policy *registry_policy(const struct registry *registry,
                                             const char *name,
                                             struct lighter_error *err);

/* Register what a descriptor offers; registry_load() does it for each file. `path` is
 * for people. All of it or nothing. Return: 0; -EINVAL, and `err` says why; -ENOMEM.
 */
int registry_add(struct registry *registry, const struct lighter_plugin *plugin,
                 const char *path, struct lighter_error *err);

#endif
