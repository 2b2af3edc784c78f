/* test_recovery.c - daemon/recovery.c, replay.c, durable.c: jobs that outlive their
 * daemon.
 */
#include "tests/unit/job_clients.h"
#include "tests/unit/job_surgery.h"
#include "wire/params.h"

#include <inttypes.h>

#define STAGING ".lighterd.job.predict.0/"

/* ---- the daemon dies in the midst --------------------------------------------------
 */

START_TEST(a_table_goes_on_behind_its_last_committed_batch)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1, 2]}");
    write_batch(ANN, &seats[0], 2, "{'x': [3]}");
    daemon_dies();
    append_to("p.tmp_rank0.csv", "4\r\ntorn");
    daemon_starts();
    ck_assert_str_eq(last_state(), "interrupted");
    ck_assert_uint_eq(last_job()->n_batches, 2);
    ck_assert_uint_eq(last_job()->n_samples, 3);
    ck_assert_uint_eq(last_job()->n_bytes, 9);

    request = come_back(ANN, &seats[0], 0, 1, CSV, id, 2);
    ck_assert_int_eq(number_of(ANN, request, "id"), id);
    ck_assert_int_eq(number_of(ANN, request, "seq"), 2);
    ck_assert_int_eq(number_of(ANN, request, "samples"), 3);
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n2\r\n3\r\n");
    ck_assert_ptr_null(warning_of(ANN, request, 0));
    write_batch(ANN, &seats[0], 3, "{'x': [5]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n5\r\n");
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
}
END_TEST

START_TEST(a_journal_torn_anywhere_in_its_last_record_costs_the_client_a_repetition)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    daemon_dies();
    tear_journal(_i);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(it_may_die_again_and_again)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV ", " FILES);
    char outputs[128], expected[128] = "x\r\n";

    for (uint64_t seq = 1; seq <= 5; seq++) {
        snprintf(outputs, sizeof outputs, "{'x': ['n%" PRIu64 "'], 't': " TENSOR_1 "}",
                 seq);
        write_batch(ANN, &seats[0], seq, outputs);
        snprintf(expected + strlen(expected), 16, "n%" PRIu64 "\r\n", seq);
        daemon_starts_again();
        resume(ANN, &seats[0], 0, 1, CSV ", " FILES, id, seq, seq);
    }
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", expected);
    ck_assert(unit_exists(directory, "d/n1.pt"));
    ck_assert(unit_exists(directory, "d/n5.pt"));
}
END_TEST

START_TEST(files_of_a_batch_that_was_not_committed_are_removed)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, FILES);

    write_batch(ANN, &seats[0], 1, "{'x': ['a', 'sub/b'], 't': " TENSOR_2 "}");
    daemon_dies();
    write_file(STAGING "c.pt", "torn");
    write_file(STAGING "sub/c.pt", "");
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, FILES, id, 1, 1);
    ck_assert(unit_exists(directory, STAGING "a.pt"));
    ck_assert(unit_exists(directory, STAGING "sub/b.pt"));
    ck_assert(!unit_exists(directory, STAGING "c.pt"));
    ck_assert(!unit_exists(directory, STAGING "sub/c.pt"));

    write_batch(ANN, &seats[0], 2, "{'x': ['c', 'sub/c'], 't': " TENSOR_2 "}");
    end_rank(ANN, &seats[0]);
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(unit_exists(directory, "d/c.pt"));
    ck_assert(unit_exists(directory, "d/sub/b.pt"));
    ck_assert(unit_exists(directory, "d/sub/c.pt"));
    ck_assert(!unit_exists(directory, STAGING));
}
END_TEST

START_TEST(a_name_that_came_before_the_death_still_comes_twice)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, FILES);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    daemon_starts_again();
    resume(ANN, &seats[0], 0, 1, FILES, id, 1, 1);
    request = begin_write(ANN, &seats[0], 2, "{'x': ['a'], 't': " TENSOR_1 "}");
    settle();
    expect_error(ANN, request, "bad_value", "'a.pt': this name came before");
}
END_TEST

