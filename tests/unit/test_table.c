/* test_table.c - daemon/table.c: shards that become one whole table, or stay. */
#include "daemon/table.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_RANKS 3

static char *directory;
static struct table table;
static struct shard shards[N_RANKS];
static struct shard *pointers[N_RANKS] = {&shards[0], &shards[1], &shards[2]};
static struct lighter_sink sink;
static struct lighter_error err;

static void
begin(void)
{
    directory = unit_tmpdir();
    table_init(&table);
    for (int i = 0; i < N_RANKS; i++)
        shards[i].fd = -1;
    sink_init(&sink);
}

static void
end(void)
{
    for (int i = 0; i < N_RANKS; i++)
        shard_close(&shards[i]);
    sink_done(&sink);
    table_done(&table);
    unit_tmpdir_remove(directory);
}

static int
prepare(const char *name, bool *ret_exists)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return table_prepare(&table, path, ret_exists, &err);
}

static struct lighter_sink *
bytes(const char *text)
{
    sink_clear(&sink);
    ck_assert_int_eq(lighter_put(&unit_services, &sink, text, strlen(text), NULL), 0);
    return &sink;
}

static void
open_shards(const char *name, uint32_t n_shards)
{
    bool exists;

    ck_assert_msg(prepare(name, &exists) == 0, "%s", err.message);
    for (uint32_t i = 0; i < n_shards; i++)
        ck_assert_msg(shard_open(&shards[i], &table, i, bytes("head\n"), &err) == 0,
                      "%s", err.message);
}

static void
append(uint32_t rank, const char *text)
{
    ck_assert_msg(shard_append(&shards[rank], bytes(text), &err) == 0, "%s",
                  err.message);
}

static void
expect_file(const char *name, const char *expected)
{
    char *text = unit_read_file(directory, name, NULL);

    ck_assert_str_eq(text, expected);
    free(text);
}

static void
publish(uint32_t n_shards)
{
    ck_assert_msg(table_join(pointers, n_shards, &err) == 0, "%s", err.message);
    ck_assert_msg(table_publish(&table, pointers, n_shards, &err) == 0, "%s",
                  err.message);
}

static void
write_file(const char *name, const char *text)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* ---- shards -------------------------------------------------------------------- */

START_TEST(shards_stand_beside_the_table_with_its_suffix)
{
    open_shards("p.csv", 2);
    ck_assert_str_eq(shards[1].name, "p.tmp_rank1.csv");
    expect_file("p.tmp_rank0.csv", "head\n");
    expect_file("p.tmp_rank1.csv", "head\n");
    ck_assert(!unit_exists(directory, "p.csv"));
}
END_TEST

START_TEST(names_with_other_dots_have_shards_too)
{
    static const char *const names[][2] = {{"p", "p.tmp_rank0"},
                                           {".p", ".p.tmp_rank0"},
                                           {"a.b.csv", "a.b.tmp_rank0.csv"},
                                           {"p.", "p.tmp_rank0."}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        open_shards(names[i][0], 1);
        ck_assert_str_eq(shards[0].name, names[i][1]);
        shard_close(&shards[0]);
        table_done(&table);
    }
}
END_TEST

START_TEST(an_old_shard_is_replaced)
{
    write_file("p.tmp_rank0.csv", "a long old shard of a job that was interrupted");
    open_shards("p.csv", 1);
    expect_file("p.tmp_rank0.csv", "head\n");
}
END_TEST

/* Under another path, or in another daemon, another job may write the same table. */
START_TEST(a_shard_that_is_being_written_is_refused_and_stays)
{
    struct shard other = {.fd = -1};

    open_shards("p.csv", 1);
    append(0, "row\n");

    ck_assert_int_eq(shard_open(&other, &table, 0, bytes("head\n"), &err), -EBUSY);
    expect_file("p.tmp_rank0.csv", "head\nrow\n");
    shard_close(&shards[0]);
    ck_assert_int_eq(shard_open(&other, &table, 0, bytes("head\n"), &err), 0);
    shard_close(&other);
}
END_TEST

