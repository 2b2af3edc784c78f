/* channel.h - one connection to the daemon: bytes out, whole messages in.
 *
 * It knows frames and messages, and nothing of what they mean. While bytes wait to go
 * out, messages that come in are taken: else both sides could wait for the other to
 * read. Any negative return means that the connection is of no more use; -ECONNRESET
 * that the daemon has gone away.
 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include "wire/message.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

enum { CHANNEL_NOTHING = 1 };

/* A message has come: lent, but its frame and zone may be moved away. A negative return
 * ends the connection, and is what channel_send() or channel_receive() returns.
 */
typedef int channel_on_message(void *context, struct message *message,
                               struct lighter_error *err);

struct channel {
    int fd;
    struct frame_reader reader;
    channel_on_message *on_message;
    void *context; /* of on_message; borrowed */
};

/* The daemon must be of the user `owner`, or root's. Return: 0; -ECONNREFUSED where
 * nobody listens (`err` has the errno), and only then; -EBUSY where somebody else does;
 * -EIO or -ENOMEM. On failure the channel is as channel_close() leaves it.
 */
int channel_open(struct channel *channel, const struct sockaddr_un *address,
                 uid_t owner, channel_on_message *on_message, void *context,
                 struct lighter_error *err);
void channel_close(struct channel *channel);

/* All of the bytes to the kernel; the descriptor `fd`, where it is none of -1, with the
 * first of them.
 */
int channel_send(struct channel *channel, const uint8_t *bytes, size_t size, int fd,
                 struct lighter_error *err);

/* Take what has come, at least one read's worth of it where `wait` is set; that need
 * not be a whole message. Return: 0; CHANNEL_NOTHING where nothing is there; broken.
 */
int channel_receive(struct channel *channel, bool wait, struct lighter_error *err);

#endif