START_TEST(staged_files_that_are_gone_are_missed)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, FILES);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    daemon_dies();
    rename_file(STAGING, "elsewhere");
    daemon_starts();
    request = come_back(ANN, &seats[0], 0, 1, FILES, id, 1);
    expect_error(ANN, request, "bad_state", "the staged files of '");
    ck_assert_str_eq(last_state(), "interrupted");

    rename_file("elsewhere", STAGING);
    resume(ANN, &seats[0], 0, 1, FILES, id, 1, 1);
    end_rank(ANN, &seats[0]);
    ck_assert(unit_exists(directory, "d/a.pt"));
}
END_TEST

/* ---- batches that come again --------------------------------------------------------
 */

START_TEST(batches_that_are_sent_again_are_answered_and_not_doubled)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t requests[4];

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    for (uint64_t seq = 2; seq <= 3; seq++)
        write_batch(ANN, &seats[0], seq, "{'x': [23]}");
    daemon_starts_again();

    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 3); /* it heard of the first only */
    ck_assert_int_eq(try_write(ANN, &seats[0], 4, "{'x': [4]}"), -EINVAL);
    for (uint64_t seq = 2; seq <= 3; seq++)
        requests[seq] = begin_write(ANN, &seats[0], seq, "{'x': [23]}");
    write_batch(ANN, &seats[0], 4, "{'x': [4]}");
    for (uint64_t seq = 2; seq <= 3; seq++)
        result_of(ANN, requests[seq]);
    ck_assert_uint_eq(TAILQ_FIRST(&jobs.live)->n_batches, 4);
    ck_assert_uint_eq(TAILQ_FIRST(&jobs.live)->n_samples, 4);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n23\r\n23\r\n4\r\n");
}
END_TEST

START_TEST(a_refused_batch_that_is_sent_again_gets_the_same_error)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    const msgpack_object *details = NULL;
    char message[2048];
    uint32_t first, again;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    first = begin_write(ANN, &seats[0], 2, "{'y': [2]}");
    write_batch(ANN, &seats[0], 3, "{'x': [3]}");
    expect_error(ANN, first, "missing_key", "none of the configured keys");
    strcpy(message, pack_text_of(clients[0].answers[first].error, "message"));
    daemon_starts_again();

    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 3);
    again = begin_write(ANN, &seats[0], 2, "{'y': [2]}");
    write_batch(ANN, &seats[0], 3, "{'x': [3]}");
    expect_error(ANN, again, "missing_key", message);
    params_map(clients[0].answers[again].error, "details", &details, NULL);
    ck_assert_str_eq(pack_text_of(details, "writer"), "csv");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n3\r\n");
}
END_TEST

START_TEST(a_new_process_tries_again_what_was_refused)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    begin_write(ANN, &seats[0], 1, "{'y': [1]}");
    settle();
    daemon_starts_again();
    begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV);
    settle();
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 0);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}"); /* its program is mended */
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

static bool
drop_refusals(struct journal_record *record)
{
    return record->kind != JOURNAL_DROPPED;
}

START_TEST(a_batch_of_which_nothing_is_known_was_not_written)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t requests[3];

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    begin_write(ANN, &seats[0], 2, "{'y': [2]}");
    begin_write(ANN, &seats[0], 3, "{'y': [2]}");
    write_batch(ANN, &seats[0], 4, "{'x': [4]}");
    daemon_dies();
    edit_journal(drop_refusals); /* the disk was full, or broken */
    daemon_starts();

    resume(ANN, &seats[0], 0, 1, CSV, id, 0, 4);
    for (uint64_t i = 0; i < 3; i++)
        requests[i] = begin_write(ANN, &seats[0], i + 1, "{'x': [1]}");
    write_batch(ANN, &seats[0], 4, "{'x': [4]}");
    result_of(ANN, requests[0]);
    expect_error(ANN, requests[1], "bad_state", "was not written");
    expect_error(ANN, requests[2], "bad_state", "was not written");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n4\r\n");
}
END_TEST