/* A worker has a descriptor of its own of the shard that it brings to the disk. */
START_TEST(a_shard_that_is_closed_can_be_had_though_it_is_still_being_synced)
{
    int synced;

    open_shards("p.csv", 1);
    append(0, "row\n");
    synced = fcntl(shards[0].fd, F_DUPFD_CLOEXEC, 3);
    shard_close(&shards[0]);
    ck_assert_msg(shard_reopen(&shards[0], &table, 0, 5, 9, &err) == 0, "%s",
                  err.message);
    close(synced);
}
END_TEST

START_TEST(a_shard_goes_on_behind_what_was_committed)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    append(0, "torn");
    shard_close(&shards[0]);
    ck_assert_int_eq(shard_reopen(&shards[0], &table, 0, 5, 7, &err), 0);
    expect_file("p.tmp_rank0.csv", "head\n1\n");
    append(0, "2\n");
    expect_file("p.tmp_rank0.csv", "head\n1\n2\n");
    publish(1);
    expect_file("p.csv", "head\n1\n2\n");
}
END_TEST

START_TEST(a_shard_that_has_lost_bytes_is_not_gone_on_with)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    shard_close(&shards[0]);
    ck_assert_int_eq(shard_reopen(&shards[0], &table, 0, 5, 8, &err), -ENODATA);
    ck_assert_int_eq(shard_reopen(&shards[1], &table, 1, 5, 5, &err), -ENOENT);
    ck_assert_int_eq(shards[0].fd, -1);
    expect_file("p.tmp_rank0.csv", "head\n1\n");
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
}
END_TEST

START_TEST(what_was_appended_last_can_be_taken_back)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    append(0, "22\n");
    shard_undo(&shards[0], 3);
    expect_file("p.tmp_rank0.csv", "head\n1\n");
    append(0, "3\n");
    expect_file("p.tmp_rank0.csv", "head\n1\n3\n");
}
END_TEST

START_TEST(a_shard_is_removed_unless_somebody_writes_it)
{
    open_shards("p.csv", 2);
    shard_close(&shards[1]);
    ck_assert_int_eq(shard_remove(&table, 0, &err), -EBUSY);
    ck_assert_int_eq(shard_remove(&table, 1, &err), 0);
    ck_assert_int_eq(shard_remove(&table, 1, &err), 0); /* there is none any more */
    ck_assert(unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
}
END_TEST

START_TEST(a_shard_that_nobody_has_open_can_be_synced)
{
    open_shards("p.csv", 1);
    shard_close(&shards[0]);
    ck_assert_int_eq(shard_sync(&table, 0, &err), 0);
    ck_assert_int_eq(shard_sync(&table, 1, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "'p.tmp_rank1.csv'"));
}
END_TEST

START_TEST(a_link_in_a_shards_place_is_refused)
{
    char path[512];
    bool exists;

    write_file("victim", "precious");
    snprintf(path, sizeof path, "%s/p.tmp_rank0.csv", directory);
    ck_assert_int_eq(symlink("victim", path), 0);
    ck_assert_int_eq(prepare("p.csv", &exists), 0);
    ck_assert_int_eq(shard_open(&shards[0], &table, 0, bytes("head\n"), &err), -ELOOP);
    expect_file("victim", "precious");
}
END_TEST

START_TEST(a_name_that_leaves_no_room_for_a_shard_is_refused)
{
    char name[256];
    bool exists;

    memset(name, 'n', sizeof name);
    name[250] = '\0';
    ck_assert_int_eq(prepare(name, &exists), 0);
    ck_assert_int_eq(shard_open(&shards[0], &table, 0, bytes(""), &err), -ENAMETOOLONG);
    table_done(&table);

    memset(name, 'n', sizeof name);
    name[255] = '\0';
    ck_assert_int_eq(prepare(name, &exists), 0);
}
END_TEST

START_TEST(batches_are_appended_in_their_order)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    append(0, "");
    append(0, "2\n");
    expect_file("p.tmp_rank0.csv", "head\n1\n2\n");
    ck_assert_uint_eq(shards[0].size, 9);
    ck_assert_uint_eq(shards[0].header_size, 5);
}
END_TEST

