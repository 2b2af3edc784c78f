/* test_path.c - daemon/path.c: names from outside never leave their directory. */
#include "daemon/path.h"

#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory;
static int directory_fd;
static struct lighter_error err;

static void
make_directory(void)
{
    directory = unit_tmpdir();
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(directory_fd, 0);
}

static void
remove_directory(void)
{
    close(directory_fd);
    unit_tmpdir_remove(directory);
}

static int
count_entries(void)
{
    DIR *dir = opendir(directory);
    int n = -2; /* "." and ".." */

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static int
walk(const char *name, size_t size, const char *suffix, char leaf[PATH_LEAF_SIZE])
{
    int fd, r = path_walk(directory_fd, name, size, suffix, &fd, leaf, &err);

    if (r < 0)
        return r;
    ck_assert_int_ge(fd, 0);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(close(fd), 0);
    return r;
}

#define PAD50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define PAD250 PAD50 PAD50 PAD50 PAD50 PAD50

START_TEST(hostile_names_are_refused_and_make_nothing)
{
    static const struct {
        const char *name;
        size_t size; /* 0: strlen */
        const char *why;
    } hostile[] = {
        {"", 0, "an empty name"},
        {"/", 0, "is absolute"},
        {"/etc/passwd", 0, "is absolute"},
        {"//a", 0, "is absolute"},
        {".", 0, "leaves the directory or names it"},
        {"..", 0, "leaves the directory or names it"},
        {"../a", 0, "leaves the directory or names it"},
        {"a/..", 0, "leaves the directory or names it"},
        {"a/../../b", 0, "leaves the directory or names it"},
        {"a/./b", 0, "leaves the directory or names it"},
        {"a//b", 0, "has an empty component"},
        {"a/", 0, "has an empty component"},
        {"a\0b", 3, "control characters"},
        {"\0", 1, "control characters"},
        {"a\nb", 0, "control characters"},
        {"a\x1b[31m", 0, "control characters"},
        {"a\x7f", 0, "control characters"},
        {"a\xc2\x85", 0, "control characters"},
        {"a\xff", 0, "control characters"},
        {"a\u202egnp.exe", 0, "control characters"},
        {PAD250 "123456", 0, "more than 255 bytes"},
        {"a/" PAD250 "123456", 0, "more than 255 bytes"},
        {PAD250 "123456/a", 0, "more than 255 bytes"},
    };
    char leaf[PATH_LEAF_SIZE];

    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t size = hostile[i].size ? hostile[i].size : strlen(hostile[i].name);

        ck_assert_msg(walk(hostile[i].name, size, "", leaf) == -EINVAL, "name %zu", i);
        ck_assert_uint_eq(err.code, LIGHTER_E_VALUE);
        ck_assert_msg(strstr(err.message, hostile[i].why) != NULL, "name %zu: %s", i,
                      err.message);
        ck_assert_int_eq(count_entries(), 0);
    }
}
END_TEST

/* Who looks through a directory has room for a path. */
START_TEST(a_name_is_no_longer_than_a_path)
{
    char name[PATH_MAX + 1], leaf[PATH_LEAF_SIZE];
    int fd;

    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 200 == 199 ? '/' : 'a';
    ck_assert_int_eq(walk(name, PATH_MAX - 2, ".x", leaf), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "is longer than a path can be"));
    ck_assert_int_eq(count_entries(), 0);
    ck_assert_int_eq(path_walk(directory_fd, name, PATH_MAX - 3, ".x", &fd, leaf, &err),
                     0);
    close(fd);
}
END_TEST

START_TEST(odd_names_that_stay_inside_are_taken)
{
    static const char *const odd[] = {"...", ".hidden", "a b",          "..a",
                                      "a..", "-rf",     "\u00e9\u20ac", "~",
                                      "*",   "\\",      PAD250 "12345"};
    char leaf[PATH_LEAF_SIZE];

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        ck_assert_msg(walk(odd[i], strlen(odd[i]), "", leaf) == 0, "%s", err.message);
        ck_assert_str_eq(leaf, odd[i]);
    }
}
END_TEST

