/* test_client_connect.c - whose daemon liblighter connects to, whose connection it is
 * then, and what the daemon says by itself.
 */
#include "tests/unit/client_peer.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct lighter_client *client;
static struct peer scripted;
static struct lighter_error err;

/* ---- whose daemon -------------------------------------------------------------- */

#define NOBODY 65534

static void
serve_nobody(struct peer *peer)
{
    char byte;

    ck_assert_int_eq(read(peer->fd, &byte, 1), 0); /* not a word was said */
}

/* The kernel says who called listen(): as root, the daemon is let be somebody else's.
 * Return: whose it is.
 */
static uid_t
start_daemon(void (*serve)(struct peer *peer))
{
    uid_t me = geteuid();

    peer_start(&scripted, SIZE_MAX, serve);
    if (me != 0)
        return me;
    ck_assert_int_eq(seteuid(NOBODY), 0);
    ck_assert_int_eq(listen(scripted.listen_fd, 4), 0);
    ck_assert_int_eq(seteuid(me), 0);
    return NOBODY;
}

static const char *
number(uid_t user)
{
    static char text[2][32];
    static int i;

    i = !i;
    snprintf(text[i], sizeof text[i], "%u", (unsigned)user);
    return text[i];
}

static int
connect_as(const char *owner)
{
    return lighter_connect_as(
        &client,
        &(struct lighter_connect_spec){.socket_path = scripted.path, .owner = owner},
        &err);
}

static void
finish(void)
{
    lighter_disconnect(client);
    peer_finish(&scripted);
}

static void
expect_refusal(uid_t found, uid_t wanted)
{
    char name[64];

    ck_assert_int_eq(err.code, LIGHTER_E_STATE);
    snprintf(name, sizeof name, "uid %u", (unsigned)found);
    ck_assert_contains(err.message, name);
    snprintf(name, sizeof name, "uid %u", (unsigned)wanted);
    ck_assert_contains(strstr(err.message, "; expected "), name);
    ck_assert_contains(err.message, "name the user by $LIGHTERD_OWNER");
    ck_assert_contains(err.message, scripted.path);
}

START_TEST(the_daemon_of_another_user_than_told_hears_nothing)
{
    uid_t theirs = start_daemon(serve_nobody), other = theirs == NOBODY ? 0 : NOBODY;

    ck_assert_int_eq(connect_as(number(other)), -EBUSY);
    expect_refusal(theirs, other);
    peer_finish(&scripted);
}
END_TEST

START_TEST(the_environment_says_whose_daemon_it_may_be)
{
    uid_t theirs = start_daemon(serve_nobody), other = theirs == NOBODY ? 0 : NOBODY;

    setenv("LIGHTERD_OWNER", number(other), 1);
    ck_assert_int_eq(connect_as(NULL), -EBUSY);
    expect_refusal(theirs, other);
    peer_finish(&scripted);

    theirs = start_daemon(peer_greet);
    setenv("LIGHTERD_OWNER", number(theirs), 1);
    ck_assert_ok(connect_as(NULL));
    finish();

    setenv("LIGHTERD_OWNER", number(other), 1); /* less than what the program says */
    theirs = start_daemon(peer_greet);
    ck_assert_ok(connect_as(number(theirs)));
    finish();
    unsetenv("LIGHTERD_OWNER");
}
END_TEST

START_TEST(the_daemon_of_the_user_who_is_named_is_the_right_one)
{
    const struct passwd *user = getpwuid(start_daemon(peer_greet));

    ck_assert_ok(
        connect_as(user ? user->pw_name : number(geteuid() ? geteuid() : NOBODY)));
    finish();
}
END_TEST

START_TEST(a_user_who_is_none_is_told)
{
    ck_assert_int_eq(
        lighter_connect_as(&client,
                           &(struct lighter_connect_spec){.socket_path = "/nowhere",
                                                          .owner = "no one"},
                           &err),
        -EINVAL);
    ck_assert_contains(err.message, "there is no user 'no one'");
}
END_TEST

