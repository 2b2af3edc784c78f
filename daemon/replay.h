/* replay.h - from a journal back to the job that it tells of.
 *
 * In: a job that was made of the journal's first record, and the journal. Out: what
 * each stream of the job has done, and how far it all had come. Only the journal is
 * looked at: whether the disk agrees is recovery.h's to see. Runs on a worker while
 * nothing else of the job runs, or before the loop does.
 */
#ifndef DAEMON_REPLAY_H
#define DAEMON_REPLAY_H

#include "daemon/job.h"

/* What a journal says that its job does not keep. */
struct replay {
    struct job *job;                               /* borrowed */
    struct journal_record places[JOB_WRITERS_MAX]; /* the last of each output */
    uint64_t durable; /* what is recorded below is on the disk */
    uint64_t end;     /* of the last record */
    uint64_t
        refused; /* where the first batch of which nothing was written is missing */
};

/* Nothing was ever written to it: a loss of power took what a job had been, whose end
 * was not made durable.
 */
#define REPLAY_BLANK 1

/* Read the first record of the journal `name`. *ret_message is its request, parsed, and
 * owned. Return: 0; REPLAY_BLANK; -EPROTO where there is none; -errno.
 */
int replay_peek(const struct state *state, const char *name,
                struct message *ret_message, uint64_t *ret_id,
                struct lighter_error *err);

/* Fill job->ranks[].past, the job's counts, is_complete and is_published from its
 * journal, which is closed again; where that is damaged, job->damaged_at, and the rest
 * goes as far as that. Return: 0; -errno.
 */
int replay_read(struct job *job, struct lighter_error *err);

/* The same for a job that goes on: the journal stays open. Return: 0; -errno. */
int replay_open(struct replay *ret_replay, struct job *job, struct lighter_error *err);

/* Read it anew, as if it ended at `limit`; but what is below, and was dropped behind
 * it, is dropped. Return: 0; -errno.
 */
int replay_below(struct replay *replay, uint64_t limit, struct lighter_error *err);

/* Of a record behind the limit: is it such a drop? */
bool replay_has_dropped(const struct replay *replay,
                        const struct journal_record *record);

#endif
