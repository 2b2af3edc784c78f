/* waits.h - why a job does not go on: for whom or what it waits, since when, and what
 * people can do about it.
 *
 * In: live jobs, looked at once a second, and when a disk is found full. Out: the same
 * sentence for everybody: clients that asked for notices, the log, reports. A job that
 * has waited long enough for ranks that do not come is given up. Loop thread.
 */
#ifndef DAEMON_WAITS_H
#define DAEMON_WAITS_H

#include "daemon/job.h"

#define WAIT_RANKS_MAX 100 /* that are named to programs */

struct wait_report {
    enum wait_reason reason;
    double seconds;     /* so far */
    char message[1024]; /* for people */
    uint32_t ranks[WAIT_RANKS_MAX], n_ranks;
    const char *path;   /* on the disk that it waits for; lent by the job; NULL: none */
    int64_t free_bytes; /* there; -1: not known */
};

/* What the job waits for now. WAIT_NOTHING: nothing, and there is no message. */
void job_describe_wait(const struct job *job, struct wait_report *ret_report);

/* A map: what doc/protocol.md has of "waiting", without its job. nil for nothing. */
void wait_pack(struct message_out *out, const struct wait_report *report);

/* Ranks of an open job that neither are there nor have ended: writes the first `max` of
 * their numbers. Return: how many there are.
 */
uint32_t job_missing_ranks(const struct job *job, uint32_t *ret_ranks, uint32_t max);

/* Who is to be told something is, and a job whose time is over is given up. */
void job_watch_wait(struct job *job);

/* The client of this seat gets an answer now: it does not wait any more. Nothing where
 * it was not told that it does.
 */
void seat_wait_over(struct seat *seat, struct peer *peer);

#endif
