/* ending.h - how a job was over, as its journal remembers it, so that the next daemon
 * shows it as it was.
 *
 * In: a job that is over; the record of one that was. Out: a JOURNAL_OVER; the job's
 * state, reason and counts. What is written and read runs on the job's worker.
 */
#ifndef DAEMON_ENDING_H
#define DAEMON_ENDING_H

#include "daemon/job.h"

/* Append it to the job's journal. Return: 0; -errno. */
int ending_append(struct job *job, enum job_state state, struct lighter_error *err);

/* Keep what the record says; or forget it: the job goes on. Return: 0; -ENOMEM;
 * -EPROTO.
 */
int ending_keep(struct job *job, const struct journal_record *record,
                struct lighter_error *err);
void ending_forget(struct job *job);

/* Make the job look as it did, where it is known. Loop thread, or before the loop runs.
 * Return: was it known?
 */
bool ending_show(struct job *job);

#endif
