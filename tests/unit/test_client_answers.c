/* test_client_answers.c - liblighter and answers of any kind: the end of the
 * connection, garbage, errors, JSON.
 */
#include "tests/unit/client_peer.h"

#include <math.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a daemon that is none ----------------------------------------------------- */

START_TEST(nobody_who_listens_is_an_error_of_its_own)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer = {0};

    peer_listen(&peer);
    close(peer.listen_fd);
    ck_assert_int_eq(lighter_connect(&client, peer.path, NULL, &err), -ECONNREFUSED);
    ck_assert_int_eq(err.errnum, ECONNREFUSED);
    ck_assert_contains(err.message, peer.path);
    unlink(peer.path);
    ck_assert_int_eq(lighter_connect(&client, peer.path, NULL, &err), -ECONNREFUSED);
    ck_assert_int_eq(err.errnum, ENOENT);
    ck_assert_contains(err.message, "start one: `lighterd --socket /");

    unit_tmpdir_remove(peer.directory);
}
END_TEST

static void
serve_eof(struct peer *peer)
{
    peer_expect(peer, "hello");
}

static void
serve_half_an_answer(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_send(peer, "\0\0\0\x20\x94\x01", 6);
}

static void
serve_garbage(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_send(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void
serve_no_message(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_send(peer, "\0\0\0\x02\x91\xc1", 6);
}

static void
serve_unknown_id(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_answer(peer, peer->request.id + 1);
}

static void
serve_request(struct peer *peer)
{
    struct message_out out;

    peer_expect(peer, "hello");
    message_begin_request(&out, peer->request.id, "hello");
    msgpack_pack_map(&out.packer, 0);
    peer_send_out(peer, &out);
}

static void
serve_last_words(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_refuse(peer, 0,
                (struct lighter_error){LIGHTER_E_PROTOCOL, 0, -1, "a frame of 9 GiB"});
}

static void
serve_other_version(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_PARAMS, 0, -1, "it speaks 2"});
}

static void
serve_empty_hello(struct peer *peer)
{
    peer_serve(peer, "hello");
}

static const struct {
    void (*serve)(struct peer *peer);
    int r;
    uint32_t code;
    const char *message;
} strangers[] = {
    {serve_eof, -ECONNRESET, LIGHTER_E_OS, "closed the connection without an answer"},
    {serve_half_an_answer, -ECONNRESET, LIGHTER_E_OS, "closed the connection without"},
    {serve_garbage, -EPROTO, LIGHTER_E_PROTOCOL, "an answer of lighterd: a frame of"},
    {serve_no_message, -EPROTO, LIGHTER_E_PROTOCOL, "bad MessagePack at byte"},
    {serve_unknown_id, -EPROTO, LIGHTER_E_PROTOCOL, "a request 2 that was not sent"},
    {serve_request, -EPROTO, LIGHTER_E_PROTOCOL, "sent a request, not an answer"},
    {serve_last_words, -EPROTO, LIGHTER_E_PROTOCOL, "a frame of 9 GiB"},
    {serve_other_version, -EINVAL, LIGHTER_E_PARAMS, "it speaks 2"},
    {serve_empty_hello, -EPROTO, LIGHTER_E_PROTOCOL,
     "the answer of lighterd to 'hello': 'protocol' is missing"},
};
#define N_STRANGERS (int)(sizeof strangers / sizeof *strangers)

START_TEST(a_stranger_is_told_from_a_daemon)
{
    for (int i = 0; i < UNIT_N_CHUNKS; i++) {
        struct lighter_error err = LIGHTER_ERROR_INIT;
        struct lighter_client *client;
        struct peer peer;
        int r;

        peer_start(&peer, unit_chunks[i], strangers[_i].serve);
        r = lighter_connect(&client, peer.path, NULL, &err);

        ck_assert_int_eq(r, strangers[_i].r);
        ck_assert_int_eq(err.code, strangers[_i].code);
        ck_assert_contains(err.message, strangers[_i].message);

        peer_finish(&peer);
    }
}
END_TEST

static void
serve_half_a_job(struct peer *peer)
{
    peer_greet_and_accept_job(peer);
    peer_expect(peer, "write");
    peer_send(peer, "\0\0\0\x20\x94\x01", 6);
}