static bool
drop_second_of_q(struct journal_record *record)
{
    return record->kind != JOURNAL_ROWS || record->writer != 1 || record->seq != 2;
}

START_TEST(writers_of_a_job_need_not_have_come_equally_far)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv"));

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    daemon_dies();
    edit_journal(drop_second_of_q);
    daemon_starts();

    resume(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv"), id, 1, 1);
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n2\r\n");
    expect_file("q.tmp_rank0.csv", "x\r\n1\r\n");
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    write_batch(ANN, &seats[0], 3, "{'x': [3]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n");
    expect_file("q.csv", "x\r\n1\r\n2\r\n3\r\n");
}
END_TEST

START_TEST(a_batch_of_which_the_daemon_died_twice_is_refused)
{
    struct journal_record crashed = {.kind = JOURNAL_CRASHED, .seq = 2};
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_dies();
    append_record(crashed);
    append_record(crashed);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    request = begin_write(ANN, &seats[0], 2, "{'x': [2]}");
    settle();
    expect_error(ANN, request, "bad_state", "died 2 times of this batch");
    write_batch(ANN, &seats[0], 3, "{'x': [3]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n3\r\n");
}
END_TEST

/* ---- several ranks ------------------------------------------------------------------
 */

START_TEST(ranks_come_back_in_any_order)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);

    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    write_batch(BOB, &seats[1], 2, "{'x': [3]}");
    daemon_starts_again();
    resume(BOB, &seats[1], 1, 2, CSV, id, 2, 2);
    resume(ANN, &seats[0], 0, 2, CSV, id, 1, 1);
    begin_end(ANN, &seats[0], true);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n");
}
END_TEST

START_TEST(ranks_may_come_back_at_once)
{
    int64_t id = open_job(ANN, &seats[0], 0, 3, CSV);
    uint32_t requests[3];

    for (uint32_t i = 1; i < 3; i++)
        open_job(&clients[i], &seats[i], i, 3, CSV);
    for (uint32_t i = 0; i < 3; i++)
        write_batch(&clients[i], &seats[i], 1, "{'x': [1]}");
    daemon_starts_again();
    for (uint32_t i = 0; i < 3; i++)
        requests[i] =
            begin_with(resume_params(id, 1), &clients[i], &seats[i], i, 3, CSV);
    settle();
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(number_of(&clients[i], requests[i], "seq"), 1);
        requests[i] = begin_end(&clients[i], &seats[i], true);
    }
    settle();
    for (uint32_t i = 0; i < 3; i++)
        expect_published(&clients[i], requests[i], true);
    expect_file("p.csv", "x\r\n1\r\n1\r\n1\r\n");
}
END_TEST

/* `_i`: does it wait for the publication? */
START_TEST(a_rank_that_has_ended_comes_to_hear_what_became_of_it)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request, ended, other;

    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    begin_end(ANN, &seats[0], true);
    daemon_starts_again();
    ck_assert_uint_eq(last_job()->n_ended, 1);

    request = come_back(ANN, &seats[0], 0, 2, CSV, id, 1);
    ck_assert(flag_of(ANN, request, "ended"));
    ck_assert(!flag_of(ANN, request, "published"));
    ck_assert_int_eq(number_of(ANN, request, "seq"), 1);
    ck_assert_int_eq(number_of(ANN, request, "samples"), 1);
    ck_assert_int_eq(try_write(ANN, &seats[0], 2, "{'x': [1]}"), -EBUSY);
    ended = begin_end(ANN, &seats[0], _i);
    settle();
    ck_assert_int_eq(clients[0].answered[ended], !_i);

    resume(BOB, &seats[1], 1, 2, CSV, id, 1, 1);
    other = begin_end(BOB, &seats[1], true);
    settle();
    expect_published(ANN, ended, _i);
    expect_published(BOB, other, true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(a_rank_that_ended_and_was_not_seen_to_go_can_come_back)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request;

    begin_end(ANN, &seats[0], true);
    settle();
    request = come_back(EVE, &seats[2], 0, 2, CSV, id, 0);
    ck_assert(flag_of(EVE, request, "ended"));
    ck_assert_ptr_null(seats[0].job);
    request = begin_end(EVE, &seats[2], true);
    open_job(BOB, &seats[1], 1, 2, CSV);
    end_rank(BOB, &seats[1]);
    expect_published(EVE, request, true);
}
END_TEST

