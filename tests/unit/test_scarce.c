/* test_scarce.c - wire/ where memory ends: at any allocation, an error and no leak.
 *
 * The linker puts the functions below in the place of those that allocate
 * (-Wl,--wrap). A deed is done with memory for 0, 1, 2, ... requests, until that is
 * enough.
 */
#include "tests/unit/pack.h"
#include "tests/unit/unit.h"
#include "wire/params.h"
#include "wire/value.h"

#include <errno.h>
#include <stdlib.h>

#define PLENTY (1 << 30)

static int n_left = PLENTY; /* requests that are granted */

static bool
is_granted(void)
{
    return n_left == PLENTY || n_left-- > 0;
}

/* The linker gives them these names. */
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_msgpack_zone_malloc_expand(msgpack_zone *zone, size_t size);
msgpack_unpack_return __wrap_msgpack_unpack_next(msgpack_unpacked *result,
                                                 const char *data, size_t size,
                                                 size_t *at);
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__real_msgpack_zone_malloc_expand(msgpack_zone *zone, size_t size);
msgpack_unpack_return __real_msgpack_unpack_next(msgpack_unpacked *result,
                                                 const char *data, size_t size,
                                                 size_t *at);

void *
__wrap_malloc(size_t size)
{
    return is_granted() ? __real_malloc(size) : NULL;
}

void *
__wrap_realloc(void *old, size_t size)
{
    return is_granted() ? __real_realloc(old, size) : NULL;
}

char *
__wrap_strdup(const char *text)
{
    return is_granted() ? __real_strdup(text) : NULL;
}

void *
__wrap_msgpack_zone_malloc_expand(msgpack_zone *zone, size_t size)
{
    return is_granted() ? __real_msgpack_zone_malloc_expand(zone, size) : NULL;
}

msgpack_unpack_return
__wrap_msgpack_unpack_next(msgpack_unpacked *result, const char *data, size_t size,
                           size_t *at)
{
    return is_granted() ? __real_msgpack_unpack_next(result, data, size, at)
                        : MSGPACK_UNPACK_NOMEM_ERROR;
}

/* ---- deeds: 0, or what was missing ---- */

/* A frame of `size` bytes, into the reader and out of it. */
static int
read_frame(struct frame_reader *reader, size_t size, struct lighter_error *err)
{
    struct frame frame = {0};
    uint8_t head[FRAME_HEAD_SIZE], *room;
    size_t room_size, left = size;
    int r = frame_reader_room(reader, &room, &room_size, err);

    if (r < 0)
        return r;
    frame_head(head, (uint32_t)size);
    memcpy(room, head, sizeof head);
    frame_reader_fed(reader, sizeof head);
    while ((r = frame_next(reader, &frame, err)) == FRAME_MORE) {
        r = frame_reader_room(reader, &room, &room_size, err);
        if (r < 0)
            break;
        memset(room, 0, room_size < left ? room_size : left);
        frame_reader_fed(reader, room_size < left ? room_size : left);
        left -= room_size < left ? room_size : left;
    }
    free(frame.data);
    return r;
}

static int
read_frames(struct lighter_error *err)
{
    struct frame_reader reader = {0};
    int r = frame_reader_init(&reader, (size_t)1 << 20, err);

    if (r == 0)
        r = read_frame(&reader, 10, err);
    if (r == 0)
        r = read_frame(&reader, (size_t)1 << 20, err);
    frame_reader_done(&reader);
    return r;
}

static int
pack_message(struct lighter_error *err)
{
    struct message_out out;
    struct frame frame;
    int r;

    message_begin_result(&out, 1);
    msgpack_pack_map(&out.packer, 1);
    pack_key_text(&out.packer, "k", "a longer text than the buffer has to begin with");
    r = message_finish(&out, &frame, err);
    if (r == 0)
        free(frame.data);
    return r == -EPROTO ? -ENOMEM : r; /* torn: its words say so, see message.h */
}

static const uint8_t body[] =
    "\x94\x00\x01\xa5write\x82\xa1k\x92\xa1"
    "a\xa1"
    "b\xa7outputs\x81\xa1x\x92\x90\x84\xa2nd\xc3\xa4type\xa3|u1\xa5shape"
    "\x91\x01\xa4"
    "data\xc4\x01z";

/* In a zone that asks for each object anew, as large ones do. */
static int
look_into(const struct message *message, struct lighter_error *err)
{
    const msgpack_object *outputs = params_find(message->params, "outputs");
    const char *const *texts;
    struct lighter_value value;
    msgpack_zone *zone = msgpack_zone_new(1);
    size_t n_texts;
    int r = params_texts(message->params, "k", 2, zone, &texts, &n_texts, err);

    if (r == 0)
        r = value_convert(outputs, NULL, zone, &value, err);
    msgpack_zone_free(zone);
    return r;
}

static int
parse_message(struct lighter_error *err)
{
    struct message message;
    struct frame frame = {malloc(sizeof body - 1), sizeof body - 1};
    int r;

    if (!frame.data)
        return lighter_fail_os(err, ENOMEM, "make a frame");
    memcpy(frame.data, body, sizeof body - 1);
    r = message_parse(&message, &frame, CHECK_MAX_OBJECTS, err);
    if (r == 0)
        r = look_into(&message, err);
    message_done(&message);
    return r;
}

/* ---- */

/* How many requests it takes. */
static int
do_with_less(int (*deed)(struct lighter_error *err))
{
    for (int n = 0;; n++) {
        struct lighter_error err = LIGHTER_ERROR_INIT;
        int r;

        n_left = n;
        r = deed(&err);
        n_left = PLENTY;
        if (r == 0)
            return n;
        ck_assert_msg(r == -ENOMEM, "%d requests: %s", n, err.message);
        ck_assert_int_lt(n, 100);
    }
}

START_TEST(frames_wait_for_no_memory)
{
    /* staging, a small frame, and 256 KiB that double to 1 MiB */
    ck_assert_int_eq(do_with_less(read_frames), 1 + 1 + 3);
}
END_TEST

START_TEST(messages_are_parsed_whole_or_not)
{
    ck_assert_int_ge(do_with_less(parse_message), 6);
}
END_TEST

START_TEST(messages_are_packed_whole_or_not)
{
    ck_assert_int_ge(do_with_less(pack_message), 1);
}
END_TEST

/* A bad text is copied to be mended: without memory nil stands for it. */
START_TEST(a_text_that_cannot_be_mended_is_nil)
{
    struct message_out out;
    struct message message;
    struct frame frame;

    message_begin_result(&out, 1);
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "k");
    n_left = 0;
    pack_text(&out.packer, "\xff");
    n_left = PLENTY;
    ck_assert_int_eq(message_finish(&out, &frame, NULL), 0);

    pack_parse(&message, &frame);
    ck_assert_uint_eq(message.result->via.map.size, 1);
    ck_assert_ptr_null(params_find(message.result, "k"));
    message_done(&message);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("scarce");
    TCase *memory = unit_case(suite, "memory");

    tcase_add_test(memory, frames_wait_for_no_memory);
    tcase_add_test(memory, messages_are_parsed_whole_or_not);
    tcase_add_test(memory, messages_are_packed_whole_or_not);
    tcase_add_test(memory, a_text_that_cannot_be_mended_is_nil);
    return unit_main(suite);
}
