/* pipeline.h - writers that the configuration names, and options that it fills in.
 *
 * In: `pipelines` and `defaults` of the configuration file, and an `open`. Out: the
 * `open` as if its client had listed all writers and options itself. So nobody behind
 * this room knows of a configuration: what a job began with is in its request, the
 * journal keeps it, and another configuration does not change it.
 *
 * Loop thread; before the loop runs, the main thread. What is referred to is not
 * changed, and may be read on a worker.
 */
#ifndef DAEMON_PIPELINE_H
#define DAEMON_PIPELINE_H

#include "daemon/problems.h"
#include "daemon/registry.h"
#include "wire/message.h"

#include <jansson.h>
#include <stdbool.h>

enum pipelines_part {
    PIPELINES_NAMED,    /* a name to its {"writers": [...]} */
    PIPELINES_DEFAULTS, /* a writer's or encoder's name to its options */
    PIPELINES_N_PARTS
};

/* Where there are none, a NULL takes their place everywhere. */
struct pipelines {
    unsigned refs;
    struct message held; /* owned: the parts, as one map */
    char *path, *text;   /* of the file, for messages; owned */
};

/* The key in the file. Static text. */
const char *pipelines_part_name(enum pipelines_part part);
bool pipelines_is_part(const char *key);

/* Take what `root`, the sound JSON `text`, has of both, and check its shape. What is
 * wrong is reported to `problems`, and then taken out of `root`.
 * *ret_pipelines, which is freed before, is owned, and NULL where there is nothing.
 * Return: 0; -EINVAL, and `err` names the file and the line; -ENOMEM.
 */
int pipelines_read(struct pipelines **ret_pipelines, const char *path, const char *text,
                   json_t *root, struct problems *problems, struct lighter_error *err);
struct pipelines *pipelines_ref(struct pipelines *pipelines);
struct pipelines *pipelines_free(struct pipelines *pipelines); /* with the last ref */

/* Are all writers and options such as the plugins have? Return: as pipelines_read(). */
int pipelines_check(const struct pipelines *pipelines, const struct registry *registry,
                    struct problems *problems, struct lighter_error *err);

/* An empty map where there is nothing; lent. */
const msgpack_object *pipelines_part(const struct pipelines *pipelines,
                                     enum pipelines_part part);
bool pipelines_are_same(const struct pipelines *a, const struct pipelines *b,
                        enum pipelines_part part);

/* Put the writers of the pipeline that the `open` asks for, and the options that it
 * leaves to the configuration, into it. A client that comes back to its own job gets
 * what that began with, and is left alone. Where this fails `message` is still whole.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int pipelines_resolve(const struct pipelines *pipelines,
                      const struct registry *registry, struct message *message,
                      struct lighter_error *err);

#endif
