/* test_journal.c - daemon/journal.c: what was appended is read, up to what is torn. */
#include "daemon/journal.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "job.predict.journal"
#define HEAD_SIZE 64
#define N_MAX 4096

static char *directory;
static int directory_fd;
static struct journal journal;
static struct lighter_error err;

/* What a reading has found. */
static struct journal_record found[N_MAX]; /* text: owned */
static uint64_t ends[N_MAX];
static size_t n_found;

static void
forget(void)
{
    while (n_found)
        free((void *)found[--n_found].text);
}

static void
begin(void)
{
    directory = unit_tmpdir();
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    journal_init(&journal);
    ck_assert_int_eq(journal_begin(&journal, directory_fd, NAME, &err), 0);
    ck_assert_int_eq(journal_replace(&journal, directory_fd, NAME, false, &err), 0);
}

static void
end(void)
{
    forget();
    journal_done(&journal);
    close(directory_fd);
    unit_tmpdir_remove(directory);
}

static int
append_seq(uint64_t seq, const char *text)
{
    struct journal_record record = {
        .kind = JOURNAL_WRITTEN, .seq = seq, .text = text, .text_size = strlen(text)};

    return journal_append(&journal, &record, &err);
}

static void
append(uint64_t seq, const char *text)
{
    ck_assert_msg(append_seq(seq, text) == 0, "%s", err.message);
}

static int
visit(void *data, const struct journal_record *record, uint64_t next,
      struct lighter_error *ret_err)
{
    void *text = calloc(1, record->text_size + 1);

    (void)data, (void)ret_err;
    if (record->text_size)
        memcpy(text, record->text, record->text_size);
    ck_assert_uint_lt(n_found, N_MAX);
    found[n_found] = *record;
    found[n_found].text = text;
    ends[n_found++] = next;
    return 0;
}

static void
read_below(uint64_t limit)
{
    forget();
    ck_assert_msg(journal_read(&journal, limit, visit, NULL, &err) == 0, "%s",
                  err.message);
}

/* As the next daemon does. */
static void
open_again(void)
{
    journal_close(&journal);
    ck_assert_msg(journal_open(&journal, directory_fd, NAME, &err) == 0, "%s",
                  err.message);
    read_below(UINT64_MAX);
}

