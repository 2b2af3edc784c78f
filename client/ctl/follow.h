/* follow.h - one job, looked at again and again until it is over.
 *
 * It is the same job all the time: where another one of its name begins, the first is
 * gone. A daemon that dies meanwhile is waited for, as clients do.
 */
#ifndef CTL_FOLLOW_H
#define CTL_FOLLOW_H

#include "client/ctl/ask.h"

struct follow {
    struct lighter_client *client;
    const struct options *options;
    const char *method; /* that tells of a job: its answer has `id`, `live`, `state` */
    json_int_t id;
    json_t *job; /* the last answer; owned */
};

/* Connect and find the job: with --wait a live one, as soon as there is one.
 * Return: CTL_DONE, and follow_end() is to follow; else it is said why not.
 */
enum ctl_exit follow_begin(struct follow *follow, const struct options *options,
                           const char *method);

/* Look again, after a moment. Return: CTL_DONE; CTL_JOB_GONE, CTL_FAILED, said. */
enum ctl_exit follow_next(struct follow *follow);

bool follow_is_over(const struct follow *follow);

/* What became of it; where it was not published, why is said. Of one that is over. */
enum ctl_exit follow_outcome(const struct follow *follow);

void follow_end(struct follow *follow);

#endif
