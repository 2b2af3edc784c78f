/* outbox.h - answers that a client has not read yet: one run of bytes.
 *
 * In: packed messages. Out: as much as the socket takes, in order. It holds the bytes
 * alone, however many answers they are, and no more of them than OUTBOX_MAX and one
 * answer. Loop thread.
 */
#ifndef DAEMON_OUTBOX_H
#define DAEMON_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a client that does not read: 40,000 answers and more are in it. */
#define OUTBOX_MAX ((size_t)1 << 20)

enum { OUTBOX_FULL = 1 };

struct outbox {
    uint8_t *data; /* [start, end) wait; owned; NULL: none do */
    size_t start, end, room;
};

void outbox_done(struct outbox *outbox);

/* Bytes that wait. */
size_t outbox_size(const struct outbox *outbox);

/* Send, or keep what the socket does not take now. A socket that is broken shows at
 * outbox_send(). Return: 0; OUTBOX_FULL where more than OUTBOX_MAX wait already;
 * -ENOMEM.
 */
int outbox_put(struct outbox *outbox, int fd, const uint8_t *data, size_t size);

/* Return: 0, all was sent or the socket is full; -errno: the peer is gone. */
int outbox_send(struct outbox *outbox, int fd);

#endif
