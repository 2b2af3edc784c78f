/* test_address.c - wire/address.c: which socket, by argument, environment and user. */
#include "tests/unit/unit.h"
#include "wire/address.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_SOCKET "/run/lighterd/lighterd.sock"

static struct sockaddr_un address;
static struct lighter_error err;

static void
expect_path(const char *wanted, const char *expected)
{
    ck_assert_msg(address_find(wanted, &address, &err) == 0, "%s", err.message);
    ck_assert_int_eq(address.sun_family, AF_UNIX);
    ck_assert_str_eq(address.sun_path, expected);
}

START_TEST(what_was_said_wins_over_the_environment)
{
    setenv("LIGHTERD_SOCKET", "/env.sock", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    expect_path("/said.sock", "/said.sock");
    expect_path("relative.sock", "relative.sock");
}
END_TEST

START_TEST(the_environments_socket_wins_over_the_runtime_directory)
{
    setenv("LIGHTERD_SOCKET", "/env.sock", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    expect_path(NULL, "/env.sock");
}
END_TEST

START_TEST(the_runtime_directory_wins_over_the_system)
{
    unsetenv("LIGHTERD_SOCKET");
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    expect_path(NULL, "/run/user/7/lighterd/lighterd.sock");
}
END_TEST

START_TEST(empty_variables_are_none)
{
    setenv("LIGHTERD_SOCKET", "", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    expect_path(NULL, "/run/user/7/lighterd/lighterd.sock");
}
END_TEST

START_TEST(an_empty_path_is_refused)
{
    ck_assert_int_eq(address_find("", &address, &err), -EINVAL);
    ck_assert_str_eq(err.message, "the socket's path is empty");
}
END_TEST

START_TEST(a_path_fits_with_107_bytes_and_not_with_108)
{
    char path[sizeof address.sun_path + 1];

    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[107] = '\0';
    expect_path(path, path);

    path[107] = 'x';
    path[108] = '\0';
    ck_assert_int_eq(address_find(path, &address, &err), -ENAMETOOLONG);
    ck_assert_ptr_nonnull(
        strstr(err.message, "a socket's path of 108 bytes; at most 107 fit ('/xxx"));
}
END_TEST

START_TEST(a_runtime_directory_that_is_too_long_is_refused)
{
    char path[200];

    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    unsetenv("LIGHTERD_SOCKET");
    setenv("XDG_RUNTIME_DIR", path, 1);
    ck_assert_int_eq(address_find(NULL, &address, &err), -ENAMETOOLONG);
}
END_TEST

START_TEST(without_an_environment_the_user_decides)
{
    char own[64];

    unsetenv("LIGHTERD_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    snprintf(own, sizeof own, "/tmp/lighterd-%u/lighterd.sock", (unsigned)geteuid());
    if (geteuid() == 0 || access(SYSTEM_SOCKET, F_OK) == 0)
        expect_path(NULL, SYSTEM_SOCKET);
    else
        expect_path(NULL, own);
}
END_TEST

/* ---- the directory in /tmp; a user of its own is needed, which only root can be ---
 */

static char directory[64];

/* Return: can this be tested here? */
static int
become_somebody(void)
{
    const uid_t uid = 1900000000u + (uid_t)(getpid() % 1000000);

    unsetenv("LIGHTERD_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    snprintf(directory, sizeof directory, "/tmp/lighterd-%u", (unsigned)uid);
    return access(SYSTEM_SOCKET, F_OK) != 0 && geteuid() == 0 && seteuid(uid) == 0;
}

static void
become_root(void)
{
    ck_assert_int_eq(seteuid(0), 0);
}

START_TEST(a_users_directory_in_tmp_need_not_be_there)
{
    char expected[128];

    if (!become_somebody())
        return;
    snprintf(expected, sizeof expected, "%s/lighterd.sock", directory);
    expect_path(NULL, expected);
    become_root();
}
END_TEST

START_TEST(a_users_own_directory_in_tmp_is_taken_with_mode_0700_alone)
{
    int r_open, r_closed;

    if (!become_somebody())
        return;
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    r_closed = address_find(NULL, &address, &err);
    chmod(directory, 0750);
    r_open = address_find(NULL, &address, &err);
    rmdir(directory);
    become_root();
    ck_assert_int_eq(r_closed, 0);
    ck_assert_int_eq(r_open, -EPERM);
}
END_TEST

START_TEST(anothers_directory_in_tmp_is_refused)
{
    int r;

    if (!become_somebody())
        return;
    become_root();
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    ck_assert(become_somebody());
    r = address_find(NULL, &address, &err);
    become_root();
    rmdir(directory);
    ck_assert_int_eq(r, -EPERM);
    ck_assert_ptr_nonnull(strstr(err.message, "that belongs to this user"));
}
END_TEST

START_TEST(a_link_in_tmp_is_refused)
{
    int r;

    if (!become_somebody())
        return;
    ck_assert_int_eq(symlink("/tmp", directory), 0);
    r = address_find(NULL, &address, &err);
    unlink(directory);
    become_root();
    ck_assert_int_eq(r, -EPERM);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("address");
    TCase *order = unit_case(suite, "order");
    TCase *tmp = unit_case(suite, "tmp");

    tcase_add_test(order, what_was_said_wins_over_the_environment);
    tcase_add_test(order, the_environments_socket_wins_over_the_runtime_directory);
    tcase_add_test(order, the_runtime_directory_wins_over_the_system);
    tcase_add_test(order, empty_variables_are_none);
    tcase_add_test(order, an_empty_path_is_refused);
    tcase_add_test(order, a_path_fits_with_107_bytes_and_not_with_108);
    tcase_add_test(order, a_runtime_directory_that_is_too_long_is_refused);
    tcase_add_test(order, without_an_environment_the_user_decides);
    tcase_add_test(tmp, a_users_directory_in_tmp_need_not_be_there);
    tcase_add_test(tmp, a_users_own_directory_in_tmp_is_taken_with_mode_0700_alone);
    tcase_add_test(tmp, anothers_directory_in_tmp_is_refused);
    tcase_add_test(tmp, a_link_in_tmp_is_refused);
    return unit_main(suite);
}
