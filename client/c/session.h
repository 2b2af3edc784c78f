/* session.h - batches on their way, one call beside them, and the answers brought back.
 *
 * Batches are numbered and pipelined; answers come in any order. A batch is kept, frame
 * and memory, until it is answered: where the daemon goes away it is sent again, to the
 * next one, which the session's owner looks for. A call is one request whose answer is
 * waited for; it has the same number each time, for there is never a second one. What
 * breaks the connection for good is kept, and answers every later call.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/c/channel.h"
#include "client/c/memory.h"

enum { SESSION_NO_MEMORY = 1 };
enum { SESSION_LOST = 1 };

/* Batches without an answer at a time, a power of two: bounds memory where they are
 * tiny, and is far more than a disk needs to be kept busy.
 */
#define SESSION_MAX_BATCHES 1024u

#define SESSION_CALL_ID 1u /* of every call; batches have others */

/* One batch without an answer. */
struct request {
    uint32_t id; /* 0: none, this place is free */
    struct frame frame;
    struct slot slot;
    size_t size; /* bytes of the frame, and of its tensors in memory */

    /* The answer is there: lent. */
    void (*on_answer)(const struct request *request, const struct message *answer);
    void *owner; /* on_answer's own; borrowed, see session_disown() */
    int64_t seq, batch_idx, dataloader_idx;
};

struct session {
    struct channel channel;
    uid_t owner; /* whose daemon it may be, besides root's */
    size_t max_frame_bytes, max_objects, max_client_bytes;
    size_t memory_room; /* for the tensors of one batch; 0: there is no memory */
    struct client_memory memory;
    struct request requests[SESSION_MAX_BATCHES]; /* at id % SESSION_MAX_BATCHES */
    uint32_t next_id;                             /* of a batch */
    uint32_t sending_id; /* the batch of which not all bytes are sent; 0: none */
    size_t unanswered_bytes;
    struct session_call *call; /* that waits for its answer, or NULL; borrowed */

    /* The daemon has gone away, `why` says how. NULL: that is the end. Within it,
     * session_connect_again(), calls, and last session_send_again(). Return: 0: there
     * is another one; broken, and `why` says it.
     */
    int (*on_lost)(void *context, struct lighter_error *why);
    void *context; /* of on_lost and on_notification; borrowed */

    /* The daemon says something by itself: lent. NULL: nobody wants to know. */
    void (*on_notification)(void *context, const struct message *message);
    bool takes_losses; /* what goes wrong is the caller's to look after */

    int broken; /* what a call on the broken connection returns; 0 while it is sound */
    struct lighter_error broken_why;
};

/* As channel_open(). The session must not move in memory afterwards. */
int session_open(struct session *session, const struct sockaddr_un *address,
                 uid_t owner, struct lighter_error *err);
void session_close(struct session *session);

/* Take the answers that are there. Return: 0; broken. */
int session_poll(struct session *session, struct lighter_error *err);

/* Wait for bytes of answers, or for the next daemon. Return: 0; broken. */
int session_wait(struct session *session, struct lighter_error *err);

/* ---- batches ---- */

/* May a frame of `size` bytes, head included, ever be sent? Return: 0; -EDQUOT. */
int session_check_size(const struct session *session, size_t size,
                       struct lighter_error *err);

/* And a batch of `n_objects`, its outputs' own? Return: 0; -EDQUOT. */
int session_check_objects(const struct session *session, size_t n_objects,
                          struct lighter_error *err);

/* Wait until there is room for a batch of so many bytes; session->next_id is its number
 * then. Return: 0; broken.
 */
int session_make_room(struct session *session, size_t size, struct lighter_error *err);

/* Make memory for batches of so many bytes, and share it, where there is none yet.
 * Return: 0, also where none is to be had: session->memory_room is 0 then; broken.
 */
int session_share_memory(struct session *session, size_t size,
                         struct lighter_error *err);

/* Wait until a slot of the memory is free. Return: 0; SESSION_NO_MEMORY: there are no
 * more pages, now and later, the socket must do; broken.
 */
int session_take_slot(struct session *session, size_t size, struct slot *ret_slot,
                      struct lighter_error *err);

/* Send a batch, for which there is room, with session->next_id in its frame. `request`
 * is copied, and its frame and slot taken, also on error; its id is set here. Return:
 * 0: it is sent, or kept to be sent; broken.
 */
int session_send(struct session *session, const struct request *request,
                 struct lighter_error *err);

/* The owner goes: its batches' answers are for nobody. */
void session_disown(struct session *session, const void *owner);

/* ---- calls ---- */

/* Send a whole frame (takes, also on error) with SESSION_CALL_ID in it, and wait for
 * its answer. On 0 *ret_answer is owned, and has a result.
 * Return: 0; SESSION_LOST: the daemon went away first, and may have done it or not; the
 *         next one is there, and waits for the call to be made again; what the daemon's
 *         error stands for; as session_check_size(); broken.
 */
int session_call(struct session *session, struct frame *frame,
                 struct message *ret_answer, struct lighter_error *err);

/* ---- where the daemon has gone away ---- */

/* As channel_open(); nothing of the session's but its channel is another one. */
int session_connect_again(struct session *session, const struct sockaddr_un *address,
                          struct lighter_error *err);

/* Share the memory, where there is one, with this daemon too. Return: 0; as
 * session_call().
 */
int session_share_again(struct session *session, struct lighter_error *err);

/* Send every batch without an answer, in order. Return: 0; as channel_send(). */
int session_send_again(struct session *session, struct lighter_error *err);

#endif