static void
expect_seqs(size_t count)
{
    ck_assert_uint_eq(n_found, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(found[i].seq, i + 1);
}

static uint64_t
file_size(void)
{
    struct stat status;

    ck_assert_int_eq(fstatat(directory_fd, NAME, &status, 0), 0);
    return (uint64_t)status.st_size;
}

static void
limit_file_size(rlim_t size)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* ---- what is read --------------------------------------------------------------- */

START_TEST(a_record_is_read_as_it_was_appended)
{
    struct journal_record record = {.kind = JOURNAL_PLACE,
                                    .rank = 65535,
                                    .writer = 63,
                                    .seq = UINT64_MAX,
                                    .batch_idx = -1,
                                    .dataloader_idx = INT64_MIN,
                                    .n_samples = UINT64_MAX - 1,
                                    .size = UINT64_MAX - 2,
                                    .text = "a\0b",
                                    .text_size = 4};

    ck_assert_int_eq(journal_append(&journal, &record, &err), 0);
    open_again();

    ck_assert_uint_eq(n_found, 1);
    ck_assert_int_eq(found[0].kind, JOURNAL_PLACE);
    ck_assert_uint_eq(found[0].rank, 65535);
    ck_assert_uint_eq(found[0].writer, 63);
    ck_assert_uint_eq(found[0].seq, UINT64_MAX);
    ck_assert_int_eq(found[0].batch_idx, -1);
    ck_assert_int_eq(found[0].dataloader_idx, INT64_MIN);
    ck_assert_uint_eq(found[0].n_samples, UINT64_MAX - 1);
    ck_assert_uint_eq(found[0].size, UINT64_MAX - 2);
    ck_assert_uint_eq(found[0].text_size, 4);
    ck_assert_mem_eq(found[0].text, "a\0b", 4);
}
END_TEST

START_TEST(texts_of_all_sizes_stand_one_after_another)
{
    static const char text[] = "0123456789abcdefghij";

    for (uint64_t i = 0; i <= 20; i++)
        append(i + 1, text + 20 - i);
    open_again();

    expect_seqs(21);
    for (size_t i = 0; i <= 20; i++) {
        ck_assert_str_eq(found[i].text, text + 20 - i);
        ck_assert_uint_eq(found[i].text_size, i);
        ck_assert_uint_eq(ends[i] % 8, 0);
    }
    ck_assert_uint_eq(ends[20], file_size());
    ck_assert_uint_eq(journal_size(&journal), file_size());
}
END_TEST

START_TEST(an_empty_journal_has_no_records)
{
    open_again();
    ck_assert_uint_eq(n_found, 0);
    append(1, "");
    open_again();
    expect_seqs(1);
}
END_TEST

START_TEST(what_is_below_a_limit_is_read_and_nothing_is_cut)
{
    append(1, "one");
    append(2, "two");
    append(3, "three");
    open_again();
    read_below(ends[1]);
    expect_seqs(2);
    read_below(ends[1] - 1); /* in the midst of the second */
    expect_seqs(1);
    ck_assert_uint_gt(file_size(), ends[1]);
}
END_TEST

static int
refuse_second(void *data, const struct journal_record *record, uint64_t next,
              struct lighter_error *ret_err)
{
    (void)data, (void)next, (void)ret_err;
    n_found++;
    return record->seq == 2 ? -EPROTO : 0;
}

START_TEST(a_reading_can_be_ended_and_cuts_nothing_then)
{
    append(1, "");
    append(2, "");
    append(3, "");
    ck_assert_int_eq(journal_read(&journal, UINT64_MAX, refuse_second, NULL, &err),
                     -EPROTO);
    ck_assert_uint_eq(n_found, 2);
    n_found = 0;
    ck_assert_uint_eq(file_size(), 3 * HEAD_SIZE);
}
END_TEST

START_TEST(a_journal_that_is_not_there_cannot_be_opened)
{
    struct journal other;

    journal_init(&other);
    ck_assert_int_eq(journal_open(&other, directory_fd, "none", &err), -ENOENT);
    ck_assert_int_eq(symlinkat(NAME, directory_fd, "link"), 0);
    ck_assert_int_eq(journal_open(&other, directory_fd, "link", &err), -ELOOP);
    journal_done(&other);
}
END_TEST

/* ---- what is torn --------------------------------------------------------------- */

START_TEST(the_last_record_may_be_torn_at_every_byte)
{
    const uint64_t whole = 2 * (HEAD_SIZE + 8), last = HEAD_SIZE + 16;

    for (uint64_t left = 0; left < last; left++) {
        ck_assert_int_eq(ftruncate(journal.fd, 0), 0);
        journal.size = 0;
        append(1, "first");
        append(2, "second");
        append(9, "the third one");
        ck_assert_uint_eq(file_size(), whole + last);
        ck_assert_int_eq(ftruncate(journal.fd, (off_t)(whole + left)), 0);

        open_again();
        expect_seqs(2);
        ck_assert_uint_eq(file_size(), whole); /* what is torn is cut off */
        append(3, "goes on");
        open_again();
        expect_seqs(3);
    }
}
END_TEST

/* The texts fill eight bytes: what pads a shorter one is nobody's. */
START_TEST(a_flipped_bit_anywhere_ends_the_reading_before_it)
{
    static const uint64_t starts[] = {0, HEAD_SIZE + 8, 2 * HEAD_SIZE + 8,
                                      3 * HEAD_SIZE + 24};
    uint8_t byte;

    append(1, "12345678");
    append(2, "");
    append(3, "1234567812345678");
    for (size_t i = 0; i < 3; i++)
        for (uint64_t bit = 8 * starts[i]; bit < 8 * starts[i + 1]; bit++) {
            off_t at = (off_t)(bit / 8);

            ck_assert_int_eq(pread(journal.fd, &byte, 1, at), 1);
            byte ^= (uint8_t)(1 << bit % 8);
            ck_assert_int_eq(pwrite(journal.fd, &byte, 1, at), 1);
            read_below(UINT64_MAX - 1);
            ck_assert_msg(n_found == i, "bit %" PRIu64 ": %zu records", bit, n_found);
            byte ^= (uint8_t)(1 << bit % 8);
            ck_assert_int_eq(pwrite(journal.fd, &byte, 1, at), 1);
        }
    read_below(UINT64_MAX);
    expect_seqs(3);
}
END_TEST

START_TEST(a_record_in_another_place_is_none)
{
    uint8_t bytes[HEAD_SIZE];

    append(1, "");
    append(2, "");
    ck_assert_int_eq(pread(journal.fd, bytes, sizeof bytes, 0), HEAD_SIZE);
    ck_assert_int_eq(pwrite(journal.fd, bytes, sizeof bytes, HEAD_SIZE), HEAD_SIZE);
    open_again();
    expect_seqs(1);
}
END_TEST

START_TEST(zeros_that_a_loss_of_power_left_are_no_record)
{
    append(1, "");
    ck_assert_int_eq(ftruncate(journal.fd, 10 * HEAD_SIZE), 0);
    open_again();
    expect_seqs(1);
    ck_assert_uint_eq(file_size(), HEAD_SIZE);
}
END_TEST

/* ---- appending that fails -------------------------------------------------------- */

/* Under the limit there is no assertion: Check would write it to a file. */
START_TEST(an_append_that_fails_leaves_the_journal_as_it_was)
{
    uint64_t before;
    int r;

    append(1, "first");
    before = journal_size(&journal);
    limit_file_size(before + HEAD_SIZE + 1); /* the head, and a byte of the text */
    r = append_seq(2, "second");
    limit_file_size(RLIM_INFINITY);

    ck_assert_int_eq(r, -EFBIG);
    ck_assert_uint_eq(journal_size(&journal), before);
    ck_assert_uint_eq(file_size(), before);
    append(2, "another");
    open_again();
    expect_seqs(2);
    ck_assert_str_eq(found[1].text, "another");
}
END_TEST

/* The journal's descriptor becomes what `fd` is; takes it. Return: what it was. */
static int
exchange(int fd)
{
    int was = fcntl(journal.fd, F_DUPFD_CLOEXEC, 3);

    ck_assert_int_ge(dup2(fd, journal.fd), 0);
    close(fd);
    return was;
}

START_TEST(a_journal_that_cannot_be_cut_back_is_given_up)
{
    int was;

    append(1, "");
    was = exchange(openat(directory_fd, NAME, O_RDONLY | O_CLOEXEC));
    ck_assert_int_eq(append_seq(2, ""), -EBADF);
    close(exchange(was));
    ck_assert_int_eq(append_seq(2, ""), -EIO);
    ck_assert_ptr_nonnull(strstr(err.message, "given up"));

    open_again(); /* where it ends is known again */
    expect_seqs(1);
    append(2, "");
    open_again();
    expect_seqs(2);
}
END_TEST

START_TEST(a_journal_that_cannot_be_synced_is_given_up)
{
    int ends_of_pipe[2], was;

    append(1, "");
    ck_assert_int_eq(journal_sync(&journal, &err), 0);
    ck_assert_int_eq(pipe2(ends_of_pipe, O_CLOEXEC), 0);
    close(ends_of_pipe[0]);
    was = exchange(ends_of_pipe[1]);
    ck_assert_int_lt(journal_sync(&journal, &err), 0);
    close(exchange(was));
    ck_assert_int_eq(append_seq(2, ""), -EIO);
}
END_TEST

START_TEST(a_text_that_no_record_can_hold_is_refused)
{
    struct journal_record record = {
        .kind = JOURNAL_JOB, .text = "", .text_size = UINT32_MAX};

    ck_assert_int_eq(journal_append(&journal, &record, &err), -EFBIG);
    ck_assert_uint_eq(file_size(), 0);
}
END_TEST

START_TEST(a_last_word_can_be_appended_by_who_dies)
{
    struct journal_record last = {
        .kind = JOURNAL_CRASHED, .rank = 1, .writer = 2, .seq = 2};

    append(1, "");
    journal_append_dying(&journal, &last);
    open_again();
    expect_seqs(2);
    ck_assert_int_eq(found[1].kind, JOURNAL_CRASHED);
    ck_assert_uint_eq(found[1].rank, 1);
    ck_assert_uint_eq(found[1].writer, 2);
}
END_TEST

START_TEST(a_last_word_is_not_written_over_by_who_dies_later)
{
    struct journal_record last = {.kind = JOURNAL_CRASHED, .seq = 2};

    append(1, "");
    journal_append_dying(&journal, &last);
    append(3, "");
    open_again();
    expect_seqs(3);
    ck_assert_int_eq(found[1].kind, JOURNAL_CRASHED);
}
END_TEST

/* ---- several threads ------------------------------------------------------------- */

#define N_THREADS 4
#define N_EACH 500

static void *
append_many(void *data)
{
    const uint32_t *rank = data;

    for (uint64_t seq = 1; seq <= N_EACH; seq++) {
        struct journal_record record = {.kind = JOURNAL_WRITTEN,
                                        .rank = *rank,
                                        .seq = seq,
                                        .text = "0123456789",
                                        .text_size = seq % 11};

        if (journal_append(&journal, &record, NULL) < 0 || !journal_size(&journal))
            return data;
    }
    return NULL;
}

START_TEST(several_threads_append_at_once_each_in_its_order)
{
    uint32_t ranks[N_THREADS];
    uint64_t seqs[N_THREADS] = {0};
    pthread_t threads[N_THREADS];
    void *failed;

    for (uint32_t i = 0; i < N_THREADS; i++) {
        ranks[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_many, &ranks[i]), 0);
    }
    for (uint32_t i = 0; i < N_THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    open_again();

    ck_assert_uint_eq(n_found, N_THREADS * N_EACH);
    for (size_t i = 0; i < n_found; i++) {
        ck_assert_uint_eq(found[i].seq, ++seqs[found[i].rank]);
        ck_assert_uint_eq(found[i].text_size, found[i].seq % 11);
    }
}
END_TEST

/* ---- one takes another's place --------------------------------------------------- */

START_TEST(a_new_one_is_not_seen_before_it_takes_the_old_ones_place)
{
    append(1, "old");
    journal_close(&journal);

    ck_assert_int_eq(journal_begin(&journal, directory_fd, NAME, &err), 0);
    append(7, "new, and longer than what follows");
    open_again(); /* whoever made it died */
    expect_seqs(1);
    ck_assert_str_eq(found[0].text, "old");

    journal_close(&journal);
    ck_assert_int_eq(journal_begin(&journal, directory_fd, NAME, &err), 0);
    append(1, "newer");
    ck_assert_int_eq(journal_replace(&journal, directory_fd, NAME, _i, &err), 0);
    append(2, "goes on");
    ck_assert(!unit_exists(directory, NAME ".new"));
    open_again();
    expect_seqs(2);
    ck_assert_str_eq(found[0].text, "newer");
}
END_TEST

START_TEST(a_journal_cannot_be_made_where_its_directory_is_gone)
{
    char *other = unit_tmpdir();
    int fd = open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct journal lost;

    unit_tmpdir_remove(other);
    journal_init(&lost);
    ck_assert_int_eq(journal_begin(&lost, fd, NAME, &err), -ENOENT);
    journal_done(&lost);
    close(fd);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("journal");
    TCase *reading = unit_case(suite, "reading");
    TCase *torn = unit_case(suite, "torn");
    TCase *failing = unit_case(suite, "failing");
    TCase *threads = unit_case(suite, "threads");
    TCase *places = unit_case(suite, "places");
    TCase *const cases[] = {reading, torn, failing, threads, places};

    for (int i = 0; i < 5; i++)
        tcase_add_checked_fixture(cases[i], begin, end);
    tcase_add_test(reading, a_record_is_read_as_it_was_appended);
    tcase_add_test(reading, texts_of_all_sizes_stand_one_after_another);
    tcase_add_test(reading, an_empty_journal_has_no_records);
    tcase_add_test(reading, what_is_below_a_limit_is_read_and_nothing_is_cut);
    tcase_add_test(reading, a_reading_can_be_ended_and_cuts_nothing_then);
    tcase_add_test(reading, a_journal_that_is_not_there_cannot_be_opened);
    tcase_add_test(torn, the_last_record_may_be_torn_at_every_byte);
    tcase_add_test(torn, a_flipped_bit_anywhere_ends_the_reading_before_it);
    tcase_add_test(torn, a_record_in_another_place_is_none);
    tcase_add_test(torn, zeros_that_a_loss_of_power_left_are_no_record);
    tcase_add_test(failing, an_append_that_fails_leaves_the_journal_as_it_was);
    tcase_add_test(failing, a_journal_that_cannot_be_cut_back_is_given_up);
    tcase_add_test(failing, a_journal_that_cannot_be_synced_is_given_up);
    tcase_add_test(failing, a_text_that_no_record_can_hold_is_refused);
    tcase_add_test(failing, a_last_word_can_be_appended_by_who_dies);
    tcase_add_test(failing, a_last_word_is_not_written_over_by_who_dies_later);
    tcase_add_test(threads, several_threads_append_at_once_each_in_its_order);
    tcase_add_loop_test(places,
                        a_new_one_is_not_seen_before_it_takes_the_old_ones_place, 0, 2);
    tcase_add_test(places, a_journal_cannot_be_made_where_its_directory_is_gone);
    return unit_main(suite);
}
