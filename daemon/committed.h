/* committed.h - which files the outputs of a job have committed, as its journal says.
 *
 * In: the journal, which is open. Out: a manifest for each output that makes files.
 * Runs on a worker while nothing else of the job runs.
 */
#ifndef DAEMON_COMMITTED_H
#define DAEMON_COMMITTED_H

#include "daemon/job.h"

/* Read what is recorded below `limit`; UINT64_MAX: all of it. The manifests are the
 * outputs', and emptied by committed_forget(), or when the job is released. Return: 0;
 * -ENOMEM; -errno.
 */
int committed_read(struct job *job, uint64_t limit, struct lighter_error *err);
void committed_forget(struct job *job);

/* Called with the note of each file of an output that was not seen. Return: 0; < 0 ends
 * it.
 */
typedef int committed_visit(void *data, const struct filenote *note,
                            struct lighter_error *err);

/* Return: 0; what `visit` gave; -errno. */
int committed_each_unseen(struct job *job, uint32_t index, committed_visit *visit,
                          void *data, struct lighter_error *err);

#endif
