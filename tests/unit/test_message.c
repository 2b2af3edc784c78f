/* test_message.c - wire/message.c: bodies to messages, and messages to frames. */
#include "tests/unit/pack.h"
#include "tests/unit/unit.h"
#include "util/utf8.h"
#include "wire/params.h"

#include <stdlib.h>

/* Parse a copy of `body`. */
static int
parse(struct message *ret_message, const void *body, size_t size,
      struct lighter_error *err)
{
    struct frame frame = {malloc(size ? size : 1), size};
    int r;

    memcpy(frame.data, body, size);
    r = message_parse(ret_message, &frame, CHECK_MAX_OBJECTS, err);
    ck_assert_ptr_null(frame.data); /* taken, also on error */
    return r;
}

static int
parse_json(struct message *ret_message, const char *json, struct lighter_error *err)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    int r;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    pack_json(&packer, json);
    r = parse(ret_message, buffer.data, buffer.size, err);
    msgpack_sbuffer_destroy(&buffer);
    return r;
}

static void
expect_refused(const char *json, const char *message)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct message parsed;

    ck_assert_msg(parse_json(&parsed, json, &err) == -EPROTO, "%s", json);
    ck_assert_uint_eq(err.code, LIGHTER_E_PROTOCOL);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(parsed.zone);
    ck_assert_ptr_null(parsed.frame.data);
}

START_TEST(a_request_is_a_method_and_params)
{
    struct message message;

    ck_assert_int_eq(parse_json(&message, "[0, 7, 'ping', {'a': 1}]", NULL), 0);

    ck_assert_int_eq(message.type, MESSAGE_REQUEST);
    ck_assert_uint_eq(message.id, 7);
    ck_assert(message_is(&message, "ping"));
    ck_assert(!message_is(&message, "pin"));
    ck_assert(!message_is(&message, "pong"));
    ck_assert(!message_is(&message, "ping1"));
    ck_assert_ptr_nonnull(params_find(message.params, "a"));
    message_done(&message);
    message_done(&message); /* a second time is nothing */
}
END_TEST

START_TEST(the_bytes_of_the_protocol_page_are_a_request)
{
    struct message message;

    ck_assert_int_eq(parse(&message, "\x94\x00\x01\xa4ping\x80", 9, NULL), 0);
    ck_assert(message_is(&message, "ping"));
    ck_assert_uint_eq(message.params->via.map.size, 0);
    message_done(&message);
}
END_TEST

START_TEST(a_notification_has_no_id)
{
    struct message message;

    ck_assert_int_eq(parse_json(&message, "[2, 'waiting', {'a': 1}]", NULL), 0);
    ck_assert_int_eq(message.type, MESSAGE_NOTIFICATION);
    ck_assert(message_is(&message, "waiting"));
    ck_assert_ptr_nonnull(params_find(message.params, "a"));
    message_done(&message);
}
END_TEST

START_TEST(a_response_is_an_error_or_a_result)
{
    struct message message;

    ck_assert_int_eq(parse_json(&message, "[1, 9, null, {'a': 1}]", NULL), 0);
    ck_assert_int_eq(message.type, MESSAGE_RESPONSE);
    ck_assert_uint_eq(message.id, 9);
    ck_assert_ptr_null(message.error);
    ck_assert_ptr_nonnull(params_find(message.result, "a"));
    message_done(&message);

    ck_assert_int_eq(parse_json(&message, "[1, 9, {'code': 'os'}, null]", NULL), 0);
    ck_assert_ptr_null(message.result);
    ck_assert_str_eq(pack_text_of(message.error, "code"), "os");
    message_done(&message);
}
END_TEST

static bool
peek(const void *body, size_t size, uint32_t *ret_id, msgpack_object_str *ret_method)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that sanitizers see its end */
    struct frame frame = {exact, size};
    bool is_request;

    memcpy(exact, body, size);
    is_request = message_peek(&frame, ret_id, ret_method);
    free(exact);
    return is_request;
}

