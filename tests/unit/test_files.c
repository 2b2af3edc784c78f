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

static struct manifest manifest;
static char *warning;

/* The directory is target, or `target` in it. `alone`: it may be staged beside it. */
static int
prepare_in(const char *path, bool alone, bool *ret_exists)
{
    int r;

    files_done(&files);
    files.mark = (struct files_mark){0};
    manifest_done(&manifest);
    free(warning);
    warning = NULL;
    r = files_open(&files, path, ret_exists, &err);
    return r < 0 ? r : files_stage(&files, path, STAGING, 0x1d, alone, &warning, &err);
}

static int
prepare(bool *ret_exists)
{
    return prepare_in(directory, false, ret_exists);
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
    manifest_done(&manifest);
    free(warning);
    warning = NULL;
    unit_tmpdir_remove(directory);
}

/* What the output has stored is committed: to the manifest, and for good. */
static void
commit(void)
{
    struct filenote note;

    for (size_t at = 0;
         filenote_next(output.names, output.names_used, true, &at, &note);)
        ck_assert_int_eq(manifest_add(&manifest, &note, &err), 0);
    output_clear(&output);
    manifest_sort(&manifest);
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

static struct files_shown shown;

/* As a job does it: what is in the way is found before anything is shown. */
static int
try_to_publish(const char *path)
{
    int r;

    commit();
    r = files_sync(&files, &err);
    if (r == 0)
        r = files_check(&files, &manifest, &err);
    if (r == 0 && manifest_count_unseen(&manifest))
        return -ENOENT;
    if (r == 0)
        r = files_survey(&files, path, false, &err);
    return r < 0 ? r : files_publish(&files, path, &manifest, 0x1d, &shown, &err);
}

static void
publish(void)
{
    ck_assert_msg(try_to_publish(directory) == 0, "%s", err.message);
    ck_assert_ptr_null(shown.path);
    ck_assert_ptr_null(shown.before);
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
    commit();
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

START_TEST(what_another_job_left_stays_and_is_named)
{
    bool exists = true;

    must_store("sub/left", "left");
    output_clear(&output);
    ck_assert_int_eq(prepare(&exists), 0);
    ck_assert(!exists); /* a staging directory is no output */
    ck_assert_ptr_nonnull(strstr(warning, "'" STAGING "' was there already"));
    ck_assert_str_eq(files.mark.name, STAGING ".1d");
    must_store("a", "1");
    publish();
    expect_file("a.x", "1");
    ck_assert(staged("sub/left.x"));
    ck_assert(!unit_exists(directory, STAGING ".1d"));
}
END_TEST

START_TEST(a_job_that_is_alive_is_left_alone)
{
    struct files others;
    bool exists, gone;

    must_store("a", "1");
    files_init(&others);
    ck_assert_int_eq(files_open(&others, directory, &exists, &err), 0);
    others.mark = files.mark;
    ck_assert_int_eq(files_reopen(&others, directory, &gone, &err), -EBUSY);
    files_done(&others);
    ck_assert(staged("a.x"));
}
END_TEST

START_TEST(pruning_leaves_those_that_are_committed)
{
    must_store("a", "1");
    must_store("sub/inner/b", "4");
    commit();
    must_store("b", "2");
    must_store("sub/a", "3");
    must_store("gone/c", "5");
    output_clear(&output);
    ck_assert_msg(files_prune(&files, &manifest, &err) == 0, "%s", err.message);
    ck_assert_uint_eq(manifest_count_unseen(&manifest), 0);
    publish();

    expect_file("a.x", "1");
    expect_file("sub/inner/b.x", "4");
    ck_assert(!unit_exists(directory, "b.x"));
    ck_assert(!unit_exists(directory, "sub/a.x"));
    ck_assert(!unit_exists(directory, "gone"));
}
END_TEST

/* As the next daemon does it. */
static int
reopen(const char *path, bool *ret_gone)
{
    bool exists;

    files_done(&files);
    ck_assert_int_eq(files_open(&files, path, &exists, &err), 0);
    return files_reopen(&files, path, ret_gone, &err);
}

START_TEST(staged_files_are_found_again)
{
    bool gone = true;

    must_store("a", "1");
    commit();
    ck_assert_int_eq(reopen(directory, &gone), 0);
    ck_assert(!gone);
    publish();
    expect_file("a.x", "1");

    ck_assert_int_eq(reopen(directory, &gone), 0);
    ck_assert(gone);
    /* that was done before */
    ck_assert_int_eq(files_publish(&files, directory, &manifest, 1, &shown, &err), 0);
}
END_TEST

START_TEST(another_directory_of_that_name_is_not_taken_for_ours)
{
    bool gone;

    must_store("a", "1");
    ck_assert_int_eq(
        renameat(files.directory_fd, STAGING, files.directory_fd, "elsewhere"), 0);
    ck_assert_int_eq(mkdirat(files.directory_fd, STAGING, 0700), 0);
    write_file(STAGING "/of-another", "1");

    ck_assert_int_eq(reopen(directory, &gone), -ESTALE);
    ck_assert_ptr_nonnull(
        strstr(err.message, "is not the staging directory of this job"));
    ck_assert_int_eq(files_discard(&files, &err), 0);
    expect_file(STAGING "/of-another", "1");
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

START_TEST(a_link_in_the_stagings_place_is_not_followed)
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

/* ---- what is not as it was written ---- */

static void
expect_refused(int r, const char *why)
{
    int came = try_to_publish(directory);

    ck_assert_msg(came == r, "%d: %s", came, err.message);
    ck_assert_msg(strstr(err.message, why) != NULL, "%s", err.message);
    ck_assert(!unit_exists(directory, "a.x"));
    ck_assert(staged("a.x"));
}

START_TEST(a_staged_file_that_was_changed_is_not_shown)
{
    must_store("a", "1");
    must_store("b", "22");
    close(openat(files.staging_fd, "b.x", O_WRONLY | O_TRUNC));
    expect_refused(-ENODATA, "the staged file 'b.x' was changed: it has 0 bytes, but 2 "
                             "were written to it");
}
END_TEST

START_TEST(a_staged_file_that_was_replaced_is_not_shown)
{
    must_store("a", "1");
    must_store("b", "2");
    write_file(STAGING "/other", "3");
    ck_assert_int_eq(renameat(files.staging_fd, "other", files.staging_fd, "b.x"), 0);
    expect_refused(-ESTALE, "the staged file 'b.x' was replaced");
}
END_TEST

START_TEST(a_staged_file_that_is_gone_is_missed)
{
    must_store("a", "1");
    must_store("b", "2");
    ck_assert_int_eq(unlinkat(files.staging_fd, "b.x", 0), 0);
    ck_assert_int_eq(try_to_publish(directory), -ENOENT);
    ck_assert_uint_eq(manifest_count_unseen(&manifest), 1);
    ck_assert(!unit_exists(directory, "a.x"));
}
END_TEST

START_TEST(what_nobody_wrote_is_not_shown)
{
    must_store("a", "1");
    write_file(STAGING "/notes", "mine");
    expect_refused(-EBUSY, "'notes' lies among the staged files");
    expect_file(STAGING "/notes", "mine");
}
END_TEST

/* ---- what is in the way ---- */

START_TEST(a_folder_that_is_a_link_is_not_published_into)
{
    ck_assert_int_eq(mkdirat(files.directory_fd, "kept", 0700), 0);
    ck_assert_int_eq(symlinkat("kept", files.directory_fd, "sub"), 0);
    must_store("a", "1");
    must_store("sub/a", "1");
    expect_refused(-ELOOP, "sub' is a link, and a folder of files is to be there");
    ck_assert(!unit_exists(directory, "kept/a.x"));
}
END_TEST

START_TEST(a_file_where_a_folder_is_to_be_is_found_before_anything_is_shown)
{
    must_store("a", "1");
    must_store("deep/sub/a", "1");
    ck_assert_int_eq(mkdirat(files.directory_fd, "deep", 0700), 0);
    write_file("deep/sub", "");
    expect_refused(-ENOTDIR, "deep/sub' is a file, and a folder of that name");
}
END_TEST

START_TEST(publishing_that_met_an_obstacle_can_be_repeated)
{
    must_store("a", "1");
    must_store("b", "2");
    ck_assert_int_eq(mkdirat(files.directory_fd, "b.x", 0700), 0);
    expect_refused(-EISDIR, "b.x' is a folder, and a file of that name is to be there");

    ck_assert_int_eq(unlinkat(files.directory_fd, "b.x", AT_REMOVEDIR), 0);
    publish();
    expect_file("a.x", "1");
    expect_file("b.x", "2");
    ck_assert(!unit_exists(directory, STAGING));
}
END_TEST

START_TEST(publishing_that_was_cut_short_goes_on)
{
    bool gone;

    must_store("a", "1");
    must_store("b", "2");
    must_store("sub/c", "3");
    commit();
    /* one was shown, and one folder was made */
    ck_assert_int_eq(renameat(files.staging_fd, "b.x", files.directory_fd, "b.x"), 0);
    ck_assert_int_eq(mkdirat(files.directory_fd, "sub", 0700), 0);
    ck_assert_int_eq(reopen(directory, &gone), 0);
    ck_assert(!gone);

    ck_assert_int_eq(files_check(&files, &manifest, &err), 0);
    ck_assert_uint_eq(manifest_count_unseen(&manifest), 1);
    ck_assert_int_eq(files_survey(&files, directory, true, &err), 0);
    ck_assert_int_eq(files_publish(&files, directory, &manifest, 1, &shown, &err), 0);
    expect_file("a.x", "1");
    expect_file("b.x", "2");
    expect_file("sub/c.x", "3");
    ck_assert(!unit_exists(directory, STAGING));
}
END_TEST

/* ---- the directory as a whole ---- */

static char target[4096];

/* An empty target in the directory, staged beside it where `overwrite` may. */
static void
prepare_target(enum overwrite overwrite)
{
    bool exists;

    snprintf(target, sizeof target, "%s/masks", directory);
    ck_assert_int_eq(files_discard(&files, &err), 0);
    files.overwrite = overwrite;
    ck_assert_msg(prepare_in(target, true, &exists) == 0, "%s", err.message);
}

static ino_t
inode_of(const char *name)
{
    char path[8192];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_ino;
}

static void
make_directory(const char *name, mode_t mode)
{
    char path[8192];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void
make_file(const char *name, const char *text)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY), file;

    file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    close(fd);
}

START_TEST(the_staging_directory_becomes_an_empty_target_by_one_rename)
{
    struct stat status;
    ino_t inode;

    make_directory("masks", 0751);
    prepare_target(OVERWRITE_REPLACE);
    ck_assert(files.mark.beside);
    must_store("sub/a", "1");
    ck_assert(staged("sub/a.x")); /* beside the target, not in it */
    inode = inode_of(STAGING);

    ck_assert_msg(try_to_publish(target) == 0, "%s", err.message);
    ck_assert_uint_eq(inode_of("masks"), inode);
    ck_assert_int_eq(stat(target, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0751);
    expect_file("masks/sub/a.x", "1");
    ck_assert(!unit_exists(directory, STAGING));
    ck_assert_ptr_null(shown.path);
}
END_TEST

START_TEST(a_target_that_is_not_empty_any_more_gets_file_by_file)
{
    prepare_target(OVERWRITE_REPLACE);
    must_store("a", "1");
    make_file("masks/other", "other");
    ck_assert_msg(try_to_publish(target) == 0, "%s", err.message);
    expect_file("masks/a.x", "1");
    expect_file("masks/other", "other");
    ck_assert(!unit_exists(directory, STAGING));
}
END_TEST

START_TEST(a_target_that_was_removed_is_there_again)
{
    prepare_target(OVERWRITE_REPLACE);
    must_store("a", "1");
    ck_assert_int_eq(rmdir(target), 0);
    ck_assert_msg(try_to_publish(target) == 0, "%s", err.message);
    expect_file("masks/a.x", "1");
}
END_TEST

START_TEST(a_target_that_was_removed_and_made_again_gets_what_is_new)
{
    prepare_target(OVERWRITE_REPLACE);
    must_store("a", "1");
    ck_assert_int_eq(rmdir(target), 0);
    make_directory("masks", 0755);
    make_file("masks/other", "other");
    ck_assert_msg(try_to_publish(target) == 0, "%s", err.message);
    expect_file("masks/a.x", "1");
    expect_file("masks/other", "other");
}
END_TEST

static void
expect_moved(bool beside)
{
    char moved[8192];

    ck_assert_int_eq(files.mark.beside, beside);
    must_store("a", "1");
    snprintf(moved, sizeof moved, "%s/moved", directory);
    ck_assert_int_eq(rename(target, moved), 0);
    ck_assert_msg(try_to_publish(target) == 0, "%s", err.message);
    expect_file("moved/a.x", "1");
    ck_assert_str_eq(shown.path, moved);
    free(shown.path);
    ck_assert(!unit_exists(directory, "masks"));
}

START_TEST(a_target_that_was_renamed_is_answered_with_its_new_path)
{
    prepare_target(OVERWRITE_REPLACE);
    expect_moved(true);
    make_directory("masks", 0755);
    make_file("masks/other", "other");
    snprintf(target, sizeof target, "%s/moved/a.x", directory);
    ck_assert_int_eq(unlink(target), 0);
    snprintf(target, sizeof target, "%s/moved", directory);
    ck_assert_int_eq(rmdir(target), 0);
    prepare_target(OVERWRITE_REPLACE);
    expect_moved(false);
}
END_TEST

START_TEST(one_rename_that_was_done_is_not_done_again)
{
    bool gone;

    prepare_target(OVERWRITE_REPLACE);
    must_store("a", "1");
    ck_assert_int_eq(try_to_publish(target), 0);
    ck_assert_int_eq(reopen(target, &gone), 0);
    ck_assert(gone);
    ck_assert_int_eq(files_publish(&files, target, &manifest, 0x1d, &shown, &err), 0);
    expect_file("masks/a.x", "1");
}
END_TEST

START_TEST(who_wants_nothing_overwritten_is_refused)
{
    prepare_target(OVERWRITE_ERROR);
    must_store("a", "1");
    make_file("masks/other", "other");
    ck_assert_int_eq(try_to_publish(target), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "is not empty any more"));
    ck_assert(!unit_exists(directory, "masks/a.x"));
}
END_TEST

START_TEST(a_directory_is_exchanged_and_the_old_one_kept)
{
    char *before;

    make_directory("masks", 0700);
    make_file("masks/old", "old");
    prepare_target(OVERWRITE_EXCHANGE);
    ck_assert(files.mark.beside);
    must_store("a", "1");
    ck_assert_msg(try_to_publish(target) == 0, "%s", err.message);

    expect_file("masks/a.x", "1");
    ck_assert(!unit_exists(directory, "masks/old"));
    expect_file("masks.before-1d/old", "old");
    before = shown.before;
    ck_assert_ptr_nonnull(strstr(before, "/masks.before-1d"));
    ck_assert_ptr_null(shown.path);
    free(before);
}
END_TEST

START_TEST(an_exchange_that_was_cut_short_goes_on)
{
    bool gone;

    make_directory("masks", 0700);
    make_file("masks/old", "old");
    prepare_target(OVERWRITE_EXCHANGE);
    must_store("a", "1");
    commit();
    ck_assert_int_eq(
        renameat2(files.parent_fd, STAGING, files.parent_fd, "masks", RENAME_EXCHANGE),
        0);
    ck_assert_int_eq(reopen(target, &gone), 0);
    ck_assert(gone);
    ck_assert_int_eq(files_publish(&files, target, &manifest, 0x1d, &shown, &err), 0);
    expect_file("masks/a.x", "1");
    expect_file("masks.before-1d/old", "old");
    free(shown.before);
}
END_TEST

START_TEST(what_cannot_be_exchanged_is_refused_before_anything_is_written)
{
    bool exists;

    snprintf(target, sizeof target, "%s/masks", directory);
    files.overwrite = OVERWRITE_EXCHANGE;
    ck_assert_int_eq(prepare_in(target, false, &exists), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "another writer writes there too"));
    files.overwrite = OVERWRITE_REPLACE;
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
    ck_assert_int_eq(files_open(&others, path, &exists, &err), -ENOTDIR);
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
    TCase *checking = unit_case(suite, "checking");
    TCase *whole = unit_case(suite, "whole");

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
    tcase_add_test(publishing, what_another_job_left_stays_and_is_named);
    tcase_add_test(publishing, a_job_that_is_alive_is_left_alone);
    tcase_add_test(publishing, pruning_leaves_those_that_are_committed);
    tcase_add_test(publishing, staged_files_are_found_again);
    tcase_add_test(publishing, another_directory_of_that_name_is_not_taken_for_ours);
    tcase_add_test(publishing, discarding_removes_what_is_staged_and_no_more);
    tcase_add_test(publishing, a_folder_whose_files_were_taken_back_is_not_published);
    tcase_add_test(publishing, other_jobs_in_the_same_directory_are_left_alone);
    tcase_add_test(publishing, a_link_in_the_stagings_place_is_not_followed);
    tcase_add_test(publishing, a_file_in_the_directorys_place_is_refused);
    tcase_add_checked_fixture(checking, begin, end);
    tcase_add_test(checking, a_staged_file_that_was_changed_is_not_shown);
    tcase_add_test(checking, a_staged_file_that_was_replaced_is_not_shown);
    tcase_add_test(checking, a_staged_file_that_is_gone_is_missed);
    tcase_add_test(checking, what_nobody_wrote_is_not_shown);
    tcase_add_test(checking, a_folder_that_is_a_link_is_not_published_into);
    tcase_add_test(checking,
                   a_file_where_a_folder_is_to_be_is_found_before_anything_is_shown);
    tcase_add_test(checking, publishing_that_met_an_obstacle_can_be_repeated);
    tcase_add_test(checking, publishing_that_was_cut_short_goes_on);
    tcase_add_checked_fixture(whole, begin, end);
    tcase_add_test(whole, the_staging_directory_becomes_an_empty_target_by_one_rename);
    tcase_add_test(whole, a_target_that_is_not_empty_any_more_gets_file_by_file);
    tcase_add_test(whole, a_target_that_was_removed_is_there_again);
    tcase_add_test(whole, a_target_that_was_removed_and_made_again_gets_what_is_new);
    tcase_add_test(whole, a_target_that_was_renamed_is_answered_with_its_new_path);
    tcase_add_test(whole, one_rename_that_was_done_is_not_done_again);
    tcase_add_test(whole, who_wants_nothing_overwritten_is_refused);
    tcase_add_test(whole, a_directory_is_exchanged_and_the_old_one_kept);
    tcase_add_test(whole, an_exchange_that_was_cut_short_goes_on);
    tcase_add_test(whole,
                   what_cannot_be_exchanged_is_refused_before_anything_is_written);
    return unit_main(suite);
}
