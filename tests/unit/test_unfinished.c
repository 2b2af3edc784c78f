/* test_unfinished.c - daemon/unfinished.c, daemon/admission.c: what becomes of jobs
 * that are over without being published.
 */
#include "tests/unit/job_clients.h"
#include "tests/unit/job_surgery.h"

#include <sys/stat.h>
#include <unistd.h>

#define STAGING ".lighterd.job.predict.0/"

/* ---- who may not go on
 * ------------------------------------------------------------------ */

START_TEST(a_client_of_another_job_is_refused)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    int64_t other = id == 1 ? 2 : id - 1;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    open_with = resume_params(other, 1);
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 1, 2, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "begun anew by another process"));
    daemon_starts_again();
    open_with = resume_params(other, 1);
    ck_assert_int_eq(open_as(ANN, &seats[0], "job", 0, 2, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "is not known here"));
    ck_assert_int_eq(open_as(ANN, &seats[0], "none", 0, 2, CSV), -EBUSY);
    open_with = "";
    resume(ANN, &seats[0], 0, 2, CSV, id, 1, 1);
}
END_TEST

START_TEST(nobody_begins_anew_while_a_rank_comes_back)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    request = begin_open(ANN, &seats[0], 0, 2, CSV);
    resume(BOB, &seats[1], 1, 2, CSV, id, 0, 0);
    expect_error(ANN, request, "bad_state", "has written batches before");
}
END_TEST

START_TEST(a_rank_that_had_not_come_yet_joins_the_job_that_was_live)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    open_rank(BOB, &seats[1], 1, 2, CSV); /* before the others have come back */
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    resume(ANN, &seats[0], 0, 2, CSV, id, 1, 1);
    begin_end(ANN, &seats[0], true);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(an_open_that_is_sent_again_joins_the_job_that_was_live)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    open_rank(BOB, &seats[1], 1, 2, CSV); /* the answer was lost */
    daemon_starts_again();
    begin_with(", 'again': true", BOB, &seats[1], 1, 2, CSV);
    settle();
    ck_assert_int_eq(number_of(BOB, last_id, "id"), id);
    begin_end(BOB, &seats[1], true);
    resume(ANN, &seats[0], 0, 2, CSV, id, 1, 1);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(a_job_whose_ranks_had_gone_is_not_joined)
{
    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    seat_leave(&seats[0]);
    settle();
    daemon_starts_again();
    open_rank(BOB, &seats[1], 1, 2, CSV);
    open_rank(ANN, &seats[0], 0, 2, CSV);
    begin_end(BOB, &seats[1], true);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

/* The configuration may have changed meanwhile, and with it what `open` says. */
START_TEST(a_rank_that_comes_back_goes_on_with_the_writers_of_the_job)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    resume(ANN, &seats[0], 0, 1, CSV_OF("q.csv"), id, 1, 1);
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
    ck_assert(!unit_exists(directory, "q.csv"));
}
END_TEST

START_TEST(a_rank_that_comes_back_as_another_is_refused_and_the_job_waits_on)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    request = come_back(ANN, &seats[0], 1, 2, CSV, id, 1);
    expect_error(ANN, request, "bad_params", "world_size 1; rank 1 brings 2");
    ck_assert_str_eq(last_state(), "interrupted");
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(a_process_that_resumes_with_other_writers_is_refused_and_the_job_waits_on)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    request = begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV_OF("q.csv"));
    settle();
    expect_error(ANN, request, "bad_params", "job 'job' has the writer [csv");
    ck_assert(!unit_exists(directory, "q.tmp_rank0.csv"));
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(where_there_is_nothing_to_resume_a_job_begins)
{
    begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV);
    settle();
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 0);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    end_rank(ANN, &seats[0]);

    begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV); /* not that one */
    settle();
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 0);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

START_TEST(another_process_may_resume_a_job_and_is_told_where)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1, 2, 3]}");
    seat_leave(&seats[0]);
    settle();
    begin_with(", 'resume': true", BOB, &seats[1], 0, 1, CSV);
    settle();
    ck_assert_int_eq(number_of(BOB, last_id, "seq"), 1);
    ck_assert_int_eq(number_of(BOB, last_id, "samples"), 3);
    write_batch(BOB, &seats[1], 2, "{'x': [4]}");
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n4\r\n");
}
END_TEST

