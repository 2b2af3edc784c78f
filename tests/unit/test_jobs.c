/* test_jobs.c - daemon/jobs.c, job*.c, rank_streams.c, seat.c, stream.c, worker.c,
 * publish.c: the life of a job.
 */
#include "tests/unit/job_clients.h"

#include "wire/params.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one rank ------------------------------------------------------------------ */

START_TEST(one_rank_writes_and_publishes_a_table)
{
    const msgpack_object *result;
    msgpack_object_array paths;
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1, 2]}");
    ck_assert(!unit_exists(directory, "p.csv"));
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n2\r\n"); /* committed */
    write_batch(ANN, &seats[0], 2, "{'x': [3]}");
    id = begin_end(ANN, &seats[0], true);
    settle();

    result = result_of(ANN, id);
    ck_assert_int_eq(params_array(result, "paths", &paths, NULL), 0);
    ck_assert_uint_eq(paths.size, 1);
    ck_assert_int_eq(strncmp(paths.ptr[0].via.str.ptr, directory, strlen(directory)),
                     0);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n");
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert_str_eq(last_state(), "published");
    ck_assert_uint_eq(jobs.n_live, 0);
    ck_assert_uint_eq(jobs.n_published, 1);
    ck_assert_uint_eq(jobs.n_batches, 2);
    ck_assert_uint_eq(jobs.n_samples, 3);
    ck_assert_uint_eq(jobs.n_bytes, 9); /* rows, without the header */
    ck_assert_int_eq(n_idle, 1);
}
END_TEST