START_TEST(a_rank_that_is_lost_comes_back_while_others_go_on)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t refused, again;

    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    refused = begin_write(ANN, &seats[0], 2, "{'y': [2]}");
    settle();
    seat_leave(&seats[0]); /* and has not heard of the second */
    settle();
    write_batch(BOB, &seats[1], 1, "{'x': [4]}");

    resume(EVE, &seats[2], 0, 2, CSV, id, 1, 2);
    again = begin_write(EVE, &seats[2], 2, "{'y': [2]}");
    write_batch(EVE, &seats[2], 3, "{'x': [3]}");
    expect_error(ANN, refused, "missing_key", "keys");
    expect_error(EVE, again, "missing_key", "keys");
    begin_end(EVE, &seats[2], true);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n1\r\n3\r\n4\r\n");
}
END_TEST

START_TEST(a_rank_may_come_back_while_its_last_batches_are_written)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request;

    open_job(BOB, &seats[1], 1, 2, CSV);
    begin_write(ANN, &seats[0], 1, "{'x': [1]}");
    begin_write(ANN, &seats[0], 2, "{'x': [2]}");
    seat_leave(&seats[0]);
    request = begin_with(resume_params(id, 0), EVE, &seats[2], 0, 2, CSV);
    ck_assert(!clients[2].answered[request]);
    settle();
    ck_assert_int_eq(number_of(EVE, request, "seq"), 2);
    write_batch(EVE, &seats[2], 1, "{'x': [1]}");
    write_batch(EVE, &seats[2], 2, "{'x': [2]}");
    begin_end(EVE, &seats[2], true);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(an_aborted_job_can_be_resumed)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    struct reply reply;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    reply = reply_new(clients[0].peer, ++last_id);
    ck_assert_int_eq(seat_abort(&seats[0], "by mistake", &reply, &err), 0);
    settle();
    ck_assert_str_eq(last_state(), "aborted");
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

/* ---- publication and death
 * ------------------------------------------------------------ */

START_TEST(a_job_that_all_ranks_have_ended_is_published_without_them)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request;

    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    daemon_dies();
    for (uint32_t rank = 0; rank < 2; rank++)
        append_record((struct journal_record){.kind = JOURNAL_ENDED, .rank = rank});
    daemon_starts();
    settle();
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
    ck_assert_str_eq(last_state(), "published");

    request = come_back(BOB, &seats[1], 1, 2, CSV, id, 1);
    expect_published(BOB, request, true);
}
END_TEST