START_TEST(a_job_that_begins_anew_removes_what_is_left_also_of_a_larger_world)
{
    uint32_t request;

    for (uint32_t i = 0; i < 3; i++) {
        open_job(&clients[i], &seats[i], i, 3, FILES ", " CSV);
        write_batch(&clients[i], &seats[i], 1, "{'x': [], 't': []}");
    }
    write_batch(ANN, &seats[0], 2, "{'x': ['a'], 't': " TENSOR_1 "}");
    daemon_starts_again();
    request = begin_open(ANN, &seats[0], 0, 1, FILES ", " CSV);
    settle();
    ck_assert_ptr_nonnull(
        strstr(warning_of(ANN, request, 0), "What it left is replaced"));
    ck_assert_int_eq(number_of(ANN, request, "seq"), 0);
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
    ck_assert(!unit_exists(directory, "p.tmp_rank2.csv"));
    ck_assert(!unit_exists(directory, STAGING "a.pt"));
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
    ck_assert(!unit_exists(directory, "d/a.pt"));
}
END_TEST

START_TEST(a_job_whose_remains_cannot_be_removed_is_not_forgotten)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;
    int fd;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    fd = lock_file("p.tmp_rank0.csv"); /* another daemon */
    request = begin_open(ANN, &seats[0], 0, 1, CSV);
    settle();
    expect_error(ANN, request, "bad_state", "is being written by another job");
    close(fd);
    resume(ANN, &seats[0], 0, 1, CSV, id, 1, 1);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(a_shard_that_has_lost_bytes_is_an_error_and_stays)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    daemon_dies();
    cut_file("p.tmp_rank0.csv", 6);
    daemon_starts();
    request = come_back(ANN, &seats[0], 0, 1, CSV, id, 2);
    expect_error(ANN, request, "bad_state", "has 6 bytes, but 9 were written to it");
    ck_assert_str_eq(last_state(), "interrupted");
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n");

    append_to("p.tmp_rank0.csv", "2\r\n");
    resume(ANN, &seats[0], 0, 1, CSV, id, 2, 2);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(a_shard_that_is_gone_is_an_error)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    uint32_t request;

    daemon_dies();
    remove_file("p.tmp_rank0.csv");
    daemon_starts();
    request = come_back(ANN, &seats[0], 0, 1, CSV, id, 0);
    expect_error(ANN, request, "bad_state", "the shard 'p.tmp_rank0.csv' is gone");
}
END_TEST

static int
ask(int (*act)(struct jobs *jobs, const char *name, const char *stage,
               struct reply *reply, struct lighter_error *ret_err),
    const char *name, const char *stage)
{
    struct reply reply = reply_new(clients[0].peer, ++last_id);
    int r = act(&jobs, name, stage, &reply, &err);

    ck_assert_int_eq(reply_owed(&reply), r < 0);
    reply_done(&reply);
    settle();
    return r;
}

static struct consent consent; /* of the next finalize */

static int
finalize(struct jobs *of, const char *name, const char *stage, struct reply *reply,
         struct lighter_error *ret_err)
{
    int r = jobs_finalize(of, name, stage, consent, reply, ret_err);

    consent = (struct consent){false, false};
    return r;
}

static int
finalize_partial(void)
{
    consent.partial = true;
    return ask(finalize, "job", NULL);
}

static void
expect_unreadable(const char *why)
{
    int n = n_journals();

    ck_assert_uint_eq(jobs.n_past, 1);
    ck_assert(last_job()->is_unreadable && job_is_unfinished(last_job()));
    ck_assert_msg(strstr(last_job()->error.message, why) != NULL, "%s",
                  last_job()->error.message);
    ck_assert_int_eq(open_as(ANN, &seats[0], "job", 0, 1, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "until lighterctl discard removes it"));
    consent = (struct consent){true, true};
    ck_assert_int_eq(ask(finalize, "job", NULL), -EBUSY);
    ck_assert_int_eq(n_journals(), n);
}

/* ---- finalize, discard
 * -------------------------------------------------------------------- */

