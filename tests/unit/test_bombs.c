/* test_bombs.c - wire/: small frames that ask for much get nothing.
 *
 * Each bomb goes the way of any frame, from a stream's bytes to the values of a batch.
 * The address space of this process must not grow by a page meanwhile.
 */
#include "config.h"

#include "tests/unit/unit.h"
#include "wire/message.h"
#include "wire/params.h"
#include "wire/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAX_FRAME ((size_t)256 << 20)

/* ---- address space ---- */

/* A line of /proc/self/status such as "VmPeak:", in KiB. */
static size_t
status_kib(const char *key)
{
    static char text[8192]; /* nothing is allocated for it */
    FILE *file = fopen("/proc/self/status", "re");
    size_t size = fread(text, 1, sizeof text - 1, file);

    text[size] = '\0';
    fclose(file);
    return strtoul(strstr(text, key) + strlen(key), NULL, 10);
}

/* Let the highest size that there ever was be the size of now: what comes is seen. */
static size_t
raise_to_peak(void)
{
    size_t gap = status_kib("VmPeak:") - status_kib("VmSize:");

    if (gap)
        ck_assert_ptr_ne(
            mmap(NULL, gap << 10, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            MAP_FAILED);
    ck_assert_uint_eq(status_kib("VmSize:"), status_kib("VmPeak:"));
    return status_kib("VmPeak:");
}

/* ---- the way of a frame ---- */

/* Takes the frame. Return: 0; < 0: refused. */
static int
convert(struct frame *frame, uint64_t max_objects, struct lighter_error *err)
{
    struct lighter_value value;
    struct message message;
    int r = message_parse(&message, frame, max_objects, err);

    if (r < 0)
        return r;
    r = value_convert(params_find(message.params, "outputs"), NULL, message.zone,
                      &value, err);
    message_done(&message);
    return r;
}

/* Return: 0; FRAME_MORE; < 0: refused. */
static int
receive(struct frame_reader *reader, const void *bytes, size_t size,
        struct lighter_error *err)
{
    struct frame frame;
    size_t room_size;
    uint8_t *room;
    int r = frame_reader_room(reader, &room, &room_size, err);

    ck_assert_int_eq(r, 0);
    ck_assert_uint_ge(room_size, size);
    memcpy(room, bytes, size);
    frame_reader_fed(reader, size);
    r = frame_next(reader, &frame, err);
    return r == 0 ? convert(&frame, CHECK_MAX_OBJECTS, err) : r;
}

/* ---- bombs ---- */

struct bomb {
    const char *body, *why;
    size_t size;
};

#define BOMB(body, why)                                                                \
    {                                                                                  \
        body, why, sizeof(body) - 1                                                    \
    }
#define WRITE "\x94\0\1\xa5write\x81\xa7outputs"
#define TENSOR                                                                         \
    WRITE "\x84\xa2nd\xc3\xa4"                                                         \
          "data\xc4\0\xa4type\xa3"

static const struct bomb bombs[] = {
    BOMB("\xdd\x10\0\0\0", "a count goes past"),        /* an array: 8 GiB */
    BOMB("\xdf\xff\xff\xff\xff", "a count goes past"),  /* a map */
    BOMB("\xdb\xff\xff\xff\xff", "a length goes past"), /* a string */
    BOMB("\xc6\xff\xff\xff\xff", "a length goes past"), /* bytes */
    BOMB("\xc9\xff\xff\xff\xff\1", "an extension"),
    BOMB(TENSOR "|u1\xa5shape\x92\xce\xff\xff\xff\xff\xce\xff\xff\xff\xff",
         "a tensor's 'data' has 0 bytes; its shape and type ask for "
         "18446744065119617025"),
    BOMB(TENSOR "<f8\xa5shape\x92\xcf\x20\0\0\0\0\0\0\0\x10",
         "a tensor's shape overflows"),
    BOMB(TENSOR "|u1\xa5shape\x92\xcf\x40\0\0\0\0\0\0\0\0",
         "a tensor of no bytes with 4611686018427387904 items"),
    BOMB(TENSOR "<f9\xa5shape\x91\xcf\x40\0\0\0\0\0\0\0",
         "a tensor of the unknown type '<f9'"),
};

/* `why`: NULL where it waits for ever. */
static void
expect_nothing_of(const void *bytes, size_t size, const char *why)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame_reader reader;
    size_t peak = 0;

    for (int i = 0; i < 2; i++) { /* first warmed up, by itself */
        int r;

        ck_assert_int_eq(frame_reader_init(&reader, MAX_FRAME, &err), 0);
        if (i == 1)
            peak = raise_to_peak();
        r = receive(&reader, bytes, size, &err);
        if (i == 1)
            ck_assert_uint_eq(status_kib("VmPeak:"), peak);
        frame_reader_done(&reader);
        if (!why)
            ck_assert_int_eq(r, FRAME_MORE);
        else
            ck_assert_msg(r < 0 && strstr(err.message, why), "%s", err.message);
    }
}