START_TEST(a_suffix_counts_as_part_of_the_last_component)
{
    char leaf[PATH_LEAF_SIZE];

    ck_assert_int_eq(walk("1.2.55", 6, ".pt", leaf), 0);
    ck_assert_str_eq(leaf, "1.2.55.pt");
    ck_assert_int_eq(walk(PAD250, 250, "12345", leaf), 0);
    ck_assert_str_eq(leaf, PAD250 "12345");
    ck_assert_int_eq(walk(PAD250, 250, "123456", leaf), -EINVAL);
    ck_assert_int_eq(walk(PAD250 "/a", 252, "123456", leaf), 0);
}
END_TEST

START_TEST(walking_makes_the_folders_of_a_name)
{
    char leaf[PATH_LEAF_SIZE];
    int fd, other;

    ck_assert_int_eq(path_walk(directory_fd, "a/b/c", 5, ".x", &fd, leaf, &err), 0);
    ck_assert_str_eq(leaf, "c.x");
    ck_assert_int_eq(mkdirat(fd, "here", 0700), 0);
    close(fd);
    ck_assert(unit_exists(directory, "a/b/here"));
    ck_assert(!unit_exists(directory, "a/b/c"));

    ck_assert_int_eq(path_walk(directory_fd, "a/b/d", 5, "", &other, leaf, &err), 0);
    close(other);
}
END_TEST

START_TEST(a_name_without_a_folder_gives_a_descriptor_of_its_own)
{
    char leaf[PATH_LEAF_SIZE];
    int fd;

    ck_assert_int_eq(path_walk(directory_fd, "a", 1, "", &fd, leaf, &err), 0);
    ck_assert_int_ne(fd, directory_fd);
    close(fd);
    ck_assert_int_ge(fcntl(directory_fd, F_GETFD), 0);
}
END_TEST