START_TEST(finalize_publishes_what_is_there_though_a_rank_is_missing)
{
    int64_t id = open_job(ANN, &seats[0], 0, 3, CSV ", " FILES);
    uint32_t request;

    open_job(BOB, &seats[1], 1, 3, CSV ", " FILES);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    write_batch(BOB, &seats[1], 1, "{'x': ['b'], 't': " TENSOR_1 "}");
    daemon_starts_again();
    ck_assert_msg(finalize_partial() == 0, "%s", err.message);
    result_of(ANN, last_id);
    expect_file("p.csv", "x\r\na\r\nb\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert_str_eq(last_state(), "published");

    request = come_back(BOB, &seats[1], 1, 3, CSV ", " FILES, id, 1);
    expect_published(BOB, request, true);
    ck_assert_int_eq(ask(finalize, "job", NULL), -EBUSY);
    ck_assert_str_eq(err.message, "there is no unfinished job 'job'");
}
END_TEST

START_TEST(finalize_names_the_ranks_that_are_missing_and_wants_consent)
{
    open_job(ANN, &seats[0], 0, 5, CSV);
    open_job(BOB, &seats[1], 3, 5, CSV);
    write_batch(BOB, &seats[1], 1, "{'x': ['b']}");
    begin_end(BOB, &seats[1], false);
    settle();
    daemon_starts_again();
    ck_assert_int_eq(ask(finalize, "job", NULL), -EBUSY);
    ck_assert_ptr_nonnull(
        strstr(err.message, "of its 5 ranks these have not ended: 0-2, 4. lighterctl "
                            "finalize --partial"));
    ck_assert_int_eq(finalize_partial(), 0);
    result_of(ANN, last_id);
    expect_file("p.csv", "x\r\nb\r\n");
}
END_TEST

START_TEST(finalize_of_a_job_that_still_waits_names_who_is_missing)
{
    open_job(ANN, &seats[0], 0, 2, CSV);
    begin_end(ANN, &seats[0], true);
    settle();
    ck_assert_int_eq(ask(finalize, "job", NULL), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "these have not ended: 1. "));
    ck_assert_int_eq(finalize_partial(), 0);
}
END_TEST

START_TEST(finalize_and_discard_leave_a_live_job_alone)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    ck_assert_int_eq(ask(finalize, "job", NULL), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "is live: 1 of its ranks are connected"));
    ck_assert_int_eq(ask(jobs_discard, "job", "predict"), -EBUSY);
    ck_assert_int_eq(ask(jobs_discard, "job", "test"), -EBUSY);
    ck_assert_str_eq(err.message, "there is no unfinished job 'job'");
    end_rank(ANN, &seats[0]);
}
END_TEST

START_TEST(an_unfinished_job_is_known_by_its_stage_too)
{
    open_with = ", 'stage': 'test'";
    open_job(ANN, &seats[0], 0, 1, CSV);
    open_with = ", 'stage': 'validate'";
    open_job(BOB, &seats[1], 0, 1, CSV_OF("q.csv"));
    open_with = "";
    daemon_starts_again();
    ck_assert_int_eq(ask(jobs_discard, "job", "predict"), -EBUSY);
    ck_assert_int_eq(ask(jobs_discard, "job", "test"), 0);
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert(unit_exists(directory, "q.tmp_rank0.csv"));
    ck_assert_int_eq(finalize_partial(), 0);
    expect_file("q.csv", "x\r\n");
}
END_TEST

