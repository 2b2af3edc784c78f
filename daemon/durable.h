/* durable.h - what a live job has written, brought to the disk while it goes on.
 *
 * In: every so many seconds or bytes, and when a client asks (`flush`). Out: a record
 * in the journal that says up to where a loss of power takes nothing back. One at a
 * time for a job. Loop thread; the disk is waited for on a worker.
 */
#ifndef DAEMON_DURABLE_H
#define DAEMON_DURABLE_H

#include "daemon/job.h"

/* Begin, unless it is under way already or a rank is just opening. */
void job_sync(struct job *job);

/* Once a second: is it time? */
void job_sync_if_due(struct job *job, const struct settings *settings);

/* Takes the reply, on success: answered when all that is recorded now is durable.
 * Return: 0; -ENOMEM.
 */
int job_flush(struct job *job, struct reply *reply, struct lighter_error *err);

/* The same, for who asks about the live job of that name; `stage` NULL: any.
 * Return: 0; -EBUSY: there is none; -ENOMEM.
 */
int jobs_flush(struct jobs *jobs, const char *name, const char *stage,
               struct reply *reply, struct lighter_error *err);

/* The job is over. `error`: NULL: it is published, and so all of it is durable. */
void job_answer_flushes(struct job *job, const struct lighter_error *error);

#endif