/* ---- the first word ------------------------------------------------------------ */

static void
serve_after_deaths(struct peer *peer)
{
    for (int i = 0; i < 2; i++) {
        peer_expect(peer, "hello");
        peer_die(peer);
        peer_rise(peer);
    }
    peer_greet(peer);
    peer_serve(peer, "ping");
}

START_TEST(a_daemon_that_dies_before_its_first_word_is_looked_for_again)
{
    char *json;

    peer_start(&scripted, SIZE_MAX, serve_after_deaths);
    client = peer_connect(&scripted);
    ck_assert_int_eq(lighter_hello(client)->pid, 17);
    ck_assert_int_eq(lighter_hello(client)->n_reconnects, 0); /* none was known */
    ck_assert_ok(lighter_control(client, "ping", NULL, &json, &oops));
    free(json);
    finish();
}
END_TEST

static void
serve_a_death(struct peer *peer)
{
    peer_expect(peer, "hello");
}

START_TEST(without_reconnect_that_is_an_error)
{
    struct lighter_connect_spec spec = {.no_reconnect = true};

    peer_start(&scripted, SIZE_MAX, serve_a_death);
    spec.socket_path = scripted.path;
    ck_assert_int_eq(lighter_connect_as(&client, &spec, &err), -ECONNRESET);
    ck_assert_contains(err.message, "closed the connection without an answer");
    peer_finish(&scripted);
}
END_TEST

/* ---- a child of a fork --------------------------------------------------------- */

static void
serve_one_batch(struct peer *peer)
{
    peer_greet_and_accept_job(peer);
    peer_serve(peer, "write");
    peer_serve(peer, "end");
}

static bool
is_refused(int r, pid_t parent)
{
    char expected[64];

    snprintf(expected, sizeof expected, "this connection belongs to process %d",
             (int)parent);
    if (r == 0 || err.code != LIGHTER_E_STATE || strcmp(err.message, expected) != 0)
        return false;
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    return true;
}

/* Every call, in the child. Return: the first that is not refused; 0: they all are. */
static int
try_all(const struct lighter_outputs *outputs, pid_t parent)
{
    struct lighter_job_spec spec = {.job = "q", .writers_json = PEER_WRITERS};
    struct lighter_job job;
    char *json;

    if (!is_refused(lighter_open(client, &spec, &job, &err), parent))
        return 1;
    if (!is_refused(lighter_control(client, "ping", NULL, &json, &err), parent))
        return 2;
    if (!is_refused(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &err), parent))
        return 3;
    if (!is_refused(lighter_skip(client, PEER_HANDLE, 1, 0, 0, &err), parent))
        return 4;
    if (!is_refused(lighter_commit(client, PEER_HANDLE, &err), parent))
        return 5;
    if (!is_refused(lighter_flush(client, PEER_HANDLE, &err), parent))
        return 6;
    if (!is_refused(lighter_end(client, PEER_HANDLE, true, &err), parent))
        return 7;
    if (!is_refused(lighter_abort(client, PEER_HANDLE, NULL, &err), parent))
        return 8;
    return lighter_handed_over(client, PEER_HANDLE) == -1 ? 0 : 9;
}

START_TEST(a_child_of_a_fork_has_no_connection_and_does_not_disturb_its_parents)
{
    struct lighter_outputs *outputs = peer_outputs();
    pid_t child, me = getpid();
    int status;

    peer_start(&scripted, SIZE_MAX, serve_one_batch);
    client = peer_open_job(&scripted);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        status = try_all(outputs, me);
        lighter_disconnect(client);
        _exit(status);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);

    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops));
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    lighter_outputs_free(outputs);
    finish();
}
END_TEST

/* ---- what it says by itself ---------------------------------------------------- */