/* A rank has ended, and the others never came: nobody is connected. */
START_TEST(a_job_that_waits_for_ranks_that_do_not_come_can_be_finalized)
{
    uint32_t ended;

    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ended = begin_end(ANN, &seats[0], true);
    settle();
    ck_assert_int_eq(finalize_partial(), 0);
    result_of(ANN, last_id);
    expect_published(ANN, ended, true);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(a_job_that_waits_for_ranks_that_do_not_come_can_be_discarded)
{
    uint32_t ended;

    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ended = begin_end(ANN, &seats[0], true);
    settle();
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    result_of(ANN, last_id);
    expect_error(ANN, ended, "bad_state", "discarded");
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert_int_eq(n_journals(), 0);
    ck_assert_uint_eq(jobs.n_live, 0);
}
END_TEST

START_TEST(who_resumes_while_the_run_before_still_goes_waits_for_its_end)
{
    uint32_t ended;

    open_job(ANN, &seats[0], 0, 2, CSV);
    open_job(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    seat_leave(&seats[0]);
    settle();
    begin_write(BOB, &seats[1], 1, "{'x': [2]}");
    seat_leave(&seats[1]); /* its batch is still being written */
    begin_with(", 'resume': true", ANN, &seats[2], 0, 2, CSV);
    settle();
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 1);
    ended = begin_end(ANN, &seats[2], true); /* long before the other one comes */
    settle();
    begin_with(", 'resume': true", BOB, &seats[1], 1, 2, CSV);
    settle();
    ck_assert_int_eq(number_of(BOB, last_id, "seq"), 1);
    end_rank(BOB, &seats[1]);
    expect_published(ANN, ended, true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

/* Its requests come behind the open, before that is answered: the client has chosen the
 * handle. The job has no ranks then, or fewer than this one thinks.
 */
static void
expect_no_rank(struct client *client, struct seat *seat)
{
    struct reply reply = reply_new(client->peer, ++last_id);

    ck_assert_int_eq(try_write(client, seat, 1, "{'x': [2]}"), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "of job 'job' is not open"));
    ck_assert_int_eq(seat_flush(seat, &reply, &err), -EBUSY);
    ck_assert_int_eq(seat_end(seat, true, -1, &reply, &err), -EBUSY);
    ck_assert_int_eq(seat_abort(seat, "", &reply, &err), -EBUSY);
    reply_done(&reply);
}

START_TEST(who_waits_for_a_job_that_is_discarded_has_no_rank_yet)
{
    struct reply nobody = {0};

    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    ck_assert_int_eq(jobs_discard(&jobs, "job", NULL, &nobody, &err), 0);
    begin_open(BOB, &seats[1], 1, 2, CSV);
    expect_no_rank(BOB, &seats[1]);
    settle();
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    expect_file("p.tmp_rank1.csv", "x\r\n2\r\n");
}
END_TEST

START_TEST(who_waits_and_is_of_a_larger_world_has_no_rank_yet)
{
    uint32_t larger;

    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV);
    larger = begin_open(BOB, &seats[1], 65535, 65536, CSV);
    expect_no_rank(BOB, &seats[1]);
    settle();
    expect_error(BOB, larger, "bad_params",
                 "has world_size 1; rank 65535 brings 65536");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(who_comes_to_resume_a_job_that_nobody_waited_for_begins_one)
{
    begin_open(ANN, &seats[0], 0, 1, CSV);
    seat_leave(&seats[0]);
    while (TAILQ_FIRST(&jobs.live)->state != JOB_PUBLISHING)
        uv_run(&loop, UV_RUN_ONCE);
    begin_with(", 'resume': true", BOB, &seats[1], 0, 1, CSV);
    settle();
    ck_assert_int_eq(number_of(BOB, last_id, "seq"), 0);
    write_batch(BOB, &seats[1], 1, "{'x': [1]}");
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(finalize_that_fails_leaves_the_job_to_be_resumed)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);

    daemon_starts_again();
    ck_assert_int_eq(open_as(EVE, &seats[2], "other", 0, 1, CSV), 0);
    ck_assert_int_eq(finalize_partial(), -EBUSY); /* its table is taken */
    ck_assert_ptr_nonnull(strstr(err.message, "is being written by job 'other'"));
    seat_leave(&seats[2]);
    settle();
    ck_assert_int_eq(ask(jobs_discard, "other", NULL), 0);

    resume(ANN, &seats[0], 0, 2, CSV, id, 0, 0);
    ck_assert(!unit_exists(directory, "p.csv"));
    seat_leave(&seats[0]);
    settle();
    ck_assert_str_eq(last_state(), "interrupted");
}
END_TEST

START_TEST(rows_that_are_aside_are_not_overwritten_by_another_job)
{
    static const char refusal[] =
        "p.csv' is a table of job 'job' (predict), which is unfinished";

    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    ck_assert_int_eq(open_as(EVE, &seats[2], "other", 0, 1, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, refusal));

    ck_assert_int_eq(finalize_partial(), 0);
    result_of(ANN, last_id);
    expect_file("p.csv", "x\r\n1\r\n");
    ck_assert_int_eq(open_as(EVE, &seats[2], "other", 0, 1, CSV), 0);
    settle();
    write_batch(EVE, &seats[2], 1, "{'x': [2]}");
    end_rank(EVE, &seats[2]);
    expect_file("p.csv", "x\r\n2\r\n");
}
END_TEST

START_TEST(a_job_without_rows_does_not_come_between_those_of_another)
{
    open_job(ANN, &seats[0], 0, 2, CSV);
    daemon_starts_again();
    ck_assert_int_eq(open_as(EVE, &seats[2], "other", 0, 1, CSV), 0);
    settle();
    write_batch(EVE, &seats[2], 1, "{'x': [2]}");
    seat_leave(&seats[2]);
    settle();
    ck_assert_int_eq(finalize_partial(), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "is a table of job 'other' (predict)"));

    consent.partial = true;
    ck_assert_int_eq(ask(finalize, "other", NULL), 0);
    result_of(ANN, last_id);
    expect_file("p.csv", "x\r\n2\r\n");
}
END_TEST

START_TEST(finalize_of_a_job_that_nobody_has_written_keeps_its_journal)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    daemon_dies();
    edit_journal(place_elsewhere); /* not even its shard is certain */
    daemon_starts();
    ck_assert_int_eq(finalize_partial(), 0);
    expect_error(ANN, last_id, "bad_state", "no rank has written any of it");
    ck_assert_int_eq(n_journals(), 1);
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    ck_assert_int_eq(n_journals(), 0);
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
}
END_TEST

START_TEST(a_job_whose_directory_is_gone_can_be_discarded)
{
    open_rank(ANN, &seats[0], 0, 1, CSV_OF("d/p.csv"));
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_dies();
    rename_file("d", "away");
    write_file("d", "in its place");
    daemon_starts();
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    ck_assert_int_eq(n_journals(), 0);
}
END_TEST

