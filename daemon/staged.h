/* staged.h - what a job's journal says was made for it, and so may be removed.
 *
 * In: a journal, which may be torn or damaged. Out: the JOURNAL_STAGED in it, and
 * shards of 0.1.0, which only had names. Whatever else lies in an output's directory is
 * not the job's. Runs on a worker while nothing else of the job runs.
 */
#ifndef DAEMON_STAGED_H
#define DAEMON_STAGED_H

#include "daemon/shard.h"

#include <stddef.h>

struct staged {
    uint32_t rank, writer;  /* rank: JOURNAL_NO_RANK: it is no shard */
    struct shard_mark mark; /* no name: a shard by 0.1.0, whose name tells its rank */
};

struct staged_list {
    struct staged *items; /* owned */
    size_t n, room;
};

/* Read the journal `name` of the state directory. What cannot be read is left out, and
 * stays on the disk. *ret_list: owned, staged_done(); also on failure.
 * Return: 0, also where there is no journal; -ENOMEM.
 */
int staged_read(struct staged_list *ret_list, int state_fd, const char *name,
                struct lighter_error *err);
void staged_done(struct staged_list *list);

#endif
