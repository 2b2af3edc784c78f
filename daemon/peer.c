/* peer.c - see peer.h. */
#include "daemon/peer.h"

#include "util/log.h"

#include <stdlib.h>

struct peer *
peer_new(struct quota *parent, size_t max_bytes)
{
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer) {
        peer->refs = 1;
        peer->quota = (struct quota){.max = max_bytes, .parent = parent};
    }
    return peer;
}

struct peer *
peer_ref(struct peer *peer)
{
    peer->refs++;
    return peer;
}

struct peer *
peer_unref(struct peer *peer)
{
    if (peer && --peer->refs == 0)
        free(peer);
    return NULL;
}

bool
peer_is_gone(const struct peer *peer)
{
    return !peer->on_answer || (peer->is_gone && peer->is_gone(peer->data));
}

void
peer_evict(struct peer *peer)
{
    if (peer->on_answer && peer->evict)
        peer->evict(peer->data);
}

void
peer_charge(struct peer *peer, size_t size)
{
    quota_charge(&peer->quota, size);
}

void
peer_release(struct peer *peer, size_t size)
{
    quota_release(&peer->quota, size);
    if (peer->on_room)
        peer->on_room(peer->room_data);
}

void
peer_notify(struct peer *peer, struct message_out *out)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame;

    if (!peer->on_answer)
        message_out_done(out);
    else if (message_finish(out, &frame, &err) < 0)
        log_error("a notification is lost: %s", err.message);
    else
        peer->on_answer(peer->data, &frame); /* takes */
}

struct reply
reply_new(struct peer *peer, uint32_t id)
{
    return (struct reply){peer_ref(peer), id};
}

struct reply
reply_take(struct reply *reply)
{
    struct reply taken = *reply;

    reply->peer = NULL;
    return taken;
}

bool
reply_owed(const struct reply *reply)
{
    return reply->peer;
}

void
reply_done(struct reply *reply)
{
    reply->peer = peer_unref(reply->peer);
}

void
reply_begin(const struct reply *reply, struct message_out *out)
{
    message_begin_result(out, reply->id);
}

void
reply_send(struct reply *reply, struct message_out *out)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame;

    if (!reply->peer || !reply->peer->on_answer)
        message_out_done(out);
    else if (message_finish(out, &frame, &err) < 0)
        reply->peer->on_answer(reply->peer->data, NULL);
    else
        reply->peer->on_answer(reply->peer->data, &frame); /* takes */
    reply_done(reply);
}

void
reply_error(struct reply *reply, const struct lighter_error *error, const char *writer)
{
    struct message_out out;

    if (!reply->peer)
        return;
    message_pack_error(&out, reply->id, error, writer);
    reply_send(reply, &out);
}

void
reply_empty(struct reply *reply)
{
    struct message_out out;

    if (!reply->peer)
        return;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 0);
    reply_send(reply, &out);
}
