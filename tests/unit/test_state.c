/* test_state.c - daemon/state.c: where jobs are remembered, and that one daemon has it.
 */
#include "daemon/state.h"

#include "tests/unit/unit.h"
#include "util/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *base;
static char host[HOST_NAME_MAX + 1];
static struct state state;
static struct lighter_error err;

static void
begin(void)
{
    base = unit_tmpdir();
    log_set_level(LOG_LEVEL_ERROR);
    gethostname(host, sizeof host - 1);
    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    state.fd = -1;
}

static void
end(void)
{
    state_done(&state);
    unit_tmpdir_remove(base);
}

/* A path in the test's directory; lent until the fourth call from now. */
static const char *
in_base(const char *name)
{
    static char paths[4][512];
    static int last;
    char *path = paths[last = (last + 1) % 4];

    snprintf(path, sizeof paths[0], "%s/%s", base, name);
    return path;
}

static void
open_state(const char *setting, const char *socket)
{
    ck_assert_msg(state_open(&state, setting, socket, &err) == 0, "%s", err.message);
}

/* `name`: of the directory in which hosts have theirs. */
static void
expect_below(const char *name, const char *socket)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s/%s", in_base(name), host, socket);
    ck_assert_str_eq(state.path, path);
    ck_assert_int_eq(access(path, F_OK), 0);
    state_done(&state);
}

