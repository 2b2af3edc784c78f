/* claims.h - who writes below which directory: no two live outputs make one file.
 *
 * In: the directory of each output of each live job, as it was opened: so by device and
 * inode, however its path is spelt. Out: may this output be there, and this name? What
 * is not published yet is unique below one directory, within one daemon, whoever
 * writes.
 *
 * Two writers of files may share a directory, or one have a folder of the other, as
 * long as their names differ: each looks for a new name in what the others have staged,
 * after it has made it, so that of two at once one at least sees the other.
 *
 * Any thread: a lock is held while the list is looked at, and nothing else is taken,
 * nor any disk waited for, within it.
 */
#ifndef DAEMON_CLAIMS_H
#define DAEMON_CLAIMS_H

#include <lighter/error.h>

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

struct claim;

struct claims {
    pthread_mutex_t lock;
    TAILQ_HEAD(claim_list, claim) list;
};

/* An output, as people know it. Borrowed for the call. */
struct claim_of {
    const void *job; /* which: only compared */
    const char *job_name, *stage;
    unsigned writer;    /* of the job, from 0 */
    const char *target; /* the path as it was said */
    const char
        *suffix; /* of files: what all their names end in; NULL: this is a table */
    const char *names; /* of files: what they are named by; NULL: they are numbered */
};

void claims_init(struct claims *claims);
void claims_done(struct claims *claims); /* no claim is left */

/* The output writes below the directory `fd`, where a table is called `name`; files
 * have no name here. Return: 0, and *ret_claim is the caller's: claim_free(); -EINVAL:
 * another writer of its job makes the same files, or that table; -EBUSY: another job
 * does; -ENOMEM; -errno.
 */
int claims_add(struct claims *claims, const struct claim_of *of, int fd,
               const char *name, struct claim **ret_claim, struct lighter_error *err);
struct claim *claim_free(struct claim *claim); /* NULL, also of NULL */

/* Before a directory is made for an output: would the first one of `path`
 * (absolute) that is not there yet take the name of a table, or of its shards?
 * Return: 0; -EBUSY: it would.
 */
int claims_check_way(struct claims *claims, const char *path,
                     struct lighter_error *err);

/* Files are staged below `staging_fd` from now on; borrowed for the claim's life. */
void claim_stage(struct claim *claim, int staging_fd);

/* Is there another live output in this directory, above or below it? */
bool claim_is_shared(struct claim *claim);

/* The file `name` was just staged: has nobody else that name?
 * Return: 0; -EINVAL: somebody has, and the file is to be removed.
 */
int claim_check_name(struct claim *claim, const char *name, struct lighter_error *err);

#endif
