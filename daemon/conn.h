/* conn.h - one connection: bytes in, frames out of them, answers back.
 *
 * In: a descriptor from the listener. It reads while its peer and the daemon have room
 * for more batches, and while the client takes its answers; else it lets the kernel's
 * buffer fill up, and the client waits. Loop thread.
 */
#ifndef DAEMON_CONN_H
#define DAEMON_CONN_H

#include "daemon/daemon.h"

/* Takes the descriptor, also on error. Return: 0; -ENOMEM; -errno. */
int conn_open(struct daemon *daemon, int fd, struct lighter_error *err);

/* The session is over and its ranks leave. It is freed when the loop has let go of it.
 */
void conn_close(struct conn *conn);

/* Bytes were released somewhere: connections that waited for room read on. */
void conn_resume_paused(struct daemon *daemon);

/* Close them all, after what was answered has been sent as far as the peers take it. */
void conn_close_all(struct daemon *daemon);

#endif
