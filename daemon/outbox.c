/* outbox.c - see outbox.h. */
#include "daemon/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM_MIN ((size_t)4 << 10)

void
outbox_done(struct outbox *outbox)
{
    free(outbox->data);
    *outbox = (struct outbox){0};
}

size_t
outbox_size(const struct outbox *outbox)
{
    return outbox->end - outbox->start;
}

/* Return: bytes, 0 where the socket is full; -errno. */
static ssize_t
send_some(int fd, const uint8_t *data, size_t size)
{
    ssize_t n;

    do
        n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    return n;
}

/* What was sent makes room first. */
static int
make_room(struct outbox *outbox, size_t size)
{
    size_t waiting = outbox_size(outbox), room = outbox->room ? outbox->room : ROOM_MIN;
    uint8_t *data;

    if (outbox->start)
        memmove(outbox->data, outbox->data + outbox->start, waiting);
    outbox->start = 0;
    outbox->end = waiting;
    while (room - waiting < size)
        room *= 2;
    if (room == outbox->room)
        return 0;
    data = realloc(outbox->data, room);
    if (!data)
        return -ENOMEM;
    outbox->data = data;
    outbox->room = room;
    return 0;
}

int
outbox_put(struct outbox *outbox, int fd, const uint8_t *data, size_t size)
{
    ssize_t sent = 0;

    if (outbox_size(outbox) > OUTBOX_MAX)
        return OUTBOX_FULL;
    if (!outbox_size(outbox))
        sent = send_some(fd, data, size); /* mostly there is room for all of it */
    if (sent > 0) {
        data += sent;
        size -= (size_t)sent;
    }
    if (!size)
        return 0;
    if (outbox->room - outbox->end < size && make_room(outbox, size) < 0)
        return -ENOMEM;
    memcpy(outbox->data + outbox->end, data, size);
    outbox->end += size;
    return 0;
}

int
outbox_send(struct outbox *outbox, int fd)
{
    ssize_t sent = 1;

    while (outbox_size(outbox) && sent > 0) {
        sent = send_some(fd, outbox->data + outbox->start, outbox_size(outbox));
        if (sent < 0)
            return (int)sent;
        outbox->start += (size_t)sent;
    }
    if (!outbox_size(outbox))
        outbox_done(outbox);
    return 0;
}
