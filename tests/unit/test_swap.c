/* test_swap.c - daemon/path.c and files.c: folders that become links while we create.
 *
 * Another thread exchanges folders with links that lead out, as fast as it can, and
 * files are made, taken back and removed below them. Nothing may be made or removed
 * outside. SWAP_CREATES is how many files are tried: 10^4 unless told, 10^6 is the long
 * form.
 */
#include "daemon/files.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory;
static int root_fd, outside_fd;
static atomic_bool is_over;

/* ---- the places ---- */

static int
open_folder(int fd, const char *name)
{
    int inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    ck_assert_int_ge(inner, 0);
    return inner;
}

static void
make_folder(int fd, const char *name)
{
    ck_assert_int_eq(mkdirat(fd, name, 0700), 0);
}

static void
make_file(int fd, const char *name)
{
    int file = openat(fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    ck_assert_int_ge(file, 0);
    close(file);
}

/* root/d/e/ is where files go. outside/ has folders of these names, and a file to lose
 * in each. root/link and root/d/link lead there.
 */
static void
set_up(void)
{
    directory = unit_tmpdir();
    root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_folder(root_fd, "outside");
    make_folder(root_fd, "root");
    outside_fd = open_folder(root_fd, "outside");
    close(root_fd);
    root_fd = open_folder(outside_fd, "../root");
    make_folder(outside_fd, "e");
    make_file(outside_fd, "kept");
    make_file(outside_fd, "e/kept");
    make_folder(root_fd, "d");
    make_folder(root_fd, "d/e");
    ck_assert_int_eq(symlinkat("../outside", root_fd, "link"), 0);
    ck_assert_int_eq(symlinkat("../../outside/e", root_fd, "d/link"), 0);
}

static void
tear_down(void)
{
    close(root_fd);
    close(outside_fd);
    unit_tmpdir_remove(directory);
}

static int
count_entries(int fd, const char *name)
{
    int inner = open_folder(fd, name), n = 0, end;
    DIR *dir = path_list(inner);

    while (path_next(dir, &end))
        n++;
    closedir(dir);
    close(inner);
    return n;
}

/* Not one more, and not one less. */
static void
expect_nothing_outside(void)
{
    ck_assert_int_eq(count_entries(outside_fd, "."), 2);
    ck_assert_int_eq(count_entries(outside_fd, "e"), 1);
    ck_assert_int_eq(faccessat(outside_fd, "kept", F_OK, 0), 0);
    ck_assert_int_eq(faccessat(outside_fd, "e/kept", F_OK, 0), 0);
}

/* ---- who swaps ---- */

static void *
swap(void *data)
{
    int inner = openat(root_fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)data;
    while (!is_over) {
        renameat2(root_fd, "d", root_fd, "link", RENAME_EXCHANGE);
        renameat2(inner, "e", inner, "link", RENAME_EXCHANGE);
        renameat2(root_fd, "tree/d", root_fd, "tree/link", RENAME_EXCHANGE);
    }
    close(inner);
    return NULL;
}

/* ---- who creates ---- */

struct tally {
    int n_made, n_refused;
};

/* Return: was it made? */
static bool
store(struct files *files, const char *name)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_sink sink;
    uint64_t inode;
    int r;

    sink_init(&sink);
    memcpy(sink_reserve(&sink, 4), "data", 4);
    sink_commit(&sink, 4);
    r = files_store(files, name, strlen(name), ".x", &sink, &inode, &err);
    sink_done(&sink);
    ck_assert(r == 0 || *err.message);
    return r == 0;
}

/* By the name of a sample: made, and taken back. */
static void
store_and_remove(struct files *files, int e_fd, struct tally *tally)
{
    if (!store(files, "d/e/f")) {
        tally->n_refused++;
        return;
    }
    tally->n_made++;
    files_remove(files, &(struct filenote){.name = "d/e/f.x"});
    unlinkat(e_fd, "f.x", 0); /* where that was refused */
}

/* By the path of an output, below one of output_roots. */
static void
make_output(const char *roots, const char *path, int e_fd, struct tally *tally)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    int fd, r = path_make_below(roots, path, &fd, &err);

    if (r < 0) {
        tally->n_refused++;
        return;
    }
    close(openat(fd, "o", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    close(fd);
    unlinkat(e_fd, "o", 0);
    tally->n_made++;
}

/* As a staging directory is removed, with links in it. */
static void
remove_tree(struct tally *tally)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct own_id id = {0};

    mkdirat(root_fd, "tree", 0700);
    mkdirat(root_fd, "tree/d", 0700);
    ck_assert(symlinkat("../../outside", root_fd, "tree/link") == 0 || errno == EEXIST);
    ck_assert_int_eq(own_adopt(root_fd, "tree", S_IFDIR, &id, &err), 0);
    *(own_remove_tree(root_fd, "tree", &id, &err) < 0 ? &tally->n_refused
                                                      : &tally->n_made) += 1;
}

static int
count_creates(void)
{
    const char *text = getenv("SWAP_CREATES");

    return text ? atoi(text) : 10000;
}

START_TEST(nothing_leaves_a_directory_whose_folders_are_swapped)
{
    struct tally stored = {0}, made = {0}, removed = {0};
    int e_fd = open_folder(root_fd, "d/e"), n_creates = count_creates();
    char root[4096], output[4200];
    struct files files;
    pthread_t thread;

    snprintf(root, sizeof root, "%s/root", directory);
    snprintf(output, sizeof output, "%s/d/e", root);
    files_init(&files);
    files.staging_fd = root_fd;
    is_over = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, swap, NULL), 0);
    for (int i = 0; i < n_creates; i++) {
        store_and_remove(&files, e_fd, &stored);
        make_output(root, output, e_fd, &made);
        if (i % 10 == 0)
            remove_tree(&removed);
        if (i % 1000 == 0)
            expect_nothing_outside();
    }
    is_over = true;
    pthread_join(thread, NULL);
    expect_nothing_outside();

    /* else nobody has swapped, or nobody created */
    ck_assert(stored.n_made && stored.n_refused && made.n_made && made.n_refused);
    printf("files: %d made, %d refused; outputs: %d, %d; trees: %d removed, %d not\n",
           stored.n_made, stored.n_refused, made.n_made, made.n_refused, removed.n_made,
           removed.n_refused);
    fflush(stdout);
    close(e_fd);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("swap");
    TCase *swaps = unit_case(suite, "swaps");

    if (getenv("SWAP_CREATES"))
        tcase_set_timeout(swaps, 0); /* none */
    tcase_add_checked_fixture(swaps, set_up, tear_down);
    tcase_add_test(swaps, nothing_leaves_a_directory_whose_folders_are_swapped);
    return unit_main(suite);
}
