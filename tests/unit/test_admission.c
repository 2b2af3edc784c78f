/* test_admission.c - daemon/admission.c: who may open a job, who waits, and who never
 * takes anything away: what ranks were told is written stays.
 */
#include "tests/unit/job_clients.h"
#include "tests/unit/job_surgery.h"

#include <unistd.h>

#define AGAIN ", 'again': true"
#define ATTEMPT(name) ", 'attempt': '" name "'"

static uint32_t
open_with_params(const char *params, struct client *client, struct seat *seat,
                 uint32_t rank, uint32_t world_size)
{
    uint32_t id = begin_with(params, client, seat, rank, world_size, CSV);

    settle();
    return id;
}

/* It is refused at once. */
static void
expect_refused(const char *params, struct client *client, struct seat *seat,
               uint32_t rank, uint32_t world_size, const char *message)
{
    open_with = params;
    ck_assert_int_eq(open_as(client, seat, "job", rank, world_size, CSV), -EBUSY);
    open_with = "";
    ck_assert_msg(strstr(err.message, message) != NULL, "%s", err.message);
}

/* ---- the next epoch, sent to a daemon that died --------------------------------- */

/* Ann has ended, Bob's batch was answered. Return: the job's id. */
static int64_t
one_of_two_has_ended(void)
{
    int64_t id = open_job(ANN, &seats[0], 0, 2, CSV);

    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': ['a']}");
    write_batch(BOB, &seats[1], 1, "{'x': ['b']}");
    begin_end(ANN, &seats[0], false);
    settle();
    return id;
}

static void
bob_ends(int64_t id)
{
    resume(BOB, &seats[1], 1, 2, CSV, id, 1, 1);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\na\r\nb\r\n");
}

START_TEST(an_open_of_the_next_epoch_that_is_sent_again_waits_for_the_one_before)
{
    int64_t id = one_of_two_has_ended();
    uint32_t next;

    daemon_starts_again();
    next = open_with_params(AGAIN, ANN, &seats[0], 0, 2);
    ck_assert(!clients[0].answered[next]);
    bob_ends(id);
    ck_assert_int_ne(number_of(ANN, next, "id"), id);
    ck_assert_int_eq(number_of(ANN, next, "seq"), 0);
}
END_TEST

START_TEST(an_open_of_the_next_epoch_may_come_again_when_the_others_are_back)
{
    int64_t id = one_of_two_has_ended();
    uint32_t next;

    daemon_starts_again();
    resume(BOB, &seats[1], 1, 2, CSV, id, 1, 1);
    next = open_with_params(AGAIN, ANN, &seats[0], 0, 2);
    ck_assert(!clients[0].answered[next]);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\na\r\nb\r\n");
    ck_assert_int_ne(number_of(ANN, next, "id"), id);
}
END_TEST

START_TEST(an_open_of_the_next_epoch_waits_over_two_deaths)
{
    int64_t id = one_of_two_has_ended();

    daemon_starts_again();
    open_with_params(AGAIN, ANN, &seats[0], 0, 2);
    daemon_starts_again();
    open_with_params(AGAIN, ANN, &seats[0], 0, 2);
    bob_ends(id);
}
END_TEST

START_TEST(an_open_of_the_next_epoch_waits_with_resume_too)
{
    int64_t id = one_of_two_has_ended();
    uint32_t next;

    daemon_starts_again();
    next = open_with_params(AGAIN ", 'resume': true", ANN, &seats[0], 0, 2);
    ck_assert(!clients[0].answered[next]);
    bob_ends(id);
    ck_assert_int_eq(number_of(ANN, next, "seq"), 0);
    ck_assert(!flag_of(ANN, next, "ended"));
}
END_TEST

