/* test_client.c - liblighter and a daemon that behaves. */
#include "tests/unit/client_peer.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

/* ---- conversations ------------------------------------------------------------- */

static void
serve_a_run(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
    for (int i = 0; i < 3; i++)
        peer_serve(peer, "write");
    peer_serve(peer, "end");
}

static void
run_once(size_t chunk)
{
    struct lighter_job_spec spec = {.job = "p", .writers_json = PEER_WRITERS};
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    peer_start(&peer, chunk, serve_a_run);
    client = peer_connect(&peer);
    ck_assert_ok(lighter_open(client, &spec, &job, &oops));
    for (int i = 0; i < 3; i++)
        ck_assert_ok(lighter_write(client, job.handle, outputs, i, 0, &oops));
    ck_assert_ok(lighter_end(client, job.handle, true, &oops));

    ck_assert_int_eq(job.handle, 3);
    ck_assert_int_eq(job.n_warnings, 1);
    ck_assert_str_eq(job.warnings[0], "p.csv already exists");
    ck_assert_str_eq(lighter_hello(client)->server, "lighterd 9.9");
    ck_assert_str_eq(lighter_hello(client)->socket_path, peer.path);
    ck_assert_int_eq(lighter_hello(client)->pid, 17);

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}

START_TEST(answers_cut_anywhere_are_understood)
{
    run_once(unit_chunks[_i]);
}
END_TEST

static void
on_alarm(int signal_number)
{
    (void)signal_number;
}

START_TEST(signals_interrupt_nothing)
{
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval often = {{0, 200}, {0, 200}}, never = {0};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    run_once(1);
    setitimer(ITIMER_REAL, &never, NULL);
}
END_TEST

static void
expect_rank_wait(const struct peer *peer, double expected)
{
    double seconds = -1;

    ck_assert_int_ge(
        params_double(peer->request.params, "rank_wait", 0, 1e9, &seconds, NULL), 0);
    ck_assert_double_eq(seconds, expected);
}

static void
serve_open_alone(struct peer *peer)
{
    msgpack_object_str text;

    peer_greet(peer);
    peer_expect(peer, "open");
    params_string(peer->request.params, "stage", &text, NULL);
    ck_assert(params_str_is(text, "test"));
    params_string(peer->request.params, "cwd", &text, NULL);
    ck_assert(params_str_is(text, "/data"));
    ck_assert_int_eq(peer_param(peer, "rank"), 1);
    ck_assert_int_eq(peer_param(peer, "world_size"), 4);
    ck_assert_int_eq(params_string(peer->request.params, "attempt", &text, NULL), 0);
    ck_assert(params_str_is(text, "slurm-7.1"));
    ck_assert_int_eq(params_string(peer->request.params, "fingerprint", &text, NULL),
                     0);
    ck_assert(params_str_is(text, "f00d"));
    expect_rank_wait(peer, 90.5);
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_STATE, 0, -1, "rank 1 is taken"});
}

static void
serve_open_of_pipeline(struct peer *peer)
{
    msgpack_object_str text;

    peer_greet(peer);
    peer_expect(peer, "open");
    ck_assert_int_eq(params_string(peer->request.params, "pipeline", &text, NULL), 0);
    ck_assert(params_str_is(text, "masks"));
    ck_assert_ptr_null(params_find(peer->request.params, "writers"));
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_PARAMS, 0, -1, "no such pipeline"});
}

START_TEST(a_job_may_have_a_pipeline_instead_of_writers)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_open_of_pipeline);
    client = peer_connect(&peer);
    ck_assert_int_eq(lighter_open(client,
                                  &(struct lighter_job_spec){.job = "j",
                                                             .pipeline = "masks",
                                                             .writers_json = "[]"},
                                  &job, &err),
                     -EINVAL);
    ck_assert_str_eq(err.message, "'writers_json' and 'pipeline': one of them is NULL");
    ck_assert_int_eq(
        lighter_open(client,
                     &(struct lighter_job_spec){.job = "j", .pipeline = "masks"}, &job,
                     &err),
        -EINVAL);
    ck_assert_str_eq(err.message, "no such pipeline");
    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

