/* session.h - requests on their way, and the answers brought back to who waits.
 *
 * Requests are numbered and pipelined; answers come in any order. Each request says who
 * is told of its answer. What breaks the connection is kept, and answers every later
 * call.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/c/channel.h"
#include "client/c/memory.h"

enum { SESSION_NO_MEMORY = 1 };

/* Requests without an answer at a time, a power of two: bounds memory where batches are
 * tiny, and is far more than a disk needs to be kept busy.
 */
#define SESSION_MAX_REQUESTS 1024u

/* One request without an answer. */
struct request {
    uint32_t id; /* 0: none, this place is free */
    size_t size; /* bytes of the frame, and of its tensors in memory */
    struct slot slot;

    /* The answer is there: lent, but its frame and zone may be moved away. */
    void (*on_answer)(const struct request *request, struct message *answer);
    void *owner; /* on_answer's own; borrowed, see session_disown() */
    int64_t batch_idx, dataloader_idx;
};

struct session {
    struct channel channel;
    size_t max_frame_bytes, max_client_bytes;
    size_t memory_room; /* for the tensors of one batch; 0: there is no memory */
    struct client_memory memory;
    struct request requests[SESSION_MAX_REQUESTS]; /* at id % SESSION_MAX_REQUESTS */
    uint32_t next_id;                              /* never 0 */
    size_t unanswered_bytes;
    int broken; /* what a call on the broken connection returns; 0 while it is sound */
    struct lighter_error broken_why;
};

/* As channel_open(). The session must not move in memory afterwards. */
int session_open(struct session *session, const struct sockaddr_un *address,
                 struct lighter_error *err);
void session_close(struct session *session);

/* Take the answers that are there. Return: 0; broken. */
int session_poll(struct session *session, struct lighter_error *err);

/* Wait for bytes of answers. Return: 0; broken. */
int session_wait(struct session *session, struct lighter_error *err);

/* May a frame of `size` bytes, head included, ever be sent? Return: 0; -EDQUOT. */
int session_check_size(const struct session *session, size_t size,
                       struct lighter_error *err);

/* Wait until there is room for a frame and tensors of so many bytes. Return: 0; broken.
 */
int session_make_room(struct session *session, size_t size, struct lighter_error *err);

/* Make memory for batches of so many bytes, and share it, where there is none yet. Uses
 * session->next_id. Return: 0, also where none is to be had: session->memory_room is 0
 * then; broken.
 */
int session_share_memory(struct session *session, size_t size,
                         struct lighter_error *err);

/* Wait until a slot of the memory is free. Return: 0; SESSION_NO_MEMORY: there are no
 * more pages, now and later, the socket must do; broken.
 */
int session_take_slot(struct session *session, size_t size, struct slot *ret_slot,
                      struct lighter_error *err);

/* Send one frame, for which there is room, with session->next_id in it. `request` is
 * copied, its id is set here. The parts are used up. Return: 0; broken.
 */
int session_send(struct session *session, struct iovec *parts, size_t n_parts,
                 const struct request *request, struct lighter_error *err);

/* Send a whole frame (takes, also on error) with session->next_id in it, and wait for
 * its answer. On 0 *ret_answer is owned, and has a result. Return: 0; what the daemon's
 * error stands for; as session_check_size(); broken.
 */
int session_call(struct session *session, struct frame *frame,
                 struct message *ret_answer, struct lighter_error *err);

/* The owner goes: its requests' answers are for nobody. */
void session_disown(struct session *session, const void *owner);

#endif