START_TEST(an_open_of_the_next_epoch_waits_where_each_epoch_is_an_attempt)
{
    int64_t id;
    uint32_t next;

    open_with = ATTEMPT("run.1");
    id = one_of_two_has_ended();
    open_with = "";
    daemon_starts_again();
    next = open_with_params(AGAIN ATTEMPT("run.2"), ANN, &seats[0], 0, 2);
    ck_assert(!clients[0].answered[next]);
    open_with_params(ATTEMPT("run.1") ", 'resume': true", BOB, &seats[1], 1, 2);
    ck_assert_int_eq(number_of(BOB, last_id, "id"), id);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\na\r\nb\r\n");
    ck_assert_int_eq(number_of(ANN, next, "seq"), 0);
    open_with_params(ATTEMPT("run.2"), BOB, &seats[1], 1, 2);
    ck_assert_int_eq(number_of(BOB, last_id, "id"), number_of(ANN, next, "id"));
}
END_TEST

START_TEST(where_the_epoch_before_is_interrupted_the_next_one_does_not_replace_it)
{
    int64_t id = one_of_two_has_ended();
    uint32_t next;

    daemon_starts_again();
    next = open_with_params(AGAIN, ANN, &seats[0], 0, 2);
    resume(BOB, &seats[1], 1, 2, CSV, id, 1, 1);
    seat_leave(&seats[1]);
    settle();
    expect_error(ANN, next, "bad_state", "rank 1 vanished");
    expect_error(ANN, next, "bad_state", "open it with resume, or lighterctl finalize");
    expect_file("p.tmp_rank1.csv", "x\r\nb\r\n");

    expect_refused(AGAIN, ANN, &seats[0], 0, 2, "Nothing is begun in its place");
    expect_file("p.tmp_rank1.csv", "x\r\nb\r\n");
}
END_TEST

START_TEST(a_rank_that_waits_for_the_next_epoch_does_not_replace_one_that_failed)
{
    uint32_t next;

    one_of_two_has_ended();
    next = begin_open(ANN, &seats[0], 0, 2, CSV);
    seat_leave(&seats[1]);
    settle();
    expect_error(ANN, next, "bad_state", "rank 1 vanished");
    expect_file("p.tmp_rank0.csv", "x\r\na\r\n");

    begin_open(ANN, &seats[0], 0, 2, CSV); /* it knows now */
    settle();
    ck_assert_ptr_nonnull(
        strstr(warning_of(ANN, last_id, 0), "What it left is replaced"));
}
END_TEST

START_TEST(an_open_that_is_sent_again_does_not_take_over_what_others_have_written)
{
    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': ['other']}");
    daemon_starts_again();
    expect_error(BOB, open_with_params(AGAIN, BOB, &seats[1], 0, 1), "bad_state",
                 "has written batches before: open it with resume");
    expect_file("p.tmp_rank0.csv", "x\r\nother\r\n");
}
END_TEST

START_TEST(nobody_begins_anew_while_a_rank_waits_for_the_next_epoch)
{
    int64_t id = one_of_two_has_ended();
    uint32_t next, stranger;

    daemon_starts_again();
    next = open_with_params(AGAIN, ANN, &seats[0], 0, 2);
    open_with = "";
    ck_assert_int_eq(open_as(EVE, &seats[2], "job", 1, 2, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "has written batches before"));
    stranger = open_with_params("", EVE, &seats[2], 0, 2);
    ck_assert(!clients[2].answered[stranger]);
    bob_ends(id);
    result_of(ANN, next);
    expect_error(EVE, stranger, "bad_state", "is taken by client0");
}
END_TEST

/* ---- attempts ----------------------------------------------------------------------
 */

START_TEST(two_starts_of_one_program_do_not_mix)
{
    open_with = ATTEMPT("one");
    open_job(ANN, &seats[0], 0, 2, CSV);
    open_with = "";
    expect_refused(
        ATTEMPT("two"), BOB, &seats[1], 1, 2,
        "another start of the program, attempt one; rank 1 is of attempt two");
    expect_refused("", BOB, &seats[1], 1, 2, "rank 1 is of attempt (none)");
    open_with_params(ATTEMPT("one"), BOB, &seats[1], 1, 2);
    ck_assert_int_eq(number_of(BOB, last_id, "seq"), 0);
}
END_TEST

