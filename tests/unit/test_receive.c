/* test_receive.c - daemon/receive.c: bytes, and what may come along with them. */
#include "daemon/receive.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];
static uint8_t room[64];
static struct lighter_error err;

static void
connect_ends(void)
{
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void
close_ends(void)
{
    close(ends[0]);
    close(ends[1]);
}

/* `bytes`, with `count` descriptors. */
static void
send_with(const char *bytes, size_t count)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {(void *)bytes, strlen(bytes)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = count ? &control : NULL,
                             .msg_controllen =
                                 count ? CMSG_SPACE(count * sizeof(int)) : 0};

    if (count) {
        control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                        .cmsg_type = SCM_RIGHTS,
                                        .cmsg_len = CMSG_LEN(count * sizeof(int))};
        for (size_t i = 0; i < count; i++)
            memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &ends[1], sizeof(int));
    }
    ck_assert_int_eq(sendmsg(ends[1], &message, 0), (ssize_t)part.iov_len);
}

START_TEST(bytes_come_alone)
{
    int fd = -1;

    ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), -EAGAIN);
    send_with("abc", 0);
    ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), 3);
    ck_assert_mem_eq(room, "abc", 3);
    ck_assert_int_eq(fd, -1);
    shutdown(ends[1], SHUT_WR);
    ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), 0);
}
END_TEST

START_TEST(a_descriptor_comes_with_its_first_byte)
{
    int fd = -1;

    send_with("before", 0);
    send_with("abc", 1);
    ck_assert_int_eq(receive(ends[0], room, 6, &fd, &err), 6);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(receive(ends[0], room, 1, &fd, &err), 1);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), 2);
    close(fd);
}
END_TEST

START_TEST(more_than_one_is_refused_and_all_are_closed)
{
    static const size_t counts[] = {2, 4, 5, 8}; /* 5: more than there is room for */

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int fd = -1;

        send_with("abc", counts[i]);
        ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), -EPROTO);
        ck_assert_uint_eq(err.code, LIGHTER_E_PROTOCOL);
        ck_assert_int_eq(fd, -1);
    }
}
END_TEST

START_TEST(another_while_one_waits_is_refused)
{
    int fd = -1, first;

    send_with("abc", 1);
    ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), 3);
    first = fd;
    send_with("abc", 1);
    ck_assert_int_eq(receive(ends[0], room, sizeof room, &fd, &err), -EPROTO);
    ck_assert_int_eq(fd, first); /* still the caller's */
    close(fd);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("receive");
    TCase *tcase = unit_case(suite, "receive");

    tcase_add_checked_fixture(tcase, connect_ends, close_ends);
    tcase_add_test(tcase, bytes_come_alone);
    tcase_add_test(tcase, a_descriptor_comes_with_its_first_byte);
    tcase_add_test(tcase, more_than_one_is_refused_and_all_are_closed);
    tcase_add_test(tcase, another_while_one_waits_is_refused);
    return unit_main(suite);
}