START_TEST(a_connection_that_broke_stays_broken)
{
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_half_a_job);
    client = peer_open_job(&peer);
    lighter_set_reconnect(client, 0);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops));

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(lighter_end(client, PEER_HANDLE, true, &err), -ECONNRESET);
        ck_assert_str_eq(err.message,
                         "lighterd closed the connection in the middle of an answer");
    }
    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 1, 0, NULL),
                     -ECONNRESET);
    ck_assert_int_eq(lighter_control(client, "ping", NULL, &json, NULL), -ECONNRESET);
    ck_assert_int_eq(lighter_abort(client, PEER_HANDLE, NULL, NULL), -ECONNRESET);

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_refusal_while_it_sends(struct peer *peer)
{
    struct lighter_error err = {LIGHTER_E_PROTOCOL, 0, -1, "a frame that is too long"};

    peer_greet_and_accept_job(peer);
    usleep(20000);
    peer_refuse(peer, 0, err);
}

START_TEST(the_last_words_of_the_daemon_are_heard_while_sending)
{
    const uint64_t shape[] = {16 << 20};
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    uint8_t *bytes = calloc(1, shape[0]);
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_refusal_while_it_sends);
    client = peer_open_job(&peer);
    lighter_outputs_tensor(outputs, "t", LIGHTER_UINT8, 1, shape, bytes);

    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &err), -EPROTO);
    ck_assert_str_eq(err.message, "a frame that is too long");

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    free(bytes);
    peer_finish(&peer);
}
END_TEST

/* An answer to `open` that is packed by the test. */
static void
pack_bad_open(msgpack_packer *packer, int which)
{
    msgpack_pack_map(packer, 3);
    if (which == 0)
        pack_key_text(packer, "handle", "three");
    else
        pack_key_int(packer, "handle", which == 1 ? -1 : 3);
    pack_key_int(packer, "seq", which == 2 ? -5 : 0);
    pack_key(packer, "warnings");
    if (which == 3)
        pack_text(packer, "one");
    else {
        msgpack_pack_array(packer, which == 4);
        if (which == 4)
            msgpack_pack_int(packer, 7);
    }
}

static void
serve_bad_opens(struct peer *peer)
{
    struct message_out out;

    peer_greet(peer);
    for (int i = 0; i < 7; i++) {
        peer_expect(peer, "open");
        message_begin_result(&out, peer->request.id);
        pack_bad_open(&out.packer, i);
        peer_send_out(peer, &out);
    }
}

START_TEST(an_open_with_a_bad_answer_is_refused)
{
    struct lighter_job_spec spec = {.job = "p", .writers_json = PEER_WRITERS};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_bad_opens);
    client = peer_connect(&peer);

    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(lighter_open(client, &spec, &job, &err), -EPROTO);
        ck_assert_int_eq(err.code, LIGHTER_E_PROTOCOL);
        ck_assert_contains(err.message, "the answer of lighterd to 'open': ");
    }
    ck_assert_ok(lighter_open(client, &spec, &job, &oops));
    ck_assert_int_eq(lighter_open(client, &spec, &job, &err), -EPROTO);
    ck_assert_contains(err.message, "the handle 3 a second time");

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

/* ---- errors -------------------------------------------------------------------- */

/* Maps in the place of an error, from sound to absurd. */
static void
pack_odd_error(msgpack_packer *packer, int which)
{
    char text[1200];

    memset(text, 'x', sizeof text);
    memcpy(text + LIGHTER_ERROR_TEXT_MAX - 2, "\xc3\xa4", 2); /* across the limit */
    msgpack_pack_map(packer, which == 0 ? 0 : 3);
    if (which == 0)
        return;
    pack_key_text(packer, "code", which == 1 ? "tomorrow" : "os");
    pack_key(packer, "message");
    msgpack_pack_str_with_body(packer, text, which == 2 ? sizeof text : 3);
    pack_key(packer, "details");
    if (which == 3)
        pack_text(packer, "none");
    else {
        msgpack_pack_map(packer, 2);
        pack_key_int(packer, "errno", INT64_MAX);
        pack_key_text(packer, "sample", "first");
    }
}

static void
serve_odd_errors(struct peer *peer)
{
    peer_greet(peer);
    for (int i = 0; i < 4; i++) {
        struct message_out out;

        peer_expect(peer, "ping");
        message_begin_result(&out, peer->request.id);
        out.buffer.size--; /* the error stands where nil is */
        pack_odd_error(&out.packer, i);
        msgpack_pack_nil(&out.packer);
        peer_send_out(peer, &out);
    }
}

