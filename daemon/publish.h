/* publish.h - what a job does to the disk as a whole: first directories, last names.
 *
 * All functions run on a worker while nothing else of the job runs: they may read all
 * of the job, and write its tables and files.
 */
#ifndef DAEMON_PUBLISH_H
#define DAEMON_PUBLISH_H

#include "daemon/job.h"
#include "daemon/staged.h"

/* Make the directories of every output, and see what is there already.
 * Return: 0; -errno, `err` names the path.
 */
int publish_prepare(struct job *job, struct lighter_error *err);

/* Open the directories of an unfinished job's outputs again. Return: 0; -errno. */
int publish_reopen(struct job *job, struct lighter_error *err);

/* Remove what an unfinished job has left of one output, says its journal. The output is
 * closed.
 * Return: 0; -EBUSY where somebody writes it; -errno.
 */
int publish_discard(struct job *job, uint32_t index, const struct staged_list *staged,
                    struct lighter_error *err);

/* Every rank has ended: join and sync every output, then show all of them under their
 * final names. Where the first half fails nothing is shown.
 * Return: 0; -errno, `err` names the path.
 */
int publish_run(struct job *job, struct lighter_error *err);

/* Close what the job holds open; on some file systems that takes its time. */
void publish_close(struct job *job);

#endif
