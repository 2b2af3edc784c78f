/* test_memory.c - daemon/memory.c: what a client may share, and what it may not. */
#include "daemon/memory.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)3 * 4096)
#define LIMIT ((size_t)1 << 20)

static struct lighter_error err;
static uv_loop_t loop;

static void
open_loop(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}

/* Let what was begun end; what is left is a leak. */
static void
close_loop(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    uv_library_shutdown(); /* its descriptors are not the test's */
}

static int
memfd(unsigned flags, size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC | flags);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void
expect_refused(int fd, uint64_t size, uint32_t code, const char *message)
{
    struct memory *memory = NULL;

    ck_assert_int_ge(fd, 0);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    ck_assert_int_lt(memory_open(&memory, &loop, fd, size, LIMIT, &err), 0);
    ck_assert_ptr_null(memory);
    ck_assert_uint_eq(err.code, code);
    ck_assert_str_eq(err.message, message);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* closed */
}

START_TEST(what_the_client_writes_is_seen)
{
    int fd = memfd(MFD_ALLOW_SEALING, SIZE), kept = dup(fd);
    struct memory *memory;

    ck_assert_int_eq(pwrite(kept, "before", 6, 4096), 6);
    ck_assert_int_eq(memory_open(&memory, &loop, fd, SIZE, LIMIT, &err), 0);

    ck_assert_uint_eq(memory->size, SIZE);
    ck_assert_mem_eq(memory->data + 4096, "before", 6);
    ck_assert_int_eq(pwrite(kept, "after", 6, 4096), 6);
    ck_assert_mem_eq(memory->data + 4096, "after", 6);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    memory_unref(memory);
    close(kept);
}
END_TEST

START_TEST(it_is_sealed_and_can_no_longer_be_cut)
{
    int fd = memfd(MFD_ALLOW_SEALING, SIZE), kept = dup(fd);
    struct memory *memory;

    ck_assert_int_eq(memory_open(&memory, &loop, fd, SIZE, LIMIT, &err), 0);

    ck_assert_int_eq(fcntl(kept, F_GET_SEALS),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    ck_assert_int_eq(ftruncate(kept, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(kept, (off_t)SIZE * 2), -1);
    ck_assert_uint_eq(memory->data[SIZE - 1], 0);
    memory_unref(memory);
    close(kept);
}
END_TEST

START_TEST(pages_that_the_client_gives_back_are_zeros)
{
    int fd = memfd(MFD_ALLOW_SEALING, SIZE), kept = dup(fd);
    struct memory *memory;

    ck_assert_int_eq(pwrite(kept, "x", 1, 0), 1);
    ck_assert_int_eq(memory_open(&memory, &loop, fd, SIZE, LIMIT, &err), 0);
    ck_assert_uint_eq(memory->data[0], 'x');

    ck_assert_int_eq(
        fallocate(kept, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)SIZE), 0);
    ck_assert_uint_eq(memory->data[0], 0);
    memory_unref(memory);
    close(kept);
}
END_TEST

START_TEST(seals_that_are_there_already_are_enough)
{
    static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW,
                                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
                                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL |
                                    F_SEAL_WRITE};

    for (size_t i = 0; i < sizeof seals / sizeof *seals; i++) {
        int fd = memfd(MFD_ALLOW_SEALING, SIZE);
        struct memory *memory;

        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
        ck_assert_int_eq(memory_open(&memory, &loop, fd, SIZE, LIMIT, &err), 0);
        memory_unref(memory);
    }
}
END_TEST

START_TEST(the_last_one_that_lets_go_unmaps_it)
{
    struct memory *memory, *shared;
    const uint8_t *data;
    unsigned char resident;

    ck_assert_int_eq(memory_open(&memory, &loop, memfd(MFD_ALLOW_SEALING, SIZE), SIZE,
                                 LIMIT, &err),
                     0);
    data = memory->data;
    shared = memory_ref(memory);

    ck_assert_ptr_null(memory_unref(memory));
    ck_assert_int_eq(mincore((void *)data, 4096, &resident), 0); /* is mapped */
    ck_assert_ptr_null(memory_unref(shared));
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(mincore((void *)data, 4096, &resident), -1);
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_ptr_null(memory_unref(NULL));
    ck_assert_ptr_null(memory_ref(NULL));
}
END_TEST