START_TEST(discard_removes_all_that_there_is)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV ", " FILES);

    open_job(BOB, &seats[1], 1, 2, CSV ", " FILES);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    write_file("p.csv", "old");
    daemon_starts_again();
    ck_assert_msg(ask(jobs_discard, "job", NULL) == 0, "%s", err.message);
    result_of(ANN, last_id);
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
    ck_assert(!unit_exists(directory, ".lighterd.job.predict.1"));
    expect_file("p.csv", "old");
    ck_assert_int_eq(n_journals(), 0);
    ck_assert_uint_eq(jobs.n_past, 0);
    ck_assert_uint_eq(jobs.n_live, 0);

    open_with = resume_params(id, 0);
    ck_assert_int_eq(open_as(ANN, &seats[0], "job", 0, 2, CSV), -EBUSY);
    open_with = "";
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), -EBUSY);
}
END_TEST

START_TEST(discard_that_fails_can_be_tried_again)
{
    int fd;

    open_job(ANN, &seats[0], 0, 1, CSV);
    daemon_starts_again();
    fd = lock_file("p.tmp_rank0.csv");
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    expect_error(ANN, last_id, "bad_state", "is being written by another job");
    close(fd);
    ck_assert_int_eq(n_journals(), 1);
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    result_of(ANN, last_id);
    ck_assert_int_eq(n_journals(), 0);
}
END_TEST

START_TEST(who_opens_a_job_that_is_being_discarded_begins_anew)
{
    uint32_t opened;
    struct reply reply;

    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    daemon_starts_again();
    reply = reply_new(clients[1].peer, ++last_id);
    ck_assert_int_eq(jobs_discard(&jobs, "job", NULL, &reply, &err), 0);
    opened = begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV);
    settle();
    ck_assert_int_eq(number_of(ANN, opened, "seq"), 0);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

/* ---- the state directory
 * -------------------------------------------------------------------- */

START_TEST(a_journal_that_makes_no_sense_is_told_and_left_alone)
{
    struct journal_record foreign = {.kind = JOURNAL_WRITTEN, .rank = 7, .seq = 1};

    open_job(ANN, &seats[0], 0, 1, CSV);
    daemon_dies();
    append_record(foreign);
    daemon_starts();
    expect_unreadable("a record is of rank 7 and writer 0");
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    ck_assert_int_eq(n_journals(), 0);
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
}
END_TEST

START_TEST(a_journal_of_a_later_version_is_told_and_left_alone)
{
    struct journal_record later = {.kind = (enum journal_kind)63};

    open_job(ANN, &seats[0], 0, 1, CSV);
    daemon_dies();
    append_record(later);
    daemon_starts();
    expect_unreadable(
        "a record of the unknown kind 63, of a later version of lighterd");
}
END_TEST

START_TEST(a_journal_that_is_none_is_told_and_left_alone)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    daemon_dies();
    damage_journal(8); /* its first record */
    daemon_starts();
    expect_unreadable("it does not begin with a record");
    ck_assert_int_eq(ask(jobs_discard, "job", "predict"), 0);
    ck_assert_int_eq(n_journals(), 0);
    open_rank(ANN, &seats[0], 0, 1, CSV);
}
END_TEST

START_TEST(a_journal_of_which_nothing_was_ever_on_the_disk_is_in_nobodys_way)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    end_rank(ANN, &seats[0]);
    daemon_dies();
    tear_journal(journal_size_on_disk());
    daemon_starts();
    ck_assert_uint_eq(jobs.n_past, 0);
    open_rank(ANN, &seats[0], 0, 1, CSV);
    end_rank(ANN, &seats[0]);
}
END_TEST

/* ---- damage
 * -------------------------------------------------------------------- */

/* Of the last of three batches the journal has a bad record; sound ones come behind. */
static int64_t
damaged_job(void)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);

    for (uint64_t seq = 1; seq <= 3; seq++)
        write_batch(ANN, &seats[0], seq, "{'x': [1]}");
    daemon_dies();
    damage_journal(journal_size_on_disk() - 2 * 64 + 8);
    return id;
}

START_TEST(a_bad_record_before_sound_ones_is_damage_and_nothing_is_cut)
{
    int64_t id = damaged_job();
    off_t size = journal_size_on_disk();

    daemon_starts();
    ck_assert_str_eq(last_state(), "interrupted");
    ck_assert_uint_gt(last_job()->damaged_at, 0);
    ck_assert_ptr_nonnull(strstr(last_job()->error.message, "is damaged at byte"));
    ck_assert_ptr_nonnull(strstr(last_job()->error.message, "job.predict.journal"));
    consent.partial = true;
    ck_assert_int_eq(ask(finalize, "job", NULL), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "is damaged at byte"));
    open_with = resume_params(id, 1);
    ck_assert_int_eq(open_as(ANN, &seats[0], "job", 0, 1, CSV), -EBUSY);
    open_with = "";
    ck_assert_ptr_nonnull(strstr(err.message, "is damaged at byte"));
    ck_assert_int_eq(journal_size_on_disk(), size);
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n1\r\n1\r\n");
}
END_TEST

