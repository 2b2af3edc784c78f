/* listener.h - the socket's name: who may have it, who may come in.
 *
 * One daemon a socket: whoever holds the lock on PATH.lock owns PATH, and may remove
 * what an earlier daemon left there. The kernel drops the lock with the process,
 * however it dies, so there is no stale one; the lock file itself stays.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include "daemon/own.h"
#include "daemon/visitors.h"

#include <lighter/error.h>

#include <stdbool.h>
#include <sys/un.h>
#include <uv.h>

enum { LISTENER_TAKEN = 1 };

struct listener {
    struct sockaddr_un address;
    int fd, lock_fd;  /* -1: none */
    bool is_passed;   /* the socket and its name are the service manager's */
    struct own_id id; /* of the socket that we have bound */
    int spare_fd;     /* given up to refuse a client when descriptors have run out */
    uv_poll_t poll;
    bool watching;
    const struct visitors *visitors;       /* borrowed */
    void (*on_accept)(void *data, int fd); /* takes the descriptor */
    void *data;
};

/* Lock, bind and listen; the directory is made where it is not there (0700). The socket
 * has the mode 0600, or 0666 where there are visitors: they are looked at as they come.
 * A socket that nobody listens on is replaced; anything else of that name stays.
 * Return: 0; LISTENER_TAKEN, and `err` names the socket; -EINVAL: something else has
 *         that name; -errno.
 */
int listener_init(struct listener *listener, const struct sockaddr_un *address,
                  const struct visitors *visitors, struct lighter_error *err);

/* The same with a socket that listens already. Takes `fd`.
 * Return: 0; -EINVAL where it is no such socket; -errno.
 */
int listener_adopt(struct listener *listener, int fd, const struct visitors *visitors,
                   struct lighter_error *err);

/* Begin to accept. on_accept gets a non-blocking descriptor of a peer that may come in.
 */
int listener_start(struct listener *listener, uv_loop_t *loop,
                   void (*on_accept)(void *data, int fd), void *data,
                   struct lighter_error *err);

/* Nobody comes in any more; the name is removed where it is ours. The lock is kept
 * until listener_done(), which may be called when the loop has ended.
 */
void listener_stop(struct listener *listener);
void listener_done(struct listener *listener);

#endif