START_TEST(a_start_begins_anew_where_the_ranks_of_the_one_before_are_gone)
{
    open_with = ATTEMPT("one");
    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': ['a']}");
    begin_end(ANN, &seats[0], false);
    settle();
    open_with = ATTEMPT("two");
    open_job(BOB, &seats[1], 0, 2, CSV);
    open_with = "";
    ck_assert_ptr_nonnull(
        strstr(warning_of(BOB, last_id, 0), "What it left is replaced"));
}
END_TEST

START_TEST(a_start_within_a_minute_of_a_crash_does_not_join_the_one_before)
{
    open_with = ATTEMPT("one");
    open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': ['a']}");
    open_with = "";
    daemon_starts_again();
    open_with_params(ATTEMPT("two"), BOB, &seats[1], 1, 2); /* a late rank, first */
    ck_assert_ptr_nonnull(
        strstr(warning_of(BOB, last_id, 0), "What it left is replaced"));
    open_with_params(ATTEMPT("two"), ANN, &seats[0], 0, 2);
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 0);
    expect_refused(ATTEMPT("one"), EVE, &seats[2], 0, 2, "another start");
}
END_TEST

START_TEST(resume_takes_the_job_over_and_ranks_of_the_start_before_are_refused)
{
    int64_t id;

    open_with = ATTEMPT("one");
    id = open_job(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': ['a']}");
    open_with = "";
    daemon_starts_again();
    open_with_params(ATTEMPT("two") ", 'resume': true", ANN, &seats[0], 0, 2);
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 1);
    open_with_params(ATTEMPT("two") ", 'resume': true", BOB, &seats[1], 1, 2);
    result_of(BOB, last_id);
    seat_leave(&seats[1]);
    seat_leave(&seats[0]);
    settle();
    daemon_starts_again(); /* the journal knows it too */
    open_with = resume_params(id, 1);
    ck_assert_int_eq(open_as(EVE, &seats[2], "job", 0, 2, CSV), -EBUSY);
    open_with = "";
    ck_assert_ptr_nonnull(
        strstr(err.message, "attempt two; rank 0 is of attempt (none)"));
    open_with_params(ATTEMPT("two") ", 'resume': true", ANN, &seats[0], 0, 2);
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 1);
}
END_TEST

START_TEST(resume_waits_for_no_start_that_still_goes)
{
    open_with = ATTEMPT("one");
    open_job(ANN, &seats[0], 0, 2, CSV);
    open_with = "";
    expect_refused(ATTEMPT("two") ", 'resume': true", BOB, &seats[1], 1, 2,
                   "another start of the program, attempt one");
}
END_TEST

/* ---- fingerprints ------------------------------------------------------------------
 */

START_TEST(ranks_bring_one_fingerprint)
{
    open_with = ", 'fingerprint': 'A'";
    open_job(ANN, &seats[0], 0, 2, CSV);
    open_with = "";
    expect_refused(", 'fingerprint': 'B'", BOB, &seats[1], 1, 2,
                   "was begun with the fingerprint 'A'; rank 1 brings 'B'");
    expect_refused("", BOB, &seats[1], 1, 2, "rank 1 brings '(none)'");
}
END_TEST

START_TEST(a_job_is_resumed_with_its_fingerprint_alone)
{
    open_with = ", 'fingerprint': 'A'";
    open_job(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': ['a']}");
    open_with = "";
    daemon_starts_again();
    expect_refused(", 'fingerprint': 'B', 'resume': true", ANN, &seats[0], 0, 1,
                   "was begun with the fingerprint 'A'; rank 0 brings 'B'");
    expect_refused(", 'resume': true", ANN, &seats[0], 0, 1, "brings '(none)'");
    expect_file("p.tmp_rank0.csv", "x\r\na\r\n");
    open_with_params(", 'fingerprint': 'A', 'resume': true", ANN, &seats[0], 0, 1);
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 1);
}
END_TEST

