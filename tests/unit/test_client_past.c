/* test_client_past.c - liblighter, and batches that an earlier process has written. */
#include "tests/unit/client_peer.h"

#include <stdlib.h>

static struct lighter_client *client;
static struct lighter_outputs *outputs;
static struct peer scripted;
static struct lighter_error err;

/* A client that has resumed its job, of a peer that runs `serve`. */
static void
begin(void (*serve)(struct peer *peer))
{
    struct lighter_job_spec spec = {
        .job = "p", .writers_json = PEER_WRITERS, .rank = 2, .resume = true};
    struct lighter_job job;

    outputs = peer_outputs();
    peer_start(&scripted, SIZE_MAX, serve);
    client = peer_connect(&scripted);
    ck_assert_ok(lighter_open(client, &spec, &job, &oops));
}

static void
finish(void)
{
    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&scripted);
}

static int
skip(int64_t n_samples, int64_t batch_idx, int64_t dataloader_idx)
{
    return lighter_skip(client, PEER_HANDLE, n_samples, batch_idx, dataloader_idx,
                        &err);
}

/* ---- scripts ------------------------------------------------------------------- */

static void
serve_committed(struct peer *peer, int64_t n_committed)
{
    peer->tells_past = true;
    peer->committed = n_committed;
    peer_greet_and_accept_job(peer);
}

struct run {
    int64_t count, batch_idx, dataloader_idx, n_samples; /* batch_idx -1: nil */
};

static void
answer_runs(struct peer *peer, size_t n_runs, const struct run *runs, int64_t next)
{
    struct message_out out;

    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 2);
    pack_key(&out.packer, "runs");
    msgpack_pack_array(&out.packer, n_runs);
    for (size_t i = 0; i < n_runs; i++) {
        msgpack_pack_array(&out.packer, 4);
        msgpack_pack_int64(&out.packer, runs[i].count);
        if (runs[i].batch_idx < 0) {
            msgpack_pack_nil(&out.packer);
            msgpack_pack_nil(&out.packer);
        } else {
            msgpack_pack_int64(&out.packer, runs[i].batch_idx);
            msgpack_pack_int64(&out.packer, runs[i].dataloader_idx);
        }
        msgpack_pack_int64(&out.packer, runs[i].n_samples);
    }
    pack_key_int(&out.packer, "next", next);
    peer_send_out(peer, &out);
}

static void
serve_page(struct peer *peer, int64_t seq, size_t n_runs, const struct run *runs,
           int64_t next)
{
    peer_expect(peer, "past");
    ck_assert_int_eq(peer_param(peer, "job"), PEER_HANDLE);
    ck_assert_int_eq(peer_param(peer, "seq"), seq);
    answer_runs(peer, n_runs, runs, next);
}

static void
serve_write(struct peer *peer, int64_t seq)
{
    peer_expect(peer, "write");
    ck_assert_int_eq(peer_param(peer, "seq"), seq);
    peer_answer(peer, peer->request.id);
}

/* ---- the same run -------------------------------------------------------------- */

/* Three of one dataloader, one that was refused, one of another dataloader. */
static void
serve_three_runs(struct peer *peer)
{
    static const struct run runs[] = {{3, 0, 0, 8}, {1, 3, 0, 0}, {1, 0, 1, 5}};

    serve_committed(peer, 5);
    serve_page(peer, 1, 3, runs, 0);
    serve_write(peer, 6);
    peer_serve(peer, "end");
}

START_TEST(the_batches_that_are_there_are_passed_over)
{
    begin(serve_three_runs);

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(skip(8, i, 0), LIGHTER_SKIPPED);
    ck_assert_int_eq(skip(8, 3, 0), LIGHTER_SKIPPED);
    ck_assert_int_eq(skip(5, 0, 1), LIGHTER_SKIPPED);
    ck_assert_int_eq(skip(5, 1, 1), 0);
    ck_assert_int_eq(lighter_handed_over(client, PEER_HANDLE), 5);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 1, 1, &oops));
    ck_assert_int_eq(skip(5, 2, 1), 0);
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    finish();
}
END_TEST

