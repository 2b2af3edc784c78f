/* test_files.c - daemon/files.c and output.c: files that are published together. */
#include "daemon/files.h"

#include "daemon/output.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGING ".lighterd.job.predict.0"

static char *directory;
static struct files files;
static struct lighter_output output;
static struct lighter_error err;

static int
prepare(bool *ret_exists)
{
    files_done(&files);
    return files_prepare(&files, directory, STAGING, ret_exists, &err);
}

static void
begin(void)
{
    bool exists;

    directory = unit_tmpdir();
    files_init(&files);
    ck_assert_int_eq(prepare(&exists), 0);
    ck_assert(!exists);
    output_init(&output, &files);
}

static void
end(void)
{
    output_done(&output);
    files_done(&files);
    unit_tmpdir_remove(directory);
}

/* As a plugin does it. */
static int
store(const char *name, const char *suffix, const char *text)
{
    struct lighter_sink *sink = output_services.sink(&output);

    ck_assert_int_eq(lighter_put(&output_services, sink, text, strlen(text), &err), 0);
    return output_services.store(&output, name, strlen(name), suffix, &err);
}

static void
must_store(const char *name, const char *text)
{
    ck_assert_msg(store(name, ".x", text) == 0, "%s", err.message);
}

static void
publish(void)
{
    ck_assert_msg(files_sync(&files, &err) == 0, "%s", err.message);
    ck_assert_msg(files_publish(&files, &err) == 0, "%s", err.message);
}

static void
expect_file(const char *name, const char *expected)
{
    char *text = unit_read_file(directory, name, NULL);

    ck_assert_str_eq(text, expected);
    free(text);
}

static int
staged(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, STAGING "/%s", name);
    return unit_exists(directory, path);
}

static void
write_file(const char *name, const char *text)
{
    int fd = openat(files.directory_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* ---- storing ------------------------------------------------------------------- */

START_TEST(files_are_staged_until_they_are_published)
{
    must_store("a", "1");
    must_store("sub/deep/b", "2");
    ck_assert(staged("a.x"));
    ck_assert(!unit_exists(directory, "a.x"));

    publish();
    expect_file("a.x", "1");
    expect_file("sub/deep/b.x", "2");
    ck_assert(!unit_exists(directory, STAGING));
}
END_TEST

START_TEST(an_empty_file_is_a_file)
{
    must_store("a", "");
    publish();
    expect_file("a.x", "");
}
END_TEST

START_TEST(a_suffix_is_appended_and_never_swapped)
{
    must_store("1.2.55", "1");
    must_store("1.2.56", "2");
    publish();
    expect_file("1.2.55.x", "1");
    expect_file("1.2.56.x", "2");
}
END_TEST

START_TEST(a_name_that_comes_twice_is_refused_and_the_first_stays)
{
    must_store("sub/a", "first");
    ck_assert_int_eq(store("sub/a", ".x", "second"), -EINVAL);
    ck_assert_uint_eq(err.code, LIGHTER_E_VALUE);
    ck_assert_str_eq(err.message,
                     "file 'sub/a.x': this name came before in this epoch");
    ck_assert_uint_eq(output.sink.size, 0);
    ck_assert_int_eq(store("sub/a", ".y", "other"), 0);
    publish();
    expect_file("sub/a.x", "first");
}
END_TEST

START_TEST(a_name_that_leaves_the_directory_is_refused)
{
    ck_assert_int_eq(store("../a", ".x", "1"), -EINVAL);
    ck_assert_int_eq(store("/tmp/a", ".x", "1"), -EINVAL);
    ck_assert_int_eq(store("", ".x", "1"), -EINVAL);
    ck_assert_uint_eq(output.names_used, 0);
    ck_assert_uint_eq(output.sink.size, 0);
}
END_TEST

START_TEST(a_file_where_a_folder_must_be_is_refused)
{
    ck_assert_int_eq(store("a", "", "1"), 0);
    ck_assert_int_eq(store("a/b", "", "2"), -ENOTDIR);
}
END_TEST

START_TEST(a_file_that_cannot_be_whole_is_not_there)
{
    const char *text = "x";

    close(openat(files.staging_fd, "before", O_WRONLY | O_CREAT, 0600));
    ck_assert_int_eq(sink_lend(&output.sink, NULL, 0), 0);
    ck_assert_int_eq(sink_lend(&output.sink, text, 1), 0);
    /* an address that the kernel cannot read: writev(2) fails with EFAULT */
    output.sink.parts[0].iov_base = (void *)1;
    ck_assert_int_eq(output_services.store(&output, "a", 1, ".x", &err), -EFAULT);
    ck_assert_ptr_nonnull(strstr(err.message, "file 'a.x': write"));
    ck_assert(!staged("a.x"));
    ck_assert_uint_eq(output.names_used, 0);
}
END_TEST

/* ---- undoing ------------------------------------------------------------------- */

START_TEST(undoing_takes_back_what_the_task_stored_and_no_more)
{
    must_store("before", "0");
    output_clear(&output);
    must_store("a", "1");
    must_store("sub/b", "2");
    ck_assert_int_lt(store("before", ".x", "3"), 0);
    ck_assert_uint_eq(output.n_bytes, 2);

    output_undo(&output);
    ck_assert(!staged("a.x"));
    ck_assert(!staged("sub/b.x"));
    ck_assert(staged("before.x"));
    ck_assert_uint_eq(output.n_bytes, 0);
    must_store("a", "again");
    publish();
    expect_file("a.x", "again");
    expect_file("before.x", "0");
}
END_TEST

START_TEST(undoing_nothing_is_done)
{
    output_undo(&output);
    ck_assert_uint_eq(output.names_used, 0);
}
END_TEST

START_TEST(any_number_of_files_can_be_undone)
{
    char name[32];

    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "folder%d/name%d", i % 3, i);
        must_store(name, "x");
    }
    ck_assert_uint_eq(output.n_bytes, 500);
    output_undo(&output);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "folder%d/name%d.x", i % 3, i);
        ck_assert(!staged(name));
    }
}
END_TEST