START_TEST(what_is_before_the_damage_can_be_published)
{
    damaged_job();
    daemon_starts();
    consent.damaged = true;
    ck_assert_msg(ask(finalize, "job", NULL) == 0, "%s", err.message);
    result_of(ANN, last_id);
    expect_file("p.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(a_damaged_job_can_be_discarded)
{
    damaged_job();
    daemon_starts();
    ck_assert_int_eq(ask(jobs_discard, "job", NULL), 0);
    ck_assert_int_eq(n_journals(), 0);
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
}
END_TEST

START_TEST(a_job_begun_anew_in_the_place_of_a_damaged_one_is_warned)
{
    damaged_job();
    daemon_starts();
    begin_open(ANN, &seats[0], 0, 1, CSV);
    settle();
    ck_assert_ptr_nonnull(strstr(warning_of(ANN, last_id, 0), "is damaged at byte"));
    ck_assert_ptr_nonnull(warning_of(ANN, last_id, 0));
}
END_TEST

START_TEST(what_a_loss_of_power_took_is_no_damage)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    for (uint64_t seq = 1; seq <= 3; seq++)
        write_batch(ANN, &seats[0], seq, "{'x': [1]}");
    daemon_dies();
    edit_journal(place_elsewhere);
    damage_journal(journal_size_on_disk() - 2 * 64 + 8);
    daemon_starts();
    ck_assert_uint_eq(last_job()->damaged_at, 0);
    ck_assert_uint_eq(last_job()->n_batches, 1);
}
END_TEST

START_TEST(a_state_directory_that_was_removed_is_made_anew)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ck_assert_int_eq(unlinkat(jobs.state->fd, JOURNAL, 0), 0);
    ck_assert_int_eq(rmdir(jobs.state->path), 0);
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
    ck_assert_int_eq(n_journals(), 1);

    daemon_starts_again();
    ck_assert_str_eq(last_state(), "published");
    ck_assert_int_eq(unlinkat(jobs.state->fd, JOURNAL, 0), 0);
    ck_assert_int_eq(rmdir(jobs.state->path), 0);
    open_job(ANN, &seats[0], 0, 1, CSV);
    daemon_starts_again();
    ck_assert_str_eq(last_state(), "interrupted");
}
END_TEST

START_TEST(where_the_state_directory_cannot_be_made_anew_it_is_named)
{
    uint32_t request;

    ck_assert_int_eq(rmdir(jobs.state->path), 0);
    ck_assert_int_eq(mknod(jobs.state->path, S_IFREG | 0600, 0), 0); /* in its place */
    request = begin_open(ANN, &seats[0], 0, 1, CSV);
    settle();
    expect_error(ANN, request, "os", jobs.state->path);
    expect_error(ANN, request, "os", "was removed");
    ck_assert_int_eq(unlink(jobs.state->path), 0);
    open_rank(ANN, &seats[0], 0, 1, CSV);
}
END_TEST

START_TEST(a_client_that_comes_back_after_a_hundred_other_jobs_hears_of_its_end)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    char name[16];

    begin_end(ANN, &seats[0], true);
    seat_leave(&seats[0]); /* before it is answered */
    settle();
    for (int i = 0; i <= JOBS_PAST_MAX; i++) {
        snprintf(name, sizeof name, "job%d", i);
        ck_assert_int_eq(open_as(BOB, &seats[1], name, 0, 1, CSV_OF("q.csv")), 0);
        settle();
        end_rank(BOB, &seats[1]);
    }
    expect_published(ANN, come_back(ANN, &seats[0], 0, 1, CSV, id, 0), true);
}
END_TEST

START_TEST(a_client_that_comes_back_to_the_next_daemon_hears_of_its_end_too)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);
    char name[16];

    end_rank(ANN, &seats[0]); /* the answer may not have been read */
    daemon_starts_again();
    for (int i = 0; i <= JOBS_PAST_MAX; i++) {
        snprintf(name, sizeof name, "job%d", i);
        ck_assert_int_eq(open_as(BOB, &seats[1], name, 0, 1, CSV_OF("q.csv")), 0);
        settle();
        end_rank(BOB, &seats[1]);
    }
    expect_published(ANN, come_back(ANN, &seats[0], 0, 1, CSV, id, 0), true);
}
END_TEST

