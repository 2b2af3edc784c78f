/* message.c - see message.h. */
#include "wire/message.h"

#include "util/error.h"
#include "util/utf8.h"

#include <string.h>

static int
refuse(struct lighter_error *err, const char *expected)
{
    return lighter_fail(err, LIGHTER_E_PROTOCOL, "not a message: expected %s",
                        expected);
}

static int
parse_id(struct message *message, const msgpack_object *id, struct lighter_error *err)
{
    if (id->type != MSGPACK_OBJECT_POSITIVE_INTEGER || id->via.u64 > UINT32_MAX)
        return refuse(err, "an id between 0 and 4294967295");
    message->id = (uint32_t)id->via.u64;
    return 0;
}

/* Of a request or a notification: its last two. */
static int
parse_call(struct message *message, const msgpack_object *items,
           struct lighter_error *err)
{
    if (items[0].type != MSGPACK_OBJECT_STR)
        return refuse(err, "a method that is a string");
    if (items[1].type != MSGPACK_OBJECT_MAP)
        return refuse(err, "params that are a map");
    message->method = items[0].via.str;
    message->params = &items[1];
    return 0;
}

static int
parse_response(struct message *message, const msgpack_object *items,
               struct lighter_error *err)
{
    const msgpack_object *map = &items[2];

    if (map->type == MSGPACK_OBJECT_NIL)
        map = &items[3];
    if (map->type != MSGPACK_OBJECT_MAP)
        return refuse(err, "an error or a result that is a map");
    *(map == &items[2] ? &message->error : &message->result) = map;
    return 0;
}

static int
parse_envelope(struct message *message, const msgpack_object *root,
               struct lighter_error *err)
{
    const msgpack_object *items = root->via.array.ptr;
    int r;

    if (root->type == MSGPACK_OBJECT_ARRAY && root->via.array.size == 3 &&
        items[0].type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
        items[0].via.u64 == MESSAGE_NOTIFICATION) {
        message->type = MESSAGE_NOTIFICATION;
        return parse_call(message, &items[1], err);
    }
    if (root->type != MSGPACK_OBJECT_ARRAY || root->via.array.size != 4 ||
        items[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || items[0].via.u64 > 1)
        return refuse(err, "[0, id, method, params] or [1, id, error, result]");
    message->type = (enum message_type)items[0].via.u64;
    r = parse_id(message, &items[1], err);
    if (r < 0)
        return r;
    return message->type == MESSAGE_REQUEST ? parse_call(message, &items[2], err)
                                            : parse_response(message, items, err);
}

/* The root object lies in the zone, so that the message can be moved. */
static int
unpack(struct message *message, msgpack_object **ret_root, struct lighter_error *err)
{
    msgpack_unpacked unpacked;
    msgpack_unpack_return result;
    size_t at = 0;

    msgpack_unpacked_init(&unpacked);
    result = msgpack_unpack_next(&unpacked, (const char *)message->frame.data,
                                 message->frame.size, &at);
    if (result != MSGPACK_UNPACK_SUCCESS) {
        msgpack_unpacked_destroy(&unpacked);
        return result == MSGPACK_UNPACK_NOMEM_ERROR
                   ? fail_nomem(err)
                   : refuse(err, "MessagePack that can be unpacked");
    }
    message->zone = msgpack_unpacked_release_zone(&unpacked);
    if (!message->zone) /* a lone scalar needs none; a message always does */
        return refuse(err, "an array");
    *ret_root = msgpack_zone_malloc(message->zone, sizeof **ret_root);
    if (!*ret_root)
        return fail_nomem(err);
    **ret_root = unpacked.data;
    return 0;
}

int
message_parse(struct message *ret_message, struct frame *frame, uint64_t max_objects,
              struct lighter_error *err)
{
    msgpack_object *root;
    int r;

