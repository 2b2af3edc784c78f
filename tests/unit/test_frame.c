/* test_frame.c - wire/frame.c: whole frames, however the stream is cut. */
#include "tests/unit/unit.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define MAX_FRAME (256 * MIB)

/* A stream of frames; byte k of frame n is n * 31 + k. */
struct stream {
    uint8_t *data;
    size_t size;
};

static uint8_t
byte_of(size_t frame, size_t at)
{
    return (uint8_t)(frame * 31 + at);
}

static struct stream
make_stream(const size_t *sizes, size_t n_frames)
{
    struct stream stream = {0};
    uint8_t *at;

    for (size_t i = 0; i < n_frames; i++)
        stream.size += FRAME_HEAD_SIZE + sizes[i];
    at = stream.data = malloc(stream.size);
    for (size_t i = 0; i < n_frames; i++) {
        frame_head(at, (uint32_t)sizes[i]);
        at += FRAME_HEAD_SIZE;
        for (size_t k = 0; k < sizes[i]; k++)
            *at++ = byte_of(i, k);
    }
    return stream;
}

/* Called millions of times, and an assertion of Check is a system call. */
static void
must(bool condition, const char *what)
{
    if (!condition)
        ck_abort_msg("%s", what);
}

/* Put up to `most` bytes of data into the reader's room; returns how many. */
static size_t
feed(struct frame_reader *reader, const uint8_t *data, size_t size, size_t most)
{
    uint8_t *room;
    size_t room_size;

    must(frame_reader_room(reader, &room, &room_size, NULL) == 0, "no room");
    must(room_size >= 1, "room of no bytes");
    if (size > room_size)
        size = room_size;
    if (size > most)
        size = most;
    memcpy(room, data, size);
    frame_reader_fed(reader, size);
    return size;
}

static void
expect_frame(const struct frame *frame, size_t index, size_t size)
{
    ck_assert_uint_eq(frame->size, size);
    for (size_t k = 0; k < size; k++)
        if (frame->data[k] != byte_of(index, k))
            ck_abort_msg("byte %zu of frame %zu differs", k, index);
}

static void
expect_frames_in_chunks(const size_t *sizes, size_t n_frames, size_t chunk)
{
    struct stream stream = make_stream(sizes, n_frames);
    struct frame_reader reader;
    struct frame frame;
    size_t at = 0, n = 0;
    int r;

    ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, NULL), 0);
    while (at < stream.size) {
        at += feed(&reader, stream.data + at, stream.size - at, chunk);
        while ((r = frame_next(&reader, &frame, NULL)) == 0) {
            ck_assert_uint_lt(n, n_frames);
            expect_frame(&frame, n, sizes[n]);
            free(frame.data);
            n++;
        }
        must(r == FRAME_MORE, "a frame is refused");
    }
    ck_assert_uint_eq(n, n_frames);
    frame_reader_done(&reader);
    free(stream.data);
}

static void
expect_frames(const size_t *sizes, size_t n_frames)
{
    for (int i = 0; i < UNIT_N_CHUNKS; i++)
        expect_frames_in_chunks(sizes, n_frames, unit_chunks[i]);
}

#define EXPECT_FRAMES(...)                                                             \
    expect_frames((const size_t[]){__VA_ARGS__},                                       \
                  sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))

START_TEST(a_frame_split_anywhere_is_one_frame)
{
    EXPECT_FRAMES(1);
    EXPECT_FRAMES(14);
    EXPECT_FRAMES(4096);
}
END_TEST

START_TEST(many_frames_in_one_read_come_in_their_order)
{
    EXPECT_FRAMES(1, 2, 3, 4, 5, 1, 300, 7, 1, 1, 9);
}
END_TEST

START_TEST(frames_at_the_edges_of_the_staging_room_are_whole)
{
    EXPECT_FRAMES(FRAME_STAGING_SIZE - FRAME_HEAD_SIZE - 1, 5,
                  FRAME_STAGING_SIZE - FRAME_HEAD_SIZE, 5,
                  FRAME_STAGING_SIZE - FRAME_HEAD_SIZE + 1, 5, FRAME_STAGING_SIZE, 5);
}
END_TEST

