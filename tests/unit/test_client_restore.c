/* test_client_restore.c - liblighter and a daemon that dies, and the next one. */
#include "tests/unit/client_peer.h"

#include "client/c/memory.h"
#include "client/c/session.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define JOB_ID 77

static struct lighter_client *client;
static struct lighter_outputs *outputs;
static struct peer scripted;

/* A client with an open job, of a peer that runs `serve`. */
static void
begin(void (*serve)(struct peer *peer))
{
    outputs = peer_outputs();
    peer_start(&scripted, SIZE_MAX, serve);
    client = peer_open_job(&scripted);
}

static void
finish(void)
{
    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&scripted);
}

static void
write_batches(int n_batches)
{
    for (int i = 0; i < n_batches; i++)
        ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, i, 0, &oops));
}

/* ---- scripts ------------------------------------------------------------------- */

static void
serve_first(struct peer *peer)
{
    peer->job_id = JOB_ID;
    peer_greet_and_accept_job(peer);
}

/* The next daemon, and what it is told of the job. */
static void
accept_again(struct peer *peer, int64_t answered)
{
    peer_accept_job(peer);
    ck_assert_int_eq(peer_param(peer, "handle"), PEER_HANDLE);
    ck_assert_int_eq(peer_param(peer, "id"), JOB_ID);
    ck_assert_int_eq(peer_param(peer, "answered"), answered);
    ck_assert(peer_flag(peer, "resume"));
    ck_assert(peer_flag(peer, "again"));
}

static void
die_and_rise(struct peer *peer, int64_t answered)
{
    peer_die(peer);
    peer_rise(peer);
    peer_greet(peer);
    accept_again(peer, answered);
}

static uint32_t
expect_seq(struct peer *peer, int64_t seq)
{
    peer_expect(peer, "write");
    ck_assert_int_eq(peer_param(peer, "seq"), seq);
    return peer->request.id;
}

static void
serve_seq(struct peer *peer, int64_t seq)
{
    peer_answer(peer, expect_seq(peer, seq));
}

/* ---- batches ------------------------------------------------------------------- */

static struct frame
take_frame(struct peer *peer)
{
    struct frame frame = peer->request.frame;

    peer->request.frame = (struct frame){0};
    return frame;
}

static void
serve_two_of_three(struct peer *peer)
{
    struct frame before;

    serve_first(peer);
    serve_seq(peer, 1);
    expect_seq(peer, 2);
    expect_seq(peer, 3);
    before = take_frame(peer);

    die_and_rise(peer, 1);
    serve_seq(peer, 2);
    expect_seq(peer, 3);
    ck_assert_uint_eq(peer->request.frame.size, before.size);
    ck_assert_mem_eq(peer->request.frame.data, before.data, before.size);
    peer_answer(peer, peer->request.id);
    serve_seq(peer, 4);
    peer_serve(peer, "end");
    free(before.data);
}

START_TEST(what_has_no_answer_is_sent_again)
{
    begin(serve_two_of_three);
    write_batches(3);
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    write_batches(1);
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));

    ck_assert_int_eq(lighter_hello(client)->n_reconnects, 1);
    finish();
}
END_TEST

#define N_HALF (SESSION_MAX_BATCHES / 2)

/* As many as may be on their way; their places begin in the middle. */
static void
serve_a_full_pipeline(struct peer *peer)
{
    serve_first(peer);
    for (unsigned i = 0; i < N_HALF; i++)
        serve_seq(peer, 1 + i);
    for (unsigned i = 0; i < 2 * N_HALF; i++)
        expect_seq(peer, 1 + N_HALF + i);
    die_and_rise(peer, N_HALF);
    for (unsigned i = 0; i < 2 * N_HALF + 1; i++)
        serve_seq(peer, 1 + N_HALF + i);
}

START_TEST(batches_are_sent_again_in_their_order)
{
    begin(serve_a_full_pipeline);
    write_batches(N_HALF);
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    write_batches(2 * N_HALF + 1); /* there is no place for the last before it dies */
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    finish();
}
END_TEST

