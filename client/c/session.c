/* session.c - see session.h. */
#include "client/c/session.h"

#include "client/c/answer.h"
#include "util/error.h"

#include <sys/socket.h>
#include <unistd.h>

/* What is sent before the daemon has said its limits: `hello`. */
#define FIRST_MAX_BYTES ((size_t)64 << 10)

static struct request *
request_at(struct session *session, uint32_t id)
{
    return &session->requests[id % SESSION_MAX_REQUESTS];
}

static int
on_message(void *context, struct message *message, struct lighter_error *err)
{
    struct session *session = context;
    struct request *place = request_at(session, message->id), request = *place;

    if (message->type != MESSAGE_RESPONSE)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "lighterd sent a request, not an answer");
    if (message->id == 0 && message->error) /* it cannot go on with this connection */
        return answer_error(message->error, err);
    if (message->id == 0 || request.id != message->id)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "lighterd answered a request %u that was not sent",
                            message->id);
    session->unanswered_bytes -= request.size;
    place->id = 0;
    if (request.slot.size)
        memory_give_back(&session->memory, request.slot);
    if (request.owner)
        request.on_answer(&request, message);
    return 0;
}

int
session_open(struct session *session, const struct sockaddr_un *address,
             struct lighter_error *err)
{
    *session = (struct session){.max_frame_bytes = FIRST_MAX_BYTES,
                                .max_client_bytes = FIRST_MAX_BYTES,
                                .next_id = 1};
    return channel_open(&session->channel, address, on_message, session, err);
}

void
session_close(struct session *session)
{
    channel_close(&session->channel);
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
break_off(struct session *session, int r, const struct lighter_error *why,
          struct lighter_error *err)
{
    session->broken = r;
    session->broken_why = *why;
    shutdown(session->channel.fd, SHUT_RDWR);
    return fail_broken(session, err);
}

static int
receive(struct session *session, bool wait, struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r;

    if (session->broken)
        return fail_broken(session, err);
    r = channel_receive(&session->channel, wait, &why);
    return r < 0 ? break_off(session, r, &why, err) : r;
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

/* A frame larger than max_client_bytes goes alone. */
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
session_make_room(struct session *session, size_t size, struct lighter_error *err)
{
    int r = session->broken ? fail_broken(session, err) : 0;

    while (r == 0 && !has_room(session, size))
        r = session_wait(session, err);
    return r;
}

/* `fd` goes with the frame, or is -1. */
static int
send_with(struct session *session, struct iovec *parts, size_t n_parts, int fd,
          const struct request *request, struct lighter_error *err)
{
    struct request *place = request_at(session, session->next_id);
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r;

    *place = *request;
    place->id = session->next_id;
    session->unanswered_bytes += place->size;
    session->next_id = session->next_id == UINT32_MAX ? 1 : session->next_id + 1;
    r = channel_send(&session->channel, parts, n_parts, fd, &why);
    return r < 0 ? break_off(session, r, &why, err) : 0;
}

int
session_send(struct session *session, struct iovec *parts, size_t n_parts,
             const struct request *request, struct lighter_error *err)
{
    return send_with(session, parts, n_parts, -1, request, err);
}

static void
keep_answer(const struct request *request, struct message *answer)
{
    struct message *kept = request->owner;

    *kept = *answer;
    *answer = (struct message){0};
}

static int
send_whole(struct session *session, const struct frame *frame, int fd,
           struct message *answer, struct lighter_error *err)
{
    struct iovec part = {frame->data, frame->size};
    struct request request = {
        .size = frame->size, .on_answer = keep_answer, .owner = answer};

    return send_with(session, &part, 1, fd, &request, err);
}

static int
call_with(struct session *session, struct frame *frame, int fd,
          struct message *ret_answer, struct lighter_error *err)
{
    struct message answer = {0};
    int r = session_check_size(session, frame->size, err);

    if (r == 0)
        r = session_make_room(session, frame->size, err);
    if (r == 0)
        r = send_whole(session, frame, fd, &answer, err);
    free(frame->data);
    *frame = (struct frame){0};
    while (r == 0 && !answer.zone)
        r = session_wait(session, err);
    if (r == 0 && answer.error)
        r = answer_error(answer.error, err);
    if (r < 0)
        message_done(&answer);
    else
        *ret_answer = answer;
    return r;
}

int
session_call(struct session *session, struct frame *frame, struct message *ret_answer,
             struct lighter_error *err)
{
    return call_with(session, frame, -1, ret_answer, err);
}

/* ---- memory -------------------------------------------------------------------- */

static int
call_memory(struct session *session, size_t size, int fd, struct lighter_error *err)
{
    struct message_out out;
    struct message answer;
    struct frame frame;
    int r;

    message_begin_request(&out, session->next_id, "memory");
    msgpack_pack_map(&out.packer, 1);
    pack_key_uint(&out.packer, "size", size);
    r = message_finish(&out, &frame, err);
    if (r == 0)
        r = call_with(session, &frame, fd, &answer, err); /* takes */
    if (r == 0)
        message_done(&answer);
    return r;
}

static int
share(struct session *session, size_t size, struct lighter_error *err)
{
    int fd, r = memory_open(&session->memory, size, &fd, err);

    if (r < 0)
        return r;
    r = call_memory(session, size, fd, err);
    close(fd);
    return r;
}

int
session_share_memory(struct session *session, size_t size, struct lighter_error *err)
{
    if (session->memory.bytes)
        return 0;
    session->memory_room = memory_size_for(size, session->memory_room);
    if (share(session, session->memory_room, err) == 0)
        return 0;
    if (session->broken)
        return fail_broken(session, err);
    memory_close(&session->memory);
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

void
session_disown(struct session *session, const void *owner)
{
    for (uint32_t i = 0; i < SESSION_MAX_REQUESTS; i++)
        if (session->requests[i].owner == owner)
            session->requests[i].owner = NULL;
}
