/* writer.h - one configured output of a job: a writer type and its options.
 *
 * In: an entry of the `writers` that a client brought to `open`. Out: the same for
 * every stream of the job. Owned by the job; read-only once made, any thread.
 */
#ifndef DAEMON_WRITER_H
#define DAEMON_WRITER_H

#include "daemon/option.h"
#include "daemon/overwrite.h"

struct writer {
    const struct lighter_writer *type; /* lent by the registry */
    const void *options;               /* in the zone */
    const char *target;                /* absolute path, in the zone */
    enum overwrite overwrite;
    char *text;         /* type and options in a normal form, to be compared; owned */
    msgpack_zone *zone; /* owned */
};

/* Return: 0; -EINVAL or another that option_parse() gives; -ENOMEM. */
int writer_init(struct writer *writer, const struct registry *registry, const char *cwd,
                const msgpack_object *spec, struct lighter_error *err);
void writer_done(struct writer *writer);

/* Can it be what its options say: are they right all together, and do its target and
 * its suffix promise only what is made? For who asks for it, not for a writer that a
 * journal remembers. Return: 0; -EINVAL.
 */
int writer_check(const struct writer *writer, struct lighter_error *err);

/* Of a writer of files: what their names end in, and the key of the outputs that they
 * are named by. *ret_names is NULL where they are numbered; where nothing is known of
 * them it is the writer's own. Lent by the writer.
 */
void writer_names_files(const struct writer *writer, const char **ret_suffix,
                        const char **ret_names);

#endif
