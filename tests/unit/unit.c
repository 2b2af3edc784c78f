/* unit.c - see unit.h. */
#include "tests/unit/unit.h"

#include "daemon/sink.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const size_t unit_chunks[UNIT_N_CHUNKS] = {1, 2, 3, 5, 7, SIZE_MAX};

static int n_open_before;

static int
count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void
remember_descriptors(void)
{
    n_open_before = count_descriptors();
}

static void
expect_same_descriptors(void)
{
    ck_assert_msg(count_descriptors() == n_open_before,
                  "%d descriptors open before the test, %d after", n_open_before,
                  count_descriptors());
}

TCase *
unit_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, remember_descriptors, expect_same_descriptors);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int
unit_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int n_failed;

    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

char *
unit_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *path;

    ck_assert_int_gt(asprintf(&path, "%s/lighterd-unit-XXXXXX", base ? base : "/tmp"),
                     0);
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

void
unit_tmpdir_remove(char *path)
{
    ck_assert_int_eq(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

char *
unit_read_file(const char *directory, const char *name, size_t *ret_size)
{
    char path[4096], *bytes;
    struct stat status;
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0, "%s cannot be opened", path);
    ck_assert_int_eq(fstat(fd, &status), 0);
    bytes = calloc(1, (size_t)status.st_size + 1);
    ck_assert_int_eq(read(fd, bytes, (size_t)status.st_size), status.st_size);
    close(fd);
    if (ret_size)
        *ret_size = (size_t)status.st_size;
    return bytes;
}

int
unit_exists(const char *directory, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

struct lighter_value
unit_nil(void)
{
    return (struct lighter_value){.type = LIGHTER_NIL};
}

struct lighter_value
unit_bool(bool value)
{
    return (struct lighter_value){.type = LIGHTER_BOOL, .as.boolean = value};
}

struct lighter_value
unit_int(int64_t value)
{
    return (struct lighter_value){.type = LIGHTER_INT, .as.integer = value};
}

struct lighter_value
unit_float(double value)
{
    return (struct lighter_value){.type = LIGHTER_FLOAT, .as.real = value};
}

struct lighter_value
unit_string(const char *text)
{
    return (struct lighter_value){.type = LIGHTER_STRING,
                                  .as.string = {text, strlen(text)}};
}

struct lighter_value
unit_list(const struct lighter_value *items, uint32_t count)
{
    return (struct lighter_value){
        .type = LIGHTER_LIST, .count = count, .as.items = items};
}

struct lighter_value
unit_map(const struct lighter_value *items, uint32_t n_pairs)
{
    return (struct lighter_value){
        .type = LIGHTER_MAP, .count = n_pairs, .as.items = items};
}

struct lighter_value
unit_tensor(uint32_t dtype, uint32_t ndim, const uint64_t *shape, const void *data)
{
    size_t size = lighter_dtype_size(dtype);

    for (uint32_t i = 0; i < ndim; i++)
        size *= shape[i];
    return (struct lighter_value){.type = LIGHTER_TENSOR,
                                  .as.tensor = {dtype, ndim, shape, data, size}};
}

const struct lighter_services unit_services = {
    .size = sizeof(struct lighter_services),
    .reserve = sink_reserve,
    .commit = sink_commit,
    .lend = sink_lend,
};

static int n_requests_left;

static void *
scarce_reserve(struct lighter_sink *sink, size_t size)
{
    return n_requests_left-- > 0 ? sink_reserve(sink, size) : NULL;
}

static int
scarce_lend(struct lighter_sink *sink, const void *data, size_t size)
{
    return n_requests_left-- > 0 ? sink_lend(sink, data, size) : -ENOMEM;
}

static int
encode_with_requests(const struct lighter_encoder *encoder, const void *options,
                     struct lighter_value value, int n_requests,
                     struct lighter_error *err)
{
    struct lighter_services scarce = unit_services;
    struct lighter_sink sink;
    int r;

    scarce.reserve = scarce_reserve;
    scarce.lend = scarce_lend;
    n_requests_left = n_requests;
    sink_init(&sink);
    r = encoder->encode(options, &value, &sink, &scarce, err);
    sink_done(&sink);
    return r;
}

void
unit_expect_enomem(const struct lighter_encoder *encoder, const void *options,
                   struct lighter_value value)
{
    int r = -1;

    for (int n = 0; r < 0; n++) {
        struct lighter_error err = LIGHTER_ERROR_INIT;

        ck_assert_int_lt(n, 100);
        r = encode_with_requests(encoder, options, value, n, &err);
        ck_assert(n > 0 || r < 0);
        ck_assert_int_eq(r, r < 0 ? -ENOMEM : 0);
        ck_assert_int_eq(err.errnum, r < 0 ? ENOMEM : 0);
        ck_assert(r == 0 || err.code == LIGHTER_E_OS);
    }
}

char *
unit_sink_bytes(struct lighter_sink *sink, size_t *ret_size)
{
    struct iovec *parts;
    size_t n_parts, used = 0;
    char *bytes = calloc(1, sink->size + 1);

    parts = sink_parts(sink, &n_parts);
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].iov_len)
            memcpy(bytes + used, parts[i].iov_base, parts[i].iov_len);
        used += parts[i].iov_len;
    }
    if (ret_size)
        *ret_size = used;
    return bytes;
}
