/* session.c - see session.h. */
#include "client/c/session.h"

#include "client/c/answer.h"
#include "util/error.h"

#include <sys/socket.h>

/* What is sent before the daemon has said its limits: `hello`. */
#define FIRST_MAX_BYTES ((size_t)64 << 10)

/* A call that is being made. */
struct session_call {
    struct message answer; /* without a zone: it is not there yet */
    bool is_lost;          /* it never will be */
};

/* ---- answers ------------------------------------------------------------------- */

static struct request *
request_at(struct session *session, uint32_t id)
{
    return &session->requests[id % SESSION_MAX_BATCHES];
}

/* Lets go of all that was kept for it. */
static void
forget_request(struct session *session, struct request *request)
{
    session->unanswered_bytes -= request->size;
    if (request->slot.size)
        memory_give_back(&session->memory, request->slot);
    free(request->frame.data);
    *request = (struct request){0};
}

static int
fail_unasked(uint32_t id, struct lighter_error *err)
{
    return lighter_fail(err, LIGHTER_E_PROTOCOL,
                        "lighterd answered a request %u that was not sent", id);
}

static int
take_call_answer(struct session *session, struct message *answer,
                 struct lighter_error *err)
{
    if (!session->call)
        return fail_unasked(answer->id, err);
    session->call->answer = *answer; /* moved */
    *answer = (struct message){0};
    session->call = NULL;
    return 0;
}

static int
on_message(void *context, struct message *message, struct lighter_error *err)
{
    struct session *session = context;
    struct request *request = request_at(session, message->id);

    if (message->type == MESSAGE_NOTIFICATION) {
        if (session->on_notification)
            session->on_notification(session->context, message);
        return 0;
    }
    if (message->type != MESSAGE_RESPONSE)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "lighterd sent a request, not an answer");
    if (message->id == 0 && message->error) /* it cannot go on with this connection */
        return answer_error(message->error, err);
    if (message->id == SESSION_CALL_ID)
        return take_call_answer(session, message, err);
    if (message->id == 0 || request->id != message->id ||
        session->sending_id == message->id)
        return fail_unasked(message->id, err);
    if (request->owner)
        request->on_answer(request, message);
    forget_request(session, request);
    return 0;
}

/* ---- life ---------------------------------------------------------------------- */

int
session_open(struct session *session, const struct sockaddr_un *address, uid_t owner,
             struct lighter_error *err)
{
    *session = (struct session){.owner = owner,
                                .max_frame_bytes = FIRST_MAX_BYTES,
                                .max_objects = CHECK_MAX_OBJECTS,
                                .max_client_bytes = FIRST_MAX_BYTES,
                                .next_id = SESSION_MAX_BATCHES};
    return channel_open(&session->channel, address, owner, on_message, session, err);
}

void
session_close(struct session *session)
{
    channel_close(&session->channel);
    for (uint32_t i = 0; i < SESSION_MAX_BATCHES; i++)
        free(session->requests[i].frame.data);
    memory_close(&session->memory);
}

static int
fail_broken(const struct session *session, struct lighter_error *err)
{
    if (err)
        *err = session->broken_why;
    return session->broken;
}

/* The daemon learns at once that nobody will take its answers. */
static int
break_off(struct session *session, int r, const struct lighter_error *why)
{
    session->broken = r;
    session->broken_why = *why;
    if (session->channel.fd >= 0)
        shutdown(session->channel.fd, SHUT_RDWR);
    return r;
}

/* A call that waits is lost, whatever becomes of the connection. */
static int
go_on(struct session *session, struct lighter_error *why)
{
    int r;

    if (session->call)
        session->call->is_lost = true;
    session->call = NULL;
    session->takes_losses = true;
    r = session->on_lost(session->context, why);
    session->takes_losses = false;
    return r;
}

/* The channel returned `r` < 0. Return: 0: it is sound again; broken. */
static int
overcome(struct session *session, int r, struct lighter_error *why,
         struct lighter_error *err)
{
    if (!session->takes_losses) {
        if (r == -ECONNRESET && session->on_lost)
            r = go_on(session, why);
        if (r < 0)
            break_off(session, r, why);
    }
    if (r < 0 && err)
        *err = *why;
    return r;
}

static int
receive(struct session *session, bool wait, struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r;

    if (session->broken)
        return fail_broken(session, err);
    r = channel_receive(&session->channel, wait, &why);
    return r < 0 ? overcome(session, r, &why, err) : r;
}

int
session_poll(struct session *session, struct lighter_error *err)
{
    int r;

    do
        r = receive(session, false, err);
    while (r == 0);
    return r == CHANNEL_NOTHING ? 0 : r;
}

int
session_wait(struct session *session, struct lighter_error *err)
{
    return receive(session, true, err);
}

/* ---- batches ------------------------------------------------------------------- */

/* A batch larger than max_client_bytes goes alone. */
static bool
has_room(struct session *session, size_t size)
{
    if (request_at(session, session->next_id)->id)
        return false;
    return session->unanswered_bytes == 0 ||
           session->unanswered_bytes + size <= session->max_client_bytes;
}

int
session_check_size(const struct session *session, size_t size,
                   struct lighter_error *err)
{
    size -= FRAME_HEAD_SIZE;
    if (size <= session->max_frame_bytes)
        return 0;
    return lighter_fail(err, LIGHTER_E_LIMIT,
                        "%zu bytes for one message; lighterd takes at most %zu "
                        "(max_frame_bytes)",
                        size, session->max_frame_bytes);
}

int
session_check_objects(const struct session *session, size_t n_objects,
                      struct lighter_error *err)
{
    if (n_objects + CHECK_ENVELOPE_OBJECTS <= session->max_objects)
        return 0;
    return lighter_fail(err, LIGHTER_E_LIMIT,
                        "%zu values; lighterd takes %zu at most in a message, %d of "
                        "them around a batch (max_objects)",
                        n_objects, session->max_objects, CHECK_ENVELOPE_OBJECTS);
}