START_TEST(requests_need_not_wait_for_one_another)
{
    uint32_t ids[5];

    open_rank(ANN, &seats[0], 0, 1, CSV);
    ids[0] = begin_write(ANN, &seats[0], 1, "{'x': [1]}");
    ids[1] = begin_write(ANN, &seats[0], 2, "{'x': [2]}");
    ids[2] = begin_write(ANN, &seats[0], 3, "{'x': [3]}");
    ids[3] = begin_end(ANN, &seats[0], true);
    ck_assert_uint_gt(quota.used, 0);
    settle();

    for (int i = 0; i < 3; i++)
        result_of(ANN, ids[i]);
    expect_published(ANN, ids[3], true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n");
}
END_TEST

START_TEST(an_empty_epoch_publishes_the_header)
{
    open_rank(ANN, &seats[0], 0, 1, CSV);
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

START_TEST(an_end_that_does_not_wait_is_answered_before_publication)
{
    uint32_t first, second;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    first = begin_end(ANN, &seats[0], false);
    settle();
    expect_published(ANN, first, false);
    ck_assert_ptr_null(seats[0].job);
    second = begin_end(BOB, &seats[1], true);
    settle();
    expect_published(BOB, second, true);
}
END_TEST

START_TEST(every_writer_of_a_job_gets_every_batch)
{
    open_rank(ANN, &seats[0], 0, 1, CSV ", " FILES ", " CSV_OF("q.csv"));
    write_batch(ANN, &seats[0], 1,
                "{'x': ['a', 'sub/b', 'c'], 't': {'nd': true, 'type': '|u1',"
                " 'shape': [3, 2], 'data': 'bin:123456'}}");
    ck_assert(!unit_exists(directory, "d/a.pt"));
    end_rank(ANN, &seats[0]);

    expect_file("p.csv", "x\r\na\r\nsub/b\r\nc\r\n");
    expect_file("q.csv", "x\r\na\r\nsub/b\r\nc\r\n");
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(unit_exists(directory, "d/sub/b.pt"));
    ck_assert(unit_exists(directory, "d/c.pt"));
    ck_assert(!unit_exists(directory, "d/.lighterd.job.predict.1"));
    ck_assert_uint_eq(jobs.n_samples, 3); /* once, however many writers */
    ck_assert_uint_eq(jobs.n_batches, 1);
}
END_TEST

START_TEST(what_exists_is_warned_of_and_replaced)
{
    const char *warning;
    uint32_t id;

    write_file("p.csv", "old");
    id = begin_open(ANN, &seats[0], 0, 1, CSV);
    settle();
    warning = warning_of(ANN, id, 0);
    ck_assert_ptr_nonnull(strstr(warning, "/p.csv already exists, existing predictions "
                                          "will be overwritten."));
    ck_assert_ptr_null(warning_of(ANN, id, 1));
    expect_file("p.csv", "old");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

/* ---- batches that fail --------------------------------------------------------- */

START_TEST(a_batch_that_fails_is_undone_and_the_job_goes_on)
{
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    id = begin_write(ANN, &seats[0], 2, "{'y': [2]}");
    settle();
    expect_error(ANN, id, "missing_key", "none of the configured keys");
    write_batch(ANN, &seats[0], 3, "{'x': [3]}"); /* the seq is used up */
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n3\r\n");
}
END_TEST

START_TEST(files_of_a_batch_that_fails_are_taken_back_whichever_worker_made_them)
{
    const msgpack_object *details = NULL;
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, FILES);
    id = begin_write(ANN, &seats[0], 1,
                     "{'x': ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'a'],"
                     " 't': {'nd': true, 'type': '|u1', 'shape': [8],"
                     " 'data': 'bin:12345678'}}");
    settle();
    expect_error(ANN, id, "bad_value", "'a.pt': this name came before");
    ck_assert_int_eq(
        params_map(clients[0].answers[id].error, "details", &details, NULL), 0);
    ck_assert_str_eq(pack_text_of(details, "writer"), "file");

    write_batch(ANN, &seats[0], 2,
                "{'x': ['a', 'h'], 't': {'nd': true, 'type': '|u1', 'shape': [2],"
                " 'data': 'bin:12'}}");
    end_rank(ANN, &seats[0]);
    ck_assert(unit_exists(directory, "d/a.pt"));
    ck_assert(unit_exists(directory, "d/h.pt"));
    ck_assert(!unit_exists(directory, "d/b.pt"));
    ck_assert(!unit_exists(directory, "d/g.pt"));
}
END_TEST

START_TEST(a_batch_that_fails_in_one_writer_is_named_after_it)
{
    const msgpack_object *details = NULL;
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, CSV ", " FILES);
    id = begin_write(ANN, &seats[0], 1, "{'x': ['a']}");
    settle();
    expect_error(ANN, id, "missing_key", "FileWriter expected key 't'");
    ck_assert_int_eq(
        params_map(clients[0].answers[id].error, "details", &details, NULL), 0);
    ck_assert_str_eq(pack_text_of(details, "writer"), "file");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n");
}
END_TEST

START_TEST(gaps_and_repetitions_of_seq_are_refused)
{
    open_rank(ANN, &seats[0], 0, 1, CSV);
    ck_assert_int_eq(try_write(ANN, &seats[0], 2, "{'x': [2]}"), -EINVAL);
    ck_assert_str_eq(err.message, "'seq' expects 1 next, got 2");
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ck_assert_int_eq(try_write(ANN, &seats[0], 1, "{'x': [1]}"), -EINVAL);
    ck_assert_int_eq(try_write(ANN, &seats[0], 0, "{'x': [1]}"), -EINVAL);
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(outputs_that_are_no_map_of_names_are_refused)
{
    const char *const bad[] = {
        "[1]", "{'bin:x': [1]}",
        "{'nd': true, 'type': '|u1', 'shape': [], 'data': 'bin:1'}"};
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, CSV);
    for (uint32_t i = 0; i < 3; i++) {
        id = begin_write(ANN, &seats[0], i + 1, bad[i]);
        settle();
        expect_error(ANN, id, i ? "bad_type" : "bad_params", "'outputs'");
    }
    write_batch(ANN, &seats[0], 4, "{'x': [1]}");
    ck_assert_uint_eq(quota.used, 0);
    end_rank(ANN, &seats[0]);
}
END_TEST

/* ---- several ranks ------------------------------------------------------------- */

START_TEST(ranks_are_joined_in_their_order_whoever_comes_first)
{
    uint32_t first, second;

    open_rank(BOB, &seats[1], 1, 2, CSV);
    open_rank(ANN, &seats[0], 0, 2, CSV);
    write_batch(BOB, &seats[1], 1, "{'x': [3]}");
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    write_batch(BOB, &seats[1], 2, "{'x': [4]}");
    write_batch(ANN, &seats[0], 2, "{'x': [2]}");
    second = begin_end(BOB, &seats[1], true);
    settle();
    ck_assert(!clients[1].answered[second]); /* it waits for the other */
    first = begin_end(ANN, &seats[0], true);
    settle();

    expect_published(ANN, first, true);
    expect_published(BOB, second, true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n3\r\n4\r\n");
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
}
END_TEST

START_TEST(ranks_may_open_at_once)
{
    uint32_t ids[3];

    for (uint32_t i = 0; i < 3; i++)
        ids[i] = begin_open(&clients[i], &seats[i], i, 3, CSV);
    settle();
    for (uint32_t i = 0; i < 3; i++)
        result_of(&clients[i], ids[i]);
    for (uint32_t i = 0; i < 3; i++)
        ids[i] = begin_end(&clients[i], &seats[i], true);
    settle();
    for (uint32_t i = 0; i < 3; i++)
        expect_published(&clients[i], ids[i], true);
}
END_TEST

START_TEST(a_rank_may_end_before_another_opens)
{
    uint32_t first, second;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    first = begin_end(ANN, &seats[0], true);
    settle();
    ck_assert(!clients[0].answered[first]);

    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    second = begin_end(BOB, &seats[1], true);
    settle();
    expect_published(ANN, first, true);
    expect_published(BOB, second, true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
}
END_TEST

START_TEST(a_rank_with_other_writers_is_refused_with_both)
{
    open_rank(ANN, &seats[0], 0, 2, CSV);
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 1, 2, CSV_OF("q.csv")), -EINVAL);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_ptr_nonnull(
        strstr(err.message, "/p.csv' keys=['x']]; rank 1 brings [csv"));
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 1, 2, CSV ", " CSV_OF("q.csv")),
                     -EINVAL);
    ck_assert_str_eq(err.message, "job 'job' has 1 writers; rank 1 brings 2");
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 1, 3, CSV), -EINVAL);
    ck_assert_str_eq(err.message, "job 'job' has world_size 2; rank 1 brings 3");
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 2, 3, CSV), -EINVAL);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    begin_end(ANN, &seats[0], true);
    end_rank(BOB, &seats[1]);
}
END_TEST