START_TEST(unfinished_jobs_are_kept_and_do_not_push_out_what_is_published)
{
    char name[16];

    for (int i = 0; i <= JOBS_PAST_MAX; i++) {
        snprintf(name, sizeof name, "job%d", i);
        ck_assert_int_eq(open_as(ANN, &seats[0], name, 0, 1, CSV), 0);
        settle();
        seat_leave(&seats[0]);
        settle();
    }
    open_rank(ANN, &seats[0], 0, 1, CSV);
    end_rank(ANN, &seats[0]);
    ck_assert_uint_eq(jobs.n_past, JOBS_PAST_MAX + 2);
    ck_assert_str_eq(last_state(), "published");
    daemon_starts_again();
    ck_assert_uint_eq(jobs.n_past, JOBS_PAST_MAX + 2);
}
END_TEST

START_TEST(of_published_jobs_as_many_are_remembered_as_in_the_history)
{
    char name[16];

    for (int i = 0; i < JOBS_PAST_MAX + 2; i++) {
        snprintf(name, sizeof name, "job%d", i);
        ck_assert_int_eq(open_as(ANN, &seats[0], name, 0, 1, CSV), 0);
        settle();
        end_rank(ANN, &seats[0]);
    }
    ck_assert_int_eq(n_journals(), JOBS_PAST_MAX);
    ck_assert_uint_eq(jobs.n_live, 0);
    daemon_starts_again();
    ck_assert_uint_eq(jobs.n_past, JOBS_PAST_MAX);
}
END_TEST

/* ---- as it was
 * -------------------------------------------------------------------- */

START_TEST(a_job_that_was_aborted_is_shown_so_by_the_next_daemon)
{
    struct reply reply = reply_new(clients[0].peer, ++last_id);

    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ck_assert_int_eq(seat_abort(&seats[0], "out of memory", &reply, &err), 0);
    settle();
    daemon_starts_again();
    ck_assert_str_eq(last_state(), "aborted");
    ck_assert_ptr_nonnull(strstr(last_job()->error.message, "out of memory"));
    ck_assert(job_is_unfinished(last_job()));
    ck_assert_uint_eq(last_job()->n_batches, 1);
}
END_TEST

START_TEST(a_job_that_was_published_is_shown_as_it_was_by_the_next_daemon)
{
    open_job(ANN, &seats[0], 0, 1, CSV ", " FILES);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    daemon_starts_again();
    ck_assert_str_eq(last_state(), "published");
    ck_assert_uint_eq(last_job()->n_ended, 1);
    ck_assert_uint_eq(last_job()->n_batches, 1);
    ck_assert_uint_eq(last_job()->n_samples, 1);
    ck_assert_uint_eq(last_job()->outputs[1].n_samples, 1);
    ck_assert_uint_gt(last_job()->outputs[1].n_bytes, 0);
}
END_TEST

START_TEST(of_a_job_that_was_finalized_not_all_ranks_have_ended)
{
    open_job(ANN, &seats[0], 0, 3, CSV);
    begin_end(ANN, &seats[0], false);
    settle();
    ck_assert_int_eq(finalize_partial(), 0);
    daemon_starts_again();
    ck_assert_uint_eq(last_job()->n_ended, 1);
}
END_TEST

