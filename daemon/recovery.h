/* recovery.h - a job's journal and its outputs on the disk, kept in agreement.
 *
 * When the job begins, what it replaces is removed; when it goes on, what was not
 * committed is; and at its end its journal says so, or goes. What a journal tells is
 * read by replay.h. Runs on a worker while nothing else of the job runs, like
 * publish.h; only recovery_distrust() may come while its streams write.
 *
 * After a death of the daemon alone, what was recorded is there: the kernel has it.
 * Where the machine stopped, or an output's disk was taken away meanwhile, only what
 * was durable is believed; the journal is cut back to that.
 */
#ifndef DAEMON_RECOVERY_H
#define DAEMON_RECOVERY_H

#include "daemon/job.h"

/* Begin the journal of a new job. What the job of that name and stage left before, its
 * shards and staged files too, is removed. Return: 0; -errno.
 */
int recovery_begin(struct job *job, struct lighter_error *err);

/* Note the disks that the outputs lie on: after publish_prepare(). Return: 0; -errno.
 */
int recovery_note_places(struct job *job, struct lighter_error *err);

/* The job goes on: its ranks' past is read, its outputs are opened, what was not
 * committed is cut off and removed, and the journal is open for more. Return: 0;
 * -ENODATA where committed bytes are missing; -errno.
 */
int recovery_resume(struct job *job, struct lighter_error *err);

/* Say that its journal is damaged, where, and what can be done. Return: -EBUSY. */
int recovery_tell_damage(const struct job *job, struct lighter_error *err);

/* Open the shards of those ranks that will not come again, or of all.
 * Return: 0; -errno.
 */
int recovery_open_shards(struct job *job, bool all, struct lighter_error *err);

/* Its ranks have gone, and not because the daemon ends. */
void recovery_rest(struct job *job);

/* What was written since the last JOURNAL_DURABLE may not be on the disk, though it can
 * be read: a sync of it has failed, and another one would not say so again. On a
 * worker.
 */
void recovery_distrust(struct job *job);

/* Remove all that an unfinished job left, and its journal. Return: 0; -errno. */
int recovery_discard(struct job *job, struct lighter_error *err);

/* Its journal alone. Return: 0; -errno. */
int recovery_drop(struct job *job, struct lighter_error *err);

/* It is published: the journal says no more than that. Return: 0; -errno. */
int recovery_finish(struct job *job, struct lighter_error *err);

#endif
