/* test_table.c - daemon/table.c: shards that become one whole table, or stay. */
#include "daemon/table.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
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
    return table_prepare(&table, path, N_RANKS, ret_exists, &err);
}

static struct lighter_sink *
bytes(const char *text)
{
    sink_clear(&sink);
    ck_assert_int_eq(lighter_put(&unit_services, &sink, text, strlen(text), NULL), 0);
    return &sink;
}

static int
make_shard(struct shard *shard, uint32_t rank, const char *header)
{
    int r = shard_create(shard, &table, rank, &err);

    return r < 0 ? r : shard_begin(shard, bytes(header), &err);
}

/* As a journal knows them. */
static int
reopen(struct shard *shard, uint64_t header_size, uint64_t size)
{
    struct shard_mark mark = shard->mark;

    return shard_reopen(shard, &table, &mark, header_size, size, &err);
}

static struct shard_mark
mark_of_0_1_0(uint32_t rank)
{
    struct shard_mark mark;

    ck_assert_int_eq(shard_mark_of(&mark, &table, rank, NULL, &err), 0);
    return mark;
}

static void
open_shards(const char *name, uint32_t n_shards)
{
    bool exists;

    ck_assert_msg(prepare(name, &exists) == 0, "%s", err.message);
    for (uint32_t i = 0; i < n_shards; i++)
        ck_assert_msg(make_shard(&shards[i], i, "head\n") == 0, "%s", err.message);
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
    ck_assert_msg(table_join(&table, pointers, n_shards, &err) == 0, "%s", err.message);
    ck_assert_msg(table_publish(&table, pointers, n_shards, 0, &err) == 0, "%s",
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
    ck_assert_str_eq(shards[1].mark.name, "p.tmp_rank1.csv");
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
        ck_assert_str_eq(shards[0].mark.name, names[i][1]);
        shard_close(&shards[0]);
        table_done(&table);
    }
}
END_TEST

START_TEST(what_has_a_shards_name_already_stays_and_the_shard_gets_another)
{
    write_file("p.tmp_rank0.csv", "rows of somebody else");
    table.job = 0xabc;
    open_shards("p.csv", 1);
    append(0, "1\n");
    ck_assert(shards[0].beside);
    ck_assert_str_eq(shards[0].mark.name, "p.tmp_rank0.0000000000000abc.csv");
    publish(1);
    expect_file("p.tmp_rank0.csv", "rows of somebody else");
    expect_file("p.csv", "head\n1\n");
}
END_TEST

START_TEST(a_second_name_that_is_taken_is_left_alone_too)
{
    write_file("p.tmp_rank0.csv", "rows of somebody else");
    write_file("p.tmp_rank0.0000000000000abc.csv", "of the same job");
    table.job = 0xabc;
    open_shards("p.csv", 1);
    ck_assert_str_eq(shards[0].mark.name, "p.tmp_rank0.0000000000000abc-1.csv");
    expect_file("p.tmp_rank0.0000000000000abc.csv", "of the same job");
}
END_TEST

START_TEST(a_shard_that_is_being_written_is_refused_and_stays)
{
    struct shard other = {.fd = -1};

    open_shards("p.csv", 1);
    append(0, "row\n");

    ck_assert_int_eq(make_shard(&other, 0, "head\n"), -EBUSY);
    expect_file("p.tmp_rank0.csv", "head\nrow\n");
    shard_close(&shards[0]);
    ck_assert_int_eq(make_shard(&other, 0, "head\n"), 0);
    shard_close(&other);
    expect_file("p.tmp_rank0.csv", "head\nrow\n");
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
    ck_assert_msg(reopen(&shards[0], 5, 9) == 0, "%s", err.message);
    close(synced);
}
END_TEST

