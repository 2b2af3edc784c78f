/* channel.c - see channel.h. */
#include "client/c/channel.h"

#include "client/c/owner.h"
#include "util/error.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Answers are small: this is against a peer that is no lighterd. */
#define ANSWER_MAX_BYTES ((size_t)64 << 20)

static int
fail_connect(const struct sockaddr_un *address, int errnum, struct lighter_error *err)
{
    bool is_absent = errnum == ENOENT || errnum == ECONNREFUSED || errnum == ENOTDIR;

    lighter_fail_os(err, errnum,
                    is_absent ? "no lighterd listens on %s"
                              : "connect to lighterd on %s",
                    address->sun_path);
    return is_absent ? -ECONNREFUSED : -EIO;
}

static int
connect_socket(int fd, const struct sockaddr_un *address, struct lighter_error *err)
{
    int r;

    do /* a Unix socket that was interrupted is as unconnected as before */
        r = connect(fd, (const struct sockaddr *)address, sizeof *address);
    while (r < 0 && errno == EINTR);
    return r < 0 ? fail_connect(address, errno, err) : 0;
}

int
channel_open(struct channel *channel, const struct sockaddr_un *address, uid_t owner,
             channel_on_message *on_message, void *context, struct lighter_error *err)
{
    int r;

    *channel = (struct channel){.on_message = on_message, .context = context};
    channel->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (channel->fd < 0) {
        lighter_fail_os(err, errno, "open a socket");
        return -EIO;
    }
    r = connect_socket(channel->fd, address, err);
    if (r == 0)
        r = owner_check(channel->fd, owner, address->sun_path, err);
    if (r == 0)
        r = frame_reader_init(&channel->reader, ANSWER_MAX_BYTES, err);
    if (r < 0)
        channel_close(channel);
    return r;
}

void
channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
    frame_reader_done(&channel->reader);
}

static int
fail_closed(const struct channel *channel, struct lighter_error *err)
{
    bool is_torn =
        channel->reader.end > channel->reader.start || channel->reader.large.size > 0;

    lighter_fail(err, LIGHTER_E_OS, "lighterd closed the connection%s",
                 is_torn ? " in the middle of an answer" : "");
    if (err)
        err->errnum = ECONNRESET;
    return -ECONNRESET;
}

static int
take_messages(struct channel *channel, struct lighter_error *err)
{
    for (;;) {
        struct message message;
        struct frame frame;
        int r = frame_next(&channel->reader, &frame, err);

        if (r == FRAME_MORE)
            return 0;
        if (r == 0)
            r = message_parse(&message, &frame, CHECK_MAX_OBJECTS, err); /* takes */
        if (r < 0)
            return error_wrap(err, r, "an answer of lighterd");
        r = channel->on_message(channel->context, &message, err);
        message_done(&message);
        if (r < 0)
            return r;
    }
}

int
channel_receive(struct channel *channel, bool wait, struct lighter_error *err)
{
    uint8_t *room;
    size_t size;
    ssize_t n;
    int r = frame_reader_room(&channel->reader, &room, &size, err);

    if (r < 0)
        return r;
    do
        n = recv(channel->fd, room, size, wait ? 0 : MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return CHANNEL_NOTHING;
    if (n < 0 && errno != ECONNRESET)
        return lighter_fail_os(err, errno, "receive from lighterd");
    if (n <= 0)
        return fail_closed(channel, err);
    frame_reader_fed(&channel->reader, (size_t)n);
    return take_messages(channel, err);
}

/* The socket takes no more bytes: wait until it does, and take answers meanwhile. */
static int
wait_writable(struct channel *channel, struct lighter_error *err)
{
    struct pollfd poll_fd = {.fd = channel->fd, .events = POLLIN | POLLOUT};
    int r;

    if (poll(&poll_fd, 1, -1) < 0)
        return errno == EINTR ? 0 : lighter_fail_os(err, errno, "wait for lighterd");
    if (!(poll_fd.revents & POLLIN))
        return 0;
    r = channel_receive(channel, false, err);
    return r < 0 ? r : 0;
}

/* The daemon reads no more. What it said before it closed is the better reason. */
static int
fail_send(struct channel *channel, int errnum, struct lighter_error *err)
{
    int r;

    if (errnum != EPIPE && errnum != ECONNRESET)
        return lighter_fail_os(err, errnum, "send to lighterd");
    do
        r = channel_receive(channel, false, err);
    while (r == 0);
    return r < 0 ? r : fail_closed(channel, err);
}

/* Room for one descriptor, aligned as the kernel wants it. */
union rights {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void
add_descriptor(struct msghdr *header, union rights *rights, int fd)
{
    struct cmsghdr *head;

    *rights = (union rights){0};
    header->msg_control = rights->bytes;
    header->msg_controllen = sizeof rights->bytes;
    head = CMSG_FIRSTHDR(header);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
}

int
channel_send(struct channel *channel, const uint8_t *bytes, size_t size, int fd,
             struct lighter_error *err)
{
    struct iovec part;
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union rights rights;
    int r = 0;

    if (fd >= 0)
        add_descriptor(&header, &rights, fd);
    for (size_t at = 0; at < size && r == 0;) {
        ssize_t n;

        part = (struct iovec){(uint8_t *)bytes + at, size - at};
        n = sendmsg(channel->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            at += (size_t)n;
            header.msg_controllen = 0; /* a descriptor went with the first byte */
        } else if (errno == EAGAIN)
            r = wait_writable(channel, err);
        else if (errno != EINTR)
            r = fail_send(channel, errno, err);
    }
    return r;
}