START_TEST(a_rank_that_is_taken_is_refused_with_who_has_it)
{
    open_rank(ANN, &seats[0], 0, 2, CSV);
    ck_assert_int_eq(open_as(BOB, &seats[1], "job", 0, 2, CSV), -EBUSY);
    ck_assert_str_eq(err.message, "rank 0 of job 'job' is taken by client0 (pid 0)");
    ck_assert_ptr_null(seats[1].job);
    seat_leave(&seats[0]);
}
END_TEST

START_TEST(two_jobs_cannot_write_one_table)
{
    open_rank(ANN, &seats[0], 0, 1, CSV);
    ck_assert_int_eq(open_as(BOB, &seats[1], "other", 0, 1, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "/p.csv' is being written by job 'job'"));
    ck_assert_int_eq(
        open_as(BOB, &seats[1], "other", 0, 1, CSV_OF("q.csv") ", " CSV_OF("./q.csv")),
        -EINVAL);
    end_rank(ANN, &seats[0]);
    ck_assert_int_eq(open_as(BOB, &seats[1], "other", 0, 1, CSV), 0);
    settle();
    end_rank(BOB, &seats[1]);
}
END_TEST

/* ---- epochs that do not end well ------------------------------------------------ */

START_TEST(a_rank_that_vanishes_interrupts_the_job_and_shards_stay)
{
    uint32_t id;

    write_file("p.csv", "old");
    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    id = begin_end(ANN, &seats[0], true);
    settle();
    seat_leave(&seats[1]);
    expect_error(ANN, id, "bad_state", "rank 1 vanished without end or abort");
    settle();

    ck_assert_str_eq(last_state(), "interrupted");
    ck_assert_uint_eq(jobs.n_failed, 1);
    expect_file("p.csv", "old");
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n");
    expect_file("p.tmp_rank1.csv", "x\r\n");
}
END_TEST

