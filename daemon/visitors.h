/* visitors.h - which users may connect, besides the daemon's own and root.
 *
 * Whoever may connect may do all that the daemon's user may do through it: write below
 * `output_roots`, look at all jobs, end the daemon.
 */
#ifndef DAEMON_VISITORS_H
#define DAEMON_VISITORS_H

#include <lighter/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct visitors {
    uid_t *uids; /* owned */
    gid_t *gids; /* owned */
    size_t n_uids, n_gids;
};

/* Names, with commas between them; NULL: none.
 * Return: 0; -EINVAL where there is no such user or group; -ENOMEM.
 */
int visitors_init(struct visitors *visitors, const char *users, const char *groups,
                  struct lighter_error *err);
void visitors_done(struct visitors *visitors);

/* Is there anybody? */
bool visitors_any(const struct visitors *visitors);

/* May the peer of this connection come in? It is logged where it may not. */
bool visitors_admit(const struct visitors *visitors, int fd);

#endif
