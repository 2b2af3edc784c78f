/* test_own.c - daemon/own.c: what is not ours stays as it is. */
#include "daemon/own.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *directory;
static int at;
static struct lighter_error err;

static void
begin(void)
{
    directory = unit_tmpdir();
    at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(at, 0);
}

static void
end(void)
{
    close(at);
    unit_tmpdir_remove(directory);
}

static struct own_id
make(const char *name, const char *text)
{
    struct own_id id = {0};
    int fd;

    ck_assert_msg(own_create(at, name, 0600, &fd, &err) == 0, "%s", err.message);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(own_of(fd, &id, &err), 0);
    close(fd);
    return id;
}

static struct own_id
make_folder(const char *name)
{
    struct own_id id = {0};
    int fd;

    ck_assert_int_eq(own_make_directory(at, name, 0700, &fd, &err), 0);
    ck_assert_int_eq(own_of(fd, &id, &err), 0);
    close(fd);
    return id;
}

/* Somebody puts another file in its place; ours lives on, so that its inode does. */
static void
replace(const char *name)
{
    ck_assert_int_eq(renameat(at, name, at, "moved away"), 0);
    make(name, "theirs");
}

static void
expect_theirs(const char *name)
{
    char *text = unit_read_file(directory, name, NULL);

    ck_assert_str_eq(text, "theirs");
    free(text);
}

START_TEST(what_we_made_is_ours_and_can_be_removed)
{
    struct own_id id = make("a", "ours");

    ck_assert_int_eq(own_look(at, "a", &id, NULL, &err), 0);
    ck_assert_int_eq(own_remove(at, "a", &id, &err), 0);
    ck_assert_int_eq(own_look(at, "a", &id, NULL, &err), OWN_GONE);
    ck_assert_int_eq(own_remove(at, "a", &id, &err), OWN_GONE);
}
END_TEST

START_TEST(what_was_put_in_its_place_is_not_removed)
{
    struct own_id id = make("a", "ours"), nobodys = {0};

    replace("a");
    ck_assert_int_eq(own_remove(at, "a", &id, &err), OWN_OTHER);
    ck_assert_int_eq(own_remove(at, "a", &nobodys, &err), OWN_OTHER);
    expect_theirs("a");
}
END_TEST

START_TEST(what_was_put_in_its_place_is_not_published)
{
    struct own_id id = make("a", "ours");

    make("b", "older");
    replace("a");
    ck_assert_int_eq(own_rename(at, "a", at, "b", 0, &id, OWN_ANY_SIZE, &err), -ESTALE);
    ck_assert_ptr_nonnull(strstr(err.message, "'a' is not the file"));
    expect_theirs("a");
}
END_TEST

START_TEST(what_has_another_size_is_not_published)
{
    struct own_id id = make("a", "ours");

    ck_assert_int_eq(own_rename(at, "a", at, "b", 0, &id, 5, &err), -ENODATA);
    ck_assert_str_eq(err.message, "'a' has 4 bytes, but 5 were written to it");
    ck_assert_int_eq(own_rename(at, "a", at, "b", 0, &id, 4, &err), 0);
    ck_assert_int_eq(own_rename(at, "a", at, "b", 0, &id, 4, &err), -ENOENT);
    ck_assert_int_eq(own_look(at, "b", &id, NULL, &err), 0);
}
END_TEST

START_TEST(a_rename_may_be_told_to_replace_nothing)
{
    struct own_id id = make("a", "ours");

    make("b", "theirs");
    ck_assert_int_eq(own_rename(at, "a", at, "b", RENAME_NOREPLACE, &id, 4, &err),
                     -EEXIST);
    expect_theirs("b");
}
END_TEST

START_TEST(a_link_to_what_is_ours_is_not_ours)
{
    struct own_id id = make("a", "ours");

    ck_assert_int_eq(symlinkat("a", at, "link"), 0);
    ck_assert_int_eq(own_remove(at, "link", &id, &err), OWN_OTHER);
    ck_assert(unit_exists(directory, "link"));
}
END_TEST

START_TEST(what_is_there_is_never_created_anew)
{
    int fd;

    make("a", "theirs");
    ck_assert_int_eq(symlinkat("nowhere", at, "link"), 0);
    ck_assert_int_eq(own_create(at, "a", 0600, &fd, &err), -EEXIST);
    ck_assert_int_eq(own_create(at, "link", 0600, &fd, &err), -EEXIST);
    ck_assert_int_eq(own_make_directory(at, "a", 0700, &fd, &err), -EEXIST);
    expect_theirs("a");
}
END_TEST

START_TEST(only_the_tree_that_is_ours_is_removed)
{
    struct own_id id = make_folder("tree");

    make("tree/a", "ours");
    make_folder("tree/inner");
    make("tree/inner/b", "ours");
    make("kept", "theirs");
    ck_assert_int_eq(symlinkat("../kept", at, "tree/link"), 0);
    ck_assert_int_eq(renameat(at, "tree", at, "moved"), 0);
    make_folder("tree");
    make("tree/a", "theirs");

    ck_assert_int_eq(own_remove_tree(at, "tree", &id, &err), OWN_OTHER);
    expect_theirs("tree/a");
    ck_assert_int_eq(own_remove_directory(at, "moved", &id, &err), -ENOTEMPTY);
    ck_assert_int_eq(own_remove_tree(at, "moved", &id, &err), 0);
    ck_assert_int_eq(own_remove_tree(at, "moved", &id, &err), OWN_GONE);
    expect_theirs("kept");
}
END_TEST

START_TEST(what_is_not_of_the_type_is_not_adopted)
{
    struct own_id id = {0};

    make("a", "");
    ck_assert_int_eq(own_adopt(at, "a", S_IFSOCK, &id, &err), OWN_OTHER);
    ck_assert_int_eq(own_adopt(at, "b", S_IFREG, &id, &err), OWN_GONE);
    ck_assert_int_eq(own_adopt(at, "a", S_IFREG, &id, &err), 0);
    ck_assert_int_eq(own_look(at, "a", &id, NULL, &err), 0);
}
END_TEST

START_TEST(only_what_is_ours_is_cut)
{
    struct own_id id = make("a", "ours");
    int theirs, ours = openat(at, "a", O_RDWR | O_CLOEXEC);

    replace("a");
    theirs = openat(at, "a", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(own_cut(theirs, &id, 0, &err), -ESTALE);
    expect_theirs("a");
    ck_assert_int_eq(own_cut(ours, &id, 1, &err), 0);
    close(theirs);
    close(ours);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("own");
    TCase *tests = unit_case(suite, "own");

    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, what_we_made_is_ours_and_can_be_removed);
    tcase_add_test(tests, what_was_put_in_its_place_is_not_removed);
    tcase_add_test(tests, what_was_put_in_its_place_is_not_published);
    tcase_add_test(tests, what_has_another_size_is_not_published);
    tcase_add_test(tests, a_rename_may_be_told_to_replace_nothing);
    tcase_add_test(tests, a_link_to_what_is_ours_is_not_ours);
    tcase_add_test(tests, what_is_there_is_never_created_anew);
    tcase_add_test(tests, only_the_tree_that_is_ours_is_removed);
    tcase_add_test(tests, what_is_not_of_the_type_is_not_adopted);
    tcase_add_test(tests, only_what_is_ours_is_cut);
    return unit_main(suite);
}