static void
limit_file_size(rlim_t size)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_failed_append_leaves_the_shard_as_it_was)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    limit_file_size(10);
    ck_assert_int_eq(shard_append(&shards[0], bytes("torn in the middle\n"), &err),
                     -EFBIG);
    ck_assert_ptr_nonnull(strstr(err.message, "shard 'p.tmp_rank0.csv'"));
    limit_file_size(RLIM_INFINITY);

    expect_file("p.tmp_rank0.csv", "head\n1\n");
    append(0, "2\n");
    expect_file("p.tmp_rank0.csv", "head\n1\n2\n");
}
END_TEST

START_TEST(a_shard_that_cannot_be_mended_is_given_up)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    /* read-only from now on: neither writing nor cutting off works */
    close(shards[0].fd);
    shards[0].fd = openat(table.directory_fd, shards[0].name, O_RDONLY | O_CLOEXEC);
    ck_assert_int_lt(shard_append(&shards[0], bytes("2\n"), &err), 0);
    ck_assert_int_eq(shards[0].given_up, true);
    ck_assert_int_eq(shard_append(&shards[0], bytes("3\n"), &err), -EIO);
    ck_assert_ptr_nonnull(strstr(err.message, "was given up"));
    ck_assert_int_eq(table_join(pointers, 1, &err), -EIO);
    expect_file("p.tmp_rank0.csv", "head\n1\n");
}
END_TEST

/* ---- publishing ---------------------------------------------------------------- */

START_TEST(one_rank_is_published_by_a_rename)
{
    struct stat shard, published;

    open_shards("p.csv", 1);
    append(0, "1\n");
    ck_assert_int_eq(fstat(shards[0].fd, &shard), 0);
    publish(1);

    expect_file("p.csv", "head\n1\n");
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert_int_eq(fstatat(table.directory_fd, "p.csv", &published, 0), 0);
    ck_assert_uint_eq(published.st_ino, shard.st_ino);
}
END_TEST