int
session_make_room(struct session *session, size_t size, struct lighter_error *err)
{
    int r = session->broken ? fail_broken(session, err) : 0;

    while (r == 0 && !has_room(session, size))
        r = session_wait(session, err);
    return r;
}

/* An answer that comes before all is sent is none: the frame must stay until then. */
static int
send_request(struct session *session, const struct request *request,
             struct lighter_error *err)
{
    int r;

    session->sending_id = request->id;
    r = channel_send(&session->channel, request->frame.data, request->frame.size, -1,
                     err);
    session->sending_id = 0;
    return r;
}

/* Numbers and places go on side by side, so that places are in order of time. */
static uint32_t
number_after(uint32_t id)
{
    return id == UINT32_MAX ? SESSION_MAX_BATCHES : id + 1;
}

int
session_send(struct session *session, const struct request *request,
             struct lighter_error *err)
{
    struct request *place = request_at(session, session->next_id);
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r;

    *place = *request;
    place->id = session->next_id;
    session->unanswered_bytes += place->size;
    session->next_id = number_after(session->next_id);
    r = send_request(session, place, &why);
    return r < 0 ? overcome(session, r, &why, err) : 0;
}

void
session_disown(struct session *session, const void *owner)
{
    for (uint32_t i = 0; i < SESSION_MAX_BATCHES; i++)
        if (session->requests[i].owner == owner)
            session->requests[i].owner = NULL;
}

/* ---- calls --------------------------------------------------------------------- */

static int
send_call(struct session *session, struct session_call *call, const struct frame *frame,
          int fd, struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r = session_check_size(session, frame->size, err);

    if (r == 0 && session->broken)
        r = fail_broken(session, err);
    if (r < 0)
        return r;
    session->call = call;
    r = channel_send(&session->channel, frame->data, frame->size, fd, &why);
    return r < 0 ? overcome(session, r, &why, err) : 0;
}

/* `fd` goes with the frame, or is -1. */
static int
call_with(struct session *session, struct frame *frame, int fd,
          struct message *ret_answer, struct lighter_error *err)
{
    struct session_call call = {0};
    int r = send_call(session, &call, frame, fd, err);

    free(frame->data);
    *frame = (struct frame){0};
    while (r == 0 && !call.answer.zone && !call.is_lost)
        r = session_wait(session, err);
    session->call = NULL;
    if (r == 0 && call.answer.error)
        r = answer_error(call.answer.error, err);
    if (r == 0 && call.answer.zone) {
        *ret_answer = call.answer;
        return 0;
    }
    message_done(&call.answer);
    return r < 0 ? r : SESSION_LOST;
}

int
session_call(struct session *session, struct frame *frame, struct message *ret_answer,
             struct lighter_error *err)
{
    return call_with(session, frame, -1, ret_answer, err);
}

/* ---- memory -------------------------------------------------------------------- */

static int
call_memory(struct session *session, const struct client_memory *memory,
            struct lighter_error *err)
{
    struct message_out out;
    struct message answer;
    struct frame frame;
    int r;

    message_begin_request(&out, SESSION_CALL_ID, "memory");
    msgpack_pack_map(&out.packer, 1);
    pack_key_uint(&out.packer, "size", memory->size);
    r = message_finish(&out, &frame, err);
    if (r == 0)
        r = call_with(session, &frame, memory->fd, &answer, err); /* takes */
    if (r == 0)
        message_done(&answer);
    return r;
}

/* The session has it once the daemon has it. */
static int
share(struct session *session, size_t size, struct lighter_error *err)
{
    struct client_memory memory;
    int r = memory_open(&memory, size, err);

    if (r < 0)
        return r;
    do
        r = call_memory(session, &memory, err);
    while (r == SESSION_LOST);
    if (r < 0) {
        memory_close(&memory);
        return r;
    }
    session->memory = memory; /* moved */
    session->memory_room = memory.size;
    return 0;
}

int
session_share_memory(struct session *session, size_t size, struct lighter_error *err)
{
    if (session->memory.bytes)
        return 0;
    if (share(session, memory_size_for(size, session->memory_room), err) == 0)
        return 0;
    if (session->broken)
        return fail_broken(session, err);
    session->memory_room = 0;
    return 0;
}

int
session_take_slot(struct session *session, size_t size, struct slot *ret_slot,
                  struct lighter_error *err)
{
    int r = memory_take(&session->memory, size, ret_slot, err);

    while (r == MEMORY_FULL) {
        r = session_wait(session, err);
        if (r < 0)
            return r;
        r = memory_take(&session->memory, size, ret_slot, err);
    }
    if (r == 0)
        return 0;
    session->memory_room = 0; /* slots that are taken stay as they are */
    return SESSION_NO_MEMORY;
}

/* ---- where the daemon has gone away -------------------------------------------- */

int
session_connect_again(struct session *session, const struct sockaddr_un *address,
                      struct lighter_error *err)
{
    channel_close(&session->channel);
    return channel_open(&session->channel, address, session->owner, on_message, session,
                        err);
}

int
session_share_again(struct session *session, struct lighter_error *err)
{
    if (!session->memory.bytes)
        return 0;
    session->memory_room = session->memory.size;
    return call_memory(session, &session->memory, err);
}

int
session_send_again(struct session *session, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < SESSION_MAX_BATCHES && r == 0; i++) {
        struct request *request = request_at(session, session->next_id + i);

        if (request->id && !request->owner) /* of a job that is over */
            forget_request(session, request);
        else if (request->id)
            r = send_request(session, request, err);
    }
    return r;
}