START_TEST(a_bomb_gets_no_memory)
{
    const struct bomb *bomb = &bombs[_i];
    uint8_t bytes[FRAME_HEAD_SIZE + 100];

    frame_head(bytes, (uint32_t)bomb->size);
    memcpy(bytes + FRAME_HEAD_SIZE, bomb->body, bomb->size);
    expect_nothing_of(bytes, FRAME_HEAD_SIZE + bomb->size, bomb->why);
}
END_TEST

START_TEST(a_frame_that_is_announced_gets_no_memory)
{
    expect_nothing_of("\x10\0\0\0\x94\0\1", 7, NULL); /* of 256 MiB */
}
END_TEST

/* As many heads as fit into the room that every reader has: of arrays within arrays. */
static void
expect_nothing_of_nested(const char *head, size_t head_size, const char *why)
{
    static uint8_t bytes[30000];
    size_t at = FRAME_HEAD_SIZE;

    frame_head(bytes, sizeof bytes - FRAME_HEAD_SIZE);
    for (; at + head_size <= sizeof bytes; at += head_size)
        memcpy(bytes + at, head, head_size);
    expect_nothing_of(bytes, sizeof bytes, why);
}

START_TEST(arrays_within_arrays_get_no_memory)
{
    expect_nothing_of_nested("\x91", 1, "more than 32 levels");
}
END_TEST

/* Each count can be; all of them together ask for a million objects. */
START_TEST(counts_within_counts_get_no_memory)
{
    expect_nothing_of_nested("\xdc\x70\0", 3, "more than 32 levels");
}
END_TEST

/* So that the others prove something. (AddressSanitizer has small ones set aside.) */
START_TEST(what_is_taken_is_seen)
{
    size_t peak = raise_to_peak();
    void *volatile taken = malloc((size_t)8 << 20);

    ck_assert_uint_ge(status_kib("VmPeak:"), peak + (8 << 10));
    free(taken);
}
END_TEST

/* ---- what is honest ---- */

#ifndef LIGHTERD_SANITIZED
/* An object of one byte becomes one of msgpack-c's, 24 bytes, and a value of 40; its
 * zone asks for the next power of two, 32 and 64, and leaves the rest untouched. What
 * is left of the frame is bytes.
 */
static struct frame
worst_frame(size_t max_frame, uint8_t object)
{
    const uint32_t n_objects = (uint32_t)check_max_objects(max_frame) - 20;
    struct frame frame = {malloc(max_frame), max_frame};
    uint8_t *p = frame.data;

    p = mempcpy(p, "\x94\0\1\xa5write\x82\xa7outputs\xdd", 19);
    frame_head(p, n_objects);
    memset(p + 4, object, n_objects);
    p = mempcpy(p + 4 + n_objects, "\xa1r\xc6", 3);
    frame_head(p, (uint32_t)(frame.data + max_frame - (p + 4)));
    return frame;
}

START_TEST(no_frame_takes_more_than_25_times_the_largest)
{
    static const uint8_t objects[] = {0xc0, 0x90, 0x80};
    static const size_t sizes[] = {1 << 20, 1 << 24};
    const size_t max_frame = sizes[_i % 2];
    struct lighter_error err = LIGHTER_ERROR_INIT;
    size_t peak = raise_to_peak();
    struct frame frame = worst_frame(max_frame, objects[_i / 2]);
    int r = convert(&frame, check_max_objects(max_frame), &err);

    ck_assert_msg(r == 0, "%s", err.message);
    ck_assert_uint_le((status_kib("VmPeak:") - peak) << 10, 26 * max_frame);
}
END_TEST
#endif

int
main(void)
{
    Suite *suite = suite_create("bombs");
    TCase *bombs_case = unit_case(suite, "bombs");

    tcase_add_loop_test(bombs_case, a_bomb_gets_no_memory, 0,
                        sizeof bombs / sizeof *bombs);
    tcase_add_test(bombs_case, a_frame_that_is_announced_gets_no_memory);
    tcase_add_test(bombs_case, arrays_within_arrays_get_no_memory);
    tcase_add_test(bombs_case, counts_within_counts_get_no_memory);
    tcase_add_test(bombs_case, what_is_taken_is_seen);
#ifndef LIGHTERD_SANITIZED
    tcase_add_loop_test(unit_case(suite, "honest"),
                        no_frame_takes_more_than_25_times_the_largest, 0, 6);
#endif
    return unit_main(suite);
}