static void
serve_a_refusal(struct peer *peer)
{
    serve_first(peer);
    expect_seq(peer, 1);
    die_and_rise(peer, 0);
    expect_seq(peer, 1);
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_KEY, 0, -1, "no 'id'"});
}

START_TEST(what_the_next_daemon_refuses_is_the_error_of_its_batch)
{
    struct lighter_error err;

    begin(serve_a_refusal);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 8, 0, &oops));

    ck_assert_int_eq(lighter_commit(client, PEER_HANDLE, &err), -ENOKEY);
    ck_assert_str_eq(err.message, "batch 8: no 'id'");
    finish();
}
END_TEST

static uint8_t large[MEMORY_WORTH];

static uint32_t
expect_large(struct peer *peer)
{
    const msgpack_object *value, *at;

    peer_expect(peer, "write");
    value = params_find(params_find(peer->request.params, "outputs"), "x");
    at = params_find(value, "at");
    ck_assert_ptr_nonnull(at);
    ck_assert_uint_eq(at->via.array.ptr[0].via.u64, 0);
    return peer->request.id;
}

/* It dies with the batch, and once more with what shares the memory. */
static void
serve_memory(struct peer *peer)
{
    peer->max_memory_bytes = 1 << 20;
    serve_first(peer);
    peer_expect(peer, "memory");
    die_and_rise(peer, 0);
    peer_serve(peer, "memory");
    expect_large(peer);
    peer_die(peer);
    peer_rise(peer);
    peer_greet(peer);
    peer_serve(peer, "memory");
    ck_assert_int_eq(peer_param(peer, "size"), 1 << 20);
    accept_again(peer, 0);
    peer_answer(peer, expect_large(peer));
}

START_TEST(the_next_daemon_gets_the_memory_as_well)
{
    begin(serve_memory);
    lighter_outputs_tensor(outputs, "x", LIGHTER_UINT8, 1,
                           (const uint64_t[]){sizeof large}, large);
    write_batches(1);
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    finish();
}
END_TEST

/* At every place where it can. */
static void
serve_with_many_deaths(struct peer *peer)
{
    serve_first(peer);
    expect_seq(peer, 1);
    peer_die(peer);
    peer_rise(peer);
    peer_expect(peer, "hello");
    peer_die(peer);
    peer_rise(peer);
    peer_greet(peer);
    peer_expect(peer, "open");
    peer_send(peer, "\0\0\0\x20\x94\x01", 6);
    die_and_rise(peer, 0);
    expect_seq(peer, 1);
    die_and_rise(peer, 0);
    serve_seq(peer, 1);
    expect_seq(peer, 2);
    die_and_rise(peer, 1);
    serve_seq(peer, 2);
}

START_TEST(a_daemon_may_die_again_and_again)
{
    begin(serve_with_many_deaths);
    write_batches(2);
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    finish();
}
END_TEST

/* The first batch of all has this number. */
static void
serve_too_early(struct peer *peer)
{
    struct pollfd poll_fd = {.fd = peer->fd, .events = POLLRDHUP};
    uint8_t some[1 << 16];

    peer_greet_and_accept_job(peer);
    ck_assert_int_gt(read(peer->fd, some, sizeof some), 0);
    peer_answer(peer, SESSION_MAX_BATCHES);
    ck_assert_int_eq(poll(&poll_fd, 1, -1), 1); /* nothing more is read */
}

START_TEST(an_answer_to_half_a_frame_is_refused)
{
    const uint64_t shape[] = {16 << 20};
    uint8_t *bytes = calloc(1, shape[0]);
    struct lighter_error err;

    begin(serve_too_early);
    lighter_outputs_tensor(outputs, "t", LIGHTER_UINT8, 1, shape, bytes);

    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &err), -EPROTO);
    ck_assert_contains(err.message, "a request 1024 that was not sent");
    free(bytes);
    finish();
}
END_TEST

/* ---- calls --------------------------------------------------------------------- */