START_TEST(a_look_at_a_request_finds_what_parsing_would_in_every_encoding)
{
    static const struct {
        size_t size;
        const char *body; /* all ask for "open" with id 7 */
    } bodies[] = {
        {8, "\x94\x00\x07\xa4open"},
        {11, "\xdc\x00\x04\x00\x07\xd9\x04open"},
        {17, "\xdd\x00\x00\x00\x04\xcc\x00\xcd\x00\x07\xda\x00\x04open"},
        {21,
         "\x94\xd0\x00\xcf\x00\x00\x00\x00\x00\x00\x00\x07\xdb\x00\x00\x00\x04open"},
        {18, "\x94\xd1\x00\x00\xd3\x00\x00\x00\x00\x00\x00\x00\x07\xa4open"},
        {18, "\x94\xd2\x00\x00\x00\x00\xce\x00\x00\x00\x07\xda\x00\x04open"},
    };
    struct message message;
    msgpack_object_str method;
    uint8_t whole[64];
    uint32_t id;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        size_t size = bodies[i].size;

        memcpy(whole, bodies[i].body, size);
        whole[size] = 0x80;
        ck_assert_int_eq(parse(&message, whole, size + 1, NULL), 0);
        ck_assert(message_is(&message, "open"));
        ck_assert_uint_eq(message.id, 7);
        message_done(&message);
        ck_assert_msg(peek(whole, size + 1, &id, &method), "%zu", i);
        ck_assert_uint_eq(id, 7);
        ck_assert_uint_eq(method.size, 4);
        for (size_t cut = 0; cut < size; cut++)
            ck_assert(!peek(whole, cut, &id, &method));
    }
}
END_TEST

START_TEST(a_look_at_what_is_no_request_finds_none)
{
    static const struct {
        size_t size;
        const char *body;
    } bodies[] = {
        {8, "\x94\x01\x07\xa4open"},     /* a response */
        {8, "\x93\x00\x07\xa4open"},     /* three */
        {8, "\x94\x00\xff\xa4open"},     /* an id below 0 */
        {9, "\x94\x00\xd0\x80\xa4open"}, /* likewise */
        {8, "\x94\x00\xc0\xa4open"},     /* nil */
        {9, "\x94\x00\x07\xc4\x04open"}, /* bytes */
        {16, "\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa4open"},
        {1, "\x80"},
    };
    msgpack_object_str method;
    uint32_t id;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        ck_assert_msg(!peek(bodies[i].body, bodies[i].size, &id, &method), "%zu", i);
}
END_TEST

START_TEST(ids_are_unsigned_numbers_of_32_bits)
{
    const char *expected = "not a message: expected an id between 0 and 4294967295";
    struct message message;

    ck_assert_int_eq(parse_json(&message, "[0, 4294967295, 'm', {}]", NULL), 0);
    ck_assert_uint_eq(message.id, UINT32_MAX);
    message_done(&message);

    expect_refused("[0, 4294967296, 'm', {}]", expected);
    expect_refused("[0, -1, 'm', {}]", expected);
    expect_refused("[0, 1.0, 'm', {}]", expected);
    expect_refused("[0, null, 'm', {}]", expected);
    expect_refused("[1, '1', null, {}]", expected);
}
END_TEST

