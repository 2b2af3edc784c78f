/* test_stream.c - daemon/stream.c, worker.c, batch.c: the writers of a job go in step,
 * and what one of them refuses is kept by none.
 */
#include "tests/unit/job_clients.h"
#include "tests/unit/job_surgery.h"
#include "wire/params.h"

#define NUMBERED                                                                       \
    "{'type': 'file', 'options': {'directory': 'd', 'value_key': 't',"                 \
    " 'writer_fn': 'tensor'}}"
#define KEYS_OF(path, key)                                                             \
    "{'type': 'csv', 'options': {'path': '" path "', 'keys': ['" key "']}}"
#define NO_TENSOR "'no tensor'" /* passes the file writer's check, not its encoder */

static const char *
writer_of(uint32_t request)
{
    const msgpack_object *details = NULL;

    ck_assert_int_eq(
        params_map(clients[0].answers[request].error, "details", &details, NULL), 0);
    return pack_text_of(details, "writer");
}

/* The job that is open. */
static struct job *
live_job(void)
{
    return TAILQ_FIRST(&jobs.live);
}

/* ---- refused by one, kept by none --------------------------------------------------
 */

/* Whichever of them comes first, and though the others found it good. */
static const char *const both_orders[] = {CSV ", " NUMBERED, NUMBERED ", " CSV};

START_TEST(what_one_check_refuses_is_written_by_none)
{
    uint32_t request;

    open_rank(ANN, &seats[0], 0, 1, both_orders[_i]);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    request = begin_write(ANN, &seats[0], 2, "{'x': ['b']}");
    settle();
    expect_error(ANN, request, "missing_key", "FileWriter expected key 't'");
    ck_assert_str_eq(writer_of(request), "file");
    ck_assert_int_eq(n_records(JOURNAL_DROPPED), 1);
    write_batch(ANN, &seats[0], 3, "{'x': ['c'], 't': " TENSOR_1 "}");
    ck_assert_uint_eq(live_job()->n_samples, 2);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\nc\r\n");
    ck_assert(unit_exists(directory, "d/0.pt"));
    ck_assert(unit_exists(directory, "d/1.pt")); /* it took no numbers */
}
END_TEST

START_TEST(what_one_writer_fails_to_write_is_taken_back_from_the_others)
{
    uint32_t request;

    open_rank(ANN, &seats[0], 0, 1, both_orders[_i]);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    request = begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': [" NO_TENSOR "]}");
    settle();
    expect_error(ANN, request, "bad_type", "tensor");
    ck_assert_str_eq(writer_of(request), "file");
    expect_file("p.tmp_rank0.csv", "x\r\na\r\n");
    ck_assert_int_eq(n_records(JOURNAL_DROPPED), 1);
    ck_assert_uint_eq(live_job()->n_batches, 1);
    ck_assert_uint_eq(live_job()->n_samples, 1);
    ck_assert_uint_eq(jobs.n_refused, 1);
    write_batch(ANN, &seats[0], 3, "{'x': ['c'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\nc\r\n");
}
END_TEST

START_TEST(files_of_a_batch_that_another_directory_cannot_take_are_not_shown)
{
    const char *other = "{'type': 'file', 'options': {'directory': 'e',"
                        " 'value_key': 'u', 'writer_fn': 'tensor', 'name_key': 'x'}}";
    char writers[512];
    uint32_t request;

    snprintf(writers, sizeof writers, "%s, %s", FILES, other);
    open_rank(ANN, &seats[0], 0, 1, writers);
    request = begin_write(ANN, &seats[0], 1,
                          "{'x': ['a', 'b'], 't': " TENSOR_2 ", 'u': [1, 2]}");
    settle();
    expect_error(ANN, request, "bad_type", "tensor");
    /* so the names are free again */
    write_batch(ANN, &seats[0], 2,
                "{'x': ['a'], 't': " TENSOR_1 ", 'u': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(unit_exists(directory, "e/a.pt"));
    ck_assert(!unit_exists(directory, "d/b.pt"));
}
END_TEST

/* `_i`: does the daemon die meanwhile? */
START_TEST(samples_that_have_numbers_keep_them_whatever_becomes_of_their_batch)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV ", " NUMBERED);

    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    begin_write(ANN, &seats[0], 2, "{'x': ['b', 'c'], 't': [" NO_TENSOR ", 1]}");
    settle();
    if (_i) {
        daemon_starts_again();
        resume(ANN, &seats[0], 0, 1, CSV ", " NUMBERED, id, 2, 2);
        ck_assert_uint_eq(live_job()->n_samples, 1);
    }
    write_batch(ANN, &seats[0], 3, "{'x': ['d'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    ck_assert(unit_exists(directory, "d/0.pt"));
    ck_assert(!unit_exists(directory, "d/1.pt"));
    ck_assert(!unit_exists(directory, "d/2.pt"));
    ck_assert(unit_exists(directory, "d/3.pt"));
    expect_file("p.csv", "x\r\na\r\nd\r\n");
}
END_TEST

