/* peer.h - the other end of a connection, and the answers that it is still owed.
 *
 * A peer outlives its connection: batches on their way hold it, so that what they
 * charged can be released and their answers go nowhere once it has gone. Loop thread.
 */
#ifndef DAEMON_PEER_H
#define DAEMON_PEER_H

#include "daemon/quota.h"
#include "wire/message.h"

struct peer {
    unsigned refs;
    struct quota quota;
    char client[64]; /* what it calls itself, for people */
    int64_t pid;     /* what it says its pid is; 0 where it says nothing */
    bool notices;    /* it wants to hear when a job of its waits */

    /* set by the connection, NULL once it has closed */
    /* takes the frame; NULL: there is no memory for an answer that is owed */
    void (*on_answer)(void *data, struct frame *frame);
    void *data;
    /* has its process ended, or hung up? Also where a child of it still holds the
     * socket, or nothing is read from it for now
     */
    bool (*is_gone)(void *data);
    /* its seats are free at once, the connection is closed soon; data outlives this */
    void (*evict)(void *data);

    /* bytes were released; stays when the connection has closed, for the room is not
     * this peer's alone */
    void (*on_room)(void *room_data);
    void *room_data;
};

/* One reference, the caller's. NULL where there is no memory. */
struct peer *peer_new(struct quota *parent, size_t max_bytes);
struct peer *peer_ref(struct peer *peer);
struct peer *peer_unref(struct peer *peer); /* returns NULL */

/* Is there nobody any more who could make use of an answer? */
bool peer_is_gone(const struct peer *peer);
/* Of a peer that is gone. */
void peer_evict(struct peer *peer);

void peer_charge(struct peer *peer, size_t size);
void peer_release(struct peer *peer, size_t size);

/* A notification: begun, and packed one map. Takes it, also where the peer has gone. */
void peer_notify(struct peer *peer, struct message_out *out);

/* An answer that is owed. Moved, not copied: reply_take() leaves an empty one. */
struct reply {
    struct peer *peer; /* a reference, or NULL: answered or nobody asked */
    uint32_t id;
};

struct reply reply_new(struct peer *peer, uint32_t id);
struct reply reply_take(struct reply *reply);
bool reply_owed(const struct reply *reply);

/* Each answers and ends the reply; none does anything where nothing is owed. */
void reply_error(struct reply *reply, const struct lighter_error *error,
                 const char *writer); /* `writer`: a type, or NULL */
void reply_empty(struct reply *reply);
void reply_done(struct reply *reply); /* without an answer */

/* A result of the caller's: begin, pack one map with out->packer, send. */
void reply_begin(const struct reply *reply, struct message_out *out);
void reply_send(struct reply *reply, struct message_out *out);

#endif
