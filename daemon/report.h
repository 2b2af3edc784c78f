/* report.h - the daemon and its jobs as maps, for people and tools.
 *
 * In: the daemon's own state, on the loop thread. Out: one map each, packed: what
 * doc/protocol.md, section 6, says. Nothing is changed.
 */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include "daemon/daemon.h"

void report_status(const struct daemon *daemon, struct message_out *out);
void report_jobs(const struct daemon *daemon, struct message_out *out);

/* The job with its ranks and writers. */
void report_job(const struct daemon *daemon, const struct job *job,
                struct message_out *out);

/* Where the job's ranks write, and how far what is there is committed. */
void report_tail(const struct job *job, struct message_out *out);

/* `name`: NULL: all there is. Return: how many writers, encoders and policies. */
size_t report_plugins(const struct registry *registry, const char *name,
                      struct message_out *out);

/* What waits in all jobs. */
struct waiting report_all_waiting(const struct jobs *jobs);

/* What waits in all ranks of an open job; nothing of another. */
struct waiting report_waiting(const struct job *job);

#endif
