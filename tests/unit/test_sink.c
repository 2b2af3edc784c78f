/* test_sink.c - daemon/sink.c and storage.c: copied and lent bytes, in their order. */
#include "daemon/sink.h"

#include "daemon/storage.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct lighter_sink sink;

static void
put(const char *text)
{
    ck_assert_int_eq(lighter_put(&unit_services, &sink, text, strlen(text), NULL), 0);
}

static void
expect_bytes(const char *expected)
{
    size_t size;
    char *bytes = unit_sink_bytes(&sink, &size);

    ck_assert_uint_eq(size, strlen(expected));
    ck_assert_uint_eq(sink.size, size);
    ck_assert_str_eq(bytes, expected);
    free(bytes);
}

START_TEST(copied_and_lent_bytes_keep_their_order)
{
    sink_init(&sink);
    put("a");
    put("b");
    ck_assert_int_eq(sink_lend(&sink, "cd", 2), 0);
    put("e");
    ck_assert_int_eq(sink_lend(&sink, "f", 1), 0);
    ck_assert_int_eq(sink_lend(&sink, "g", 1), 0);
    put("h");
    expect_bytes("abcdefgh");
    sink_done(&sink);
}
END_TEST

START_TEST(copied_bytes_stay_when_their_room_moves)
{
    char expected[60001], *at = expected;

    sink_init(&sink);
    for (int i = 0; i < 10000; i++) {
        char text[8];

        snprintf(text, sizeof text, "%05d,", i);
        put(text);
        if (i % 1000 == 0)
            ck_assert_int_eq(sink_lend(&sink, "", 0), 0);
        at = stpcpy(at, text);
    }
    expect_bytes(expected);
    sink_done(&sink);
}
END_TEST

START_TEST(lent_bytes_are_not_copied)
{
    static const char bytes[] = "lent";
    size_t n_parts;

    sink_init(&sink);
    put("a");
    ck_assert_int_eq(sink_lend(&sink, bytes, 4), 0);
    ck_assert_ptr_eq(sink_parts(&sink, &n_parts)[1].iov_base, bytes);
    ck_assert_uint_eq(n_parts, 2);
    sink_done(&sink);
}
END_TEST

START_TEST(what_was_reserved_counts_when_it_is_committed)
{
    char *room;

    sink_init(&sink);
    ck_assert_ptr_nonnull(sink_reserve(&sink, 100));
    ck_assert_uint_eq(sink.size, 0);
    room = sink_reserve(&sink, 3);
    memcpy(room, "xyz", 3);
    sink_commit(&sink, 2);
    expect_bytes("xy");
    ck_assert_ptr_nonnull(sink_reserve(&sink, 0));
    sink_commit(&sink, 0);
    expect_bytes("xy");
    sink_done(&sink);
}
END_TEST

START_TEST(a_cleared_sink_is_empty_and_keeps_its_memory)
{
    char *chunk;

    sink_init(&sink);
    put("abc");
    chunk = sink.chunk;
    sink_clear(&sink);
    expect_bytes("");
    put("d");
    expect_bytes("d");
    ck_assert_ptr_eq(sink.chunk, chunk);
    sink_done(&sink);
}
END_TEST

START_TEST(a_trimmed_sink_keeps_little_memory)
{
    sink_init(&sink);
    ck_assert_ptr_nonnull(sink_reserve(&sink, SINK_DRAINED));
    sink_trim(&sink);
    ck_assert_ptr_nonnull(sink.chunk);
    ck_assert_ptr_nonnull(sink_reserve(&sink, SINK_DRAINED + 1));
    sink_trim(&sink);
    ck_assert_ptr_null(sink.chunk);
    put("d");
    expect_bytes("d");
    sink_done(&sink);
}
END_TEST

static size_t n_drained; /* bytes */
static int drain_result;

static int
drain(void *data, struct lighter_sink *full)
{
    ck_assert_ptr_eq(data, &n_drained);
    n_drained += full->size;
    sink_clear(full);
    return drain_result;
}

START_TEST(a_sink_that_is_drained_holds_little_however_much_comes)
{
    const size_t size = 1000;

    sink_init(&sink);
    sink.drain = drain;
    sink.drain_data = &n_drained;
    for (size_t i = 0; i < 10 * SINK_DRAINED / size; i++) {
        ck_assert_ptr_nonnull(sink_reserve(&sink, size));
        sink_commit(&sink, size);
        ck_assert_uint_eq(n_drained + sink.size, (i + 1) * size);
    }
    ck_assert_uint_ge(n_drained, 9 * SINK_DRAINED);
    ck_assert_uint_le(sink.chunk_size, 2 * SINK_DRAINED);
    sink_done(&sink);
}
END_TEST