START_TEST(sound_objects_that_are_no_message_are_refused)
{
    const char *envelope = "not a message: expected [0, id, method, params] or "
                           "[1, id, error, result]";

    expect_refused("{}", envelope);
    expect_refused("[]", envelope);
    expect_refused("{'a': [0, 1, 'm', {}]}", envelope);
    expect_refused("[0, 1, 'm']", envelope);
    expect_refused("[0, 1, 'm', {}, {}]", envelope);
    expect_refused("[2, 1, 'm', {}]", envelope);
    expect_refused("[-1, 1, 'm', {}]", envelope);
    expect_refused("['0', 1, 'm', {}]", envelope);
    expect_refused("[2, 'event']", envelope);
    expect_refused("[2, 'event', []]",
                   "not a message: expected params that are a map");
    expect_refused("[0, 1, 2, {}]",
                   "not a message: expected a method that is a string");
    expect_refused("[0, 1, 'bin:m', {}]",
                   "not a message: expected a method that is a string");
    expect_refused("[0, 1, 'm', []]", "not a message: expected params that are a map");
    expect_refused("[0, 1, 'm', null]",
                   "not a message: expected params that are a map");
    expect_refused("[1, 1, null, null]",
                   "not a message: expected an error or a result that is a map");
    expect_refused("[1, 1, 'x', {}]",
                   "not a message: expected an error or a result that is a map");
}
END_TEST

START_TEST(lone_scalars_are_refused)
{
    struct message message;

    ck_assert_int_eq(parse(&message, "\xc0", 1, NULL), -EPROTO);
    ck_assert_int_eq(parse(&message, "\x05", 1, NULL), -EPROTO);
    ck_assert_int_eq(parse(&message, "\xa1x", 2, NULL), -EPROTO);
    ck_assert_int_eq(parse(&message, "\xc4\x01x", 3, NULL), -EPROTO);
}
END_TEST

START_TEST(bytes_that_are_not_sound_never_reach_the_unpacker)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct message message;

    ck_assert_int_eq(parse(&message, "\xdd\x10\0\0\0", 5, &err), -EPROTO);
    ck_assert_str_eq(err.message,
                     "bad MessagePack at byte 5: a count goes past the frame's end");
    ck_assert_int_eq(parse(&message, "\x94\x00\x01\xa4ping\x80\xc0", 10, &err),
                     -EPROTO);
}
END_TEST

START_TEST(a_message_can_be_moved)
{
    struct message message, moved;

    pack_request(&message, 3, "write", "{'seq': 1}");
    moved = message;
    memset(&message, 0xff, sizeof message);
    ck_assert_ptr_nonnull(params_find(moved.params, "seq"));
    message_done(&moved);
}
END_TEST

/* ---- making them --------------------------------------------------------------- */

START_TEST(a_frame_that_was_finished_begins_with_its_length)
{
    struct message_out out;
    struct frame frame;

    message_begin_request(&out, 1, "ping");
    msgpack_pack_map(&out.packer, 0);
    ck_assert_int_eq(message_finish(&out, &frame, NULL), 0);

    ck_assert_uint_eq(frame.size, 13);
    ck_assert_int_eq(memcmp(frame.data, "\0\0\0\x09\x94\0\x01\xa4ping\x80", 13), 0);
    free(frame.data);
}
END_TEST

START_TEST(what_was_packed_is_what_is_parsed)
{
    struct message message;
    struct message_out out;
    struct frame frame;
    int64_t number;
    bool flag;

    message_begin_result(&out, 12);
    msgpack_pack_map(&out.packer, 7);
    pack_key_text(&out.packer, "text", "\u00e9");
    pack_key_text(&out.packer, "nothing", NULL);
    pack_key_uint(&out.packer, "uint", 300);
    pack_key_int(&out.packer, "int", -300);
    pack_key_bool(&out.packer, "yes", 2);
    pack_key_bool(&out.packer, "no", 0);
    pack_key_double(&out.packer, "double", 0.25);
    ck_assert_int_eq(message_finish(&out, &frame, NULL), 0);
    pack_parse(&message, &frame);

    ck_assert_int_eq(message.type, MESSAGE_RESPONSE);
    ck_assert_uint_eq(message.id, 12);
    ck_assert_str_eq(pack_text_of(message.result, "text"), "\u00e9");
    ck_assert_ptr_null(params_find(message.result, "nothing"));
    ck_assert_int_eq(params_int(message.result, "uint", 0, 999, &number, NULL), 0);
    ck_assert_int_eq(number, 300);
    ck_assert_int_eq(params_int(message.result, "int", -999, 0, &number, NULL), 0);
    ck_assert_int_eq(number, -300);
    ck_assert_int_eq(params_bool(message.result, "yes", &flag, NULL), 0);
    ck_assert(flag);
    ck_assert_int_eq(params_bool(message.result, "no", &flag, NULL), 0);
    ck_assert(!flag);
    ck_assert(params_find(message.result, "double")->via.f64 == 0.25);
    message_done(&message);
}
END_TEST

