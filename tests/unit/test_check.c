/* test_check.c - wire/check.c: sound MessagePack and nothing else, in one pass. */
#include "tests/unit/unit.h"
#include "wire/check.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

static int
check(const void *data, size_t size)
{
    /* on the heap, so that a sanitizer sees any read past the end */
    uint8_t *copy = malloc(size);
    struct lighter_error err = LIGHTER_ERROR_INIT;
    int r;

    if (size)
        memcpy(copy, data, size);
    r = check_object(copy, size, CHECK_MAX_OBJECTS, NULL, &err);
    free(copy);
    if (r == 0)
        ck_assert_uint_eq(err.code, LIGHTER_OK);
    else
        ck_assert_uint_eq(err.code, LIGHTER_E_PROTOCOL);
    return r;
}

static void
expect_error(const void *data, size_t size, const char *message)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    ck_assert_int_eq(check_object(data, size, CHECK_MAX_OBJECTS, NULL, &err), -EPROTO);
    ck_assert_str_eq(err.message, message);
}

/* A head of `type` with what it needs to be whole; the size, 0 where it is refused. */
static size_t
whole_object(uint8_t type, uint8_t bytes[64])
{
    static const uint8_t sizes[256] = {
        [0xc0] = 1, [0xc2] = 1, [0xc3] = 1, [0xc4] = 2, [0xc5] = 3, [0xc6] = 5,
        [0xca] = 5, [0xcb] = 9, [0xcc] = 2, [0xcd] = 3, [0xce] = 5, [0xcf] = 9,
        [0xd0] = 2, [0xd1] = 3, [0xd2] = 5, [0xd3] = 9, [0xd9] = 2, [0xda] = 3,
        [0xdb] = 5, [0xdc] = 3, [0xdd] = 5, [0xde] = 3, [0xdf] = 5};

    memset(bytes, 0, 64); /* payloads and counts of 0, items of the number 0 */
    bytes[0] = type;
    if (type < 0x80 || type >= 0xe0)
        return 1;
    if (type < 0x90)
        return 1 + 2 * (type & 0x0fu);
    if (type < 0xa0)
        return 1 + (type & 0x0fu);
    if (type < 0xc0)
        return 1 + (type & 0x1fu);
    return sizes[type];
}

START_TEST(every_format_is_known_or_refused)
{
    uint8_t bytes[64];

    for (int type = 0; type < 256; type++) {
        size_t size = whole_object((uint8_t)type, bytes);

        if (size)
            ck_assert_msg(check(bytes, size) == 0, "%02x is refused", type);
        else
            expect_error(bytes, 64,
                         "bad MessagePack at byte 0: an extension or reserved type");
    }
}
END_TEST

START_TEST(every_format_cut_short_is_refused)
{
    uint8_t bytes[64];

    for (int type = 0; type < 256; type++) {
        size_t size = whole_object((uint8_t)type, bytes);

        for (size_t cut = 0; cut < size; cut++)
            ck_assert_msg(check(bytes, cut) == -EPROTO, "%02x of %zu bytes", type, cut);
    }
}
END_TEST

START_TEST(every_format_with_a_byte_left_over_is_refused)
{
    uint8_t bytes[64];

    for (int type = 0; type < 256; type++) {
        size_t size = whole_object((uint8_t)type, bytes);

        if (size && size < sizeof bytes)
            ck_assert_msg(check(bytes, size + 1) == -EPROTO, "%02x", type);
    }
}
END_TEST

static void
pack_everything(msgpack_packer *packer)
{
    char text[70000];

    memset(text, 'x', sizeof text);
    msgpack_pack_array(packer, 4);
    msgpack_pack_map(packer, 3);
    msgpack_pack_str_with_body(packer, "key", 3);
    msgpack_pack_double(packer, 0.5);
    msgpack_pack_nil(packer);
    msgpack_pack_float(packer, 0.5f);
    msgpack_pack_int(packer, -70000);
    msgpack_pack_array(packer, 20);
    for (int i = 0; i < 20; i++)
        msgpack_pack_uint64(packer, UINT64_MAX >> 3 * i);
    msgpack_pack_bin_with_body(packer, text, 300);
    msgpack_pack_map(packer, 0);
    msgpack_pack_array(packer, 3);
    msgpack_pack_str_with_body(packer, text, 40);
    msgpack_pack_str_with_body(packer, text, 400);
    msgpack_pack_str_with_body(packer, text, 65536);
}