START_TEST(a_sink_that_cannot_be_drained_has_no_room)
{
    sink_init(&sink);
    sink.drain = drain;
    sink.drain_data = &n_drained;
    drain_result = -EIO;
    ck_assert_ptr_nonnull(sink_reserve(&sink, SINK_DRAINED));
    sink_commit(&sink, SINK_DRAINED);
    ck_assert_ptr_null(sink_reserve(&sink, 1));
    sink_done(&sink);
}
END_TEST

START_TEST(room_that_cannot_be_is_refused)
{
    sink_init(&sink);
    put("abc");
    ck_assert_ptr_null(sink_reserve(&sink, SIZE_MAX));
    ck_assert_ptr_null(sink_reserve(&sink, SIZE_MAX - 2));
    expect_bytes("abc");
    sink_done(&sink);
}
END_TEST

/* ---- storage ------------------------------------------------------------------- */

START_TEST(more_parts_than_one_system_call_takes_are_written)
{
    enum { N_PARTS = 5000 };
    char *directory = unit_tmpdir(), *bytes;
    int directory_fd = open(directory, O_DIRECTORY | O_RDONLY);
    int fd = openat(directory_fd, "f", O_WRONLY | O_CREAT, 0600);
    size_t size;

    sink_init(&sink);
    for (int i = 0; i < N_PARTS; i++) {
        put("a");
        ck_assert_int_eq(sink_lend(&sink, "bc", 2), 0);
    }
    ck_assert_int_eq(storage_write(fd, &sink, NULL), 0);
    ck_assert_uint_eq(sink.size, 0);

    bytes = unit_read_file(directory, "f", &size);
    ck_assert_uint_eq(size, 3 * N_PARTS);
    for (size_t i = 0; i < size; i++)
        ck_assert_int_eq(bytes[i], "abc"[i % 3]);
    free(bytes);
    sink_done(&sink);
    close(fd);
    close(directory_fd);
    unit_tmpdir_remove(directory);
}
END_TEST

/* A pipe of 4096 bytes takes a large write in pieces. */
START_TEST(short_writes_go_on_where_they_stopped)
{
    enum { SIZE = 300000 };
    char *bytes = malloc(SIZE), *got = malloc(SIZE);
    size_t used = 0;
    ssize_t n = 1;
    int ends[2], status;
    pid_t child;

    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7);
    ck_assert_int_eq(pipe(ends), 0);
    sink_init(&sink);
    child = fork();
    if (child == 0) {
        ck_assert_int_eq(lighter_put(&unit_services, &sink, bytes, 1000, NULL), 0);
        ck_assert_int_eq(sink_lend(&sink, bytes + 1000, SIZE - 1000), 0);
        _exit(storage_write(ends[1], &sink, NULL) == 0 ? 0 : 1);
    }
    close(ends[1]);
    for (; n > 0; used += (size_t)n)
        n = read(ends[0], got + used, SIZE - used);
    ck_assert_uint_eq(used, SIZE);
    ck_assert_int_eq(memcmp(got, bytes, SIZE), 0);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    sink_done(&sink);
    free(bytes);
    free(got);
}
END_TEST

START_TEST(a_write_that_fails_says_why_and_empties_the_sink)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    sink_init(&sink);
    put("abc");
    ck_assert_int_eq(storage_write(fd, &sink, &err), -ENOSPC);
    ck_assert_int_eq(err.errnum, ENOSPC);
    ck_assert_uint_eq(sink.size, 0);
    sink_done(&sink);
    close(fd);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("sink");
    TCase *bytes = unit_case(suite, "bytes");
    TCase *storage = unit_case(suite, "storage");

    tcase_add_test(bytes, copied_and_lent_bytes_keep_their_order);
    tcase_add_test(bytes, copied_bytes_stay_when_their_room_moves);
    tcase_add_test(bytes, lent_bytes_are_not_copied);
    tcase_add_test(bytes, what_was_reserved_counts_when_it_is_committed);
    tcase_add_test(bytes, a_cleared_sink_is_empty_and_keeps_its_memory);
    tcase_add_test(bytes, a_trimmed_sink_keeps_little_memory);
    tcase_add_test(bytes, a_sink_that_is_drained_holds_little_however_much_comes);
    tcase_add_test(bytes, a_sink_that_cannot_be_drained_has_no_room);
    tcase_add_test(bytes, room_that_cannot_be_is_refused);
    tcase_add_test(storage, more_parts_than_one_system_call_takes_are_written);
    tcase_add_test(storage, short_writes_go_on_where_they_stopped);
    tcase_add_test(storage, a_write_that_fails_says_why_and_empties_the_sink);
    return unit_main(suite);
}