START_TEST(a_job_is_opened_as_it_was_specified)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_job job = {.handle = 99};
    struct peer peer;
    int r;

    peer_start(&peer, SIZE_MAX, serve_open_alone);
    client = peer_connect(&peer);
    r = lighter_open(client,
                     &(struct lighter_job_spec){.job = "p",
                                                .stage = "test",
                                                .rank = 1,
                                                .world_size = 4,
                                                .cwd = "/data",
                                                .writers_json = PEER_WRITERS,
                                                .attempt = "slurm-7.1",
                                                .fingerprint = "f00d",
                                                .rank_wait = 90.5},
                     &job, &err);

    ck_assert_int_eq(r, -EBUSY);
    ck_assert_int_eq(err.code, LIGHTER_E_STATE);
    ck_assert_str_eq(err.message, "rank 1 is taken");
    ck_assert_int_eq(job.handle, 99);

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

static void
serve_open_for_ever(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
    ck_assert_ptr_null(params_find(peer->request.params, "attempt"));
    ck_assert_ptr_null(params_find(peer->request.params, "fingerprint"));
    expect_rank_wait(peer, 0);
    peer_die(peer);
    peer_rise(peer);
    peer_greet_and_accept_job(peer);
    expect_rank_wait(peer, 0);
    peer_serve(peer, "ping");
}

START_TEST(a_wait_below_0_has_no_end_and_what_is_not_told_is_not_sent)
{
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_open_for_ever);
    client = peer_connect(&peer);
    ck_assert_ok(lighter_open(client,
                              &(struct lighter_job_spec){.job = "p",
                                                         .writers_json = PEER_WRITERS,
                                                         .rank_wait = -1},
                              &job, &oops));
    ck_assert_ok(lighter_control(client, "ping", NULL, &json, &oops));
    free(json);
    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

START_TEST(writers_that_are_no_json_array_are_refused)
{
    static const char *const bad[] = {"[{]", "{}", "[{\"a\": 1, \"a\": 2}]", ""};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    char deep[128] = {0};
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    memset(deep, '[', 31);
    memset(deep + 31, ']', 31);
    peer_start(&peer, SIZE_MAX, peer_greet);
    client = peer_connect(&peer);

    for (size_t i = 0; i < 5; i++) {
        struct lighter_job_spec spec = {.job = "p",
                                        .writers_json = i < 4 ? bad[i] : deep};

        ck_assert_int_eq(lighter_open(client, &spec, &job, &err), -EINVAL);
        ck_assert_int_eq(err.code, LIGHTER_E_PARAMS);
        ck_assert_contains(err.message, "writers_json: ");
    }

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

/* ---- the pipeline -------------------------------------------------------------- */

static void
serve_out_of_order(struct peer *peer)
{
    uint32_t ids[3];

    peer_greet_and_accept_job(peer);
    for (int i = 0; i < 3; i++) {
        peer_expect(peer, "write");
        ids[i] = peer->request.id;
        ck_assert_int_eq(peer_param(peer, "seq"), i + 1);
    }
    peer_answer(peer, ids[2]);
    peer_answer(peer, ids[0]);
    peer_answer(peer, ids[1]);
    peer_serve(peer, "end");
}

START_TEST(answers_may_come_in_any_order)
{
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, unit_chunks[_i], serve_out_of_order);
    client = peer_open_job(&peer);
    for (int i = 0; i < 3; i++)
        ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, i, 0, &oops));
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_failures(struct peer *peer)
{
    struct lighter_error full = {LIGHTER_E_OS, ENOSPC, 5, "/data: no space"};

    peer_greet_and_accept_job(peer);
    for (int i = 0; i < 3; i++) {
        peer_expect(peer, "write");
        if (i == 1)
            peer_answer(peer, peer->request.id);
        else
            peer_refuse(peer, peer->request.id, full);
    }
    peer_expect(peer, "write");
    ck_assert_int_eq(peer_param(peer, "seq"), 4);
    peer_answer(peer, peer->request.id);
    peer_serve(peer, "end");
}