START_TEST(a_shard_goes_on_behind_what_was_committed)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    append(0, "torn");
    shard_close(&shards[0]);
    ck_assert_int_eq(reopen(&shards[0], 5, 7), 0);
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
    ck_assert_int_eq(reopen(&shards[0], 5, 8), -ENODATA);
    ck_assert_int_eq(shard_reopen(&shards[1], &table,
                                  &(struct shard_mark){{1, 1}, "p.tmp_rank1.csv"}, 5, 5,
                                  &err),
                     -ENOENT);
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

/* Somebody moves it away, and puts something of the same size there. */
static void
replace_file(const char *name, const char *text)
{
    ck_assert_int_eq(
        renameat(table.directory_fd, name, table.directory_fd, "moved away"), 0);
    write_file(name, text);
}

START_TEST(a_shard_is_removed_unless_somebody_writes_it)
{
    open_shards("p.csv", 2);
    shard_close(&shards[1]);
    ck_assert_int_eq(shard_remove(&table, &shards[0].mark, &err), -EBUSY);
    ck_assert_int_eq(shard_remove(&table, &shards[1].mark, &err), 0);
    ck_assert_int_eq(shard_remove(&table, &shards[1].mark, &err), 0); /* it is gone */
    ck_assert(unit_exists(directory, "p.tmp_rank0.csv"));
    ck_assert(!unit_exists(directory, "p.tmp_rank1.csv"));
}
END_TEST

START_TEST(what_lies_in_a_shards_place_is_neither_removed_nor_cut)
{
    open_shards("p.csv", 1);
    append(0, "1\n");
    shard_close(&shards[0]);
    replace_file("p.tmp_rank0.csv", "another's bytes");

    ck_assert_int_eq(reopen(&shards[0], 5, 7), -ESTALE);
    ck_assert_ptr_nonnull(strstr(err.message, "'p.tmp_rank0.csv' is not the file"));
    ck_assert_int_eq(shard_look(&table, &shards[0].mark, 5, &err), -ESTALE);
    ck_assert_int_eq(shard_remove(&table, &shards[0].mark, &err), 0);
    expect_file("p.tmp_rank0.csv", "another's bytes");
}
END_TEST

START_TEST(a_shard_of_0_1_0_is_known_by_its_name)
{
    struct shard_mark mark;

    open_shards("p.csv", 1);
    append(0, "1\n");
    shard_close(&shards[0]);
    mark = mark_of_0_1_0(0);
    ck_assert_int_eq(shard_reopen(&shards[0], &table, &mark, 5, 7, &err), 0);
    append(0, "2\n");
    publish(1);
    expect_file("p.csv", "head\n1\n2\n");
}
END_TEST

START_TEST(a_shard_that_nobody_has_open_can_be_synced)
{
    struct shard_mark none;

    open_shards("p.csv", 1);
    shard_close(&shards[0]);
    none = mark_of_0_1_0(1);
    ck_assert_int_eq(shard_sync(&table, &shards[0].mark, &err), 0);
    ck_assert_int_eq(shard_sync(&table, &none, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "'p.tmp_rank1.csv'"));
}
END_TEST

START_TEST(a_link_in_a_shards_place_is_not_followed)
{
    char path[512];

    write_file("victim", "precious");
    snprintf(path, sizeof path, "%s/p.tmp_rank0.csv", directory);
    ck_assert_int_eq(symlink("victim", path), 0);
    open_shards("p.csv", 1);
    ck_assert_str_eq(shards[0].mark.name, "p.tmp_rank0.0000000000000000.csv");
    expect_file("victim", "precious");
}
END_TEST

/* Those of the last rank, and with an id, for a name may be taken. */
START_TEST(a_name_that_leaves_no_room_for_the_last_ranks_shard_is_refused)
{
    char name[256], path[512];
    bool exists;

    memset(name, 'n', sizeof name);
    name[255 - (int)strlen(".tmp_rank2.0123456789abcdef")] = '\0';
    ck_assert_int_eq(prepare(name, &exists), 0);
    table_done(&table);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert_int_eq(table_prepare(&table, path, 20000, &exists, &err), -ENAMETOOLONG);
    ck_assert_ptr_nonnull(strstr(err.message, "20000 shards"));
}
END_TEST