static void
make_file(const char *name)
{
    int fd = open(in_base(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    close(fd);
}

/* ---- where it is ---------------------------------------------------------------- */

START_TEST(the_first_of_the_places_is_taken)
{
    setenv("HOME", in_base("home"), 1);
    open_state(NULL, "/run/s");
    expect_below("home/.local/state/lighterd", "%run%s");

    setenv("XDG_STATE_HOME", in_base("xdg"), 1);
    open_state(NULL, "/run/s");
    expect_below("xdg/lighterd", "%run%s");

    setenv("STATE_DIRECTORY", in_base("systemd"), 1);
    open_state(NULL, "/run/s");
    expect_below("systemd", "%run%s");

    open_state(in_base("setting"), "/run/s");
    expect_below("setting", "%run%s");
}
END_TEST

START_TEST(a_variable_that_is_no_absolute_path_is_passed_over)
{
    setenv("STATE_DIRECTORY", "", 1);
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", in_base("home"), 1);
    open_state(NULL, "/s");
    expect_below("home/.local/state/lighterd", "%s");
}
END_TEST

START_TEST(where_no_place_can_be_made_it_is_beside_the_socket)
{
    make_file("file");
    setenv("XDG_STATE_HOME", in_base("file"), 1);
    log_set_level(LOG_LEVEL_ERROR);
    open_state(NULL, in_base("s"));
    ck_assert_str_eq(state.path, in_base("s.state"));
    ck_assert(unit_exists(base, "s.state"));
}
END_TEST

START_TEST(where_nothing_says_so_it_is_beside_the_socket)
{
    open_state(NULL, in_base("s"));
    ck_assert_str_eq(state.path, in_base("s.state"));
}
END_TEST

START_TEST(what_the_setting_says_is_not_passed_over)
{
    make_file("file");
    setenv("HOME", in_base("home"), 1);
    ck_assert_int_eq(state_open(&state, in_base("file"), "/s", &err), -ENOTDIR);
    ck_assert_ptr_nonnull(strstr(err.message, in_base("file")));
    ck_assert_int_eq(state.fd, -1);
}
END_TEST

START_TEST(a_relative_socket_is_the_one_of_its_directory)
{
    char directory[PATH_MAX], expected[PATH_MAX];

    ck_assert_ptr_nonnull(getcwd(directory, sizeof directory));
    ck_assert_int_eq(chdir(base), 0);
    open_state(in_base("setting"), "s");
    ck_assert_int_eq(chdir(directory), 0);
    snprintf(expected, sizeof expected, "%s", in_base("s"));
    for (char *p = expected; (p = strchr(p, '/'));)
        *p = '%';
    expect_below("setting", expected);
}
END_TEST

START_TEST(no_two_sockets_have_one_directory)
{
    static const char *const sockets[] = {"/a/b",  "/a%b",  "/a+b",  "/a+%b",
                                          "/a%/b", "/a/%b", "/a++b", "/a/+b"};
    struct state states[8];

    for (int i = 0; i < 8; i++)
        ck_assert_msg(state_open(&states[i], in_base("d"), sockets[i], &err) == 0,
                      "%s: %s", sockets[i], err.message);
    for (int i = 0; i < 8; i++)
        state_done(&states[i]);
}
END_TEST

START_TEST(the_longest_socket_has_a_directory_of_its_own)
{
    char socket[108], other[108];
    struct state states[2];

    memset(socket, '%', 107);
    socket[0] = '/';
    socket[107] = '\0';
    strcpy(other, socket);
    other[106] = 'x';
    ck_assert_int_eq(state_open(&states[0], base, socket, &err), 0);
    ck_assert_int_eq(state_open(&states[1], base, other, &err), 0);
    state_done(&states[0]);
    state_done(&states[1]);
}
END_TEST

/* ---- whose it is ----------------------------------------------------------------- */

START_TEST(one_daemon_has_it_at_a_time)
{
    struct state other;

    open_state(base, "/s");
    ck_assert_int_eq(state_open(&other, base, "/s", &err), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "another lighterd has"));
    ck_assert_int_eq(other.fd, -1);
    state_done(&other);
    ck_assert_int_eq(access(state.path, F_OK), 0);

    state_done(&state);
    open_state(base, "/s");
}
END_TEST

START_TEST(an_empty_one_is_removed_and_one_with_a_journal_stays)
{
    char path[PATH_MAX];

    open_state(base, "/s");
    strcpy(path, state.path);
    state_done(&state);
    ck_assert_int_ne(access(path, F_OK), 0);

    open_state(base, "/s");
    close(openat(state.fd, "a.test.journal", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    state_done(&state);
    ck_assert_int_eq(access(path, F_OK), 0);
    state_done(&state); /* nothing more */
}
END_TEST

/* ---- what is in it ----------------------------------------------------------------
 */

START_TEST(a_journal_is_called_after_job_and_stage)
{
    char name[NAME_MAX + 1], longest[101];

    state_journal_name(name, "a.b", "predict");
    ck_assert_str_eq(name, "a.b.predict.journal");
    memset(longest, 'x', 100);
    longest[100] = '\0';
    state_journal_name(name, longest, "validate");
    ck_assert_uint_eq(strlen(name), 100 + strlen(".validate.journal"));
}
END_TEST

static int
collect(void *data, const char *name, struct lighter_error *ret_err)
{
    (void)ret_err;
    strcat(data, name);
    strcat(data, " ");
    return strcmp(name, "stop.test.journal") == 0 ? -EPROTO : 0;
}

START_TEST(journals_are_found_and_nothing_else)
{
    static const char *const names[] = {"a.test.journal", "a.test.journal.new", "note",
                                        ".journal"};
    char found[256] = "";

    open_state(base, "/s");
    for (int i = 0; i < 4; i++)
        close(openat(state.fd, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(state_each(&state, collect, found, &err), 0);
    ck_assert_str_eq(found, "a.test.journal ");

    close(openat(state.fd, "stop.test.journal", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(state_each(&state, collect, found, &err), -EPROTO);
}
END_TEST

START_TEST(journals_come_in_the_order_of_their_age)
{
    static const char *const names[] = {"b.test.journal", "a.test.journal",
                                        "d.test.journal", "c.test.journal"};
    char found[256] = "";

    open_state(base, "/s");
    for (int i = 0; i < 4; i++) {
        struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1, .tv_nsec = 4 - i}};
        int fd = openat(state.fd, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        futimens(fd, times);
        close(fd);
    }
    ck_assert_int_eq(state_each(&state, collect, found, &err), 0);
    ck_assert_str_eq(found,
                     "c.test.journal d.test.journal a.test.journal b.test.journal ");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("state");
    TCase *places = unit_case(suite, "places");
    TCase *owner = unit_case(suite, "owner");
    TCase *content = unit_case(suite, "content");
    TCase *const cases[] = {places, owner, content};

    for (int i = 0; i < 3; i++)
        tcase_add_checked_fixture(cases[i], begin, end);
    tcase_add_test(places, the_first_of_the_places_is_taken);
    tcase_add_test(places, a_variable_that_is_no_absolute_path_is_passed_over);
    tcase_add_test(places, where_no_place_can_be_made_it_is_beside_the_socket);
    tcase_add_test(places, where_nothing_says_so_it_is_beside_the_socket);
    tcase_add_test(places, what_the_setting_says_is_not_passed_over);
    tcase_add_test(places, a_relative_socket_is_the_one_of_its_directory);
    tcase_add_test(places, no_two_sockets_have_one_directory);
    tcase_add_test(places, the_longest_socket_has_a_directory_of_its_own);
    tcase_add_test(owner, one_daemon_has_it_at_a_time);
    tcase_add_test(owner, an_empty_one_is_removed_and_one_with_a_journal_stays);
    tcase_add_test(content, a_journal_is_called_after_job_and_stage);
    tcase_add_test(content, journals_are_found_and_nothing_else);
    tcase_add_test(content, journals_come_in_the_order_of_their_age);
    return unit_main(suite);
}