START_TEST(a_job_that_was_being_shown_is_shown_to_the_end)
{
    open_job(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv") ", " FILES);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    daemon_dies();
    for (uint32_t i = 0; i < 3; i++)
        append_record((struct journal_record){.kind = JOURNAL_ENDED, .writer = i});
    append_record((struct journal_record){.kind = JOURNAL_COMPLETE});
    rename_file("p.tmp_rank0.csv", "p.csv");
    daemon_starts();
    settle();
    ck_assert_str_eq(last_state(), "published");
    expect_file("p.csv", "x\r\na\r\n");
    expect_file("q.csv", "x\r\na\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(!unit_exists(directory, "q.tmp_rank0.csv"));
}
END_TEST

START_TEST(whoever_comes_back_to_a_complete_job_can_only_hear_that_it_is_published)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request;

    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    daemon_dies();
    append_to("p.tmp_rank0.csv", "2\r\n"); /* finalized: joined, but not shown */
    append_record((struct journal_record){.kind = JOURNAL_COMPLETE});
    rename_file("p.tmp_rank0.csv", "away");
    daemon_starts();
    settle();
    ck_assert_str_eq(last_state(), "failed");

    rename_file("away", "p.tmp_rank0.csv");
    request = come_back(BOB, &seats[1], 1, 2, CSV, id, 1);
    expect_published(BOB, request, true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(a_client_that_did_not_hear_of_the_publication_is_told)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    msgpack_object_array paths;
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    begin_end(ANN, &seats[0], true);
    daemon_starts_again();
    ck_assert_str_eq(last_state(), "published");
    ck_assert_uint_eq(last_job()->n_samples, 1);

    for (int i = 0; i < 2; i++) { /* it may ask again */
        request = come_back(ANN, &seats[0], 0, 1, CSV, id, 1);
        ck_assert_int_eq(number_of(ANN, request, "id"), id);
        ck_assert(flag_of(ANN, request, "ended"));
        expect_published(ANN, request, true);
        params_array(result_of(ANN, request), "paths", &paths, NULL);
        ck_assert_uint_eq(paths.size, 1);
        ck_assert_ptr_null(seats[0].job);
    }
    expect_file("p.csv", "x\r\n1\r\n");

    open_rank(ANN, &seats[0], 0, 1, CSV); /* and the next epoch begins */
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

START_TEST(a_client_that_did_not_hear_of_it_is_told_also_when_the_next_epoch_is_on)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request;

    open_rank(BOB, &seats[1], 1, 2, CSV);
    begin_end(BOB, &seats[1], true);
    end_rank(ANN, &seats[0]);
    open_rank(ANN, &seats[0], 0, 2, CSV); /* who heard of it goes on */
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    request = come_back(BOB, &seats[1], 1, 2, CSV, id, 0);
    expect_published(BOB, request, true);
    ck_assert_str_eq(last_state(), "interrupted"); /* that is the next one */
}
END_TEST

/* ---- power is lost
 * ------------------------------------------------------------------------ */

START_TEST(flush_is_answered_when_the_journal_has_a_mark)
{
    uint32_t flush, other;

    open_job(ANN, &seats[0], 0, 1, CSV ", " FILES);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    flush = begin_flush(ANN, &seats[0]);
    other = begin_flush(ANN, &seats[0]); /* the first is under way */
    ck_assert(!clients[0].answered[flush]);
    ck_assert_int_eq(n_records(JOURNAL_DURABLE), 0);
    settle();
    result_of(ANN, flush);
    result_of(ANN, other);
    ck_assert_int_eq(n_records(JOURNAL_DURABLE), 2);
    end_rank(ANN, &seats[0]);
}
END_TEST

START_TEST(after_a_loss_of_power_only_what_was_durable_counts)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV ", " FILES);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    begin_flush(ANN, &seats[0]);
    settle();
    write_batch(ANN, &seats[0], 2, "{'x': ['b'], 't': " TENSOR_1 "}");
    daemon_dies();
    edit_journal(place_elsewhere);
    daemon_starts();

    request = come_back(ANN, &seats[0], 0, 1, CSV ", " FILES, id, 2);
    expect_error(ANN, request, "bad_state", "has lost batches: rank 0 was told that 2");
    resume(ANN, &seats[0], 0, 1, CSV ", " FILES, id, 1, 1);
    expect_file("p.tmp_rank0.csv", "x\r\na\r\n");
    ck_assert(!unit_exists(directory, ".lighterd.job.predict.1/b.pt"));
    write_batch(ANN, &seats[0], 2, "{'x': ['c'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\nc\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(!unit_exists(directory, "d/b.pt"));
    ck_assert(unit_exists(directory, "d/c.pt"));
}
END_TEST

START_TEST(after_a_loss_of_power_without_a_mark_a_job_is_at_its_beginning)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_dies();
    edit_journal(place_elsewhere);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, CSV, id, 0, 0);
    expect_file("p.tmp_rank0.csv", "x\r\n");
    write_batch(ANN, &seats[0], 1, "{'x': [2]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n2\r\n");
}
END_TEST

