/* message.h - frames to messages and back (doc/protocol.md, section 2).
 *
 * In: one frame's body. Out: a view of it, with msgpack-c's objects in a zone of its
 * own. Strings and binary data point into the frame. Linked by daemon, C client, tests.
 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "wire/check.h"
#include "wire/frame.h"

#include <msgpack.h>
#include <stdbool.h>

enum message_type {
    MESSAGE_REQUEST = 0,
    MESSAGE_RESPONSE = 1,
    MESSAGE_NOTIFICATION = 2, /* without an id */
};

struct message {
    enum message_type type;
    uint32_t id;
    msgpack_object_str method;    /* not of responses */
    const msgpack_object *params; /* not of responses: a map */
    const msgpack_object *error;  /* responses: a map, or NULL */
    const msgpack_object *result; /* responses: a map, or NULL */
    uint64_t n_objects;           /* in the frame */
    struct frame frame;           /* owned: the bytes that all of this points into */
    msgpack_zone *zone;           /* owned: the objects; more may be put into it */
};

/* Takes the frame, also on error. Of more than `max_objects` it is refused, before
 * there is memory for any. On failure *ret_message is as message_done() leaves it.
 * Return: 0; -EPROTO; -ENOMEM.
 */
int message_parse(struct message *ret_message, struct frame *frame,
                  uint64_t max_objects, struct lighter_error *err);
void message_done(struct message *message);

/* Who asks for what, without a look at the params: what `frame` holds may still be no
 * sound message. *ret_method points into the frame. Return: is it a request?
 */
bool message_peek(const struct frame *frame, uint32_t *ret_id,
                  msgpack_object_str *ret_method);
int message_is(const struct message *message, const char *method);

/* A message being made: a frame's head, then what is packed. */
struct message_out {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
};

/* After a begin: pack params (or result) with out->packer, one map; then
 * message_finish() or message_out_done().
 */
void message_begin_request(struct message_out *out, uint32_t id, const char *method);
void message_begin_result(struct message_out *out, uint32_t id);
void message_begin_notification(struct message_out *out, const char *method);
void message_pack_error(struct message_out *out, uint32_t id,
                        const struct lighter_error *error, const char *writer);
void message_out_done(struct message_out *out);

/* The whole frame, owned by the caller: free(ret_frame->data). `out` is done.
 * Return: 0; -ENOMEM; -EPROTO where packing ran out of memory on its way, or what was
 *         packed is more than one map or over the limits of check.h.
 */
int message_finish(struct message_out *out, struct frame *ret_frame,
                   struct lighter_error *err);

/* The same as its receiver would see it: message_done(). `out` is done.
 * Return: as message_finish(), or as message_parse().
 */
int message_turn(struct message_out *out, struct message *ret_message,
                 struct lighter_error *err);

/* Packing, a key and its value at a time. `text` may be NULL: nil. Where it is not
 * UTF-8 its bad bytes become '?'.
 */
void pack_key(msgpack_packer *packer, const char *key);
void pack_text(msgpack_packer *packer, const char *text);
void pack_key_text(msgpack_packer *packer, const char *key, const char *text);
void pack_key_uint(msgpack_packer *packer, const char *key, uint64_t value);
void pack_key_int(msgpack_packer *packer, const char *key, int64_t value);
void pack_key_bool(msgpack_packer *packer, const char *key, int value);
void pack_key_double(msgpack_packer *packer, const char *key, double value);

#endif