START_TEST(ranks_are_joined_in_their_order_under_one_header)
{
    open_shards("p.csv", 3);
    append(2, "5\n");
    append(0, "1\n");
    append(1, "3\n");
    append(0, "2\n");
    append(1, "4\n");
    publish(3);

    expect_file("p.csv", "head\n1\n2\n3\n4\n5\n");
    ck_assert(!unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
    ck_assert(!unit_exists(directory, "p.tmp_rank2.csv"));
}
END_TEST

START_TEST(ranks_without_batches_publish_the_header_alone)
{
    open_shards("p.csv", 3);
    append(1, "1\n");
    publish(3);
    expect_file("p.csv", "head\n1\n");

    for (int i = 0; i < N_RANKS; i++)
        shard_close(&shards[i]);
    table_done(&table);
    open_shards("q.csv", 2);
    publish(2);
    expect_file("q.csv", "head\n");
}
END_TEST

START_TEST(joining_twice_is_joining_once)
{
    open_shards("p.csv", 3);
    append(0, "1\n");
    append(1, "2\n");
    append(2, "3\n");
    ck_assert_int_eq(table_join(pointers, 3, &err), 0);
    publish(3);
    expect_file("p.csv", "head\n1\n2\n3\n");
}
END_TEST

START_TEST(a_join_that_fails_leaves_the_shards_and_the_old_table)
{
    write_file("p.csv", "old");
    open_shards("p.csv", 2);
    append(0, "1\n");
    append(1, "22222222\n");
    limit_file_size(15);
    ck_assert_int_lt(table_join(pointers, 2, &err), 0);
    limit_file_size(RLIM_INFINITY);

    expect_file("p.csv", "old");
    expect_file("p.tmp_rank0.csv", "head\n1\n");
    expect_file("p.tmp_rank1.csv", "head\n22222222\n");
    publish(2); /* and it can be tried again */
    expect_file("p.csv", "head\n1\n22222222\n");
}
END_TEST

START_TEST(a_shard_that_changed_its_size_is_not_joined)
{
    open_shards("p.csv", 2);
    append(1, "1\n");
    ck_assert_int_eq(ftruncate(shards[1].fd, 6), 0);
    ck_assert_int_eq(table_join(pointers, 2, &err), -EIO);
    ck_assert_ptr_nonnull(
        strstr(err.message, "'p.tmp_rank1.csv' has changed its size"));
    expect_file("p.tmp_rank0.csv", "head\n");
}
END_TEST

START_TEST(an_existing_table_is_noticed_and_replaced_whole)
{
    bool exists = false;

    write_file("p.csv", "an old and much longer table than the new one\n");
    ck_assert_int_eq(prepare("p.csv", &exists), 0);
    ck_assert(exists);
    table_done(&table);
    ck_assert_int_eq(prepare("q.csv", &exists), 0);
    ck_assert(!exists);
    table_done(&table);

    open_shards("p.csv", 1);
    publish(1);
    expect_file("p.csv", "head\n");
}
END_TEST

START_TEST(a_directory_of_that_name_is_refused)
{
    char path[512];
    bool exists;

    snprintf(path, sizeof path, "%s/p.csv", directory);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(prepare("p.csv", &exists), -EISDIR);
    ck_assert_ptr_nonnull(strstr(err.message, path));
}
END_TEST

START_TEST(a_pipe_of_that_name_is_refused)
{
    char path[512];
    bool exists;

    snprintf(path, sizeof path, "%s/p.csv", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(prepare("p.csv", &exists), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot be a table: it is a device"));
}
END_TEST

START_TEST(a_directory_that_came_meanwhile_stops_the_publication)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    ck_assert_int_eq(mkdirat(table.directory_fd, "p.csv", 0700), 0);
    ck_assert_int_eq(table_join(pointers, 1, &err), 0);
    ck_assert_int_eq(table_publish(&table, pointers, 1, &err), -EISDIR);
    expect_file("p.tmp_rank0.csv", "head\n1\n");
}
END_TEST

START_TEST(missing_directories_are_made)
{
    bool exists;

    ck_assert_int_eq(prepare("a/b/p.csv", &exists), 0);
    ck_assert_str_eq(table.name, "p.csv");
    ck_assert(unit_exists(directory, "a/b"));
    ck_assert(!exists);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("table");
    TCase *of_shards = unit_case(suite, "shards");
    TCase *publishing = unit_case(suite, "publishing");

    tcase_add_checked_fixture(of_shards, begin, end);
    tcase_add_test(of_shards, shards_stand_beside_the_table_with_its_suffix);
    tcase_add_test(of_shards, names_with_other_dots_have_shards_too);
    tcase_add_test(of_shards, an_old_shard_is_replaced);
    tcase_add_test(of_shards, a_shard_that_is_being_written_is_refused_and_stays);
    tcase_add_test(of_shards,
                   a_shard_that_is_closed_can_be_had_though_it_is_still_being_synced);
    tcase_add_test(of_shards, a_shard_goes_on_behind_what_was_committed);
    tcase_add_test(of_shards, a_shard_that_has_lost_bytes_is_not_gone_on_with);
    tcase_add_test(of_shards, what_was_appended_last_can_be_taken_back);
    tcase_add_test(of_shards, a_shard_is_removed_unless_somebody_writes_it);
    tcase_add_test(of_shards, a_shard_that_nobody_has_open_can_be_synced);
    tcase_add_test(of_shards, a_link_in_a_shards_place_is_refused);
    tcase_add_test(of_shards, a_name_that_leaves_no_room_for_a_shard_is_refused);
    tcase_add_test(of_shards, batches_are_appended_in_their_order);
    tcase_add_test(of_shards, a_failed_append_leaves_the_shard_as_it_was);
    tcase_add_test(of_shards, a_shard_that_cannot_be_mended_is_given_up);
    tcase_add_checked_fixture(publishing, begin, end);
    tcase_add_test(publishing, one_rank_is_published_by_a_rename);
    tcase_add_test(publishing, ranks_are_joined_in_their_order_under_one_header);
    tcase_add_test(publishing, ranks_without_batches_publish_the_header_alone);
    tcase_add_test(publishing, joining_twice_is_joining_once);
    tcase_add_test(publishing, a_join_that_fails_leaves_the_shards_and_the_old_table);
    tcase_add_test(publishing, a_shard_that_changed_its_size_is_not_joined);
    tcase_add_test(publishing, an_existing_table_is_noticed_and_replaced_whole);
    tcase_add_test(publishing, a_directory_of_that_name_is_refused);
    tcase_add_test(publishing, a_pipe_of_that_name_is_refused);
    tcase_add_test(publishing, a_directory_that_came_meanwhile_stops_the_publication);
    tcase_add_test(publishing, missing_directories_are_made);
    return unit_main(suite);
}