START_TEST(what_was_handed_over_before_vanishing_is_committed)
{
    open_rank(ANN, &seats[0], 0, 1, CSV);
    begin_write(ANN, &seats[0], 1, "{'x': [1]}");
    begin_write(ANN, &seats[0], 2, "{'x': [2]}");
    seat_leave(&seats[0]);
    settle();
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n2\r\n");
    ck_assert(!unit_exists(directory, "p.csv"));
}
END_TEST

START_TEST(other_ranks_of_an_interrupted_job_go_on_until_they_end)
{
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    seat_leave(&seats[1]);
    settle();
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ck_assert_int_eq(open_as(EVE, &seats[2], "job", 1, 2, CSV), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "another rank still holds it"));
    id = begin_end(ANN, &seats[0], true);
    settle();
    expect_error(ANN, id, "bad_state", "rank 1 vanished");
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n");
    ck_assert_uint_eq(jobs.n_live, 0);
}
END_TEST

START_TEST(an_abort_publishes_nothing_and_keeps_its_reason)
{
    struct reply reply;
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    id = ++last_id;
    reply = reply_new(clients[0].peer, id);
    ck_assert_int_eq(seat_abort(&seats[0], "CUDA out of memory", &reply, &err), 0);
    settle();

    result_of(ANN, id);
    ck_assert_ptr_null(seats[0].job);
    ck_assert_str_eq(last_state(), "aborted");
    ck_assert_str_eq(TAILQ_LAST(&jobs.past, job_list)->error.message,
                     "job 'job' is not published: rank 0 aborted: CUDA out of memory; "
                     "what was written stays aside");
    ck_assert(!unit_exists(directory, "p.csv"));
    expect_file("p.tmp_rank0.csv", "x\r\n1\r\n");
}
END_TEST

START_TEST(a_seat_that_is_lost_takes_nothing_more)
{
    struct reply reply = reply_new(clients[0].peer, 60);

    open_rank(ANN, &seats[0], 0, 1, CSV);
    end_rank(ANN, &seats[0]);
    ck_assert_int_eq(try_write(ANN, &seats[0], 1, "{'x': [1]}"), -EBUSY);
    ck_assert_int_eq(seat_end(&seats[0], true, -1, &reply, &err), -EBUSY);
    ck_assert_int_eq(seat_abort(&seats[0], "", &reply, &err), -EBUSY);
    ck_assert(reply_owed(&reply));
    reply_done(&reply);
    seat_leave(&seats[0]);
}
END_TEST

START_TEST(an_ended_seat_takes_no_batches_while_it_waits)
{
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    id = begin_end(ANN, &seats[0], true);
    ck_assert_int_eq(try_write(ANN, &seats[0], 1, "{'x': [1]}"), -EBUSY);
    settle();
    ck_assert_int_eq(try_write(ANN, &seats[0], 1, "{'x': [1]}"), -EBUSY);
    ck_assert(!clients[0].answered[id]);
    seat_leave(&seats[0]); /* its connection goes, its batches stay */
    open_rank(BOB, &seats[1], 1, 2, CSV);
    end_rank(BOB, &seats[1]);
    ck_assert(clients[0].answered[id]);
}
END_TEST

START_TEST(an_interrupted_job_is_replaced_with_a_warning)
{
    const char *warning;
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    seat_leave(&seats[0]);
    seat_leave(&seats[1]);
    settle();

    id = begin_open(BOB, &seats[1], 0, 1, CSV);
    settle();
    warning = warning_of(BOB, id, 0);
    ck_assert_ptr_nonnull(warning);
    ck_assert_ptr_nonnull(strstr(warning, "rank 0 vanished"));
    ck_assert_ptr_nonnull(strstr(warning, ". What it left is replaced."));
    ck_assert_ptr_null(strstr(warning, ".."));
    expect_file("p.tmp_rank0.csv", "x\r\n");
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n");

    id = begin_open(BOB, &seats[1], 0, 1, CSV); /* and now nothing was left */
    settle();
    ck_assert_ptr_nonnull(strstr(warning_of(BOB, id, 0), "already exists"));
    ck_assert_ptr_null(warning_of(BOB, id, 1));
    end_rank(BOB, &seats[1]);
}
END_TEST