START_TEST(the_next_call_says_which_batch_failed)
{
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_failures);
    client = peer_open_job(&peer);
    for (int i = 0; i < 3; i++) {
        int r = lighter_write(client, PEER_HANDLE, outputs, 10 + i, 2, &err);

        if (r != 0) /* the answer to the first one was quick; this one was sent */
            ck_assert_int_eq(r, -ENOSPC);
        ck_assert_int_eq(lighter_handed_over(client, PEER_HANDLE), 1 + i);
    }
    if (err.code == 0) {
        ck_assert_int_eq(lighter_end(client, PEER_HANDLE, true, &err), -ENOSPC);
        ck_assert_contains(err.message, " (and 1 more failed)");
    } else
        ck_assert_int_eq(lighter_commit(client, PEER_HANDLE, NULL), -ENOSPC);

    ck_assert_contains(err.message, "batch 10 of dataloader 2: /data: no space");
    ck_assert_int_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_eq(err.errnum, ENOSPC);
    ck_assert_int_eq(err.sample, 5);

    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 13, 2, &oops));
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    ck_assert_int_eq(lighter_end(client, PEER_HANDLE, true, &err), -EINVAL);
    ck_assert_str_eq(err.message, "no open job has the handle 3");

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_few_objects(struct peer *peer)
{
    peer->max_objects = 100;
    peer_greet_and_accept_job(peer);
    peer_expect(peer, "write");
    peer_answer(peer, peer->request.id);
}

START_TEST(a_batch_of_too_many_values_is_not_sent)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    const int64_t values[90] = {0};
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_few_objects);
    client = peer_open_job(&peer);
    lighter_outputs_ints(outputs, "n", 90, values);
    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops), -EDQUOT);
    ck_assert_str_eq(oops.message,
                     "batch 0: 92 values; lighterd takes 100 at most in a message, 64 "
                     "of them around a batch (max_objects)");

    lighter_outputs_clear(outputs);
    lighter_outputs_ints(outputs, "n", 30, values);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops));
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_with_little_room(struct peer *peer)
{
    struct pollfd poll_fd = {.fd = peer->fd, .events = POLLIN};

    peer->max_client_bytes = 100;
    peer_greet_and_accept_job(peer);
    for (int i = 0; i < 3; i++) {
        peer_expect(peer, "write");
        ck_assert_int_eq(poll(&poll_fd, 1, 30), 0);
        peer_answer(peer, peer->request.id);
    }
}

START_TEST(no_more_is_on_its_way_than_the_daemon_allows)
{
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_with_little_room);
    client = peer_open_job(&peer);
    for (int i = 0; i < 3; i++)
        ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, i, 0, &oops));
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_small_frames(struct peer *peer)
{
    peer->max_frame_bytes = 200;
    peer_greet_and_accept_job(peer);
    peer_expect(peer, "write");
    ck_assert_int_eq(peer_param(peer, "seq"), 1);
    peer_answer(peer, peer->request.id);
}

START_TEST(a_batch_that_is_too_large_is_refused_before_it_is_sent)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    const uint64_t shape[] = {200};
    struct lighter_client *client;
    uint8_t bytes[200] = {0};
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_small_frames);
    client = peer_open_job(&peer);
    lighter_outputs_tensor(outputs, "t", LIGHTER_UINT8, 1, shape, bytes);

    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 6, 0, &err), -EDQUOT);
    ck_assert_int_eq(err.code, LIGHTER_E_LIMIT);
    ck_assert_contains(err.message, "batch 6: ");
    ck_assert_contains(err.message, "(max_frame_bytes)");
    lighter_outputs_clear(outputs);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops));
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

#define N_SMALL 3000

static void
answer_padded(struct peer *peer, uint32_t id)
{
    static const char padding[2048];
    struct message_out out;

    message_begin_result(&out, id);
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "padding");
    msgpack_pack_bin_with_body(&out.packer, padding, sizeof padding);
    peer_send_out(peer, &out);
}

