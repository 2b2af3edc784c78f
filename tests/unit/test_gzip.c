/* test_gzip.c - daemon/gzip.c: members side by side are one text, in its order. */
#include "daemon/gzip.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static char *directory;
static struct lighter_error err;

static void
begin(void)
{
    directory = unit_tmpdir();
}

static void
end(void)
{
    unit_tmpdir_remove(directory);
}

static int
open_file(const char *name)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Text that says where it stands. */
static int
make_text(const char *name, size_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size + 16);
    int fd = open_file(name);

    for (size_t i = 0; i < size; i += 8)
        snprintf((char *)bytes + i, 9, "%02u%05zu\n", seed, i / 8 % 100000);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    free(bytes);
    return fd;
}

/* Every member of the file, one behind the other; owned. */
static uint8_t *
unpack(const char *name, size_t room, size_t *ret_size, size_t *ret_n_members)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    uint8_t *text = malloc(room + 1);
    size_t size, used, n, at = 0;
    char *packed = unit_read_file(directory, name, &size);

    *ret_size = *ret_n_members = 0;
    for (; at < size; at += used, *ret_size += n, ++*ret_n_members)
        ck_assert_int_eq(libdeflate_gzip_decompress_ex(decompressor, packed + at,
                                                       size - at, text + *ret_size,
                                                       room - *ret_size, &used, &n),
                         LIBDEFLATE_SUCCESS);
    libdeflate_free_decompressor(decompressor);
    free(packed);
    return text;
}

static void
expect_text(const char *name, const uint8_t *expected, size_t size, size_t n_members)
{
    size_t n, members;
    uint8_t *text = unpack(name, size + 16, &n, &members);

    ck_assert_uint_eq(n, size);
    ck_assert_uint_eq(members, n_members);
    ck_assert(memcmp(text, expected, size) == 0);
    free(text);
}

START_TEST(extents_of_several_files_are_one_text)
{
    static const unsigned n_threads[] = {0, 1, 2, 3, 7, 200};
    size_t a_size = 3 * MIB + 5, b_size = 2 * MIB, skipped = 4096;
    int a = make_text("a", a_size, 1), b = make_text("b", b_size, 2);
    struct gzip_extent extents[] = {
        {a, 0, a_size}, {b, 0, 0}, {b, skipped, b_size - skipped}, {a, 7, 1}};
    uint8_t *wanted = malloc(a_size + b_size);
    size_t size = a_size + b_size - skipped + 1;

    ck_assert_int_eq(pread(a, wanted, a_size, 0), (ssize_t)a_size);
    ck_assert_int_eq(pread(b, wanted + a_size, b_size - skipped, (off_t)skipped),
                     (ssize_t)(b_size - skipped));
    ck_assert_int_eq(pread(a, wanted + size - 1, 1, 7), 1);
    for (size_t i = 0; i < sizeof n_threads / sizeof *n_threads; i++) {
        int fd = open_file("packed");
        uint64_t packed_size = 0;

        ck_assert_int_eq(ftruncate(fd, 0), 0);
        ck_assert_int_eq(gzip_write(fd, extents, 4, n_threads[i], &packed_size, &err),
                         0);
        ck_assert_int_eq(lseek(fd, 0, SEEK_END), (off_t)packed_size);
        expect_text("packed", wanted, size, 5);
        close(fd);
    }
    free(wanted);
    close(a);
    close(b);
}
END_TEST

START_TEST(no_bytes_are_one_empty_member)
{
    int fd = open_file("packed"), a = make_text("a", 0, 1);
    struct gzip_extent extent = {a, 0, 0};
    uint64_t size = 0;

    ck_assert_int_eq(gzip_write(fd, &extent, 1, 4, &size, &err), 0);
    ck_assert_uint_gt(size, 0);
    expect_text("packed", (const uint8_t *)"", 0, 1);
    close(fd);
    close(a);
}
END_TEST

START_TEST(bytes_that_are_missing_are_an_error_whoever_finds_them)
{
    int fd = open_file("packed"), a = make_text("a", 4 * MIB, 1);
    struct gzip_extent extent = {a, 0, 5 * MIB};
    uint64_t size = 0;

    for (unsigned n_threads = 1; n_threads < 5; n_threads++)
        ck_assert_int_eq(gzip_write(fd, &extent, 1, n_threads, &size, &err), -EIO);
    close(fd);
    close(a);
}
END_TEST

START_TEST(a_disk_that_is_full_ends_all_threads)
{
    int fd = open_file("packed"), a = make_text("a", 8 * MIB, 1);
    struct gzip_extent extent = {a, 0, 8 * MIB};
    struct rlimit limit;
    uint64_t size = 0;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 1000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(gzip_write(fd, &extent, 1, 4, &size, &err), -EFBIG);
    ck_assert_ptr_nonnull(strstr(err.message, "write the compressed table"));
    close(fd);
    close(a);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("gzip");
    TCase *tests = unit_case(suite, "gzip");

    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, extents_of_several_files_are_one_text);
    tcase_add_test(tests, no_bytes_are_one_empty_member);
    tcase_add_test(tests, bytes_that_are_missing_are_an_error_whoever_finds_them);
    tcase_add_test(tests, a_disk_that_is_full_ends_all_threads);
    return unit_main(suite);
}