START_TEST(a_disk_that_is_away_costs_nothing)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    begin_flush(ANN, &seats[0]);
    settle();
    daemon_dies();
    edit_journal(place_elsewhere);
    rename_file("p.tmp_rank0.csv", "away");
    daemon_starts();
    request = come_back(ANN, &seats[0], 0, 1, CSV, id, 1);
    expect_error(ANN, request, "bad_state", "the shard 'p.tmp_rank0.csv' is gone");
    ck_assert_str_eq(last_state(), "interrupted");

    rename_file("away", "p.tmp_rank0.csv"); /* it is mounted again */
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(what_was_cut_back_once_is_not_cut_again)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    begin_flush(ANN, &seats[0]);
    daemon_dies();
    edit_journal(place_elsewhere);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    daemon_starts_again();
    resume(ANN, &seats[0], 0, 1, CSV, id, 2, 2);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

/* What ranks that have not come back have written is durable as well, or it is said. */
START_TEST(a_flush_looks_after_ranks_that_are_not_here)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t flush;

    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    daemon_starts_again();
    resume(ANN, &seats[0], 0, 2, CSV, id, 0, 0);
    flush = begin_flush(ANN, &seats[0]);
    settle();
    result_of(ANN, flush);

    remove_file("p.tmp_rank1.csv");
    flush = begin_flush(ANN, &seats[0]);
    settle();
    expect_error(ANN, flush, "os", "'p.tmp_rank1.csv'");
}
END_TEST

/* ---- policies
 * --------------------------------------------------------------------------------- */

#define FREEZER                                                                        \
    ", 'policies': [{'type': 'freezer', 'options': {'names': ['a']}}],"                \
    " 'parameters': ['a', 'b']"

static uint32_t
take_step(struct client *client, struct seat *seat)
{
    struct lighter_step step = {.size = sizeof step};
    struct reply reply = reply_new(client->peer, ++last_id);

    ck_assert_msg(seat_step(seat, &step, &reply, &err) == 0, "%s", err.message);
    return last_id;
}

START_TEST(the_policies_of_a_job_outlive_the_daemon_too)
{
    char params[256];
    int64_t id;

    begin_with(FREEZER, ANN, &seats[0], 0, 1, CSV);
    settle();
    id = number_of(ANN, last_id, "id");
    result_of(ANN, take_step(ANN, &seats[0]));
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            daemon_starts_again();
        else
            seat_leave(&seats[0]);
        settle();
        snprintf(params, sizeof params, "%s%s", resume_params(id, 0), FREEZER);
        begin_with(params, ANN, &seats[0], 0, 1, CSV);
        settle();
        result_of(ANN, last_id);
        result_of(ANN, take_step(ANN, &seats[0]));
    }
    end_rank(ANN, &seats[0]);
}
END_TEST

static uint32_t
ask_for(enum lighter_action action, const char *pattern)
{
    struct lighter_strings patterns = {.items = &pattern, .count = 1};
    struct reply reply = reply_new(clients[2].peer, ++last_id);

    ck_assert_msg(jobs_ask(&jobs, "job", &patterns, action, &reply, &err) == 0, "%s",
                  err.message);
    return last_id;
}