static void
serve_an_open_later(struct peer *peer)
{
    peer_greet(peer);
    peer_expect(peer, "open");
    ck_assert(!peer_flag(peer, "again"));
    peer_die(peer);
    peer_rise(peer);
    peer_greet(peer);
    peer_accept_job(peer);
    ck_assert(peer_flag(peer, "again"));
    ck_assert(!peer_flag(peer, "resume"));
    ck_assert_int_eq(peer_param(peer, "handle"), -1);
}

START_TEST(an_open_says_that_it_comes_again)
{
    begin(serve_an_open_later);
    finish();
}
END_TEST

static void
serve_an_end_later(struct peer *peer)
{
    serve_first(peer);
    serve_seq(peer, 1);
    peer_expect(peer, "end");
    die_and_rise(peer, 1);
    peer_expect(peer, "end");
    ck_assert(peer_flag(peer, "wait"));
    peer_answer(peer, peer->request.id);
}

/* Whatever it is asked next would not be an end. */
static void
serve_an_end_unheard(struct peer *peer)
{
    serve_first(peer);
    serve_seq(peer, 1);
    peer_expect(peer, "end");
    peer->is_published = true;
    die_and_rise(peer, 1);
    peer_serve(peer, "ping");
}

START_TEST(an_end_is_said_again)
{
    begin(serve_an_end_later);
    write_batches(1);
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    finish();
}
END_TEST

START_TEST(an_end_that_was_done_is_not_said_again)
{
    char *json;

    begin(serve_an_end_unheard);
    write_batches(1);
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    ck_assert_ok(lighter_control(client, "ping", NULL, &json, &oops));
    free(json);
    finish();
}
END_TEST

static void
serve_a_flush_later(struct peer *peer)
{
    serve_first(peer);
    serve_seq(peer, 1);
    peer_expect(peer, "flush");
    ck_assert_int_eq(peer_param(peer, "job"), PEER_HANDLE);
    die_and_rise(peer, 1);
    peer_serve(peer, "flush");
    peer_expect(peer, "status");
    die_and_rise(peer, 1);
    peer_serve(peer, "status");
}

START_TEST(other_calls_are_made_again)
{
    char *json;

    begin(serve_a_flush_later);
    write_batches(1);
    ck_assert_ok(lighter_flush(client, PEER_HANDLE, &oops));
    ck_assert_ok(lighter_control(client, "status", NULL, &json, &oops));
    free(json);
    finish();
}
END_TEST

/* Not even the batch without an answer is sent again. */
static void
serve_an_abort_unheard(struct peer *peer)
{
    serve_first(peer);
    expect_seq(peer, 1);
    peer_expect(peer, "abort");
    peer_die(peer);
    peer_rise(peer);
    peer_greet(peer);
    peer_serve(peer, "ping");
}

START_TEST(an_abort_waits_for_no_daemon)
{
    char *json;

    begin(serve_an_abort_unheard);
    write_batches(1);
    ck_assert_int_eq(lighter_abort(client, PEER_HANDLE, NULL, NULL), -ECONNRESET);
    ck_assert_int_eq(lighter_hello(client)->n_reconnects, 0);
    ck_assert_ok(lighter_control(client, "ping", NULL, &json, &oops));
    ck_assert_int_eq(lighter_hello(client)->n_reconnects, 1);
    free(json);
    finish();
}
END_TEST

static void
serve_from_the_fifth(struct peer *peer)
{
    peer->committed = 4;
    serve_first(peer);
    ck_assert(peer_flag(peer, "resume"));
    serve_seq(peer, 5);
}

START_TEST(a_new_process_resumes_behind_what_is_committed)
{
    struct lighter_job_spec spec = {
        .job = "p", .writers_json = PEER_WRITERS, .resume = true};
    struct lighter_job job;

    outputs = peer_outputs();
    peer_start(&scripted, SIZE_MAX, serve_from_the_fifth);
    client = peer_connect(&scripted);
    ck_assert_ok(lighter_open(client, &spec, &job, &oops));
    write_batches(1);
    ck_assert_ok(lighter_commit(client, job.handle, &oops));

    ck_assert_int_eq(job.committed_batches, 4);
    ck_assert_int_eq(job.committed_samples, 40);
    finish();
}
END_TEST

/* ---- the end of patience ------------------------------------------------------- */