START_TEST(every_prefix_of_a_sound_object_is_refused)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    pack_everything(&packer);

    ck_assert_int_eq(check(buffer.data, buffer.size), 0);
    for (size_t cut = 0; cut < buffer.size; cut += cut < 1200 ? 1 : 997)
        ck_assert_msg(check(buffer.data, cut) == -EPROTO, "%zu bytes", cut);
    msgpack_sbuffer_destroy(&buffer);
}
END_TEST

START_TEST(counts_that_the_frame_cannot_hold_are_refused)
{
    static const uint8_t bombs[][5] = {
        {0xdd, 0x10, 0, 0, 0},
        {0xdd, 0xff, 0xff, 0xff, 0xff},
        {0xdf, 0x10, 0, 0, 0},
        {0xdf, 0x80, 0, 0, 0},
        {0xdf, 0xff, 0xff, 0xff, 0xff},
        {0xdc, 0xff, 0xff, 0, 0},
        {0xde, 0, 2, 0, 0},
        {0x93, 0, 0, 0x91, 0x91},
        {0xc6, 0xff, 0xff, 0xff, 0xff},
        {0xdb, 0xff, 0xff, 0xff, 0xff},
        {0xdb, 0, 0, 0, 1},
        {0xc4, 4, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++)
        ck_assert_msg(check(bombs[i], 5) == -EPROTO, "bomb %zu", i);
    expect_error(bombs[0], 5,
                 "bad MessagePack at byte 5: a count goes past the "
                 "frame's end");
    expect_error(bombs[8], 5,
                 "bad MessagePack at byte 0: a length goes past the "
                 "frame's end");
}
END_TEST

START_TEST(bytes_left_over_are_refused_where_they_begin)
{
    expect_error("\x92\x01\x02\xc0", 4,
                 "bad MessagePack at byte 3: bytes left over after the object");
}
END_TEST

START_TEST(no_bytes_are_refused)
{
    expect_error("", 0, "bad MessagePack at byte 0: the frame ends inside an object");
}
END_TEST

/* `depth` containers inside one another, the innermost one of `inner`. */
static size_t
nest(uint8_t *bytes, size_t depth, const char *inner, size_t size)
{
    memset(bytes, 0x91, depth);
    memcpy(bytes + depth, inner, size);
    return depth + size;
}

START_TEST(containers_nest_up_to_the_limit_of_the_unpacker)
{
    uint8_t bytes[64];
    msgpack_unpacked unpacked;
    size_t size = nest(bytes, CHECK_MAX_DEPTH, "\xc0", 1), at = 0;

    ck_assert_int_eq(check(bytes, size), 0);
    msgpack_unpacked_init(&unpacked);
    ck_assert_int_eq(msgpack_unpack_next(&unpacked, (char *)bytes, size, &at),
                     MSGPACK_UNPACK_SUCCESS);
    msgpack_unpacked_destroy(&unpacked);
}
END_TEST

START_TEST(containers_that_nest_deeper_are_refused)
{
    uint8_t bytes[64];

    expect_error(bytes, nest(bytes, CHECK_MAX_DEPTH + 1, "\xc0", 1),
                 "bad MessagePack at byte 32: more than 32 levels of nesting");
    expect_error(bytes, nest(bytes, CHECK_MAX_DEPTH, "\x81\x00\x00", 3),
                 "bad MessagePack at byte 32: more than 32 levels of nesting");
    expect_error(bytes, nest(bytes, CHECK_MAX_DEPTH, "\x80", 1), /* an empty one */
                 "bad MessagePack at byte 32: more than 32 levels of nesting");
}
END_TEST

START_TEST(containers_side_by_side_do_not_nest)
{
    uint8_t bytes[3 + 3 * 100];

    memcpy(bytes, "\xdc\0\x64", 3);
    for (int i = 0; i < 100; i++)
        memcpy(bytes + 3 + 3 * i, "\x91\x91\xc0", 3);
    ck_assert_int_eq(check(bytes, sizeof bytes), 0);
}
END_TEST

START_TEST(a_frame_has_a_limit_of_objects)
{
    size_t size = 5 + CHECK_MAX_OBJECTS;
    uint8_t *bytes = calloc(1, size);

    /* the array itself is an object too */
    memcpy(bytes, "\xdd\0\x3f\xff\xff", 5);
    ck_assert_int_eq(check_object(bytes, size - 1, CHECK_MAX_OBJECTS, NULL, NULL), 0);
    memcpy(bytes, "\xdd\0\x40\0\0", 5);
    expect_error(bytes, size,
                 "bad MessagePack at byte 5: more than 4194304 objects in a frame");
    free(bytes);
}
END_TEST

START_TEST(the_limit_of_objects_may_be_lower)
{
    const uint8_t bytes[] = {0x94, 1, 2, 3, 0x91, 4}; /* 6 of them */
    struct lighter_error err = LIGHTER_ERROR_INIT;

    ck_assert_int_eq(check_object(bytes, sizeof bytes, 6, NULL, &err), 0);
    ck_assert_int_eq(check_object(bytes, sizeof bytes, 5, NULL, &err), -EPROTO);
    ck_assert_str_eq(err.message,
                     "bad MessagePack at byte 5: more than 5 objects in a frame");
}
END_TEST

START_TEST(where_frames_are_small_fewer_objects_are_taken)
{
    ck_assert_uint_eq(check_max_objects(4096), 1024);
    ck_assert_uint_eq(check_max_objects((16 << 20) - 4), CHECK_MAX_OBJECTS - 1);
    ck_assert_uint_eq(check_max_objects(16 << 20), CHECK_MAX_OBJECTS);
    ck_assert_uint_eq(check_max_objects(UINT32_MAX), CHECK_MAX_OBJECTS);
}
END_TEST

/* Their memory is what a client is charged for. */
START_TEST(all_objects_are_counted)
{
    uint64_t n = 4711;

    ck_assert_int_eq(
        check_object((const uint8_t *)"\xc0", 1, CHECK_MAX_OBJECTS, &n, NULL), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(check_object((const uint8_t *)"\x92\x01\x81\xa1k\x90", 6,
                                  CHECK_MAX_OBJECTS, &n, NULL),
                     0);
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(
        check_object((const uint8_t *)"\x92\x01", 2, CHECK_MAX_OBJECTS, &n, NULL),
        -EPROTO);
    ck_assert_uint_eq(n, 5);
}
END_TEST

START_TEST(extension_types_are_refused_wherever_they_are)
{
    expect_error("\x92\x01\xd4\x01\x00", 5,
                 "bad MessagePack at byte 2: an extension or reserved type");
    expect_error("\x81\xa1k\xc7\x00\x00", 6,
                 "bad MessagePack at byte 3: an extension or reserved type");
    expect_error("\x91\xc1", 2,
                 "bad MessagePack at byte 1: an extension or reserved type");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("check");
    TCase *formats = unit_case(suite, "formats");
    TCase *limits = unit_case(suite, "limits");

    tcase_add_test(formats, every_format_is_known_or_refused);
    tcase_add_test(formats, every_format_cut_short_is_refused);
    tcase_add_test(formats, every_format_with_a_byte_left_over_is_refused);
    tcase_add_test(formats, every_prefix_of_a_sound_object_is_refused);
    tcase_add_test(formats, bytes_left_over_are_refused_where_they_begin);
    tcase_add_test(formats, no_bytes_are_refused);
    tcase_add_test(formats, extension_types_are_refused_wherever_they_are);
    tcase_add_test(formats, all_objects_are_counted);
    tcase_add_test(limits, counts_that_the_frame_cannot_hold_are_refused);
    tcase_add_test(limits, containers_nest_up_to_the_limit_of_the_unpacker);
    tcase_add_test(limits, containers_that_nest_deeper_are_refused);
    tcase_add_test(limits, containers_side_by_side_do_not_nest);
    tcase_add_test(limits, a_frame_has_a_limit_of_objects);
    tcase_add_test(limits, the_limit_of_objects_may_be_lower);
    tcase_add_test(limits, where_frames_are_small_fewer_objects_are_taken);
    return unit_main(suite);
}