START_TEST(how_far_a_rank_is_durable_is_known_to_the_next_daemon)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV ", " FILES);

    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    write_batch(ANN, &seats[0], 2, "{'x': ['b'], 't': " TENSOR_1 "}");
    begin_flush(ANN, &seats[0]);
    settle();
    write_batch(ANN, &seats[0], 3, "{'x': ['c'], 't': " TENSOR_1 "}");
    daemon_starts_again();
    resume(ANN, &seats[0], 0, 2, CSV ", " FILES, id, 3, 3);
    ck_assert_uint_eq(TAILQ_FIRST(&jobs.live)->ranks[0]->durable, 2);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("unfinished");
    TCase *others = unit_case(suite, "others");
    TCase *people = unit_case(suite, "people");
    TCase *place = unit_case(suite, "state directory");
    TCase *const cases[] = {others, people, place};

    clients_warm_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tcase_add_checked_fixture(cases[i], clients_begin, clients_end);
    tcase_add_test(others, a_client_of_another_job_is_refused);
    tcase_add_test(others, nobody_begins_anew_while_a_rank_comes_back);
    tcase_add_test(others, a_rank_that_had_not_come_yet_joins_the_job_that_was_live);
    tcase_add_test(others, an_open_that_is_sent_again_joins_the_job_that_was_live);
    tcase_add_test(others, a_job_whose_ranks_had_gone_is_not_joined);
    tcase_add_test(others, a_rank_that_comes_back_goes_on_with_the_writers_of_the_job);
    tcase_add_test(others,
                   a_rank_that_comes_back_as_another_is_refused_and_the_job_waits_on);
    tcase_add_test(
        others,
        a_process_that_resumes_with_other_writers_is_refused_and_the_job_waits_on);
    tcase_add_test(others, where_there_is_nothing_to_resume_a_job_begins);
    tcase_add_test(others, another_process_may_resume_a_job_and_is_told_where);
    tcase_add_test(others,
                   a_job_that_begins_anew_removes_what_is_left_also_of_a_larger_world);
    tcase_add_test(others, a_job_whose_remains_cannot_be_removed_is_not_forgotten);
    tcase_add_test(others, a_shard_that_has_lost_bytes_is_an_error_and_stays);
    tcase_add_test(others, a_shard_that_is_gone_is_an_error);
    tcase_add_test(people, finalize_publishes_what_is_there_though_a_rank_is_missing);
    tcase_add_test(people, finalize_names_the_ranks_that_are_missing_and_wants_consent);
    tcase_add_test(people, finalize_of_a_job_that_still_waits_names_who_is_missing);
    tcase_add_test(people, finalize_and_discard_leave_a_live_job_alone);
    tcase_add_test(people, an_unfinished_job_is_known_by_its_stage_too);
    tcase_add_test(people,
                   a_job_that_waits_for_ranks_that_do_not_come_can_be_finalized);
    tcase_add_test(people,
                   a_job_that_waits_for_ranks_that_do_not_come_can_be_discarded);
    tcase_add_test(people,
                   who_resumes_while_the_run_before_still_goes_waits_for_its_end);
    tcase_add_test(people, who_waits_for_a_job_that_is_discarded_has_no_rank_yet);
    tcase_add_test(people, who_waits_and_is_of_a_larger_world_has_no_rank_yet);
    tcase_add_test(people, who_comes_to_resume_a_job_that_nobody_waited_for_begins_one);
    tcase_add_test(people, finalize_that_fails_leaves_the_job_to_be_resumed);
    tcase_add_test(people, rows_that_are_aside_are_not_overwritten_by_another_job);
    tcase_add_test(people, a_job_without_rows_does_not_come_between_those_of_another);
    tcase_add_test(people, finalize_of_a_job_that_nobody_has_written_keeps_its_journal);
    tcase_add_test(people, a_job_whose_directory_is_gone_can_be_discarded);
    tcase_add_test(people, discard_removes_all_that_there_is);
    tcase_add_test(people, discard_that_fails_can_be_tried_again);
    tcase_add_test(people, who_opens_a_job_that_is_being_discarded_begins_anew);
    tcase_add_test(place, a_journal_that_makes_no_sense_is_told_and_left_alone);
    tcase_add_test(place, a_journal_of_a_later_version_is_told_and_left_alone);
    tcase_add_test(place, a_journal_that_is_none_is_told_and_left_alone);
    tcase_add_test(place,
                   a_journal_of_which_nothing_was_ever_on_the_disk_is_in_nobodys_way);
    tcase_add_test(place, a_bad_record_before_sound_ones_is_damage_and_nothing_is_cut);
    tcase_add_test(place, what_is_before_the_damage_can_be_published);
    tcase_add_test(place, a_damaged_job_can_be_discarded);
    tcase_add_test(place, a_job_begun_anew_in_the_place_of_a_damaged_one_is_warned);
    tcase_add_test(place, what_a_loss_of_power_took_is_no_damage);
    tcase_add_test(place, a_job_that_was_aborted_is_shown_so_by_the_next_daemon);
    tcase_add_test(place,
                   a_job_that_was_published_is_shown_as_it_was_by_the_next_daemon);
    tcase_add_test(place, of_a_job_that_was_finalized_not_all_ranks_have_ended);
    tcase_add_test(place, how_far_a_rank_is_durable_is_known_to_the_next_daemon);
    tcase_add_test(place, a_state_directory_that_was_removed_is_made_anew);
    tcase_add_test(place, where_the_state_directory_cannot_be_made_anew_it_is_named);
    tcase_add_test(
        place, a_client_that_comes_back_after_a_hundred_other_jobs_hears_of_its_end);
    tcase_add_test(place,
                   a_client_that_comes_back_to_the_next_daemon_hears_of_its_end_too);
    tcase_add_test(place,
                   unfinished_jobs_are_kept_and_do_not_push_out_what_is_published);
    tcase_add_test(place, of_published_jobs_as_many_are_remembered_as_in_the_history);
    return unit_main(suite);
}