START_TEST(folders_that_are_links_are_refused)
{
    char leaf[PATH_LEAF_SIZE];

    ck_assert_int_eq(symlinkat("/tmp", directory_fd, "link"), 0);
    ck_assert_int_eq(symlinkat(".", directory_fd, "self"), 0);
    ck_assert_int_eq(mkdirat(directory_fd, "a", 0700), 0);
    ck_assert_int_eq(symlinkat("..", directory_fd, "a/up"), 0);

    ck_assert_int_lt(walk("link/x", 6, "", leaf), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_lt(walk("self/x", 6, "", leaf), 0);
    ck_assert_int_lt(walk("a/up/x", 6, "", leaf), 0);
    ck_assert_ptr_nonnull(strstr(err.message, "open the folder 'up'"));
}
END_TEST

START_TEST(folders_that_are_files_are_refused)
{
    char leaf[PATH_LEAF_SIZE];
    int fd = openat(directory_fd, "file", O_CREAT | O_WRONLY, 0600);

    close(fd);
    ck_assert_int_eq(walk("file/x", 6, "", leaf), -ENOTDIR);
}
END_TEST

/* Deep trees cost whoever walks them a descriptor and a call a level. */
START_TEST(a_name_has_at_most_64_components)
{
    char name[2 * 65 - 1], leaf[PATH_LEAF_SIZE];

    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '/' : 'a';
    ck_assert_int_eq(walk(name, sizeof name, "", leaf), -EINVAL);
    ck_assert_int_eq(count_entries(), 0);
    ck_assert_int_eq(walk(name, sizeof name - 2, "", leaf), 0);
}
END_TEST

/* ---- directories --------------------------------------------------------------- */

static char path[4096];

static const char *
inside(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

START_TEST(a_directory_is_made_with_its_parents)
{
    int fd;

    ck_assert_int_eq(path_make_directory(inside("x/y/z"), &fd, &err), 0);
    close(fd);
    ck_assert(unit_exists(directory, "x/y/z"));
    ck_assert_int_eq(path_make_directory(inside("x/y/z/"), &fd, &err), 0);
    close(fd);
    ck_assert_int_eq(path_make_directory(inside("x/w/"), &fd, &err), 0);
    close(fd);
    ck_assert_int_eq(path_make_directory("/", &fd, &err), 0);
    close(fd);
}
END_TEST

START_TEST(a_directory_may_lie_behind_a_link)
{
    int fd;

    ck_assert_int_eq(mkdirat(directory_fd, "real", 0700), 0);
    ck_assert_int_eq(symlinkat("real", directory_fd, "link"), 0);
    ck_assert_int_eq(path_make_directory(inside("link/sub"), &fd, &err), 0);
    close(fd);
    ck_assert(unit_exists(directory, "real/sub"));
}
END_TEST

START_TEST(a_directory_that_cannot_be_says_why)
{
    int fd = openat(directory_fd, "file", O_CREAT | O_WRONLY, 0600);

    close(fd);
    ck_assert_int_eq(path_make_directory(inside("file"), &fd, &err), -ENOTDIR);
    ck_assert_int_eq(path_make_directory(inside("file/sub"), &fd, &err), -ENOTDIR);
    ck_assert_int_eq(path_make_directory("/proc/nothing/here", &fd, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "make the directory '/proc/nothing'"));
}
END_TEST

START_TEST(a_link_below_a_root_is_followed_where_it_leads_below_one)
{
    char roots[8192];
    int fd;

    ck_assert_int_eq(mkdirat(directory_fd, "root", 0700), 0);
    ck_assert_int_eq(mkdirat(directory_fd, "root/real", 0700), 0);
    ck_assert_int_eq(mkdirat(directory_fd, "outside", 0700), 0);
    ck_assert_int_eq(symlinkat("real", directory_fd, "root/link"), 0);
    ck_assert_int_eq(symlinkat("../outside", directory_fd, "root/away"), 0);
    snprintf(roots, sizeof roots, "/nowhere:%s/root", directory);

    ck_assert_msg(path_make_below(roots, inside("root/link"), &fd, &err) == 0, "%s",
                  err.message);
    close(fd);
    ck_assert_msg(path_make_below(roots, inside("root/link/sub"), &fd, &err) == 0, "%s",
                  err.message);
    close(fd);
    ck_assert(unit_exists(directory, "root/real/sub"));
    ck_assert_int_eq(path_make_below(roots, inside("root/away"), &fd, &err), -EACCES);
    ck_assert_ptr_nonnull(strstr(err.message, "/outside', which is not below"));
    ck_assert_int_eq(path_make_below(roots, inside("root/away/sub"), &fd, &err),
                     -EACCES);
    ck_assert(!unit_exists(directory, "outside/sub"));
}
END_TEST

START_TEST(a_name_of_our_own_directories_is_refused)
{
    char leaf[PATH_LEAF_SIZE];

    ck_assert_int_eq(walk(".lighterd.job.predict.0/a", 25, "", leaf), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "begins with '.lighterd.'"));
    ck_assert_int_eq(walk("sub/.lighterd.x", 15, "", leaf), -EINVAL);
    ck_assert_int_eq(walk(".lighter", 8, "", leaf), 0);
    ck_assert_int_eq(count_entries(), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("path");
    TCase *names = unit_case(suite, "names");
    TCase *directories = unit_case(suite, "directories");

    tcase_add_checked_fixture(names, make_directory, remove_directory);
    tcase_add_test(names, hostile_names_are_refused_and_make_nothing);
    tcase_add_test(names, a_name_is_no_longer_than_a_path);
    tcase_add_test(names, odd_names_that_stay_inside_are_taken);
    tcase_add_test(names, a_suffix_counts_as_part_of_the_last_component);
    tcase_add_test(names, walking_makes_the_folders_of_a_name);
    tcase_add_test(names, a_name_without_a_folder_gives_a_descriptor_of_its_own);
    tcase_add_test(names, folders_that_are_links_are_refused);
    tcase_add_test(names, folders_that_are_files_are_refused);
    tcase_add_test(names, a_name_has_at_most_64_components);
    tcase_add_checked_fixture(directories, make_directory, remove_directory);
    tcase_add_test(directories, a_directory_is_made_with_its_parents);
    tcase_add_test(directories, a_directory_may_lie_behind_a_link);
    tcase_add_test(directories, a_directory_that_cannot_be_says_why);
    tcase_add_test(directories,
                   a_link_below_a_root_is_followed_where_it_leads_below_one);
    tcase_add_test(names, a_name_of_our_own_directories_is_refused);
    return unit_main(suite);
}
