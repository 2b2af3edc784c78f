/* publish.h - what a job does to the disk as a whole: first directories, last names.
 *
 * All functions run on a worker while nothing else of the job runs: they may read all
 * of the job, and write its tables and files.
 */
#ifndef DAEMON_PUBLISH_H
#define DAEMON_PUBLISH_H

#include "daemon/job.h"
#include "daemon/staged.h"

/* Look at where the outputs of a new job go, and claim it: nothing is removed yet, and
 * nothing made but empty directories. Return: 0; -EINVAL, -EBUSY where the job cannot
 * write there; -errno, `err` names the path.
 */
int publish_open(struct job *job, struct lighter_error *err);

/* Its journal is there: make what every output needs. Return: 0; -errno, `err` names
 * the path.
 */
int publish_prepare(struct job *job, struct lighter_error *err);

/* Make an output's staging directory, and record it. Return: 0; -errno. */
int publish_stage(struct job *job, uint32_t index, struct lighter_error *err);

/* The job could not begin: what was made for it, and is empty, goes. */
void publish_unstage(struct job *job);

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