START_TEST(a_message_that_lacks_a_value_is_not_finished)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame = {NULL, 4711};
    struct message_out out;

    message_begin_result(&out, 1);
    msgpack_pack_map(&out.packer, 2);
    pack_key_int(&out.packer, "a", 1);
    ck_assert_int_eq(message_finish(&out, &frame, &err), -EPROTO);
    ck_assert_uint_eq(frame.size, 4711);
}
END_TEST

START_TEST(what_was_packed_is_turned_into_what_comes)
{
    struct message message;
    struct message_out out;

    message_begin_request(&out, 7, "open");
    msgpack_pack_map(&out.packer, 1);
    pack_key_text(&out.packer, "job", "p");
    ck_assert_int_eq(message_turn(&out, &message, NULL), 0);
    ck_assert(message_is(&message, "open") && message.id == 7);
    ck_assert_str_eq(pack_text_of(message.params, "job"), "p");
    message_done(&message);

    message_begin_request(&out, 7, "open");
    msgpack_pack_map(&out.packer, 1); /* and nothing in it */
    ck_assert_int_eq(message_turn(&out, &message, NULL), -EPROTO);
}
END_TEST

START_TEST(a_message_that_was_begun_can_be_dropped)
{
    struct message_out out;

    message_begin_request(&out, 1, "status");
    message_out_done(&out);
}
END_TEST

static void
pack_and_parse_error(struct message *ret_message, const struct lighter_error *error,
                     const char *writer)
{
    struct message_out out;
    struct frame frame;

    message_pack_error(&out, 5, error, writer);
    ck_assert_int_eq(message_finish(&out, &frame, NULL), 0);
    pack_parse(ret_message, &frame);
    ck_assert_int_eq(ret_message->type, MESSAGE_RESPONSE);
    ck_assert_uint_eq(ret_message->id, 5);
    ck_assert_ptr_null(ret_message->result);
}

START_TEST(an_error_carries_its_code_and_details)
{
    struct lighter_error error = LIGHTER_ERROR_INIT;
    const msgpack_object *details = NULL;
    struct message message;
    int64_t number;

    lighter_fail_os(&error, ENOSPC, "write");
    error.sample = 3;
    pack_and_parse_error(&message, &error, "csv");

    ck_assert_str_eq(pack_text_of(message.error, "code"), "os");
    ck_assert_str_eq(pack_text_of(message.error, "message"),
                     "write: No space left on device");
    ck_assert_int_eq(params_map(message.error, "details", &details, NULL), 0);
    ck_assert_uint_eq(details->via.map.size, 4);
    ck_assert_int_eq(params_int(details, "errno", 0, 999, &number, NULL), 0);
    ck_assert_int_eq(number, ENOSPC);
    ck_assert_str_eq(pack_text_of(details, "errno_name"), "ENOSPC");
    ck_assert_int_eq(params_int(details, "sample", 0, 999, &number, NULL), 0);
    ck_assert_int_eq(number, 3);
    ck_assert_str_eq(pack_text_of(details, "writer"), "csv");
    message_done(&message);
}
END_TEST

START_TEST(an_error_without_details_has_an_empty_map_of_them)
{
    struct lighter_error error = LIGHTER_ERROR_INIT;
    const msgpack_object *details = NULL;
    struct message message;

    lighter_fail(&error, LIGHTER_E_KEY, "no such key");
    pack_and_parse_error(&message, &error, NULL);

    ck_assert_str_eq(pack_text_of(message.error, "code"), "missing_key");
    ck_assert_int_eq(params_map(message.error, "details", &details, NULL), 0);
    ck_assert_uint_eq(details->via.map.size, 0);
    message_done(&message);
}
END_TEST