START_TEST(a_session_that_goes_while_its_rank_opens_leaves_nothing_open)
{
    begin_open(ANN, &seats[0], 0, 1, CSV);
    seat_leave(&seats[0]); /* parked: the directory is not even made */
    settle();
    ck_assert_uint_eq(jobs.n_live, 0);

    begin_open(ANN, &seats[0], 0, 1, CSV);
    while (!TAILQ_FIRST(&jobs.live) || !TAILQ_FIRST(&jobs.live)->n_ranks ||
           TAILQ_FIRST(&jobs.live)->ranks[0]->state != RANK_OPENING)
        uv_run(&loop, UV_RUN_ONCE);
    seat_leave(&seats[0]);
    settle();
    ck_assert_uint_eq(jobs.n_live, 0);
    ck_assert_str_eq(last_state(), "interrupted");
}
END_TEST

START_TEST(an_output_that_cannot_be_made_fails_the_open)
{
    uint32_t id, other;

    write_file("file", "");
    id = begin_open(ANN, &seats[0], 0, 2, CSV_OF("file/p.csv"));
    other = begin_open(BOB, &seats[1], 1, 2, CSV_OF("file/p.csv"));
    settle();
    expect_error(ANN, id, "os", "Not a directory");
    expect_error(BOB, other, "os", "Not a directory");
    ck_assert_ptr_null(seats[0].job);
    ck_assert_ptr_null(seats[1].job);
    ck_assert_str_eq(last_state(), "failed");
}
END_TEST

START_TEST(a_shard_that_cannot_be_made_fails_the_open_and_can_be_tried_again)
{
    char path[512];
    uint32_t id;
    int fd;

    snprintf(path, sizeof path, "%s/q.tmp_rank0.csv", directory);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0); /* as another daemon does */
    id = begin_open(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv"));
    settle();
    expect_error(ANN, id, "bad_state",
                 "the shard 'q.tmp_rank0.csv' is being written by another job");
    ck_assert_ptr_null(seats[0].job);
    ck_assert_uint_eq(jobs.n_live, 0);

    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
    open_rank(ANN, &seats[0], 0, 1, CSV ", " CSV_OF("q.csv"));
    ck_assert(unit_exists(directory, "q.tmp_rank0.csv"));
    end_rank(ANN, &seats[0]);
}
END_TEST

/* ---- publishing that fails, epochs that follow ---------------------------------- */

/* One sample, of `size` times the same letter. */
static void
write_row(struct client *client, struct seat *seat, char letter, size_t size)
{
    char *outputs = malloc(size + 16);

    ck_assert_ptr_nonnull(outputs);
    memset(outputs, letter, size + 16);
    memcpy(outputs, "{'x': ['", 8);
    strcpy(outputs + 8 + size, "']}");
    write_batch(client, seat, 1, outputs);
    free(outputs);
}

static size_t
size_of(const char *name)
{
    size_t size;

    free(unit_read_file(directory, name, &size));
    return size;
}

START_TEST(publishing_that_fails_leaves_the_previous_output_untouched)
{
    uint32_t first, second;

    write_file("p.csv", "old");
    write_file("q.csv", "old");
    open_rank(ANN, &seats[0], 0, 2, CSV_OF("q.csv") ", " CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV_OF("q.csv") ", " CSV);
    write_row(ANN, &seats[0], 'a', 300000);
    write_row(BOB, &seats[1], 'b', 300000);
    limit_file_size(400000); /* enough for each shard, and for what Check writes */
    first = begin_end(ANN, &seats[0], true);
    second = begin_end(BOB, &seats[1], true);
    settle();
    limit_file_size(RLIM_INFINITY);

    expect_error(ANN, first, "os", "publish '");
    expect_error(BOB, second, "os", "File too large");
    ck_assert_str_eq(last_state(), "failed");
    expect_file("p.csv", "old");
    expect_file("q.csv", "old");
    ck_assert_uint_eq(size_of("p.tmp_rank0.csv"), 3 + 300000 + 2);
    ck_assert_uint_eq(size_of("p.tmp_rank1.csv"), 3 + 300000 + 2);
    ck_assert_uint_eq(size_of("q.tmp_rank0.csv"), 3 + 300000 + 2);
}
END_TEST

