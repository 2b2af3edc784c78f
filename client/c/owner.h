/* owner.h - whose daemon listens there.
 *
 * In a directory such as /tmp anybody may wait for what a process has to hand over. The
 * kernel says who called listen(): of a socket that systemd made, root, or the user
 * whose systemd it is. Any thread.
 */
#ifndef CLIENT_OWNER_H
#define CLIENT_OWNER_H

#include <lighter/error.h>
#include <stdbool.h>
#include <sys/types.h>

/* The user whose daemon it may be, besides root's: `told`, a name or a number, else
 * $LIGHTERD_OWNER, else this process's. `told` may be NULL. Return: 0; -EINVAL.
 */
int owner_find(const char *told, uid_t *ret_uid, struct lighter_error *err);

/* Is the peer of the connected socket `fd` that user, or root? Return: 0; -EBUSY, with
 * both users in `err`; -EIO.
 */
int owner_check(int fd, uid_t uid, const char *path, struct lighter_error *err);

/* Does the peer serve this process in any case, as far as users go? */
bool owner_is_served(int fd);

#endif