START_TEST(an_error_of_no_known_code_is_still_one)
{
    struct lighter_error error = LIGHTER_ERROR_INIT;
    struct message message;

    lighter_fail(&error, LIGHTER_E_VALUE, "of a newer plugin");
    error.code = 4711;
    pack_and_parse_error(&message, &error, NULL);
    ck_assert_str_eq(pack_text_of(message.error, "code"), lighter_code_name(4711));
    message_done(&message);
}
END_TEST

START_TEST(an_errno_without_a_name_is_still_an_error)
{
    struct lighter_error error = LIGHTER_ERROR_INIT;
    const msgpack_object *details = NULL;
    struct message message;

    lighter_fail_os(&error, 4000, "strange");
    pack_and_parse_error(&message, &error, NULL);
    ck_assert_int_eq(params_map(message.error, "details", &details, NULL), 0);
    ck_assert_ptr_null(params_find(details, "errno_name"));
    ck_assert_ptr_nonnull(params_find(details, "errno"));
    message_done(&message);
}
END_TEST

/* Strings of the wire are UTF-8, and a client may refuse the whole answer else. */
START_TEST(an_error_is_utf8_whatever_a_client_made_it_quote)
{
    static const char *const quoted[] = {"\xff", "a\xe2\x82", "\xc0\x80z", "\xe9t\xe9"};
    struct lighter_error error = LIGHTER_ERROR_INIT;
    struct message message;
    const char *text;

    for (size_t i = 0; i < sizeof quoted / sizeof *quoted; i++) {
        lighter_fail(&error, LIGHTER_E_METHOD, "there is no method '%s'", quoted[i]);
        pack_and_parse_error(&message, &error, NULL);
        text = pack_text_of(message.error, "message");
        ck_assert_msg(utf8_valid(text, strlen(text)), "message %zu", i);
        ck_assert_int_eq(strncmp(text, "there is no method '", 20), 0);
        message_done(&message);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("message");
    TCase *parsing = unit_case(suite, "parsing");
    TCase *making = unit_case(suite, "making");

    tcase_add_test(parsing, a_request_is_a_method_and_params);
    tcase_add_test(parsing, the_bytes_of_the_protocol_page_are_a_request);
    tcase_add_test(parsing, a_notification_has_no_id);
    tcase_add_test(parsing, a_response_is_an_error_or_a_result);
    tcase_add_test(parsing,
                   a_look_at_a_request_finds_what_parsing_would_in_every_encoding);
    tcase_add_test(parsing, a_look_at_what_is_no_request_finds_none);
    tcase_add_test(parsing, ids_are_unsigned_numbers_of_32_bits);
    tcase_add_test(parsing, sound_objects_that_are_no_message_are_refused);
    tcase_add_test(parsing, lone_scalars_are_refused);
    tcase_add_test(parsing, bytes_that_are_not_sound_never_reach_the_unpacker);
    tcase_add_test(parsing, a_message_can_be_moved);
    tcase_add_test(making, a_frame_that_was_finished_begins_with_its_length);
    tcase_add_test(making, what_was_packed_is_what_is_parsed);
    tcase_add_test(making, a_message_that_lacks_a_value_is_not_finished);
    tcase_add_test(making, what_was_packed_is_turned_into_what_comes);
    tcase_add_test(making, a_message_that_was_begun_can_be_dropped);
    tcase_add_test(making, an_error_carries_its_code_and_details);
    tcase_add_test(making, an_error_without_details_has_an_empty_map_of_them);
    tcase_add_test(making, an_error_of_no_known_code_is_still_one);
    tcase_add_test(making, an_errno_without_a_name_is_still_an_error);
    tcase_add_test(making, an_error_is_utf8_whatever_a_client_made_it_quote);
    return unit_main(suite);
}