static void
serve_two_pages(struct peer *peer)
{
    static const struct run runs[] = {{2, 0, 0, 8}, {2, 7, 0, 8}};

    serve_committed(peer, 4);
    serve_page(peer, 1, 1, &runs[0], 3);
    serve_page(peer, 3, 1, &runs[1], 0);
    peer_serve(peer, "end");
}

START_TEST(what_is_there_is_told_in_pages)
{
    static const int64_t batch_idx[] = {0, 1, 7, 8};

    begin(serve_two_pages);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(skip(8, batch_idx[i], 0), LIGHTER_SKIPPED);
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    finish();
}
END_TEST

static void
serve_little_knowledge(struct peer *peer)
{
    static const struct run runs[] = {{1, -1, 0, 0}, {1, 1, 0, 8}};

    serve_committed(peer, 3);
    serve_page(peer, 1, 2, runs, 0);
}

START_TEST(what_is_not_known_is_not_compared)
{
    begin(serve_little_knowledge);
    ck_assert_int_eq(skip(8, 99, 9), LIGHTER_SKIPPED); /* nothing is recorded */
    ck_assert_int_eq(skip(-1, 1, 0), LIGHTER_SKIPPED); /* samples are not told */
    ck_assert_int_eq(skip(8, 99, 9), LIGHTER_SKIPPED); /* of no run */
    ck_assert_int_eq(skip(8, 3, 0), 0);
    finish();
}
END_TEST

static void
serve_without_past(struct peer *peer)
{
    peer->committed = 1;
    peer_greet_and_accept_job(peer);
    serve_write(peer, 2);
}

START_TEST(a_daemon_that_tells_no_past_is_not_asked)
{
    begin(serve_without_past);
    ck_assert_int_eq(skip(8, 99, 9), LIGHTER_SKIPPED);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 1, 0, &oops));
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    finish();
}
END_TEST

static void
serve_who_passes_by_itself(struct peer *peer)
{
    serve_committed(peer, 4);
    serve_write(peer, 5);
    peer_serve(peer, "end");
}

START_TEST(a_program_may_pass_over_by_itself)
{
    begin(serve_who_passes_by_itself);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 4, 0, &oops));
    ck_assert_int_eq(skip(8, 5, 0), 0);
    ck_assert_ok(lighter_end(client, PEER_HANDLE, true, &oops));
    finish();
}
END_TEST

static void
serve_a_death(struct peer *peer)
{
    static const struct run run = {1, 0, 0, 8};

    serve_committed(peer, 1);
    peer_expect(peer, "past");
    peer_die(peer);
    peer_rise(peer);
    peer_greet_and_accept_job(peer);
    serve_page(peer, 1, 1, &run, 0);
}

START_TEST(the_next_daemon_is_asked_where_one_dies)
{
    begin(serve_a_death);
    ck_assert_int_eq(skip(7, 0, 0), -EBUSY);
    ck_assert_int_eq(skip(8, 0, 0), LIGHTER_SKIPPED);
    finish();
}
END_TEST

/* ---- another run --------------------------------------------------------------- */

static void
serve_one_run(struct peer *peer)
{
    static const struct run run = {3, 4, 0, 8};

    serve_committed(peer, 3);
    serve_page(peer, 1, 1, &run, 0);
}

#define WHAT_TO_DO                                                                     \
    "Give the same batches in the same order as before, or begin anew, without "       \
    "`resume`"