static void
say_waiting(struct peer *peer, const char *reason, const char *message)
{
    struct message_out out;

    message_begin_notification(&out, "waiting");
    msgpack_pack_map(&out.packer, 5);
    pack_key_int(&out.packer, "job", PEER_HANDLE);
    pack_key_text(&out.packer, "reason", reason);
    pack_key_text(&out.packer, "message", message);
    pack_key_int(&out.packer, "seconds", 10);
    pack_key_text(&out.packer, "path", NULL);
    peer_send_out(peer, &out);
}

static void
say_what_is_not_understood(struct peer *peer)
{
    struct message_out out;

    message_begin_notification(&out, "changed");
    msgpack_pack_map(&out.packer, 1);
    pack_key_int(&out.packer, "job", PEER_HANDLE);
    peer_send_out(peer, &out);
    message_begin_notification(&out, "waiting");
    msgpack_pack_map(&out.packer, 1);
    pack_key_text(&out.packer, "job", "p");
    peer_send_out(peer, &out);
}

static void
serve_who_waits(struct peer *peer)
{
    peer_greet(peer);
    ck_assert(peer_flag(peer, "notices"));
    peer_expect(peer, "open");
    say_waiting(peer, "epoch", "job 'p' waits for its last epoch");
    say_what_is_not_understood(peer);
    say_waiting(peer, NULL, "job 'p' goes on");
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_STATE, 0, -1, "rank 1 is taken"});
}

#define MAX_NOTICES 4

struct heard {
    int n_notices;
    char texts[MAX_NOTICES][100];
};

static void
hear(void *context, const struct lighter_notice *notice)
{
    struct heard *heard = context;

    ck_assert_int_lt(heard->n_notices, MAX_NOTICES);
    snprintf(heard->texts[heard->n_notices++], sizeof heard->texts[0], "%d %s: %s",
             (int)notice->handle, notice->reason ? notice->reason : "on",
             notice->message);
}

static void
open_and_be_refused(struct heard *heard)
{
    struct lighter_job_spec job_spec = {.job = "p", .writers_json = PEER_WRITERS};
    struct lighter_connect_spec spec = {.on_notice = heard ? hear : NULL,
                                        .notice_context = heard};
    struct lighter_job job;

    peer_start(&scripted, unit_chunks[0], serve_who_waits);
    spec.socket_path = scripted.path;
    ck_assert_ok(lighter_connect_as(&client, &spec, &oops));
    ck_assert_int_eq(lighter_open(client, &job_spec, &job, &err), -EBUSY);
    ck_assert_str_eq(err.message, "rank 1 is taken");
    finish();
}

START_TEST(who_waits_is_told_and_told_that_it_goes_on)
{
    struct heard heard = {0};

    open_and_be_refused(&heard);
    ck_assert_int_eq(heard.n_notices, 2);
    ck_assert_str_eq(heard.texts[0], "3 epoch: job 'p' waits for its last epoch");
    ck_assert_str_eq(heard.texts[1], "3 on: job 'p' goes on");
}
END_TEST

START_TEST(who_does_not_want_to_know_is_not_disturbed)
{
    open_and_be_refused(NULL);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client_connect");
    TCase *tcase;

    tcase = unit_case(suite, "owner");
    tcase_add_test(tcase, the_daemon_of_another_user_than_told_hears_nothing);
    tcase_add_test(tcase, the_environment_says_whose_daemon_it_may_be);
    tcase_add_test(tcase, the_daemon_of_the_user_who_is_named_is_the_right_one);
    tcase_add_test(tcase, a_user_who_is_none_is_told);
    tcase = unit_case(suite, "first word");
    tcase_add_test(tcase, a_daemon_that_dies_before_its_first_word_is_looked_for_again);
    tcase_add_test(tcase, without_reconnect_that_is_an_error);
    tcase = unit_case(suite, "fork");
    tcase_add_test(
        tcase, a_child_of_a_fork_has_no_connection_and_does_not_disturb_its_parents);
    tcase = unit_case(suite, "notices");
    tcase_add_test(tcase, who_waits_is_told_and_told_that_it_goes_on);
    tcase_add_test(tcase, who_does_not_want_to_know_is_not_disturbed);
    return unit_main(suite);
}
