/* lock.h - who else has this open: a lock that the kernel drops with its descriptor,
 * however that comes about.
 */
#ifndef DAEMON_LOCK_H
#define DAEMON_LOCK_H

#include <lighter/error.h>

/* An outcome: somebody else has it. */
#define LOCK_TAKEN 1

/* Lock the open file; `name` is what errors call it. Some file systems have no locks
 * (Lustre without -o flock, some NFS): that is logged, once, and all goes on without,
 * for what is written is compared by inode before it is shown.
 * Return: 0; LOCK_TAKEN; -errno.
 */
int lock_take(int fd, const char *name, struct lighter_error *err);

#endif