START_TEST(a_rank_may_end_while_its_last_batch_is_being_refused)
{
    uint32_t request, ended;

    open_rank(ANN, &seats[0], 0, 1, CSV ", " NUMBERED);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    request = begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': [" NO_TENSOR "]}");
    ended = begin_end(ANN, &seats[0], true);
    settle();
    expect_error(ANN, request, "bad_type", "tensor");
    expect_published(ANN, ended, true);
    expect_file("p.csv", "x\r\na\r\n");
}
END_TEST

START_TEST(a_batch_that_cannot_be_read_is_recorded_once)
{
    uint32_t request;

    open_rank(ANN, &seats[0], 0, 1, CSV ", " NUMBERED);
    request = begin_write(ANN, &seats[0], 1, "[1]");
    settle();
    expect_error(ANN, request, "bad_params", "'outputs' expects a map");
    ck_assert_int_eq(n_records(JOURNAL_DROPPED), 1);
    write_batch(ANN, &seats[0], 2, "{'x': ['a'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\n");
}
END_TEST

START_TEST(where_a_drop_cannot_be_recorded_nothing_more_is)
{
    uint32_t request, ended;
    uint64_t size;

    open_rank(ANN, &seats[0], 0, 1, CSV ", " NUMBERED);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    size = journal_size(&live_job()->journal);
    limit_file_size(size + 96); /* room for what the table writes, not for more */
    request = begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': [" NO_TENSOR "]}");
    settle();
    limit_file_size(RLIM_INFINITY);
    expect_error(ANN, request, "bad_type", "tensor");

    request = begin_write(ANN, &seats[0], 3, "{'x': ['c'], 't': " TENSOR_1 "}");
    ended = begin_end(ANN, &seats[0], true);
    settle();
    expect_error(ANN, request, "os", "");
    expect_error(ANN, ended, "bad_state", "is not published");
    ck_assert(!unit_exists(directory, "p.csv"));
}
END_TEST

/* ---- and death ---------------------------------------------------------------------
 */

/* `_i`: refused by a check, or later. */
START_TEST(a_dropped_batch_that_comes_again_gets_the_same_error_from_all)
{
    const char *const bad[] = {"{'x': ['b']}", "{'x': ['b'], 't': [" NO_TENSOR "]}"};
    int64_t id = open_job(ANN, &seats[0], 0, 1, CSV ", " NUMBERED);
    char message[2048];
    uint32_t request;

    request = begin_write(ANN, &seats[0], 1, bad[_i]);
    settle();
    strcpy(message, pack_text_of(clients[0].answers[request].error, "message"));
    daemon_starts_again();
    ck_assert_uint_eq(last_job()->n_samples, 0);
    resume(ANN, &seats[0], 0, 1, CSV ", " NUMBERED, id, 0, 1);
    request = begin_write(ANN, &seats[0], 1, bad[_i]);
    settle();
    expect_error(ANN, request, _i ? "bad_type" : "missing_key", message);
    ck_assert_str_eq(writer_of(request), "file");
    write_batch(ANN, &seats[0], 2, "{'x': ['c'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\nc\r\n");
}
END_TEST

/* The second writer had not come so far when the daemon died. */
static bool
drop_second_of_last(struct journal_record *record)
{
    return !journal_is_written(record->kind) || record->writer != 1 || record->seq != 2;
}

#define PAIR FILES ", " KEYS_OF("q.csv", "y")
#define TRIO CSV ", " KEYS_OF("q.csv", "y") ", " FILES

static void
write_twice(void)
{
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 'y': [1], 't': " TENSOR_1 "}");
    write_batch(ANN, &seats[0], 2, "{'x': ['b'], 'y': [2], 't': " TENSOR_1 "}");
}

START_TEST(what_some_had_before_the_death_goes_when_another_refuses_it)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, TRIO);
    uint32_t request;

    write_twice();
    daemon_dies();
    edit_journal(drop_second_of_last);
    daemon_starts();
    ck_assert_uint_eq(last_job()->n_samples, 2);
    resume(ANN, &seats[0], 0, 1, TRIO, id, 1, 1);
    request = begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': " TENSOR_1 "}");
    settle();
    expect_error(ANN, request, "missing_key", "none of the configured keys ['y']");
    expect_file("p.tmp_rank0.csv", "x\r\na\r\n");
    ck_assert_uint_eq(live_job()->n_batches, 1);
    ck_assert_uint_eq(live_job()->n_samples, 1);
    ck_assert_uint_eq(live_job()->outputs[0].n_samples, 1);
    ck_assert_uint_eq(live_job()->outputs[2].n_samples, 1);
    /* its name is free again */
    write_batch(ANN, &seats[0], 3, "{'x': ['b'], 'y': [3], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\nb\r\n");
    expect_file("q.csv", "y\r\n1\r\n3\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(unit_exists(directory, "d/b.pt"));
}
END_TEST