static void
serve_once(struct peer *peer)
{
    serve_first(peer);
    expect_seq(peer, 1);
    unlink(peer->path);
}

static double
seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

START_TEST(a_daemon_that_does_not_come_back_is_an_error_in_time)
{
    struct lighter_error err;
    double since;

    begin(serve_once);
    lighter_set_reconnect(client, 0.3);
    write_batches(1);
    since = seconds();

    ck_assert_int_eq(lighter_commit(client, PEER_HANDLE, &err), -ECONNRESET);
    ck_assert_int_eq(err.code, LIGHTER_E_OS);
    ck_assert_contains(err.message, "was not back within 0.3 s: no lighterd listens");
    ck_assert_double_gt(seconds() - since, 0.1); /* 0.05 and 0.1, at the least */
    ck_assert_int_eq(lighter_fd(client), -1);
    lighter_set_reconnect(client, 1000); /* what broke stays broken */
    ck_assert_int_eq(lighter_commit(client, PEER_HANDLE, &err), -ECONNRESET);
    ck_assert_contains(err.message, "was not back within 0.3 s");
    finish();
}
END_TEST

static void
serve_a_stranger(struct peer *peer)
{
    serve_first(peer);
    expect_seq(peer, 1);
    peer_die(peer);
    peer_rise(peer);
    peer_greet(peer);
    peer_expect(peer, "open");
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_STATE, 0, -1, "it is not known here"});
}

START_TEST(a_daemon_that_does_not_know_the_job_is_an_error_at_once)
{
    struct lighter_error err;

    begin(serve_a_stranger);
    write_batches(1);
    ck_assert_int_eq(lighter_commit(client, PEER_HANDLE, &err), -EBUSY);
    ck_assert_int_eq(err.code, LIGHTER_E_STATE);
    ck_assert_contains(err.message, "the next lighterd: it is not known here");
    finish();
}
END_TEST

START_TEST(the_environment_says_how_long_to_wait)
{
    struct lighter_error err;

    setenv("LIGHTERD_RECONNECT_SECONDS", "0", 1);
    begin(serve_once);
    write_batches(1);
    ck_assert_int_eq(lighter_commit(client, PEER_HANDLE, &err), -ECONNRESET);
    ck_assert_str_eq(err.message, "lighterd closed the connection");
    finish();

    setenv("LIGHTERD_RECONNECT_SECONDS", "5 min", 1);
    ck_assert_int_eq(lighter_connect(&client, "/nowhere", NULL, &err), -EINVAL);
    ck_assert_contains(err.message, "expects seconds, got '5 min'");
    unsetenv("LIGHTERD_RECONNECT_SECONDS");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client_restore");
    TCase *tcase;

    tcase = unit_case(suite, "batches");
    tcase_add_test(tcase, what_has_no_answer_is_sent_again);
    tcase_add_test(tcase, batches_are_sent_again_in_their_order);
    tcase_add_test(tcase, what_the_next_daemon_refuses_is_the_error_of_its_batch);
    tcase_add_test(tcase, the_next_daemon_gets_the_memory_as_well);
    tcase_add_test(tcase, a_daemon_may_die_again_and_again);
    tcase_add_test(tcase, an_answer_to_half_a_frame_is_refused);
    tcase = unit_case(suite, "calls");
    tcase_add_test(tcase, an_open_says_that_it_comes_again);
    tcase_add_test(tcase, an_end_is_said_again);
    tcase_add_test(tcase, an_end_that_was_done_is_not_said_again);
    tcase_add_test(tcase, other_calls_are_made_again);
    tcase_add_test(tcase, an_abort_waits_for_no_daemon);
    tcase_add_test(tcase, a_new_process_resumes_behind_what_is_committed);
    tcase = unit_case(suite, "patience");
    tcase_add_test(tcase, a_daemon_that_does_not_come_back_is_an_error_in_time);
    tcase_add_test(tcase, a_daemon_that_does_not_know_the_job_is_an_error_at_once);
    tcase_add_test(tcase, the_environment_says_how_long_to_wait);
    return unit_main(suite);
}