START_TEST(an_odd_error_is_an_error)
{
    static const int results[] = {-ENOTRECOVERABLE, -ENOTRECOVERABLE, -EIO, -EIO};
    struct lighter_client *client;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_odd_errors);
    client = peer_connect(&peer);

    for (int i = 0; i < 4; i++) {
        struct lighter_error err = LIGHTER_ERROR_INIT;

        ck_assert_int_eq(lighter_control(client, "ping", NULL, &json, &err),
                         results[i]);
        ck_assert_int_eq(err.errnum, 0);
        ck_assert_int_eq(err.sample, -1);
        if (i == 0)
            ck_assert_str_eq(err.message, "lighterd gave no reason");
        else if (i == 2)
            ck_assert_int_eq(strlen(err.message), LIGHTER_ERROR_TEXT_MAX - 2);
        else
            ck_assert_str_eq(err.message, "xxx");
    }

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

/* ---- control ------------------------------------------------------------------- */

static void
serve_echo(struct peer *peer)
{
    struct message_out out;

    peer_greet(peer);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_object(&out.packer, *peer->request.params);
    peer_send_out(peer, &out);
}

START_TEST(json_goes_to_the_wire_and_comes_back)
{
    const char *json = "{\"a\":[1,-2,3.5,\"\xc3\xa4\",true,false,null,[],{},\"\"],"
                       "\"big\":9223372036854775807,\"small\":-9223372036854775808}";
    struct lighter_client *client;
    struct peer peer;
    char *answer;

    peer_start(&peer, SIZE_MAX, serve_echo);
    client = peer_connect(&peer);
    ck_assert_ok(lighter_control(client, "status", json, &answer, &oops));

    ck_assert_str_eq(answer, json);

    free(answer);
    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

static void
serve_beyond_json(struct peer *peer)
{
    struct message_out out;

    peer_greet(peer);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 3);
    pack_key_double(&out.packer, "nan", (double)NAN);
    pack_key_uint(&out.packer, "huge", UINT64_MAX);
    msgpack_pack_str_with_body(&out.packer, "path\xff", 5);
    msgpack_pack_str_with_body(&out.packer, "/\xe4/\xc3\xa4", 5);
    peer_send_out(peer, &out);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "data");
    msgpack_pack_bin_with_body(&out.packer, "x", 1);
    peer_send_out(peer, &out);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 1);
    msgpack_pack_int(&out.packer, 1);
    msgpack_pack_int(&out.packer, 1);
    peer_send_out(peer, &out);
}

START_TEST(what_json_cannot_say_is_bent_or_refused)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_beyond_json);
    client = peer_connect(&peer);
    ck_assert_ok(lighter_control(client, "status", NULL, &json, &oops));

    ck_assert_str_eq(json, "{\"huge\":1.8446744073709552e19,\"nan\":null,"
                           "\"path\xef\xbf\xbd\":\"/\xef\xbf\xbd/\xc3\xa4\"}");
    ck_assert_int_eq(lighter_control(client, "status", NULL, &json, &err), -EPROTO);
    ck_assert_contains(err.message, "bytes, which JSON cannot hold");
    ck_assert_int_eq(lighter_control(client, "status", NULL, &json, &err), -EPROTO);
    ck_assert_contains(err.message, "a map's key is an int");
    ck_assert_int_eq(lighter_control(client, "status", "[]", &json, &err), -EINVAL);
    ck_assert_str_eq(err.message, "params_json: expected a JSON object");

    free(json);
    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client_answers");
    TCase *tcase;

    setenv("LIGHTERD_RECONNECT_SECONDS", "0", 1); /* there is no next one */
    tcase = unit_case(suite, "strangers");
    tcase_add_test(tcase, nobody_who_listens_is_an_error_of_its_own);
    tcase_add_loop_test(tcase, a_stranger_is_told_from_a_daemon, 0, N_STRANGERS);
    tcase_add_test(tcase, a_connection_that_broke_stays_broken);
    tcase_add_test(tcase, the_last_words_of_the_daemon_are_heard_while_sending);
    tcase_add_test(tcase, an_open_with_a_bad_answer_is_refused);
    tcase = unit_case(suite, "errors");
    tcase_add_test(tcase, an_odd_error_is_an_error);
    tcase = unit_case(suite, "control");
    tcase_add_test(tcase, json_goes_to_the_wire_and_comes_back);
    tcase_add_test(tcase, what_json_cannot_say_is_bent_or_refused);
    return unit_main(suite);
}
