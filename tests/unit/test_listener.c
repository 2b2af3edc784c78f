/* test_listener.c - daemon/listener.c: one daemon a socket, and nobody else's mode. */
#include "daemon/listener.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory;
static struct sockaddr_un address;
static struct lighter_error err;
static const struct visitors nobody;

static void
set_address(const char *name)
{
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    ck_assert_uint_lt((size_t)snprintf(address.sun_path, sizeof address.sun_path,
                                       "%s/%s", directory, name),
                      sizeof address.sun_path);
}

static void
begin(void)
{
    directory = unit_tmpdir();
    set_address("l.sock");
}

static void
end(void)
{
    unit_tmpdir_remove(directory);
}

static void
init(struct listener *listener)
{
    ck_assert_msg(listener_init(listener, &address, &nobody, &err) == 0, "%s", err.message);
}

static int
connect_to(const struct sockaddr_un *to)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return fd;
    close(fd);
    return -1;
}

START_TEST(the_socket_is_the_users_alone)
{
    struct listener listener;
    struct stat status;
    mode_t mask = umask(0);

    init(&listener);
    ck_assert_int_eq(stat(address.sun_path, &status), 0);
    ck_assert(S_ISSOCK(status.st_mode));
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    ck_assert_uint_eq(umask(mask), 0); /* as it was */
    listener_done(&listener);
}
END_TEST

START_TEST(a_missing_directory_is_made_for_the_user_alone)
{
    struct listener listener;
    struct stat status;

    set_address("run/l.sock");
    init(&listener);
    *strrchr(address.sun_path, '/') = '\0';
    ck_assert_int_eq(stat(address.sun_path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0700);
    listener_done(&listener);
}
END_TEST

START_TEST(a_second_listener_finds_the_socket_taken_and_leaves_it)
{
    struct listener first, second;
    int client;

    init(&first);
    ck_assert_int_eq(listener_init(&second, &address, &nobody, &err), LISTENER_TAKEN);
    ck_assert_uint_eq(err.code, LIGHTER_E_STATE);
    ck_assert_ptr_nonnull(strstr(err.message, address.sun_path));
    ck_assert_int_eq(second.fd, -1);
    ck_assert_int_eq(second.lock_fd, -1);

    client = connect_to(&address); /* the first one is still there */
    ck_assert_int_ge(client, 0);
    close(client);
    listener_done(&first);
}
END_TEST

START_TEST(a_socket_that_a_dead_daemon_left_is_replaced)
{
    struct listener dead, listener;
    int client;

    init(&dead);
    listener_done(&dead); /* as the kernel does it: the name stays */
    ck_assert(unit_exists(directory, "l.sock"));
    ck_assert_int_lt(connect_to(&address), 0);

    init(&listener);
    client = connect_to(&address);
    ck_assert_int_ge(client, 0);
    close(client);
    listener_done(&listener);
}
END_TEST

START_TEST(the_lock_is_free_when_its_holder_is_done)
{
    struct listener listener;

    for (int i = 0; i < 3; i++) {
        init(&listener);
        listener_done(&listener);
    }
    ck_assert(unit_exists(directory, "l.sock.lock"));
}
END_TEST

START_TEST(a_lock_that_is_a_link_is_not_followed)
{
    struct listener listener;
    char path[200];

    snprintf(path, sizeof path, "%s.lock", address.sun_path);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    ck_assert_int_eq(listener_init(&listener, &address, &nobody, &err), -ELOOP);
    ck_assert(!unit_exists(directory, "elsewhere"));
}
END_TEST

START_TEST(a_directory_that_cannot_be_made_says_so)
{
    struct listener listener;

    set_address("a/b/l.sock");
    ck_assert_int_eq(listener_init(&listener, &address, &nobody, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "open the lock"));
}
END_TEST

START_TEST(a_directory_in_the_sockets_place_stays)
{
    struct listener listener;

    ck_assert_int_eq(mkdir(address.sun_path, 0700), 0);
    ck_assert_int_lt(listener_init(&listener, &address, &nobody, &err), 0);
    ck_assert(unit_exists(directory, "l.sock"));
}
END_TEST

/* ---- accepting ----------------------------------------------------------------- */

struct accepted {
    struct listener *listener;
    int n, n_wanted;
};

static void
on_accept(void *data, int fd)
{
    struct accepted *accepted = data;

    accepted->n++;
    ck_assert_int_eq(send(fd, "hi", 2, MSG_NOSIGNAL), 2);
    close(fd);
    if (accepted->n == accepted->n_wanted)
        listener_stop(accepted->listener);
}

START_TEST(clients_come_in_until_the_listener_stops)
{
    struct listener listener, next;
    struct accepted accepted = {&listener, 0, 3};
    int clients[3];
    uv_loop_t loop;
    char text[2];

    init(&listener);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(listener_start(&listener, &loop, on_accept, &accepted, &err), 0);
    for (int i = 0; i < 3; i++)
        clients[i] = connect_to(&address);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);

    ck_assert_int_eq(accepted.n, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(read(clients[i], text, 2), 2);
        close(clients[i]);
    }
    ck_assert(!unit_exists(directory, "l.sock")); /* the name went first */
    ck_assert_int_eq(listener_init(&next, &address, &nobody, &err), LISTENER_TAKEN);
    listener_stop(&listener); /* a second time is nothing */
    listener_done(&listener);
    init(&next);
    listener_done(&next);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("listener");
    TCase *names = unit_case(suite, "names");
    TCase *accepting = unit_case(suite, "accepting");
    uv_loop_t loop;

    /* libuv opens descriptors of its own with its first loop, and keeps them */
    uv_loop_init(&loop);
    uv_loop_close(&loop);
    tcase_add_checked_fixture(names, begin, end);
    tcase_add_test(names, the_socket_is_the_users_alone);
    tcase_add_test(names, a_missing_directory_is_made_for_the_user_alone);
    tcase_add_test(names, a_second_listener_finds_the_socket_taken_and_leaves_it);
    tcase_add_test(names, a_socket_that_a_dead_daemon_left_is_replaced);
    tcase_add_test(names, the_lock_is_free_when_its_holder_is_done);
    tcase_add_test(names, a_lock_that_is_a_link_is_not_followed);
    tcase_add_test(names, a_directory_that_cannot_be_made_says_so);
    tcase_add_test(names, a_directory_in_the_sockets_place_stays);
    tcase_add_checked_fixture(accepting, begin, end);
    tcase_add_test(accepting, clients_come_in_until_the_listener_stops);
    return unit_main(suite);
}