START_TEST(names_of_our_own_files_are_no_tables)
{
    static const char *const names[] = {"p.tmp_rank0.csv",
                                        "p.tmp_rank12",
                                        "p.tmp_gzip.csv.gz",
                                        ".lighterd.j.predict.0",
                                        ".lighterd.j.predict.0/p.csv",
                                        "l/p.csv"};
    char path[512];
    bool exists;

    snprintf(path, sizeof path, "%s/l", directory);
    ck_assert_int_eq(symlink(".lighterd.j.predict.0", path), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(prepare(names[i], &exists), -EINVAL);
        ck_assert_ptr_nonnull(strstr(err.message, "lighterd's own files"));
        table_done(&table);
    }
    ck_assert_int_eq(prepare("p.tmp_rank.csv", &exists), 0);
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
    shards[0].fd =
        openat(table.directory_fd, shards[0].mark.name, O_RDONLY | O_CLOEXEC);
    ck_assert_int_lt(shard_append(&shards[0], bytes("2\n"), &err), 0);
    ck_assert_int_eq(shards[0].given_up, true);
    ck_assert_int_eq(shard_append(&shards[0], bytes("3\n"), &err), -EIO);
    ck_assert_ptr_nonnull(strstr(err.message, "was given up"));
    ck_assert_int_eq(table_join(&table, pointers, 1, &err), -EIO);
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

START_TEST(what_an_earlier_publication_joined_is_joined_once)
{
    open_shards("p.csv", 3);
    append(0, "1\n");
    append(1, "2\n");
    append(2, "3\n");
    ck_assert_int_eq(table_join(&table, pointers, 3, &err), 0);
    shard_close(&shards[0]);
    ck_assert_int_eq(reopen(&shards[0], 5, 7), 0);
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
    ck_assert_int_lt(table_join(&table, pointers, 2, &err), 0);
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
    ck_assert_int_eq(table_join(&table, pointers, 2, &err), -ENODATA);
    ck_assert_ptr_nonnull(
        strstr(err.message, "'p.tmp_rank1.csv' has 6 bytes, but 7 were written"));
    expect_file("p.tmp_rank0.csv", "head\n");
}
END_TEST

START_TEST(a_shard_that_was_replaced_or_removed_is_not_joined)
{
    open_shards("p.csv", 2);
    replace_file("p.tmp_rank1.csv", "head\n");
    ck_assert_int_eq(table_join(&table, pointers, 2, &err), -ESTALE);
    ck_assert_int_eq(unlinkat(table.directory_fd, "p.tmp_rank1.csv", 0), 0);
    ck_assert_int_eq(table_join(&table, pointers, 2, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "'p.tmp_rank1.csv' is gone"));
    ck_assert(!unit_exists(directory, "p.csv"));
}
END_TEST

START_TEST(a_table_that_changed_when_it_was_joined_is_not_shown)
{
    open_shards("p.csv", 2);
    ck_assert_int_eq(table_join(&table, pointers, 2, &err), 0);
    ck_assert_int_eq(table_check(&table, &shards[0], &err), 0);
    ck_assert_int_eq(ftruncate(shards[0].fd, 1), 0);
    ck_assert_int_eq(table_check(&table, &shards[0], &err), -ENODATA);
    ck_assert_int_eq(table_publish(&table, pointers, 2, 0, &err), -ENODATA);
    ck_assert(!unit_exists(directory, "p.csv"));
}
END_TEST

START_TEST(what_is_in_the_way_is_found_before_anything_is_shown)
{
    open_shards("p.csv", 1);
    ck_assert_int_eq(mkdirat(table.directory_fd, "p.csv", 0700), 0);
    ck_assert_int_eq(table_join(&table, pointers, 1, &err), 0);
    ck_assert_int_eq(table_check(&table, &shards[0], &err), -EISDIR);
}
END_TEST

START_TEST(a_link_stays_and_what_it_leads_to_is_replaced)
{
    char path[512], target[64];
    bool exists;
    ssize_t size;

    ck_assert_int_eq(prepare("a/old.csv", &exists), 0);
    table_done(&table);
    write_file("a/old.csv", "old");
    snprintf(path, sizeof path, "%s/p.csv", directory);
    ck_assert_int_eq(symlink("q.csv", path), 0);
    snprintf(path, sizeof path, "%s/q.csv", directory);
    ck_assert_int_eq(symlink("a/../a/old.csv", path), 0);

    open_shards("p.csv", 1);
    append(0, "1\n");
    ck_assert(unit_exists(directory, "a/old.tmp_rank0.csv"));
    publish(1);
    expect_file("a/old.csv", "head\n1\n");
    size = readlink(path, target, sizeof target);
    ck_assert_int_eq(size, (ssize_t)strlen("a/../a/old.csv"));
}
END_TEST

START_TEST(a_link_that_leads_out_of_the_roots_or_nowhere_is_refused)
{
    char path[512], root[512];
    bool exists;

    ck_assert_int_eq(prepare("root/inner/p.csv", &exists), 0);
    table_done(&table);
    snprintf(root, sizeof root, "%s/root", directory);
    snprintf(path, sizeof path, "%s/root/p.csv", directory);
    ck_assert_int_eq(symlink("../outside.csv", path), 0);
    table.roots = root;
    ck_assert_int_eq(prepare("root/p.csv", &exists), -EACCES);
    table_done(&table);
    unlink(path);
    ck_assert_int_eq(symlink("inner/p.csv", path), 0);
    ck_assert_msg(prepare("root/p.csv", &exists) == 0, "%s", err.message);
    table_done(&table);
    unlink(path);
    ck_assert_int_eq(symlink("p.csv", path), 0);
    ck_assert_int_eq(prepare("root/p.csv", &exists), -ELOOP);
    table.roots = NULL;
}
END_TEST

/* As gzip unpacks it. */
static void
expect_unpacked(const char *name, const char *expected)
{
    char command[600], text[4096] = "";
    FILE *pipe;

    snprintf(command, sizeof command, "gzip -dc '%s/%s'", directory, name);
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_uint_eq(fread(text, 1, sizeof text - 1, pipe), strlen(expected));
    ck_assert_int_eq(pclose(pipe), 0);
    ck_assert_str_eq(text, expected);
}

START_TEST(a_table_whose_name_ends_in_gz_is_compressed_when_it_is_published)
{
    open_shards("p.csv.gz", 3);
    ck_assert_str_eq(shards[1].mark.name, "p.tmp_rank1.gz.csv");
    append(2, "3\n");
    append(0, "1\n");
    append(1, "2\n");
    expect_file("p.tmp_rank1.gz.csv", "head\n2\n");

    ck_assert_msg(table_make_packed(&table, &err) == 0, "%s", err.message);
    ck_assert_str_eq(table.packed.name, "p.tmp_gzip.gz.csv");
    ck_assert_msg(table_pack(&table, pointers, 3, 2, &err) == 0, "%s", err.message);
    ck_assert_int_eq(table_sync(&table, &shards[0], &err), 0);
    ck_assert_int_eq(table_check(&table, &shards[0], &err), 0);
    ck_assert_int_eq(table_publish(&table, pointers, 3, 0, &err), 0);
    expect_unpacked("p.csv.gz", "head\n1\n2\n3\n");
    for (uint32_t i = 0; i < 3; i++)
        ck_assert(!unit_exists(directory, shards[i].mark.name));
    ck_assert(!unit_exists(directory, "p.tmp_gzip.gz.csv"));
}
END_TEST

START_TEST(a_compressed_table_that_cannot_be_whole_leaves_nothing)
{
    open_shards("p.csv.gz", 1);
    append(0, "1\n");
    ck_assert_int_eq(table_make_packed(&table, &err), 0);
    limit_file_size(3);
    ck_assert_int_eq(table_pack(&table, pointers, 1, 2, &err), -EFBIG);
    limit_file_size(RLIM_INFINITY);
    ck_assert_int_eq(table_remove_packed(&table, &err), 0);
    ck_assert(!unit_exists(directory, "p.tmp_gzip.gz.csv"));
    ck_assert(!unit_exists(directory, "p.csv.gz"));
    expect_file("p.tmp_rank0.gz.csv", "head\n1\n");
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
    ck_assert_int_eq(table_join(&table, pointers, 1, &err), 0);
    ck_assert_int_eq(table_publish(&table, pointers, 1, 0, &err), -EISDIR);
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
    tcase_add_test(of_shards,
                   what_has_a_shards_name_already_stays_and_the_shard_gets_another);
    tcase_add_test(of_shards, a_second_name_that_is_taken_is_left_alone_too);
    tcase_add_test(of_shards, a_shard_that_is_being_written_is_refused_and_stays);
    tcase_add_test(of_shards,
                   a_shard_that_is_closed_can_be_had_though_it_is_still_being_synced);
    tcase_add_test(of_shards, a_shard_goes_on_behind_what_was_committed);
    tcase_add_test(of_shards, a_shard_that_has_lost_bytes_is_not_gone_on_with);
    tcase_add_test(of_shards, what_was_appended_last_can_be_taken_back);
    tcase_add_test(of_shards, a_shard_is_removed_unless_somebody_writes_it);
    tcase_add_test(of_shards, a_shard_that_nobody_has_open_can_be_synced);
    tcase_add_test(of_shards, what_lies_in_a_shards_place_is_neither_removed_nor_cut);
    tcase_add_test(of_shards, a_shard_of_0_1_0_is_known_by_its_name);
    tcase_add_test(of_shards, a_link_in_a_shards_place_is_not_followed);
    tcase_add_test(of_shards,
                   a_name_that_leaves_no_room_for_the_last_ranks_shard_is_refused);
    tcase_add_test(of_shards, names_of_our_own_files_are_no_tables);
    tcase_add_test(of_shards, batches_are_appended_in_their_order);
    tcase_add_test(of_shards, a_failed_append_leaves_the_shard_as_it_was);
    tcase_add_test(of_shards, a_shard_that_cannot_be_mended_is_given_up);
    tcase_add_checked_fixture(publishing, begin, end);
    tcase_add_test(publishing, one_rank_is_published_by_a_rename);
    tcase_add_test(publishing, ranks_are_joined_in_their_order_under_one_header);
    tcase_add_test(publishing, ranks_without_batches_publish_the_header_alone);
    tcase_add_test(publishing, what_an_earlier_publication_joined_is_joined_once);
    tcase_add_test(publishing, a_join_that_fails_leaves_the_shards_and_the_old_table);
    tcase_add_test(publishing, a_shard_that_changed_its_size_is_not_joined);
    tcase_add_test(publishing, a_shard_that_was_replaced_or_removed_is_not_joined);
    tcase_add_test(publishing, a_table_that_changed_when_it_was_joined_is_not_shown);
    tcase_add_test(publishing, what_is_in_the_way_is_found_before_anything_is_shown);
    tcase_add_test(publishing, a_link_stays_and_what_it_leads_to_is_replaced);
    tcase_add_test(publishing,
                   a_link_that_leads_out_of_the_roots_or_nowhere_is_refused);
    tcase_add_test(publishing,
                   a_table_whose_name_ends_in_gz_is_compressed_when_it_is_published);
    tcase_add_test(publishing, a_compressed_table_that_cannot_be_whole_leaves_nothing);
    tcase_add_test(publishing, an_existing_table_is_noticed_and_replaced_whole);
    tcase_add_test(publishing, a_directory_of_that_name_is_refused);
    tcase_add_test(publishing, a_pipe_of_that_name_is_refused);
    tcase_add_test(publishing, a_directory_that_came_meanwhile_stops_the_publication);
    tcase_add_test(publishing, missing_directories_are_made);
    return unit_main(suite);
}
