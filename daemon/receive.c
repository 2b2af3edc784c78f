/* receive.c - see receive.h. */
#include "daemon/receive.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Few: the kernel closes what does not fit, and says so by MSG_CTRUNC. */
#define MAX_RECEIVED 4

union control {
    struct cmsghdr head; /* for its alignment */
    char bytes[CMSG_SPACE(MAX_RECEIVED * sizeof(int))];
};

/* Return: how many there are; the first of them is kept in *descriptor where it is -1.
 */
static size_t
take_descriptors(const struct cmsghdr *head, int *descriptor)
{
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int fd;

    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
        return 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
        if (*descriptor < 0)
            *descriptor = fd;
        else
            close(fd);
    }
    return count;
}

static int
check_descriptors(struct msghdr *message, int *descriptor, struct lighter_error *err)
{
    bool was_waiting = *descriptor >= 0;
    size_t count = 0;

    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head;
         head = CMSG_NXTHDR(message, head))
        count += take_descriptors(head, descriptor);
    if (count <= 1 && !(was_waiting && count) && !(message->msg_flags & MSG_CTRUNC))
        return 0;
    if (!was_waiting && *descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
    return lighter_fail(err, LIGHTER_E_PROTOCOL,
                        "descriptors that cannot be taken: one may come, with the "
                        "request 'memory', and none while it waits");
}

ssize_t
receive(int socket, uint8_t *room, size_t size, int *descriptor,
        struct lighter_error *err)
{
    union control control;
    struct iovec part = {room, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return -errno;
    return check_descriptors(&message, descriptor, err) < 0 ? -EPROTO : n;
}