START_TEST(large_frames_grow_and_are_whole)
{
    EXPECT_FRAMES(40 * KIB);
    EXPECT_FRAMES(256 * KIB, 256 * KIB + 1);
    EXPECT_FRAMES(700 * KIB);
}
END_TEST

START_TEST(small_and_large_frames_mix)
{
    EXPECT_FRAMES(3, 300 * KIB, 1, 2, 33 * KIB, 20 * KIB, 20 * KIB, 1, 513 * KIB, 8);
}
END_TEST

static void
expect_refused(size_t max_bytes, const uint8_t head[FRAME_HEAD_SIZE],
               const char *message)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame = {NULL, 4711};
    struct frame_reader reader;

    ck_assert_int_eq(frame_reader_init(&reader, max_bytes, NULL), 0);
    for (size_t i = 0; i < FRAME_HEAD_SIZE; i++) {
        ck_assert_int_eq(frame_next(&reader, &frame, &err), FRAME_MORE);
        feed(&reader, head + i, 1, 1);
    }
    ck_assert_int_eq(frame_next(&reader, &frame, &err), -EPROTO);
    ck_assert_uint_eq(err.code, LIGHTER_E_PROTOCOL);
    ck_assert_str_eq(err.message, message);
    ck_assert_uint_eq(frame.size, 4711);
    frame_reader_done(&reader);
}

START_TEST(a_frame_of_no_bytes_is_refused)
{
    expect_refused(4096, (const uint8_t[]){0, 0, 0, 0}, "a frame of no bytes");
}
END_TEST

START_TEST(a_frame_over_the_limit_is_refused_by_its_head_alone)
{
    expect_refused(4096, (const uint8_t[]){0, 0, 0x10, 1},
                   "a frame of 4097 bytes; max_frame_bytes is 4096");
    expect_refused(4096, (const uint8_t[]){0xff, 0xff, 0xff, 0xff},
                   "a frame of 4294967295 bytes; max_frame_bytes is 4096");
}
END_TEST

START_TEST(a_frame_of_the_limit_is_taken)
{
    const uint8_t head[] = {0, 0, 0, 3, 'a', 'b', 'c'};
    struct frame_reader reader;
    struct frame frame;

    ck_assert_int_eq(frame_reader_init(&reader, 3, NULL), 0);
    feed(&reader, head, sizeof head, sizeof head);
    ck_assert_int_eq(frame_next(&reader, &frame, NULL), 0);
    ck_assert_uint_eq(frame.size, 3);
    free(frame.data);
    frame_reader_done(&reader);
}
END_TEST

START_TEST(memory_follows_the_bytes_received_not_those_announced)
{
    const size_t announced = 200 * MIB;
    uint8_t head[FRAME_HEAD_SIZE], bytes[KIB] = {0};
    struct frame_reader reader;
    struct frame frame;
    size_t received = 0;

    frame_head(head, (uint32_t)announced);
    ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, NULL), 0);
    feed(&reader, head, sizeof head, sizeof head);
    ck_assert_int_eq(frame_next(&reader, &frame, NULL), FRAME_MORE);
    ck_assert_uint_eq(reader.large_room, 0);

    while (received < 3 * MIB) {
        ck_assert_int_eq(frame_reader_is_large(&reader), received >= FRAME_FREE_SIZE);
        received += feed(&reader, bytes, sizeof bytes, sizeof bytes);
        ck_assert_int_eq(frame_next(&reader, &frame, NULL), FRAME_MORE);
        if (received < FRAME_STAGING_SIZE - FRAME_HEAD_SIZE)
            ck_assert_uint_eq(reader.large_room, 0);
        ck_assert_uint_le(reader.large_room, 2 * received + 256 * KIB);
    }

    ck_assert_uint_eq(reader.large.size, announced);
    frame_reader_done(&reader);
}
END_TEST

START_TEST(a_frame_of_the_free_size_is_not_large)
{
    const size_t size = FRAME_FREE_SIZE;
    struct stream stream = make_stream(&size, 1);
    struct frame_reader reader;
    struct frame frame;
    size_t at = 0;

    ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, NULL), 0);
    while (frame_next(&reader, &frame, NULL) == FRAME_MORE) {
        at += feed(&reader, stream.data + at, stream.size - at, SIZE_MAX);
        ck_assert(!frame_reader_is_large(&reader));
    }
    free(frame.data);
    frame_reader_done(&reader);
    free(stream.data);
}
END_TEST