/* It sends more than a socket holds before it reads on. */
static void
serve_stubbornly(struct peer *peer)
{
    uint32_t ids[1000];

    peer_greet_and_accept_job(peer);
    for (int i = 0; i < 1000; i++) {
        peer_expect(peer, "write");
        ids[i] = peer->request.id;
    }
    for (int i = 0; i < 1000; i++)
        answer_padded(peer, ids[i]);
    peer_serve(peer, "write");
    for (int i = 0; i < N_SMALL; i++)
        peer_serve(peer, "write");
}

START_TEST(neither_side_waits_for_the_other_to_read)
{
    const uint64_t shape[] = {16 << 20};
    struct lighter_outputs *small = peer_outputs(), *large = lighter_outputs_new();
    uint8_t *bytes = calloc(1, shape[0]);
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_stubbornly);
    client = peer_open_job(&peer);
    lighter_outputs_tensor(large, "t", LIGHTER_UINT8, 1, shape, bytes);
    for (int i = 0; i < 1000; i++)
        ck_assert_ok(lighter_write(client, PEER_HANDLE, small, i, 0, &oops));
    ck_assert_ok(lighter_write(client, PEER_HANDLE, large, 1000, 0, &oops));
    for (int i = 0; i < N_SMALL; i++)
        ck_assert_ok(lighter_write(client, PEER_HANDLE, small, i, 0, &oops));
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));

    lighter_disconnect(client);
    lighter_outputs_free(small);
    lighter_outputs_free(large);
    free(bytes);
    peer_finish(&peer);
}
END_TEST

static void
serve_abort(struct peer *peer)
{
    msgpack_object_str reason;
    uint32_t write_id;

    peer_greet_and_accept_job(peer);
    peer_expect(peer, "write");
    write_id = peer->request.id;
    peer_expect(peer, "abort");
    params_string(peer->request.params, "reason", &reason, NULL);
    ck_assert(params_str_is(reason, "out of memory"));
    peer_answer(peer, peer->request.id);
    peer_refuse(peer, write_id,
                (struct lighter_error){LIGHTER_E_STATE, 0, -1, "aborted"});
    peer_serve(peer, "ping");
}

START_TEST(a_batch_of_an_aborted_job_is_answered_to_nobody)
{
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_client *client;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_abort);
    client = peer_open_job(&peer);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops));
    ck_assert_ok(lighter_abort(client, PEER_HANDLE, "out of memory", &oops));
    ck_assert_ok(lighter_control(client, "ping", NULL, &json, &oops));

    ck_assert_str_eq(json, "{}");
    ck_assert_int_eq(lighter_abort(client, PEER_HANDLE, NULL, NULL), -EINVAL);

    free(json);
    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client");
    TCase *tcase;

    tcase = unit_case(suite, "conversations");
    tcase_add_loop_test(tcase, answers_cut_anywhere_are_understood, 0, UNIT_N_CHUNKS);
    tcase_add_test(tcase, signals_interrupt_nothing);
    tcase_add_test(tcase, a_job_is_opened_as_it_was_specified);
    tcase_add_test(tcase, a_wait_below_0_has_no_end_and_what_is_not_told_is_not_sent);
    tcase_add_test(tcase, a_job_may_have_a_pipeline_instead_of_writers);
    tcase_add_test(tcase, writers_that_are_no_json_array_are_refused);
    tcase = unit_case(suite, "pipeline");
    tcase_add_loop_test(tcase, answers_may_come_in_any_order, 0, UNIT_N_CHUNKS);
    tcase_add_test(tcase, the_next_call_says_which_batch_failed);
    tcase_add_test(tcase, a_batch_of_too_many_values_is_not_sent);
    tcase_add_test(tcase, no_more_is_on_its_way_than_the_daemon_allows);
    tcase_add_test(tcase, a_batch_that_is_too_large_is_refused_before_it_is_sent);
    tcase_add_test(tcase, neither_side_waits_for_the_other_to_read);
    tcase_add_test(tcase, a_batch_of_an_aborted_job_is_answered_to_nobody);
    return unit_main(suite);
}