START_TEST(what_was_dropped_stays_so_however_often_the_daemon_dies)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, TRIO);

    write_twice();
    daemon_dies();
    edit_journal(drop_second_of_last);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, TRIO, id, 1, 1);
    begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': " TENSOR_1 "}");
    settle();
    daemon_dies();
    append_to("p.tmp_rank0.csv", "b\r\n"); /* as if it had died before this went */
    daemon_starts();
    ck_assert_uint_eq(last_job()->n_samples, 1);
    resume(ANN, &seats[0], 0, 1, TRIO, id, 2, 2);
    expect_file("p.tmp_rank0.csv", "x\r\na\r\n");
    write_batch(ANN, &seats[0], 3, "{'x': ['b'], 'y': [3], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\nb\r\n");
    ck_assert(unit_exists(directory, "d/b.pt"));
}
END_TEST

START_TEST(a_batch_of_which_the_daemon_died_twice_goes_from_all_writers)
{
    struct journal_record crashed = {.kind = JOURNAL_CRASHED, .writer = 1, .seq = 2};
    int64_t id = open_job(ANN, &seats[0], 0, 1, PAIR);
    uint32_t request;

    write_twice();
    daemon_dies();
    edit_journal(drop_second_of_last);
    append_record(crashed);
    append_record(crashed);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, PAIR, id, 1, 1);
    request =
        begin_write(ANN, &seats[0], 2, "{'x': ['b'], 'y': [2], 't': " TENSOR_1 "}");
    settle();
    expect_error(ANN, request, "bad_state", "died 2 times of this batch");
    end_rank(ANN, &seats[0]);
    expect_file("q.csv", "y\r\n1\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(!unit_exists(directory, "d/b.pt"));
}
END_TEST

/* What a mark calls durable was taken back later: that counts, for it is done. */
START_TEST(after_a_loss_of_power_what_was_dropped_is_not_missed)
{
    int64_t id = open_job(ANN, &seats[0], 0, 1, TRIO);
    uint32_t flush, request;

    write_twice();
    flush = begin_flush(ANN, &seats[0]);
    settle();
    result_of(ANN, flush);
    daemon_dies();
    edit_journal(drop_second_of_last);
    daemon_starts();
    resume(ANN, &seats[0], 0, 1, TRIO, id, 1, 1);
    begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': " TENSOR_1 "}");
    settle();

    for (int i = 0; i < 2; i++) {
        daemon_dies();
        edit_journal(place_elsewhere);
        daemon_starts();
        resume(ANN, &seats[0], 0, 1, TRIO, id, 1, 2);
    }
    request = begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': " TENSOR_1 "}");
    settle();
    expect_error(ANN, request, "missing_key", "none of the configured keys ['y']");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\n");
    expect_file("q.csv", "y\r\n1\r\n");
    ck_assert(!unit_exists(directory, "d/b.pt"));
}
END_TEST

