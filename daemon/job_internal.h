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

struct job *jobs_find_live(struct jobs *jobs, const struct job_spec *spec);

/* Begin a job of this spec's writers and policies, which move to it.
 * Return: 0; -EDQUOT, -EBUSY, -EINVAL; -ENOMEM.
 */
int jobs_create(struct jobs *jobs, struct job_spec *spec, struct job **ret_job,
                struct lighter_error *err);

/* No rank is connected any more: publish, where it is not doomed, and then it is over.
 */
void job_finish(struct job *job);

/* ---- admission.c ---- */

/* Forget the open that is parked for this seat. Return: was there one? */
bool jobs_unpark(struct job *job, const struct seat *seat);

/* Opens that are parked with the job are looked at again, answered with its error, or
 * forgotten.
 */
void parked_admit_all(struct jobs *jobs, struct job *job);
void parked_refuse_all(struct job *job);
void parked_drop_all(struct job *job);

#endif