    *ret_message = (struct message){.frame = *frame};
    *frame = (struct frame){0};
    r = check_object(ret_message->frame.data, ret_message->frame.size, max_objects,
                     &ret_message->n_objects, err);
    if (r == 0)
        r = unpack(ret_message, &root, err);
    if (r == 0)
        r = parse_envelope(ret_message, root, err);
    if (r < 0)
        message_done(ret_message);
    return r;
}

/* ---- a look at its beginning ---- */

struct peeking {
    const uint8_t *at;
    size_t left;
};

/* A big-endian number of n bytes. */
static bool
peek_bytes(struct peeking *peeking, size_t n, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (peeking->left < n)
        return false;
    for (size_t i = 0; i < n; i++)
        number = number << 8 | peeking->at[i];
    peeking->at += n;
    peeking->left -= n;
    *ret_number = number;
    return true;
}

/* Signed ones too: what is not negative is the same number. */
static bool
peek_int(struct peeking *peeking, uint64_t *ret_number)
{
    uint64_t head, size;

    if (!peek_bytes(peeking, 1, &head))
        return false;
    if (head < 0x80) {
        *ret_number = head;
        return true;
    }
    if (head < 0xcc || head > 0xd3)
        return false;
    size = (uint64_t)1 << (head & 3);
    return peek_bytes(peeking, size, ret_number) &&
           (head < 0xd0 || *ret_number >> (8 * size - 1) == 0);
}

static bool
peek_array_of_4(struct peeking *peeking)
{
    uint64_t head, count;

    if (!peek_bytes(peeking, 1, &head))
        return false;
    if (head != 0xdc && head != 0xdd)
        return head == 0x94;
    return peek_bytes(peeking, head == 0xdc ? 2 : 4, &count) && count == 4;
}

static bool
peek_string(struct peeking *peeking, msgpack_object_str *ret_string)
{
    uint64_t head, size;

    if (!peek_bytes(peeking, 1, &head))
        return false;
    if (head >= 0xa0 && head < 0xc0)
        size = head & 0x1f;
    else if (head < 0xd9 || head > 0xdb ||
             !peek_bytes(peeking, (size_t)1 << (head - 0xd9), &size))
        return false;
    if (size > peeking->left)
        return false;
    *ret_string = (msgpack_object_str){(uint32_t)size, (const char *)peeking->at};
    return true;
}

bool
message_peek(const struct frame *frame, uint32_t *ret_id,
             msgpack_object_str *ret_method)
{
    struct peeking peeking = {frame->data, frame->size};
    uint64_t type, id;

    if (!peek_array_of_4(&peeking) || !peek_int(&peeking, &type) ||
        type != MESSAGE_REQUEST || !peek_int(&peeking, &id) || id > UINT32_MAX ||
        !peek_string(&peeking, ret_method))
        return false;
    *ret_id = (uint32_t)id;
    return true;
}

void
message_done(struct message *message)
{
    if (message->zone)
        msgpack_zone_free(message->zone);
    free(message->frame.data);
    *message = (struct message){0};
}

int
message_is(const struct message *message, const char *method)
{
    return message->method.size == strlen(method) &&
           memcmp(message->method.ptr, method, message->method.size) == 0;
}

static void
begin(struct message_out *out, enum message_type type, uint32_t id)
{
    static const char head[FRAME_HEAD_SIZE];

    msgpack_sbuffer_init(&out->buffer);
    msgpack_packer_init(&out->packer, &out->buffer, msgpack_sbuffer_write);
    msgpack_sbuffer_write(&out->buffer, head, sizeof head);
    msgpack_pack_array(&out->packer, 4);
    msgpack_pack_uint32(&out->packer, type);
    msgpack_pack_uint32(&out->packer, id);
}

void
message_begin_request(struct message_out *out, uint32_t id, const char *method)
{
    begin(out, MESSAGE_REQUEST, id);
    pack_text(&out->packer, method);
}

void
message_begin_notification(struct message_out *out, const char *method)
{
    static const char head[FRAME_HEAD_SIZE];

    msgpack_sbuffer_init(&out->buffer);
    msgpack_packer_init(&out->packer, &out->buffer, msgpack_sbuffer_write);
    msgpack_sbuffer_write(&out->buffer, head, sizeof head);
    msgpack_pack_array(&out->packer, 3);
    msgpack_pack_uint32(&out->packer, 2);
    pack_text(&out->packer, method);
}

void
message_begin_result(struct message_out *out, uint32_t id)
{
    begin(out, MESSAGE_RESPONSE, id);
    msgpack_pack_nil(&out->packer);
}

void
message_pack_error(struct message_out *out, uint32_t id,
                   const struct lighter_error *error, const char *writer)
{
    msgpack_packer *packer = &out->packer;

    begin(out, MESSAGE_RESPONSE, id);
    msgpack_pack_map(packer, 3);
    pack_key_text(packer, "code", lighter_code_name(error->code));
    pack_key_text(packer, "message", error->message);
    pack_key(packer, "details");
    msgpack_pack_map(packer, (error->errnum ? 2u : 0) + (error->sample >= 0) +
                                 (writer != NULL));
    if (error->errnum) {
        pack_key_int(packer, "errno", error->errnum);
        pack_key_text(packer, "errno_name", strerrorname_np(error->errnum));
    }
    if (error->sample >= 0)
        pack_key_int(packer, "sample", error->sample);
    if (writer)
        pack_key_text(packer, "writer", writer);
    msgpack_pack_nil(packer);
}

void
message_out_done(struct message_out *out)
{
    msgpack_sbuffer_destroy(&out->buffer);
}

/* msgpack_pack_* answer -1 where the buffer could not grow, and then the object is
 * torn: one look at the whole finds that, instead of one after each call.
 */
int
message_finish(struct message_out *out, struct frame *ret_frame,
               struct lighter_error *err)
{
    size_t size = out->buffer.size - FRAME_HEAD_SIZE;
    int r;