START_TEST(a_tables_writer_cannot_store_files)
{
    struct lighter_output of_table;

    output_init(&of_table, NULL);
    ck_assert_int_lt(output_services.store(&of_table, "a", 1, ".x", &err), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_INTERNAL);
    output_done(&of_table);
}
END_TEST

/* ---- publishing ---------------------------------------------------------------- */

START_TEST(publishing_merges_into_what_is_there)
{
    bool exists = false;

    ck_assert_int_eq(mkdirat(files.directory_fd, "sub", 0700), 0);
    write_file("sub/kept", "kept");
    write_file("sub/replaced.x", "a long and old file");
    write_file("other", "other");
    ck_assert_int_eq(prepare(&exists), 0);
    ck_assert(exists);

    must_store("sub/replaced", "new");
    must_store("sub/added", "added");
    publish();
    expect_file("sub/kept", "kept");
    expect_file("sub/replaced.x", "new");
    expect_file("sub/added.x", "added");
    expect_file("other", "other");
}
END_TEST

START_TEST(what_an_earlier_job_left_is_removed)
{
    bool exists = true;

    must_store("sub/left", "left");
    ck_assert_int_eq(prepare(&exists), 0);
    ck_assert(!exists); /* a staging directory is no output */
    ck_assert(!staged("sub"));
    publish();
    ck_assert(!unit_exists(directory, "sub"));
}
END_TEST

START_TEST(a_job_of_that_name_that_is_alive_is_left_alone)
{
    struct files others;
    bool exists;

    must_store("a", "1");
    files_init(&others);
    ck_assert_int_eq(files_prepare(&others, directory, STAGING, &exists, &err), -EBUSY);
    files_done(&others);
    ck_assert(staged("a.x"));
}
END_TEST

static bool
is_kept(const void *data, const char *name)
{
    (void)data;
    return strcmp(name, "a.x") == 0 || strcmp(name, "sub/inner/b.x") == 0;
}

START_TEST(pruning_leaves_those_that_are_wanted)
{
    must_store("a", "1");
    must_store("b", "2");
    must_store("sub/a", "3");
    must_store("sub/inner/b", "4");
    must_store("gone/c", "5");
    ck_assert_msg(files_prune(&files, is_kept, NULL, &err) == 0, "%s", err.message);
    publish();

    expect_file("a.x", "1");
    expect_file("sub/inner/b.x", "4");
    ck_assert(!unit_exists(directory, "b.x"));
    ck_assert(!unit_exists(directory, "sub/a.x"));
    ck_assert(!unit_exists(directory, "gone"));
}
END_TEST

START_TEST(staged_files_are_found_again_unless_somebody_has_them)
{
    struct files next;
    bool gone = true;

    must_store("a", "1");
    files_init(&next);
    ck_assert_int_eq(files_reopen(&next, directory, STAGING, &gone, &err), -EBUSY);
    files_done(&next);
    files_done(&files);
    ck_assert_int_eq(files_reopen(&files, directory, STAGING, &gone, &err), 0);
    ck_assert(!gone);
    publish();
    expect_file("a.x", "1");

    files_done(&files);
    ck_assert_int_eq(files_reopen(&files, directory, STAGING, &gone, &err), 0);
    ck_assert(gone);
    ck_assert_int_eq(files_publish(&files, &err), 0); /* that was done before */
}
END_TEST

START_TEST(discarding_removes_what_is_staged_and_no_more)
{
    write_file("kept", "kept");
    must_store("sub/a", "1");
    ck_assert_int_eq(files_discard(&files, &err), 0);
    ck_assert(!unit_exists(directory, STAGING));
    expect_file("kept", "kept");
}
END_TEST

START_TEST(a_folder_whose_files_were_taken_back_is_not_published)
{
    must_store("folder/a", "1");
    output_undo(&output);
    publish();

    ck_assert(!unit_exists(directory, "folder"));
}
END_TEST

