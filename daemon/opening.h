/* opening.h - an `open` on its way to what a job is made of; a large one on a worker.
 *
 * In: the message, or the frame that it is in. Out: a checked struct job_spec, and how
 * large the message was. What is made of a name or a key takes many times its bytes, so
 * there may be so many; a large frame, and all that may be made of it, is charged to
 * the client until the job has it.
 */
#ifndef DAEMON_OPENING_H
#define DAEMON_OPENING_H

#include "daemon/peer.h"
#include "daemon/pipeline.h"
#include "daemon/pool.h"
#include "daemon/spec.h"

#define OPENING_LARGE ((size_t)16 << 10)        /* bytes: more are read on a worker */
#define OPENING_OBJECTS_MAX ((uint64_t)1 << 18) /* keys, parameters, and the others */

/* What it costs, while its job lives. */
struct opening_size {
    size_t n_bytes;
    uint64_t n_objects;
};

/* Read the `open` in `message`, which stays the caller's: it is completed from the
 * configuration. Any thread.
 * Return: 0, and *ret_spec is owned; -EDQUOT: too many objects; as job_spec_init().
 */
int opening_read(struct job_spec *ret_spec, const struct pipelines *pipelines,
                 const struct registry *registry, struct message *message,
                 struct lighter_error *err);

struct opening {
    struct pool_task task;
    const struct registry *registry; /* borrowed */
    struct pipelines *pipelines;     /* a reference */
    struct frame frame;              /* until it is parsed */
    uint64_t max_objects;            /* of any frame */
    struct opening_size size;
    struct reply reply;
    size_t charge; /* to its peer, bytes */

    void *data; /* NULL: nobody waits for it any more */
    /* with `error` where result < 0, else with a spec that the callee takes; the reply
     * is the callee's to take. The charge is released afterwards. */
    void (*on_read)(void *data, struct opening *opening);
    struct job_spec spec;
    int result;
    struct lighter_error error;
};

/* What opening_begin() needs; borrowed, but for the frame and the reply. */
struct opening_setup {
    struct pool *pool;
    const struct registry *registry;
    struct pipelines *pipelines;
    uint64_t max_objects;
    void *data;
    void (*on_read)(void *data, struct opening *opening);
};

/* Takes the frame, always, and the reply, on success: on_read() follows, unless
 * opening_forget() comes before. Loop thread. Return: 0; -ENOMEM.
 */
int opening_begin(struct opening **ret_opening, const struct opening_setup *setup,
                  struct frame *frame, struct reply *reply, struct lighter_error *err);
void opening_forget(struct opening *opening);

#endif