    if (out->buffer.size <= FRAME_HEAD_SIZE || size > UINT32_MAX)
        r = fail_nomem(err);
    else
        r = check_object((uint8_t *)out->buffer.data + FRAME_HEAD_SIZE, size,
                         CHECK_MAX_OBJECTS, NULL, err);
    if (r < 0) {
        message_out_done(out);
        return error_wrap(err, r, "pack a message");
    }
    frame_head((uint8_t *)out->buffer.data, (uint32_t)size);
    ret_frame->size = out->buffer.size;
    ret_frame->data = (uint8_t *)msgpack_sbuffer_release(&out->buffer);
    return 0;
}

int
message_turn(struct message_out *out, struct message *ret_message,
             struct lighter_error *err)
{
    struct frame frame;
    int r = message_finish(out, &frame, err);

    if (r < 0)
        return r;
    frame.size -= FRAME_HEAD_SIZE;
    memmove(frame.data, frame.data + FRAME_HEAD_SIZE, frame.size);
    return message_parse(ret_message, &frame, CHECK_MAX_OBJECTS, err); /* takes */
}

/* Words that were cut, and paths that are in no encoding, must not make a bad string.
 */
static void
pack_repaired(msgpack_packer *packer, const char *text)
{
    char *copy = strdup(text);

    if (!copy) {
        msgpack_pack_nil(packer);
        return;
    }
    utf8_repair(copy);
    msgpack_pack_str_with_body(packer, copy, strlen(copy));
    free(copy);
}

void
pack_text(msgpack_packer *packer, const char *text)
{
    if (!text)
        msgpack_pack_nil(packer);
    else if (utf8_valid(text, strlen(text)))
        msgpack_pack_str_with_body(packer, text, strlen(text));
    else
        pack_repaired(packer, text);
}

void
pack_key(msgpack_packer *packer, const char *key)
{
    pack_text(packer, key);
}

void
pack_key_text(msgpack_packer *packer, const char *key, const char *text)
{
    pack_key(packer, key);
    pack_text(packer, text);
}

void
pack_key_uint(msgpack_packer *packer, const char *key, uint64_t value)
{
    pack_key(packer, key);
    msgpack_pack_uint64(packer, value);
}

void
pack_key_int(msgpack_packer *packer, const char *key, int64_t value)
{
    pack_key(packer, key);
    msgpack_pack_int64(packer, value);
}

void
pack_key_bool(msgpack_packer *packer, const char *key, int value)
{
    pack_key(packer, key);
    if (value)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

void
pack_key_double(msgpack_packer *packer, const char *key, double value)
{
    pack_key(packer, key);
    msgpack_pack_double(packer, value);
}