START_TEST(other_jobs_in_the_same_directory_are_left_alone)
{
    bool exists;

    ck_assert_int_eq(mkdirat(files.directory_fd, ".lighterd.other.fit.0", 0700), 0);
    ck_assert_int_eq(prepare(&exists), 0);
    ck_assert(!exists);
    publish();
    ck_assert(unit_exists(directory, ".lighterd.other.fit.0"));
}
END_TEST

START_TEST(a_link_in_the_stagings_place_is_removed_and_not_followed)
{
    bool exists;

    ck_assert_int_eq(mkdirat(files.directory_fd, "kept", 0700), 0);
    write_file("kept/file", "kept");
    ck_assert_int_eq(unlinkat(files.directory_fd, STAGING, AT_REMOVEDIR), 0);
    ck_assert_int_eq(symlinkat("kept", files.directory_fd, STAGING), 0);
    ck_assert_int_eq(prepare(&exists), 0);
    must_store("a", "1");
    expect_file("kept/file", "kept");
    ck_assert(!unit_exists(directory, "kept/a.x"));
}
END_TEST

START_TEST(a_folder_that_is_a_link_is_not_published_into)
{
    ck_assert_int_eq(mkdirat(files.directory_fd, "kept", 0700), 0);
    ck_assert_int_eq(symlinkat("kept", files.directory_fd, "sub"), 0);
    must_store("sub/a", "1");
    ck_assert_int_lt(files_publish(&files, &err), 0);
    ck_assert(!unit_exists(directory, "kept/a.x"));
    ck_assert(staged("sub/a.x"));
}
END_TEST

START_TEST(publishing_that_failed_can_be_repeated)
{
    must_store("a", "1");
    must_store("b", "2");
    ck_assert_int_eq(mkdirat(files.directory_fd, "b.x", 0700), 0);
    ck_assert_int_eq(files_publish(&files, &err), -EISDIR);
    ck_assert_ptr_nonnull(strstr(err.message, "publish 'b.x'"));

    ck_assert_int_eq(unlinkat(files.directory_fd, "b.x", AT_REMOVEDIR), 0);
    publish();
    expect_file("a.x", "1");
    expect_file("b.x", "2");
    ck_assert(!unit_exists(directory, STAGING));
}
END_TEST

START_TEST(a_file_in_the_directorys_place_is_refused)
{
    struct files others;
    char path[512];
    bool exists;

    write_file("file", "");
    snprintf(path, sizeof path, "%s/file", directory);
    files_init(&others);
    ck_assert_int_eq(files_prepare(&others, path, STAGING, &exists, &err), -ENOTDIR);
    files_done(&others);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("files");
    TCase *storing = unit_case(suite, "storing");
    TCase *undoing = unit_case(suite, "undoing");
    TCase *publishing = unit_case(suite, "publishing");

    tcase_add_checked_fixture(storing, begin, end);
    tcase_add_test(storing, files_are_staged_until_they_are_published);
    tcase_add_test(storing, an_empty_file_is_a_file);
    tcase_add_test(storing, a_suffix_is_appended_and_never_swapped);
    tcase_add_test(storing, a_name_that_comes_twice_is_refused_and_the_first_stays);
    tcase_add_test(storing, a_name_that_leaves_the_directory_is_refused);
    tcase_add_test(storing, a_file_where_a_folder_must_be_is_refused);
    tcase_add_test(storing, a_file_that_cannot_be_whole_is_not_there);
    tcase_add_checked_fixture(undoing, begin, end);
    tcase_add_test(undoing, undoing_takes_back_what_the_task_stored_and_no_more);
    tcase_add_test(undoing, undoing_nothing_is_done);
    tcase_add_test(undoing, any_number_of_files_can_be_undone);
    tcase_add_test(undoing, a_tables_writer_cannot_store_files);
    tcase_add_checked_fixture(publishing, begin, end);
    tcase_add_test(publishing, publishing_merges_into_what_is_there);
    tcase_add_test(publishing, what_an_earlier_job_left_is_removed);
    tcase_add_test(publishing, a_job_of_that_name_that_is_alive_is_left_alone);
    tcase_add_test(publishing, pruning_leaves_those_that_are_wanted);
    tcase_add_test(publishing, staged_files_are_found_again_unless_somebody_has_them);
    tcase_add_test(publishing, discarding_removes_what_is_staged_and_no_more);
    tcase_add_test(publishing, a_folder_whose_files_were_taken_back_is_not_published);
    tcase_add_test(publishing, other_jobs_in_the_same_directory_are_left_alone);
    tcase_add_test(publishing,
                   a_link_in_the_stagings_place_is_removed_and_not_followed);
    tcase_add_test(publishing, a_folder_that_is_a_link_is_not_published_into);
    tcase_add_test(publishing, publishing_that_failed_can_be_repeated);
    tcase_add_test(publishing, a_file_in_the_directorys_place_is_refused);
    return unit_main(suite);
}