/* ---- outputs that were removed ------------------------------------------------------
 */

START_TEST(where_all_was_removed_after_a_crash_a_run_begins_anew)
{
    int64_t id;

    id = open_job(ANN, &seats[0], 0, 2, CSV ", " FILES);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    daemon_dies();
    remove_file("p.tmp_rank0.csv");
    rename_file("d", "away");
    rename_file(".lighterd.job.predict.1", "staged");
    daemon_starts();
    begin_open(BOB, &seats[1], 1, 2, CSV ", " FILES); /* has written nothing before */
    settle();
    ck_assert_int_eq(number_of(BOB, last_id, "seq"), 0);
    ck_assert_int_ne(number_of(BOB, last_id, "id"), id);
    ck_assert_ptr_nonnull(
        strstr(warning_of(BOB, last_id, 0), "What it left is replaced"));
}
END_TEST

START_TEST(who_comes_back_to_what_was_removed_is_told)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV);

    write_batch(ANN, &seats[0], 1, "{'x': ['a']}");
    daemon_dies();
    remove_file("p.tmp_rank0.csv");
    daemon_starts();
    expect_error(ANN, come_back(ANN, &seats[0], 0, 1, CSV, id, 1), "bad_state",
                 "p.tmp_rank0.csv");
    ck_assert_str_eq(last_state(), "interrupted");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("admission");
    TCase *epochs = unit_case(suite, "epochs");
    TCase *attempts = unit_case(suite, "attempts");
    TCase *removed = unit_case(suite, "removed");
    TCase *const cases[] = {epochs, attempts, removed};

    clients_warm_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tcase_add_checked_fixture(cases[i], clients_begin, clients_end);
    tcase_add_test(
        epochs, an_open_of_the_next_epoch_that_is_sent_again_waits_for_the_one_before);
    tcase_add_test(epochs,
                   an_open_of_the_next_epoch_may_come_again_when_the_others_are_back);
    tcase_add_test(epochs, an_open_of_the_next_epoch_waits_over_two_deaths);
    tcase_add_test(epochs, an_open_of_the_next_epoch_waits_with_resume_too);
    tcase_add_test(epochs,
                   an_open_of_the_next_epoch_waits_where_each_epoch_is_an_attempt);
    tcase_add_test(
        epochs, where_the_epoch_before_is_interrupted_the_next_one_does_not_replace_it);
    tcase_add_test(
        epochs, a_rank_that_waits_for_the_next_epoch_does_not_replace_one_that_failed);
    tcase_add_test(
        epochs, an_open_that_is_sent_again_does_not_take_over_what_others_have_written);
    tcase_add_test(epochs, nobody_begins_anew_while_a_rank_waits_for_the_next_epoch);
    tcase_add_test(attempts, two_starts_of_one_program_do_not_mix);
    tcase_add_test(attempts,
                   a_start_begins_anew_where_the_ranks_of_the_one_before_are_gone);
    tcase_add_test(attempts,
                   a_start_within_a_minute_of_a_crash_does_not_join_the_one_before);
    tcase_add_test(attempts,
                   resume_takes_the_job_over_and_ranks_of_the_start_before_are_refused);
    tcase_add_test(attempts, resume_waits_for_no_start_that_still_goes);
    tcase_add_test(attempts, ranks_bring_one_fingerprint);
    tcase_add_test(attempts, a_job_is_resumed_with_its_fingerprint_alone);
    tcase_add_test(removed, where_all_was_removed_after_a_crash_a_run_begins_anew);
    tcase_add_test(removed, who_comes_back_to_what_was_removed_is_told);
    return unit_main(suite);
}