START_TEST(another_batch_is_an_error_that_names_both)
{
    begin(serve_one_run);

    ck_assert_int_eq(skip(8, 4, 0), LIGHTER_SKIPPED);
    ck_assert_int_eq(skip(8, 6, 0), -EBUSY);
    ck_assert_int_eq(err.code, LIGHTER_E_STATE);
    ck_assert_str_eq(err.message,
                     "this is not the run that was interrupted: batch 2 of this rank "
                     "had batch_idx 5 of dataloader 0, now it has batch_idx 6 of "
                     "dataloader 0. Nothing was written. " WHAT_TO_DO);
    ck_assert_int_eq(skip(8, 5, 1), -EBUSY);
    ck_assert_contains(err.message, "now it has batch_idx 5 of dataloader 1. ");
    ck_assert_int_eq(skip(7, 5, 0), -EBUSY);
    ck_assert_str_eq(err.message,
                     "this is not the run that was interrupted: batch 2 of this rank "
                     "had 8 samples (batch_idx 5), now it has 7 samples. Nothing was "
                     "written. " WHAT_TO_DO);
    ck_assert_int_eq(skip(8, 5, 0), LIGHTER_SKIPPED); /* an error passes over nothing */
    finish();
}
END_TEST

START_TEST(fewer_batches_than_are_there_end_nothing)
{
    begin(serve_one_run);
    ck_assert_int_eq(skip(8, 4, 0), LIGHTER_SKIPPED);

    ck_assert_int_eq(lighter_end(client, PEER_HANDLE, true, &err), -EBUSY);
    ck_assert_int_eq(err.code, LIGHTER_E_STATE);
    ck_assert_str_eq(err.message,
                     "this is not the run that was interrupted: rank 2 had written 3 "
                     "batches, and now only 1 came. " WHAT_TO_DO);
    ck_assert_int_eq(lighter_handed_over(client, PEER_HANDLE), 3); /* it is open */
    finish();
}
END_TEST

START_TEST(what_is_there_is_not_written_again)
{
    begin(serve_one_run);
    ck_assert_int_eq(skip(8, 4, 0), LIGHTER_SKIPPED);

    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 5, 0, &err), -EBUSY);
    ck_assert_str_eq(err.message,
                     "batch 5: 3 batches of this rank are written already, "
                     "and 1 of them were passed over: lighter_skip() says "
                     "of each batch whether it is to be written");
    finish();
}
END_TEST

/* ---- a daemon that is none ----------------------------------------------------- */

static const struct bad {
    struct run run;
    int64_t next;
} bad_pages[] = {
    {{0, 0, 0, 8}, 0},         /* no batch */
    {{INT64_MAX, 0, 0, 8}, 0}, /* more than can be counted */
    {{2, INT64_MAX, 0, 8}, 0}, {{1, 0, 0, -1}, 0},
    {{1, 0, 0, 8}, 1}, /* it would be asked for ever */
    {{1, 0, 0, 8}, -1},
};

static int bad_page;

static void
serve_a_bad_page(struct peer *peer)
{
    serve_committed(peer, 1);
    serve_page(peer, 1, 1, &bad_pages[bad_page].run, bad_pages[bad_page].next);
}

START_TEST(a_past_that_cannot_be_is_an_error)
{
    bad_page = _i;
    begin(serve_a_bad_page);
    ck_assert_int_eq(skip(8, 0, 0), -EPROTO);
    ck_assert_int_eq(err.code, LIGHTER_E_PROTOCOL);
    ck_assert_contains(err.message, "the answer of lighterd to 'past': ");
    finish();
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client_past");
    TCase *tcase;

    tcase = unit_case(suite, "the same run");
    tcase_add_test(tcase, the_batches_that_are_there_are_passed_over);
    tcase_add_test(tcase, what_is_there_is_told_in_pages);
    tcase_add_test(tcase, what_is_not_known_is_not_compared);
    tcase_add_test(tcase, a_daemon_that_tells_no_past_is_not_asked);
    tcase_add_test(tcase, a_program_may_pass_over_by_itself);
    tcase_add_test(tcase, the_next_daemon_is_asked_where_one_dies);
    tcase = unit_case(suite, "another run");
    tcase_add_test(tcase, another_batch_is_an_error_that_names_both);
    tcase_add_test(tcase, fewer_batches_than_are_there_end_nothing);
    tcase_add_test(tcase, what_is_there_is_not_written_again);
    tcase = unit_case(suite, "nonsense");
    tcase_add_loop_test(tcase, a_past_that_cannot_be_is_an_error, 0,
                        sizeof bad_pages / sizeof *bad_pages);
    return unit_main(suite);
}
