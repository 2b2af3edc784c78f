/* test_peer.c - daemon/peer.c and quota.h: charges, and answers that come once. */
#include "daemon/peer.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"
#include "wire/params.h"

#include <stdlib.h>

/* What a connection sees. */
struct connection {
    struct message last; /* owned */
    unsigned n_answers, n_rooms;
};

static struct connection connection;

static void
on_answer(void *data, struct frame *frame)
{
    struct connection *to = data;

    message_done(&to->last);
    pack_parse(&to->last, frame);
    to->n_answers++;
}

static void
on_room(void *data)
{
    ((struct connection *)data)->n_rooms++;
}

static struct peer *
connected_peer(struct quota *parent, size_t max_bytes)
{
    struct peer *peer = peer_new(parent, max_bytes);

    ck_assert_ptr_nonnull(peer);
    peer->on_answer = on_answer;
    peer->on_room = on_room;
    peer->data = peer->room_data = &connection;
    return peer;
}

START_TEST(charges_count_for_the_client_and_for_the_daemon)
{
    struct quota daemon = {.max = 100};
    struct peer *one = connected_peer(&daemon, 60), *two = connected_peer(&daemon, 60);

    peer_charge(one, 59);
    ck_assert(quota_has_room(&one->quota));
    peer_charge(one, 1);
    ck_assert(!quota_has_room(&one->quota));
    ck_assert(quota_has_room(&two->quota));
    peer_charge(two, 40);
    ck_assert_uint_eq(daemon.used, 100);
    ck_assert(!quota_has_room(&two->quota)); /* the daemon is full */

    peer_release(one, 60);
    ck_assert_uint_eq(connection.n_rooms, 1);
    ck_assert(quota_has_room(&one->quota));
    ck_assert(quota_has_room(&two->quota));
    peer_release(two, 40);
    ck_assert_uint_eq(daemon.used, 0);
    ck_assert_uint_eq(one->quota.used, 0);
    peer_unref(one);
    peer_unref(two);
}
END_TEST

START_TEST(one_batch_always_fits_however_large)
{
    struct peer *peer = connected_peer(NULL, 10);

    ck_assert(quota_has_room(&peer->quota));
    peer_charge(peer, 1000000);
    ck_assert(!quota_has_room(&peer->quota));
    peer_release(peer, 1000000);
    ck_assert(quota_has_room(&peer->quota));
    peer_unref(peer);
}
END_TEST

START_TEST(an_answer_is_given_once)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct peer *peer = connected_peer(NULL, 1);
    struct reply reply = reply_new(peer, 7);

    ck_assert(reply_owed(&reply));
    reply_empty(&reply);
    ck_assert_uint_eq(connection.n_answers, 1);
    ck_assert_uint_eq(connection.last.id, 7);
    ck_assert_uint_eq(connection.last.result->via.map.size, 0);

    ck_assert(!reply_owed(&reply));
    lighter_fail(&err, LIGHTER_E_STATE, "late");
    reply_empty(&reply);
    reply_error(&reply, &err, NULL);
    reply_done(&reply);
    ck_assert_uint_eq(connection.n_answers, 1);
    ck_assert_uint_eq(peer->refs, 1);
    message_done(&connection.last);
    peer_unref(peer);
}
END_TEST

START_TEST(an_error_is_an_answer)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct peer *peer = connected_peer(NULL, 1);
    struct reply reply = reply_new(peer, 8);

    lighter_fail(&err, LIGHTER_E_STATE, "not now");
    reply_error(&reply, &err, "csv");
    ck_assert_uint_eq(connection.last.id, 8);
    ck_assert_str_eq(pack_text_of(connection.last.error, "code"), "bad_state");
    ck_assert_str_eq(pack_text_of(connection.last.error, "message"), "not now");
    ck_assert(!reply_owed(&reply));
    message_done(&connection.last);
    peer_unref(peer);
}
END_TEST

START_TEST(a_result_is_packed_by_who_answers)
{
    struct peer *peer = connected_peer(NULL, 1);
    struct reply reply = reply_new(peer, 9);
    struct message_out out;
    int64_t number = 0;

    reply_begin(&reply, &out);
    msgpack_pack_map(&out.packer, 1);
    pack_key_int(&out.packer, "handle", 3);
    reply_send(&reply, &out);
    ck_assert_int_eq(params_int(connection.last.result, "handle", 0, 9, &number, NULL),
                     0);
    ck_assert_int_eq(number, 3);
    message_done(&connection.last);
    peer_unref(peer);
}
END_TEST

START_TEST(a_reply_that_was_taken_is_owed_by_the_taker)
{
    struct peer *peer = connected_peer(NULL, 1);
    struct reply reply = reply_new(peer, 7), taken = reply_take(&reply);

    ck_assert(!reply_owed(&reply));
    ck_assert(reply_owed(&taken));
    reply_empty(&reply);
    ck_assert_uint_eq(connection.n_answers, 0);
    reply_empty(&taken);
    ck_assert_uint_eq(connection.n_answers, 1);
    ck_assert_uint_eq(peer->refs, 1);
    message_done(&connection.last);
    peer_unref(peer);
}
END_TEST

START_TEST(a_peer_outlives_its_connection_and_its_answers_go_nowhere)
{
    struct quota daemon = {.max = 100};
    struct peer *peer = connected_peer(&daemon, 60);
    struct reply reply = reply_new(peer, 7), other = reply_new(peer, 8);
    struct message_out out;

    peer_charge(peer, 50);
    peer->on_answer = NULL;
    peer->data = NULL;
    ck_assert_ptr_null(peer_unref(peer)); /* the connection's own reference */

    ck_assert_uint_eq(daemon.used, 50);
    peer_release(reply.peer, 50);
    ck_assert_uint_eq(daemon.used, 0);
    ck_assert_uint_eq(connection.n_rooms, 1); /* the room may be what others wait for */
    reply_empty(&reply);
    reply_begin(&other, &out);
    msgpack_pack_map(&out.packer, 0);
    reply_send(&other, &out); /* frees the peer */
    ck_assert_uint_eq(connection.n_answers, 0);
}
END_TEST

START_TEST(a_reply_can_be_dropped)
{
    struct peer *peer = connected_peer(NULL, 1);
    struct reply reply = reply_new(peer, 7);

    reply_done(&reply);
    reply_done(&reply);
    ck_assert_uint_eq(connection.n_answers, 0);
    ck_assert_uint_eq(peer->refs, 1);
    peer_unref(peer);
    ck_assert_ptr_null(peer_unref(NULL));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("peer");
    TCase *peer = unit_case(suite, "peer");

    tcase_add_test(peer, charges_count_for_the_client_and_for_the_daemon);
    tcase_add_test(peer, one_batch_always_fits_however_large);
    tcase_add_test(peer, an_answer_is_given_once);
    tcase_add_test(peer, an_error_is_an_answer);
    tcase_add_test(peer, a_result_is_packed_by_who_answers);
    tcase_add_test(peer, a_reply_that_was_taken_is_owed_by_the_taker);
    tcase_add_test(peer, a_peer_outlives_its_connection_and_its_answers_go_nowhere);
    tcase_add_test(peer, a_reply_can_be_dropped);
    return unit_main(suite);
}