/* A row without its file, or a file without its row, is what nobody wants. */
START_TEST(finalize_shows_a_batch_by_all_writers_or_by_none)
{
    struct reply reply;

    open_job(ANN, &seats[0], 0, 1, TRIO);
    write_twice();
    daemon_dies();
    edit_journal(drop_second_of_last);
    daemon_starts();
    reply = reply_new(clients[0].peer, ++last_id);
    ck_assert_msg(jobs_finalize(&jobs, "job", NULL, (struct consent){.partial = true},
                                &reply, &err) == 0,
                  "%s", err.message);
    settle();
    result_of(ANN, last_id);
    expect_file("p.csv", "x\r\na\r\n");
    expect_file("q.csv", "y\r\n1\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(!unit_exists(directory, "d/b.pt"));
    ck_assert_uint_eq(last_job()->n_samples, 1);
}
END_TEST

START_TEST(a_new_process_writes_all_of_a_dropped_batch_again)
{
    open_job(ANN, &seats[0], 0, 1, CSV ", " NUMBERED);
    write_batch(ANN, &seats[0], 1, "{'x': ['a'], 't': " TENSOR_1 "}");
    begin_write(ANN, &seats[0], 2, "{'x': ['b'], 't': [" NO_TENSOR "]}");
    settle();
    daemon_starts_again();
    begin_with(", 'resume': true", ANN, &seats[0], 0, 1, CSV ", " NUMBERED);
    settle();
    ck_assert_int_eq(number_of(ANN, last_id, "seq"), 1);
    write_batch(ANN, &seats[0], 2, "{'x': ['c'], 't': " TENSOR_1 "}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\na\r\nc\r\n");
    ck_assert(unit_exists(directory, "d/0.pt"));
    ck_assert(unit_exists(directory, "d/1.pt"));
    ck_assert(!unit_exists(directory, "d/2.pt"));
}
END_TEST

/* ---- outputs for some of the writers ----------------------------------------------
 */

START_TEST(a_writer_that_others_are_named_without_has_no_samples)
{
    uint32_t request;

    open_rank(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv"));
    write_batch(ANN, &seats[0], 1, "null, 'only': {'int:1': {'x': [1, 2]}}");
    write_batch(ANN, &seats[0], 2,
                "null, 'only': {'int:0': {'x': [3]}, 'int:1': {'x': [4]}}");
    write_batch(ANN, &seats[0], 3, "{'x': [5]}");
    write_batch(ANN, &seats[0], 4, "null, 'only': {}");
    ck_assert_uint_eq(live_job()->outputs[0].n_samples, 2);
    ck_assert_uint_eq(live_job()->outputs[1].n_samples, 4);
    request = begin_end(ANN, &seats[0], true);
    settle();
    expect_published(ANN, request, true);
    expect_file("p.csv", "x\r\n3\r\n5\r\n");
    expect_file("q.csv", "x\r\n1\r\n2\r\n4\r\n5\r\n");
}
END_TEST

START_TEST(outputs_for_writers_that_are_not_there_are_refused_in_a_sentence)
{
    static const struct {
        const char *params, *code, *message;
    } bad[] = {
        {"null, 'only': {'int:2': {'x': [1]}}", "bad_params",
         "a key of 'only' expects the index of a writer, an int from 0 to 1"},
        {"null, 'only': {'0': {'x': [1]}}", "bad_params",
         "expects the index of a writer"},
        {"null, 'only': {'int:0': 7}", "bad_params", "expects a map for the writer 0"},
        {"null, 'only': {'int:0': {'bin:x': [1]}}", "bad_type",
         "a key of 'only' is bytes"},
        {"null, 'only': [1]", "bad_params", "'only' expects a map"},
        {"{'x': [1]}, 'only': {}", "bad_params", "'outputs' and 'only' came together"},
        {"null", "bad_params", "'outputs' is missing"},
    };
    uint32_t request;

    open_rank(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv"));
    for (uint64_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        request = begin_write(ANN, &seats[0], i + 1, bad[i].params);
        settle();
        expect_error(ANN, request, bad[i].code, bad[i].message);
    }
    write_batch(ANN, &seats[0], sizeof bad / sizeof *bad + 1, "{'x': [5]}");
    end_rank(ANN, &seats[0]);
    expect_file("q.csv", "x\r\n5\r\n");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("stream");
    TCase *together = unit_case(suite, "together");
    TCase *death = unit_case(suite, "death");
    TCase *only = unit_case(suite, "only");
    TCase *const cases[] = {together, death, only};

    clients_warm_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tcase_add_checked_fixture(cases[i], clients_begin, clients_end);
    tcase_add_loop_test(together, what_one_check_refuses_is_written_by_none, 0, 2);
    tcase_add_loop_test(
        together, what_one_writer_fails_to_write_is_taken_back_from_the_others, 0, 2);
    tcase_add_test(together,
                   files_of_a_batch_that_another_directory_cannot_take_are_not_shown);
    tcase_add_loop_test(
        together, samples_that_have_numbers_keep_them_whatever_becomes_of_their_batch,
        0, 2);
    tcase_add_test(together, a_rank_may_end_while_its_last_batch_is_being_refused);
    tcase_add_test(together, a_batch_that_cannot_be_read_is_recorded_once);
    tcase_add_test(together, where_a_drop_cannot_be_recorded_nothing_more_is);
    tcase_add_loop_test(
        death, a_dropped_batch_that_comes_again_gets_the_same_error_from_all, 0, 2);
    tcase_add_test(death, what_some_had_before_the_death_goes_when_another_refuses_it);
    tcase_add_test(death, what_was_dropped_stays_so_however_often_the_daemon_dies);
    tcase_add_test(death, a_batch_of_which_the_daemon_died_twice_goes_from_all_writers);
    tcase_add_test(death, after_a_loss_of_power_what_was_dropped_is_not_missed);
    tcase_add_test(death, finalize_shows_a_batch_by_all_writers_or_by_none);
    tcase_add_test(death, a_new_process_writes_all_of_a_dropped_batch_again);
    tcase_add_test(only, a_writer_that_others_are_named_without_has_no_samples);
    tcase_add_test(only,
                   outputs_for_writers_that_are_not_there_are_refused_in_a_sentence);
    return unit_main(suite);
}
