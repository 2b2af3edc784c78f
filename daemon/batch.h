/* batch.h - one hand-over on its way through every writer of its job.
 *
 * Owns the frame that it came in, the values that point into it and into the client's
 * memory, the charge for all of them, and the answer that the client is owed. Each
 * stream of its rank has a share: they take the batch in hand together, and are done
 * with it together. Its values are read-only, but those in client memory may change:
 * any thread.
 */
#ifndef DAEMON_BATCH_H
#define DAEMON_BATCH_H

#include "daemon/memory.h"
#include "daemon/peer.h"

#include <lighter/plugin.h>
#include <sys/queue.h>

struct stream;

/* What one writer has of a batch; in its stream's line until all writers are done. */
struct batch_share {
    STAILQ_ENTRY(batch_share) link;
    struct batch *batch;
    struct stream *stream;        /* set by streams_push() */
    struct lighter_batch view;    /* what its plugin sees; outputs NULL: it is not asked
                                     for any of it */
    struct lighter_value outputs; /* where it has its own */
    uint64_t n_samples;           /* says its check */
    bool is_past;                 /* its stream was done with it before it came */
};

struct batch {
    uint64_t seq;
    int64_t batch_idx, dataloader_idx;
    struct lighter_value outputs; /* of all writers that have none of their own */
    struct frame frame;           /* owned: the bytes that the values point into */
    msgpack_zone *zone;           /* owned: the values */
    struct memory *memory;        /* a reference, or NULL */
    size_t charge;                /* bytes charged to reply.peer */
    struct reply reply;
    uint64_t came_at;   /* uv_now(), ms; set by streams_push() */
    bool is_unreadable; /* `error` says why */
    bool is_checked;    /* all writers have found it good */
    unsigned n_active;  /* shares whose streams were not done with it before */
    unsigned n_here;    /* of them: have it in hand, or are back with it */
    const struct batch_share *refuser; /* whose writer refuses it, for all; or NULL */
    struct lighter_error error;        /* why */
    unsigned n_shares;
    struct batch_share shares[]; /* by the index of their writers */
};

/* Takes the message of a `write` (also on error) and the reply (on success only).
 * `memory` is the client's, which the batch then refers to; NULL: it has none.
 * `n_shares` (1 or more): the writers. Charges its peer. One that cannot be read is
 * refused by the streams, in its turn: so it is recorded, too, that it was here.
 * Return: 0; -ENOMEM.
 */
int batch_new(struct batch **ret_batch, struct message *message, struct memory *memory,
              struct reply *reply, unsigned n_shares, struct lighter_error *err);

/* The writer of `share` refuses it. Only the first that does counts. */
void batch_refuse(struct batch_share *share, const struct lighter_error *error);

/* Its samples that have numbers: those of a batch that was found good, whatever became
 * of it then.
 */
uint64_t batch_share_numbers(const struct batch_share *share);

/* All writers are done with it. `writer`: type of the one that refuses it. Takes the
 * batch.
 */
void batch_answer(struct batch *batch, const char *writer);

#endif