/* What is done with the two parameters at this step. */
static void
expect_actions(struct client *client, struct seat *seat, int64_t global_step,
               const char *expected)
{
    struct lighter_step step = {.size = sizeof step, .global_step = global_step};
    struct reply reply = reply_new(client->peer, ++last_id);
    const msgpack_object *actions;

    ck_assert_msg(seat_step(seat, &step, &reply, &err) == 0, "%s", err.message);
    settle();
    actions = params_find(result_of(client, last_id), "actions");
    ck_assert_uint_eq(actions->via.bin.size, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(actions->via.bin.ptr[i], expected[i] - '0');
}

static int64_t
begin_training(struct client *client, struct seat *seat, uint32_t rank,
               uint32_t world_size)
{
    begin_with(FREEZER, client, seat, rank, world_size, "");
    settle();
    return number_of(client, last_id, "id");
}

static void
go_on_training(struct client *client, struct seat *seat, uint32_t rank,
               uint32_t world_size, int64_t id)
{
    char params[256];

    snprintf(params, sizeof params, "%s%s", resume_params(id, 0), FREEZER);
    begin_with(params, client, seat, rank, world_size, "");
    settle();
    result_of(client, last_id);
}

START_TEST(what_people_have_asked_for_outlives_the_daemon)
{
    int64_t id = begin_training(ANN, &seats[0], 0, 1);

    expect_actions(ANN, &seats[0], 1, "21");
    ask_for(LIGHTER_FREEZE, "b");
    settle();
    ck_assert_int_eq(number_of(EVE, last_id, "matched"), 1);
    for (int64_t step = 2; step < 5; step++) {
        expect_actions(ANN, &seats[0], step, "22");
        daemon_starts_again();
        go_on_training(ANN, &seats[0], 0, 1, id);
    }
    ask_for(LIGHTER_TRAIN, "a");
    expect_actions(ANN, &seats[0], 5,
                   "12"); /* it waits for the journal, and is right */
    end_rank(ANN, &seats[0]);
}
END_TEST

START_TEST(ranks_change_at_the_same_step_whenever_the_daemon_dies)
{
    int64_t id = begin_training(ANN, &seats[0], 0, 2);

    begin_training(BOB, &seats[1], 1, 2);
    expect_actions(ANN, &seats[0], 1, "21");
    expect_actions(BOB, &seats[1], 1, "21");
    ask_for(LIGHTER_FREEZE, "b");
    expect_actions(ANN, &seats[0], 2, "21"); /* from step 4 on */
    daemon_starts_again();
    go_on_training(BOB, &seats[1], 1, 2, id);
    expect_actions(BOB, &seats[1], 3, "21");
    go_on_training(ANN, &seats[0], 0, 2, id);
    expect_actions(ANN, &seats[0], 4, "22");
    daemon_starts_again();
    go_on_training(ANN, &seats[0], 0, 2, id);
    go_on_training(BOB, &seats[1], 1, 2, id);
    expect_actions(BOB, &seats[1], 4, "22");
    expect_actions(ANN, &seats[0], 5, "22");
}
END_TEST

START_TEST(what_was_asked_of_one_training_is_not_asked_of_the_next)
{
    begin_training(ANN, &seats[0], 0, 1);
    ask_for(LIGHTER_FREEZE, "b");
    settle();
    daemon_starts_again(); /* the training has died as well, and is started anew */
    begin_training(ANN, &seats[0], 0, 1);
    expect_actions(ANN, &seats[0], 1, "21");
}
END_TEST

START_TEST(a_training_that_stops_leaves_nothing_to_be_finished)
{
    uint32_t flush;

    begin_training(ANN, &seats[0], 0, 1);
    flush = begin_flush(ANN, &seats[0]);
    settle();
    result_of(ANN, flush);
    ck_assert_int_eq(n_journals(), 1);
    seat_leave(&seats[0]);
    settle();
    ck_assert_int_eq(n_journals(), 0);
    ck_assert(!job_is_unfinished(last_job()));
}
END_TEST

START_TEST(a_rank_of_a_training_that_is_not_known_any_more_begins_one)
{
    int64_t id = begin_training(ANN, &seats[0], 0, 1);

    seat_leave(&seats[0]); /* only its connection was lost */
    settle();
    go_on_training(ANN, &seats[0], 0, 1, id);
    expect_actions(ANN, &seats[0], 2, "21");
}
END_TEST

START_TEST(a_training_does_not_wait_for_ranks_when_nobody_is_there)
{
    begin_training(ANN, &seats[0], 0, 2);
    begin_end(ANN, &seats[0], false);
    settle();
    ck_assert_str_eq(last_state(), "published");
}
END_TEST

START_TEST(a_training_does_not_replace_outputs_that_are_aside)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    open_with = FREEZER;
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 0, 1, ""), -EBUSY);
    open_with = "";
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("recovery");
    TCase *death = unit_case(suite, "death");
    TCase *again = unit_case(suite, "again");
    TCase *several = unit_case(suite, "several ranks");
    TCase *shown = unit_case(suite, "publication");
    TCase *power = unit_case(suite, "power");
    TCase *policies = unit_case(suite, "policies");
    TCase *const cases[] = {death, again, several, shown, power, policies};

    clients_warm_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tcase_add_checked_fixture(cases[i], clients_begin, clients_end);
    tcase_add_test(death, a_table_goes_on_behind_its_last_committed_batch);
    tcase_add_loop_test(
        death, a_journal_torn_anywhere_in_its_last_record_costs_the_client_a_repetition,
        1, 65);
    tcase_add_test(death, it_may_die_again_and_again);
    tcase_add_test(death, files_of_a_batch_that_was_not_committed_are_removed);
    tcase_add_test(death, a_name_that_came_before_the_death_still_comes_twice);
    tcase_add_test(death, staged_files_that_are_gone_are_missed);
    tcase_add_test(again, batches_that_are_sent_again_are_answered_and_not_doubled);
    tcase_add_test(again, a_refused_batch_that_is_sent_again_gets_the_same_error);
    tcase_add_test(again, a_new_process_tries_again_what_was_refused);
    tcase_add_test(again, a_batch_of_which_nothing_is_known_was_not_written);
    tcase_add_test(again, writers_of_a_job_need_not_have_come_equally_far);
    tcase_add_test(again, a_batch_of_which_the_daemon_died_twice_is_refused);
    tcase_add_test(several, ranks_come_back_in_any_order);
    tcase_add_test(several, ranks_may_come_back_at_once);
    tcase_add_loop_test(several, a_rank_that_has_ended_comes_to_hear_what_became_of_it,
                        0, 2);
    tcase_add_test(several, a_rank_that_ended_and_was_not_seen_to_go_can_come_back);
    tcase_add_test(several, a_rank_that_is_lost_comes_back_while_others_go_on);
    tcase_add_test(several, a_rank_may_come_back_while_its_last_batches_are_written);
    tcase_add_test(several, an_aborted_job_can_be_resumed);
    tcase_add_test(shown, a_job_that_all_ranks_have_ended_is_published_without_them);
    tcase_add_test(shown, a_job_that_was_being_shown_is_shown_to_the_end);
    tcase_add_test(
        shown, whoever_comes_back_to_a_complete_job_can_only_hear_that_it_is_published);
    tcase_add_test(shown, a_client_that_did_not_hear_of_the_publication_is_told);
    tcase_add_test(
        shown, a_client_that_did_not_hear_of_it_is_told_also_when_the_next_epoch_is_on);
    tcase_add_test(power, flush_is_answered_when_the_journal_has_a_mark);
    tcase_add_test(power, after_a_loss_of_power_only_what_was_durable_counts);
    tcase_add_test(power,
                   after_a_loss_of_power_without_a_mark_a_job_is_at_its_beginning);
    tcase_add_test(power, a_disk_that_is_away_costs_nothing);
    tcase_add_test(power, what_was_cut_back_once_is_not_cut_again);
    tcase_add_test(power, a_flush_looks_after_ranks_that_are_not_here);
    tcase_add_test(policies, the_policies_of_a_job_outlive_the_daemon_too);
    tcase_add_test(policies, what_people_have_asked_for_outlives_the_daemon);
    tcase_add_test(policies, ranks_change_at_the_same_step_whenever_the_daemon_dies);
    tcase_add_test(policies, what_was_asked_of_one_training_is_not_asked_of_the_next);
    tcase_add_test(policies, a_training_that_stops_leaves_nothing_to_be_finished);
    tcase_add_test(policies,
                   a_rank_of_a_training_that_is_not_known_any_more_begins_one);
    tcase_add_test(policies, a_training_does_not_wait_for_ranks_when_nobody_is_there);
    tcase_add_test(policies, a_training_does_not_replace_outputs_that_are_aside);
    return unit_main(suite);
}