START_TEST(a_memfd_that_cannot_be_sealed_is_refused)
{
    int fd = memfd(MFD_ALLOW_SEALING, SIZE);

    expect_refused(memfd(0, SIZE), SIZE, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' does not allow to be sealed: "
                   "MFD_ALLOW_SEALING is missing");

    /* sealed against the seals that are needed */
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL), 0);
    expect_refused(fd, SIZE, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' does not allow to be sealed: "
                   "MFD_ALLOW_SEALING is missing");
}
END_TEST

START_TEST(a_descriptor_that_is_read_only_is_refused)
{
    int fd = memfd(MFD_ALLOW_SEALING, SIZE);
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    expect_refused(open(path, O_RDONLY | O_CLOEXEC), SIZE, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' cannot be sealed: it is read-only");
    expect_refused(open(path, O_PATH | O_CLOEXEC), SIZE, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' is no memfd");
    close(fd);
}
END_TEST

START_TEST(what_is_no_memfd_is_refused)
{
    static const char *const no_memfd = "the descriptor of 'memory' is no memfd";
    char *directory = unit_tmpdir(), *path;
    int ends[2], fd;

    ck_assert_int_gt(asprintf(&path, "%s/file", directory), 0);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, (off_t)SIZE), 0);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    if (fcntl(fd, F_GET_SEALS) < 0)
        expect_refused(fd, SIZE, LIGHTER_E_PARAMS, no_memfd);
    else /* TMPDIR is on a tmpfs */
        expect_refused(fd, SIZE, LIGHTER_E_PARAMS,
                       "the descriptor of 'memory' does not allow to be sealed: "
                       "MFD_ALLOW_SEALING is missing");
    expect_refused(open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC), SIZE,
                   LIGHTER_E_PARAMS, no_memfd);
    expect_refused(open("/dev/zero", O_RDWR | O_CLOEXEC), SIZE, LIGHTER_E_PARAMS,
                   no_memfd);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    expect_refused(ends[0], SIZE, LIGHTER_E_PARAMS, no_memfd);
    expect_refused(ends[1], SIZE, LIGHTER_E_PARAMS, no_memfd);
    free(path);
    unit_tmpdir_remove(directory);
}
END_TEST

START_TEST(huge_pages_are_refused)
{
    int fd =
        memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0)
        return; /* a kernel without them */
    ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
    expect_refused(fd, 2 << 20, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' has huge pages");
}
END_TEST

START_TEST(a_size_that_is_another_is_refused)
{
    expect_refused(memfd(MFD_ALLOW_SEALING, SIZE), SIZE + 1, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' has 12288 bytes, and 'size' says 12289");
    expect_refused(memfd(MFD_ALLOW_SEALING, SIZE), SIZE - 1, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' has 12288 bytes, and 'size' says 12287");
    expect_refused(memfd(MFD_ALLOW_SEALING, 0), 4096, LIGHTER_E_PARAMS,
                   "the descriptor of 'memory' has 0 bytes, and 'size' says 4096");
}
END_TEST

START_TEST(more_than_the_limit_is_refused)
{
    struct memory *memory;

    expect_refused(memfd(MFD_ALLOW_SEALING, LIMIT + 1), LIMIT + 1, LIGHTER_E_LIMIT,
                   "a memory of 1048577 bytes; max_memory_bytes is 1048576");
    expect_refused(memfd(MFD_ALLOW_SEALING, (size_t)1 << 40), (uint64_t)1 << 40,
                   LIGHTER_E_LIMIT,
                   "a memory of 1099511627776 bytes; max_memory_bytes is 1048576");
    ck_assert_int_eq(
        memory_open(&memory, &loop, memfd(MFD_ALLOW_SEALING, LIMIT), LIMIT, LIMIT, &err), 0);
    memory_unref(memory);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = unit_case(suite, "memory");

    tcase_add_checked_fixture(tcase, open_loop, close_loop);
    tcase_add_test(tcase, what_the_client_writes_is_seen);
    tcase_add_test(tcase, it_is_sealed_and_can_no_longer_be_cut);
    tcase_add_test(tcase, pages_that_the_client_gives_back_are_zeros);
    tcase_add_test(tcase, seals_that_are_there_already_are_enough);
    tcase_add_test(tcase, the_last_one_that_lets_go_unmaps_it);
    tcase_add_test(tcase, a_memfd_that_cannot_be_sealed_is_refused);
    tcase_add_test(tcase, a_descriptor_that_is_read_only_is_refused);
    tcase_add_test(tcase, what_is_no_memfd_is_refused);
    tcase_add_test(tcase, huge_pages_are_refused);
    tcase_add_test(tcase, a_size_that_is_another_is_refused);
    tcase_add_test(tcase, more_than_the_limit_is_refused);
    return unit_main(suite);
}
