/* listener.h - the socket's name: who may have it, who may come in.
 *
 * One daemon a socket: whoever holds the lock on PATH.lock owns PATH, and may remove
 * what an earlier daemon left there. The kernel drops the lock with the process,
 * however it dies, so there is no stale one; the lock file itself stays.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <lighter/error.h>

#include <stdbool.h>
#include <sys/un.h>
#include <uv.h>

enum { LISTENER_TAKEN = 1 };

struct listener {
    struct sockaddr_un address;
    int fd, lock_fd; /* -1: none */
    int spare_fd;    /* given up to refuse a client when descriptors have run out */
    uv_poll_t poll;
    bool watching;
    void (*on_accept)(void *data, int fd); /* takes the descriptor */
    void *data;
};

/* Lock, bind and listen, mode 0600; the directory is made where it is not there (0700).
 * Return: 0; LISTENER_TAKEN, and `err` names the socket; -errno.
 */
int listener_init(struct listener *listener, const struct sockaddr_un *address,
                  struct lighter_error *err);

/* Begin to accept. on_accept gets a non-blocking descriptor of a peer that may come in:
 * the same user, or root.
 */
int listener_start(struct listener *listener, uv_loop_t *loop,
                   void (*on_accept)(void *data, int fd), void *data,
                   struct lighter_error *err);

/* Nobody comes in any more; the name is removed. The lock is kept until
 * listener_done(), which may be called when the loop has ended.
 */
void listener_stop(struct listener *listener);
void listener_done(struct listener *listener);

#endif