START_TEST(a_whole_large_frame_has_no_more_memory_than_it_needs)
{
    const size_t size = 300 * KIB;
    struct stream stream = make_stream(&size, 1);
    struct frame_reader reader;
    struct frame frame;
    size_t at = 0;

    ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, NULL), 0);
    while (frame_next(&reader, &frame, NULL) == FRAME_MORE) {
        at += feed(&reader, stream.data + at, stream.size - at, SIZE_MAX);
        ck_assert_uint_le(reader.large_room, size);
    }
    ck_assert_uint_eq(at, stream.size);
    free(frame.data);
    frame_reader_done(&reader);
    free(stream.data);
}
END_TEST

START_TEST(a_reader_that_ends_inside_a_frame_frees_it)
{
    const size_t size = 100 * KIB;
    struct stream stream = make_stream(&size, 1);
    struct frame_reader reader;
    struct frame frame;

    ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, NULL), 0);
    feed(&reader, stream.data, FRAME_STAGING_SIZE, SIZE_MAX);
    ck_assert_int_eq(frame_next(&reader, &frame, NULL), FRAME_MORE);
    ck_assert_uint_eq(reader.large_used, FRAME_STAGING_SIZE - FRAME_HEAD_SIZE);
    frame_reader_done(&reader);
    frame_reader_done(&reader); /* a second time is nothing */
    free(stream.data);
}
END_TEST

START_TEST(a_reader_tells_whether_something_waits)
{
    const size_t sizes[] = {10, 100 * KIB};
    struct stream stream = make_stream(sizes, 2);
    const uint8_t *large = stream.data + FRAME_HEAD_SIZE + sizes[0];
    struct frame_reader reader;
    struct frame frame;

    ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, NULL), 0);
    ck_assert(!frame_reader_waits(&reader));
    feed(&reader, stream.data, FRAME_HEAD_SIZE + sizes[0], SIZE_MAX);
    ck_assert(frame_reader_waits(&reader)); /* a whole frame */
    ck_assert_int_eq(frame_next(&reader, &frame, NULL), 0);
    ck_assert(!frame_reader_waits(&reader));
    feed(&reader, large, FRAME_STAGING_SIZE, SIZE_MAX);
    ck_assert_int_eq(frame_next(&reader, &frame, NULL), FRAME_MORE);
    ck_assert(frame_reader_waits(&reader)); /* a part of a large one */
    frame_reader_done(&reader);
    free(frame.data);
    free(stream.data);
}
END_TEST

START_TEST(a_head_is_big_endian)
{
    uint8_t head[FRAME_HEAD_SIZE];

    frame_head(head, 0x01020304);
    ck_assert_int_eq(memcmp(head, "\1\2\3\4", 4), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("frame");
    TCase *whole = unit_case(suite, "whole");
    TCase *limits = unit_case(suite, "limits");

    tcase_add_test(whole, a_frame_split_anywhere_is_one_frame);
    tcase_add_test(whole, many_frames_in_one_read_come_in_their_order);
    tcase_add_test(whole, frames_at_the_edges_of_the_staging_room_are_whole);
    tcase_add_test(whole, large_frames_grow_and_are_whole);
    tcase_add_test(whole, small_and_large_frames_mix);
    tcase_add_test(whole, a_reader_that_ends_inside_a_frame_frees_it);
    tcase_add_test(whole, a_reader_tells_whether_something_waits);
    tcase_add_test(whole, a_head_is_big_endian);
    tcase_add_test(limits, a_frame_of_no_bytes_is_refused);
    tcase_add_test(limits, a_frame_over_the_limit_is_refused_by_its_head_alone);
    tcase_add_test(limits, a_frame_of_the_limit_is_taken);
    tcase_add_test(limits, memory_follows_the_bytes_received_not_those_announced);
    tcase_add_test(limits, a_frame_of_the_free_size_is_not_large);
    tcase_add_test(limits, a_whole_large_frame_has_no_more_memory_than_it_needs);
    return unit_main(suite);
}
