/* job_internal.h - between job.c (the ranks of one job) and jobs.c (the table of jobs).
 */
#ifndef DAEMON_JOB_INTERNAL_H
#define DAEMON_JOB_INTERNAL_H

#include "daemon/job.h"

/* ---- job.c ---- */

/* Takes the reply, on success: answered when the streams are open. -ENOMEM. */
int rank_open(struct rank *rank, struct seat *seat, struct reply *reply,
              struct lighter_error *err);
void rank_free_streams(struct rank *rank);

/* Ranks that have ended and wait get this answer, and their seats are detached. */
void job_answer_waiting(struct job *job, const struct lighter_error *error);
void job_answer_published(struct job *job);

/* Open ranks shall ask at their next step. */
void job_tell_ranks(struct job *job);

/* ---- jobs.c ---- */

/* Something changed: is the job complete, or over? It may be freed afterwards. */
void job_settle(struct job *job);

/* Forget the open that is parked for this seat. Return: was there one? */
bool jobs_unpark(struct job *job, const struct seat *seat);

#endif
