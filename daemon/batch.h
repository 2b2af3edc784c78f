/* batch.h - one hand-over on its way through every writer of its job.
 *
 * Owns the frame that it came in, the values that point into it and into the client's
 * memory, the charge for all of them, and the answer that the client is owed. Shared by
 * the streams: the last one to be done with it answers, releases and frees it. Its
 * values are read-only, but those in client memory may change: any thread.
 */
#ifndef DAEMON_BATCH_H
#define DAEMON_BATCH_H

#include "daemon/memory.h"
#include "daemon/peer.h"

#include <lighter/plugin.h>

struct batch {
    struct lighter_batch view; /* what plugins see */
    struct lighter_value outputs;
    struct frame frame;    /* owned: the bytes that the values point into */
    msgpack_zone *zone;    /* owned: the values */
    struct memory *memory; /* a reference, or NULL */
    size_t charge;         /* bytes charged to reply.peer */
    struct reply reply;
    bool is_refused;            /* it cannot be read: `error` says why */
    unsigned n_waiting;         /* streams that are not done with it */
    const char *failed_writer;  /* type of the first that failed; NULL: none did */
    struct lighter_error error; /* why */
};

/* Takes the message of a `write` (also on error) and the reply (on success only).
 * `memory` is the client's, which the batch then refers to; NULL: it has none.
 * `n_streams` (1 or more) calls of batch_done() end it. Charges its peer. One that
 * cannot be read is refused by the streams, in its turn: so it is recorded, too, that
 * it was here. Return: 0; -ENOMEM.
 */
int batch_new(struct batch **ret_batch, struct message *message, struct memory *memory,
              struct reply *reply, unsigned n_streams, struct lighter_error *err);

/* A stream is done with it. `r` < 0: it has written nothing of it, `error` says why. */
void batch_done(struct batch *batch, int r, const struct lighter_error *error,
                const char *writer);

#endif
