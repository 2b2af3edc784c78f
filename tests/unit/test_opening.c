/* test_opening.c - daemon/opening.c: an `open` that is read on a worker, and charged.
 */
#include "daemon/opening.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <string.h>

static uv_loop_t loop;
static struct pool pool;
static struct registry registry;
static struct quota quota;
static struct peer *peer;
static struct lighter_error err;
static int n_read, n_room;
static struct lighter_error last_error;
static struct opening_size last_size;

static void
on_room(void *data)
{
    (void)data;
    n_room++;
}

static void
on_read(void *data, struct opening *opening)
{
    (void)data;
    ck_assert_int_eq(n_room, 0); /* what is behind it waits */
    ck_assert_uint_gt(quota.used, 0);
    n_read++;
    last_size = opening->size;
    last_error = opening->error;
    if (opening->result == 0)
        job_spec_done(&opening->spec);
}

static void
begin(void)
{
    ck_assert_int_eq(registry_load(&registry, getenv("PLUGIN_DIR"), &err), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(pool_init(&pool, &loop, 1), 0);
    quota = (struct quota){.max = 1 << 30};
    peer = peer_new(&quota, 1 << 30);
    peer->on_room = on_room;
    n_read = n_room = 0;
}

static void
end(void)
{
    ck_assert_uint_eq(peer->refs, 1);
    ck_assert_uint_eq(quota.used, 0);
    peer = peer_unref(peer);
    pool_stop(&pool);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    pool_done(&pool);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    registry_done(&registry);
}

/* The frame of an `open` of a table with so many keys. Owned. */
static struct frame
frame_of(uint32_t n_keys)
{
    struct message_out out;
    struct frame frame;
    char key[16];

    message_begin_request(&out, 7, "open");
    msgpack_pack_map(&out.packer, 3);
    pack_key_text(&out.packer, "job", "p");
    pack_key_text(&out.packer, "cwd", "/");
    pack_key(&out.packer, "writers");
    msgpack_pack_array(&out.packer, 1);
    msgpack_pack_map(&out.packer, 2);
    pack_key_text(&out.packer, "type", "csv");
    pack_key(&out.packer, "options");
    msgpack_pack_map(&out.packer, 2);
    pack_key_text(&out.packer, "path", "p.csv");
    pack_key(&out.packer, "keys");
    msgpack_pack_array(&out.packer, n_keys);
    for (uint32_t i = 0; i < n_keys; i++) {
        snprintf(key, sizeof key, "k%u", i);
        pack_text(&out.packer, key);
    }
    ck_assert_int_eq(message_finish(&out, &frame, NULL), 0);
    frame.size -= FRAME_HEAD_SIZE;
    memmove(frame.data, frame.data + FRAME_HEAD_SIZE, frame.size);
    return frame;
}

static struct opening *
read_aside(struct frame frame)
{
    const struct opening_setup setup = {.pool = &pool,
                                        .registry = &registry,
                                        .max_objects = CHECK_MAX_OBJECTS,
                                        .data = &n_read,
                                        .on_read = on_read};
    struct reply reply = reply_new(peer, 7);
    struct opening *opening;

    ck_assert_int_eq(opening_begin(&opening, &setup, &frame, &reply, &err), 0);
    ck_assert_ptr_null(frame.data);
    ck_assert(!reply_owed(&reply));
    return opening;
}

START_TEST(what_it_may_cost_is_charged_until_it_is_read)
{
    struct frame frame = frame_of(100000);
    size_t size = frame.size;

    read_aside(frame);
    ck_assert_uint_ge(quota.used, 3 * size + 100000 * 64);
    ck_assert_int_eq(n_read, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(n_read, 1);
    ck_assert_int_eq(n_room, 1);
    ck_assert_uint_eq(last_error.code, LIGHTER_OK);
    ck_assert_uint_eq(last_size.n_bytes, size);
    ck_assert_uint_gt(last_size.n_objects, 100000);
}
END_TEST

START_TEST(more_objects_than_the_limit_are_refused_in_a_sentence)
{
    read_aside(frame_of((uint32_t)OPENING_OBJECTS_MAX));
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(last_error.code, LIGHTER_E_LIMIT);
    ck_assert_ptr_nonnull(
        strstr(last_error.message, "keys, parameters and other values"));
}
END_TEST

START_TEST(what_is_no_message_is_told_apart)
{
    struct frame frame = frame_of(10);

    frame.size -= 3;
    read_aside(frame);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(last_error.code, LIGHTER_E_PROTOCOL);
}
END_TEST

START_TEST(nobody_need_wait_for_it)
{
    struct opening *opening = read_aside(frame_of(100000));

    opening_forget(opening);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(n_read, 0);
    ck_assert_int_eq(n_room, 1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("opening");
    TCase *reading = unit_case(suite, "reading");

    uv_loop_init(&loop); /* libuv keeps descriptors */
    uv_loop_close(&loop);
    tcase_add_checked_fixture(reading, begin, end);
    tcase_add_test(reading, what_it_may_cost_is_charged_until_it_is_read);
    tcase_add_test(reading, more_objects_than_the_limit_are_refused_in_a_sentence);
    tcase_add_test(reading, what_is_no_message_is_told_apart);
    tcase_add_test(reading, nobody_need_wait_for_it);
    return unit_main(suite);
}