/* As `lighterctl jobs` does it; a thread sanitizer sees what two threads share. */
static void
look_at_all_jobs(void)
{
    struct job *job;

    TAILQ_FOREACH (job, &jobs.live, link) {
        ck_assert_str_ne(job_state_name(job), "");
        /* nobody has told the loop of a failure yet */
        ck_assert_uint_eq(job->error.code, LIGHTER_OK);
        ck_assert_str_eq(job->error.message, "");
    }
}

START_TEST(a_job_can_be_looked_at_while_a_worker_has_it)
{
    uint32_t first, second;
    char path[512];

    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(BOB, &seats[1], 1, "{'x': [222222]}");
    snprintf(path, sizeof path, "%s/p.tmp_rank1.csv", directory);
    ck_assert_int_eq(truncate(path, 5), 0);
    first = begin_end(ANN, &seats[0], true);
    second = begin_end(BOB, &seats[1], true);
    while (uv_run(&loop, UV_RUN_NOWAIT))
        look_at_all_jobs();
    expect_error(ANN, first, "bad_state", "'p.tmp_rank1.csv' has 5 bytes, but 11 were");
    expect_error(BOB, second, "bad_state", "'p.tmp_rank1.csv' has 5 bytes");
}
END_TEST

START_TEST(a_write_that_fails_on_the_disk_is_an_os_error_and_the_job_goes_on)
{
    uint32_t id;

    open_rank(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    limit_file_size(8);
    id = begin_write(ANN, &seats[0], 2, "{'x': [222222222]}");
    settle();
    limit_file_size(RLIM_INFINITY);
    expect_error(ANN, id, "os", "File too large");
    write_batch(ANN, &seats[0], 3, "{'x': [3]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", "x\r\n1\r\n3\r\n");
}
END_TEST

START_TEST(batches_refused_for_one_reason_are_remembered_together)
{
    struct stream_past past = {0};
    struct lighter_error same = LIGHTER_ERROR_INIT, other = LIGHTER_ERROR_INIT;

    lighter_fail(&same, LIGHTER_E_KEY, "a key is missing");
    lighter_fail(&other, LIGHTER_E_KEY, "another key is missing");
    for (uint64_t seq = 1; seq <= 1000; seq++)
        ck_assert_int_eq(stream_past_refuse(&past, seq, seq, &same), 0);
    ck_assert_uint_eq(past.n_refusals, 1);
    ck_assert_uint_eq(past.refusals[0].last, 1000);

    ck_assert_int_eq(stream_past_refuse(&past, 1001, 1001, &other), 0);
    ck_assert_int_eq(stream_past_refuse(&past, 1002, 1003, &same), 0);
    ck_assert_int_eq(stream_past_refuse(&past, 1005, 1005, &same), 0);
    ck_assert_uint_eq(past.n_refused, 1004);
    ck_assert_uint_eq(past.n_refusals, 4);
    stream_past_done(&past);
}
END_TEST

/* Some of it is in the shard before all of it is text. */
START_TEST(a_batch_that_fails_when_half_of_it_is_written_leaves_none_of_it)
{
    const size_t size = 3 << 20;
    char *text = malloc(size + 1), *outputs, *written;
    uint32_t id;

    memset(text, 'y', size);
    text[size] = '\0';
    ck_assert_int_gt(asprintf(&outputs, "{'x': ['%s', 1]}", text), 0);
    ck_assert_int_gt(asprintf(&written, "x\r\n1\r\n%s\r\n1\r\n4\r\n", text), 0);
    open_rank(ANN, &seats[0], 0, 1, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    limit_file_size(2 << 20);
    id = begin_write(ANN, &seats[0], 2, outputs);
    settle();
    limit_file_size(RLIM_INFINITY);
    expect_error(ANN, id, "os", "File too large");
    write_batch(ANN, &seats[0], 3, outputs);
    write_batch(ANN, &seats[0], 4, "{'x': [4]}");
    end_rank(ANN, &seats[0]);
    expect_file("p.csv", written);
    free(text);
    free(outputs);
    free(written);
}
END_TEST

START_TEST(the_next_epoch_opens_when_the_one_before_is_published)
{
    struct seat next = {0};
    uint32_t ended, opened, other;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ended = begin_end(ANN, &seats[0], false);
    opened = begin_open(ANN, &next, 0, 2, CSV);
    settle();
    result_of(ANN, ended);
    ck_assert(!clients[0].answered[opened]); /* the other rank has not ended */

    write_batch(BOB, &seats[1], 1, "{'x': [2]}");
    other = begin_end(BOB, &seats[1], true);
    settle();
    expect_published(BOB, other, true);
    expect_file("p.csv", "x\r\n1\r\n2\r\n");
    ck_assert_ptr_nonnull(strstr(warning_of(ANN, opened, 0), "already exists"));

    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &next, 1, "{'x': [3]}");
    begin_end(ANN, &next, true);
    end_rank(BOB, &seats[1]);
    expect_file("p.csv", "x\r\n3\r\n");
    ck_assert_uint_eq(jobs.n_published, 2);
}
END_TEST

START_TEST(an_epoch_that_waits_does_not_replace_one_that_is_interrupted)
{
    struct seat next = {0};
    uint32_t opened;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    begin_end(ANN, &seats[0], false);
    opened = begin_open(ANN, &next, 0, 2, CSV);
    settle();
    seat_leave(&seats[1]);
    settle();
    expect_error(ANN, opened, "bad_state", "rank 1 vanished");
    ck_assert_ptr_null(next.job);
}
END_TEST

START_TEST(an_open_that_waits_can_be_given_up)
{
    struct seat next = {0};
    uint32_t opened;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    begin_end(ANN, &seats[0], false);
    opened = begin_open(ANN, &next, 0, 2, CSV);
    settle();
    seat_leave(&next);
    open_rank(BOB, &seats[1], 1, 2, CSV);
    end_rank(BOB, &seats[1]);
    ck_assert(!clients[0].answered[opened]);
    ck_assert_uint_eq(jobs.n_live, 0);
}
END_TEST

START_TEST(an_ended_rank_from_another_connection_begins_anew)
{
    uint32_t ended, opened;

    open_rank(ANN, &seats[0], 0, 2, CSV);
    write_batch(ANN, &seats[0], 1, "{'x': [1]}");
    ended = begin_end(ANN, &seats[0], true);
    settle();
    opened = begin_open(BOB, &seats[1], 0, 2, CSV); /* the run was started again */
    settle();

    expect_error(ANN, ended, "bad_state", "not all of its ranks came");
    ck_assert_ptr_nonnull(
        strstr(warning_of(BOB, opened, 0), "What it left is replaced"));
    ck_assert_ptr_null(strstr(warning_of(BOB, opened, 0), ".."));
    expect_file("p.tmp_rank0.csv", "x\r\n");
    seat_leave(&seats[1]);
}
END_TEST

START_TEST(the_past_is_forgotten_after_a_hundred_jobs)
{
    char name[16];

    for (int i = 0; i < JOBS_PAST_MAX + 3; i++) {
        last_id = 0;
        for (int id = 0; id < N_IDS; id++) {
            message_done(&clients[0].answers[id]);
            clients[0].answered[id] = false;
        }
        snprintf(name, sizeof name, "job%d", i);
        ck_assert_int_eq(open_as(ANN, &seats[0], name, 0, 1, CSV), 0);
        settle();
        end_rank(ANN, &seats[0]);
    }
    ck_assert_uint_eq(jobs.n_past, JOBS_PAST_MAX);
    ck_assert_str_eq(TAILQ_FIRST(&jobs.past)->name, "job3");
    ck_assert_uint_eq(jobs.n_published, JOBS_PAST_MAX + 3);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("jobs");
    TCase *one = unit_case(suite, "one rank");
    TCase *batches = unit_case(suite, "batches");
    TCase *several = unit_case(suite, "several ranks");
    TCase *unwell = unit_case(suite, "unwell");
    TCase *epochs = unit_case(suite, "epochs");
    TCase *const cases[] = {one, batches, several, unwell, epochs};

    clients_warm_up();
    for (int i = 0; i < 5; i++)
        tcase_add_checked_fixture(cases[i], clients_begin, clients_end);
    tcase_add_test(one, one_rank_writes_and_publishes_a_table);
    tcase_add_test(one, requests_need_not_wait_for_one_another);
    tcase_add_test(one, an_empty_epoch_publishes_the_header);
    tcase_add_test(one, an_end_that_does_not_wait_is_answered_before_publication);
    tcase_add_test(one, every_writer_of_a_job_gets_every_batch);
    tcase_add_test(one, what_exists_is_warned_of_and_replaced);
    tcase_add_test(batches, a_batch_that_fails_is_undone_and_the_job_goes_on);
    tcase_add_test(
        batches, files_of_a_batch_that_fails_are_taken_back_whichever_worker_made_them);
    tcase_add_test(batches, a_batch_that_fails_in_one_writer_is_named_after_it);
    tcase_add_test(batches, gaps_and_repetitions_of_seq_are_refused);
    tcase_add_test(batches, outputs_that_are_no_map_of_names_are_refused);
    tcase_add_test(several, ranks_are_joined_in_their_order_whoever_comes_first);
    tcase_add_test(several, ranks_may_open_at_once);
    tcase_add_test(several, a_rank_may_end_before_another_opens);
    tcase_add_test(several, a_rank_with_other_writers_is_refused_with_both);
    tcase_add_test(several, a_rank_that_is_taken_is_refused_with_who_has_it);
    tcase_add_test(several, two_jobs_cannot_write_one_table);
    tcase_add_test(unwell, a_rank_that_vanishes_interrupts_the_job_and_shards_stay);
    tcase_add_test(unwell, what_was_handed_over_before_vanishing_is_committed);
    tcase_add_test(unwell, other_ranks_of_an_interrupted_job_go_on_until_they_end);
    tcase_add_test(unwell, an_abort_publishes_nothing_and_keeps_its_reason);
    tcase_add_test(unwell, a_seat_that_is_lost_takes_nothing_more);
    tcase_add_test(unwell, an_ended_seat_takes_no_batches_while_it_waits);
    tcase_add_test(unwell, an_interrupted_job_is_replaced_with_a_warning);
    tcase_add_test(unwell,
                   a_session_that_goes_while_its_rank_opens_leaves_nothing_open);
    tcase_add_test(unwell, an_output_that_cannot_be_made_fails_the_open);
    tcase_add_test(unwell,
                   a_shard_that_cannot_be_made_fails_the_open_and_can_be_tried_again);
    tcase_add_test(epochs, publishing_that_fails_leaves_the_previous_output_untouched);
    tcase_add_test(epochs, a_job_can_be_looked_at_while_a_worker_has_it);
    tcase_add_test(epochs,
                   a_write_that_fails_on_the_disk_is_an_os_error_and_the_job_goes_on);
    tcase_add_test(epochs, batches_refused_for_one_reason_are_remembered_together);
    tcase_add_test(epochs,
                   a_batch_that_fails_when_half_of_it_is_written_leaves_none_of_it);
    tcase_add_test(epochs, the_next_epoch_opens_when_the_one_before_is_published);
    tcase_add_test(epochs,
                   an_epoch_that_waits_does_not_replace_one_that_is_interrupted);
    tcase_add_test(epochs, an_open_that_waits_can_be_given_up);
    tcase_add_test(epochs, an_ended_rank_from_another_connection_begins_anew);
    tcase_add_test(epochs, the_past_is_forgotten_after_a_hundred_jobs);
    return unit_main(suite);
}
