/* receive.h - bytes from a socket, and the one descriptor that may come with them.
 *
 * Whatever a peer sends along, nothing of it stays open that nobody holds. Any thread.
 */
#ifndef DAEMON_RECEIVE_H
#define DAEMON_RECEIVE_H

#include <lighter/error.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read what is there, without waiting. A descriptor that came is put into *descriptor,
 * close-on-exec and the caller's, where that is -1.
 *
 * Return: bytes (1 or more); 0 at the end; -EPROTO, `err` filled, where a descriptor
 *         came while one waits, more than one came, or what came was cut short: those
 *         that came are closed; -EAGAIN; another -errno.
 */
ssize_t receive(int socket, uint8_t *room, size_t size, int *descriptor,
                struct lighter_error *err);

#endif
