/* session.c - see session.h. One function a producer method; control.c has the others.
 */
#include "daemon/session.h"

#include "config.h"
#include "daemon/control.h"
#include "daemon/opening.h"
#include "util/error.h"
#include "util/utf8.h"
#include "wire/params.h"

#include <inttypes.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1

struct session_seat {
    STAILQ_ENTRY(session_seat) link;
    struct seat seat;
    struct opening_size open_size; /* of the message that opened it */
};

/* A handler answers, or hands the reply on, and returns 0; or returns < 0 with `err`.
 * It may take the message.
 */
typedef int handler(struct session *session, struct message *message,
                    struct reply *reply, struct lighter_error *err);

void
session_init(struct session *session, struct daemon *daemon, struct peer *peer)
{
    *session = (struct session){.daemon = daemon, .peer = peer, .descriptor = -1};
    STAILQ_INIT(&session->seats);
}

void
session_done(struct session *session)
{
    struct session_seat *entry;

    while ((entry = STAILQ_FIRST(&session->seats))) {
        STAILQ_REMOVE_HEAD(&session->seats, link);
        seat_leave(&entry->seat);
        free(entry);
    }
    opening_forget(session->opening);
    session->opening = NULL;
    if (session->descriptor >= 0)
        close(session->descriptor);
    session->descriptor = -1;
    session->memory = memory_unref(session->memory);
}

/* ---- hello ---- */

/* What this daemon knows beside what 0.1.0 did (doc/protocol.md, hello). */
static const char *const features[] = {"attempt",   "fingerprint", "notices",
                                       "only",      "overwrite",   "partial",
                                       "past",      "rank_wait",   "restore"};

static void
pack_features(struct message_out *out)
{
    size_t n = sizeof features / sizeof *features;

    pack_key(&out->packer, "features");
    msgpack_pack_array(&out->packer, n);
    for (size_t i = 0; i < n; i++)
        pack_text(&out->packer, features[i]);
}

static void
pack_names(struct message_out *out, const struct registry_list *list, const char *key)
{
    pack_key(&out->packer, key);
    msgpack_pack_array(&out->packer, list->count);
    for (size_t i = 0; i < list->count; i++)
        pack_text(&out->packer, list->items[i]->name);
}

static int
remember_client(struct session *session, const msgpack_object *params,
                struct lighter_error *err)
{
    msgpack_object_str client = {0, ""};
    bool notices = false;
    int64_t pid = 0;
    int r = params_string(params, "client", &client, err);

    if (r >= 0)
        r = params_int(params, "pid", 0, INT32_MAX, &pid, err);
    if (r >= 0)
        r = params_bool(params, "notices", &notices, err);
    if (r < 0)
        return r;
    if (!utf8_printable(client.ptr, client.size))
        return lighter_fail(err, LIGHTER_E_PARAMS, "'client' expects printable UTF-8");
    snprintf(session->peer->client, sizeof session->peer->client, "%.*s",
             (int)(client.size < 63 ? client.size : 63), client.ptr);
    session->peer->pid = pid;
    session->peer->notices = notices;
    return 0;
}

static int
handle_hello(struct session *session, struct message *message, struct reply *reply,
             struct lighter_error *err)
{
    const struct settings *settings = session->daemon->settings;
    const struct registry_list *lists = session->daemon->registry.lists;
    struct message_out out;
    int64_t version;
    int r = params_required(
        params_int(message->params, "protocol", 0, INT64_MAX, &version, err),
        "protocol", err);

    if (r < 0)
        return r;
    if (version != PROTOCOL_VERSION)
        return lighter_fail(
            err, LIGHTER_E_PROTOCOL,
            "this lighterd speaks protocol %d; the client speaks %" PRId64,
            PROTOCOL_VERSION, version);
    r = remember_client(session, message->params, err);
    if (r < 0)
        return r;
    session->greeted = true;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 11);
    pack_key_int(&out.packer, "protocol", PROTOCOL_VERSION);
    pack_key_text(&out.packer, "server", "lighterd " PACKAGE_VERSION);
    pack_key_int(&out.packer, "pid", getpid());
    pack_key_int(&out.packer, "max_frame_bytes", settings->max_frame_bytes);
    pack_key_int(&out.packer, "max_client_bytes", settings->max_client_bytes);
    pack_key_int(&out.packer, "max_memory_bytes", settings->max_memory_bytes);
    pack_key_uint(&out.packer, "max_objects",
                  check_max_objects((uint64_t)settings->max_frame_bytes));
    pack_names(&out, &lists[REGISTRY_WRITER], "writers");
    pack_names(&out, &lists[REGISTRY_ENCODER], "encoders");
    pack_names(&out, &lists[REGISTRY_POLICY], "policies");
    pack_features(&out);
    reply_send(reply, &out);
    return 0;
}

/* ---- memory ---- */

static int
open_memory(struct session *session, const msgpack_object *params, int fd,
            struct lighter_error *err)
{
    int64_t size = 0;
    int r = params_required(params_int(params, "size", 1, INT64_MAX, &size, err),
                            "size", err);

    if (r == 0 && fd < 0)
        r = lighter_fail(err, LIGHTER_E_PARAMS, "'memory' came without a descriptor");
    if (r == 0 && session->memory)
        r = lighter_fail(err, LIGHTER_E_STATE, "this connection has a memory already");
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return r;
    }
    return memory_open(&session->memory, &session->daemon->loop, fd, (uint64_t)size,
                       (uint64_t)session->daemon->settings->max_memory_bytes,
                       err); /* takes */
}

static int
handle_memory(struct session *session, struct message *message, struct reply *reply,
              struct lighter_error *err)
{
    int fd = session->descriptor, r;

    session->descriptor = -1; /* claimed, whatever comes of it */
    r = open_memory(session, message->params, fd, err);
    if (r == 0)
        reply_empty(reply);
    return r;
}

/* ---- open ---- */

/* Seats of jobs that are over are of no use to anybody. */
static void
sweep_seats(struct session *session)
{
    struct session_seat *entry, *next;

    for (entry = STAILQ_FIRST(&session->seats); entry; entry = next) {
        next = STAILQ_NEXT(entry, link);
        if (entry->seat.job)
            continue;
        STAILQ_REMOVE(&session->seats, entry, session_seat, link);
        session->n_seats--;
        free(entry);
    }
}

/* Is there room for one more job, opened by a message of this size? */
static int
check_room(const struct session *session, struct opening_size size,
           struct lighter_error *err)
{
    const struct session_seat *entry;

    if (session->n_seats == SESSION_SEATS_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "this connection holds %d jobs; that is the limit",
                            SESSION_SEATS_MAX);
    STAILQ_FOREACH (entry, &session->seats, link)
        size = (struct opening_size){size.n_bytes + entry->open_size.n_bytes,
                                     size.n_objects + entry->open_size.n_objects};
    if (size.n_bytes > SESSION_OPENS_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "this connection's jobs were opened with %zu bytes, this "
                            "one included; the limit is %zu bytes",
                            size.n_bytes, SESSION_OPENS_MAX);
    if (size.n_objects > SESSION_OBJECTS_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "this connection's jobs were opened with %" PRIu64
                            " keys, parameters and other values, this one included; "
                            "the limit is %" PRIu64,
                            size.n_objects, SESSION_OBJECTS_MAX);
    return 0;
}

/* Open files that the client's jobs may need beside those that they have. */
static uint32_t
files_left(const struct session *session)
{
    int64_t left = session->daemon->settings->max_client_files;
    const struct session_seat *entry;

    if (!left)
        left = session->daemon->jobs.max_files / 2;
    STAILQ_FOREACH (entry, &session->seats, link)
        left -= entry->seat.n_files;
    return left > 0 ? (uint32_t)left : 0;
}

/* The handle that the client wants, else the next one. */
static int
choose_handle(struct session *session, const struct job_spec *spec, int64_t *ret_handle,
              struct lighter_error *err)
{
    const struct session_seat *entry;

    STAILQ_FOREACH (entry, &session->seats, link)
        if (entry->seat.handle == spec->handle)
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "handle %" PRId64 " is open on this connection already",
                                spec->handle);
    *ret_handle = spec->handle ? spec->handle : session->last_handle + 1;
    if (*ret_handle > session->last_handle)
        session->last_handle = *ret_handle;
    return 0;
}

/* *ret_seat belongs to the session. */
static int
add_seat(struct session *session, const struct job_spec *spec,
         struct opening_size open_size, struct seat **ret_seat,
         struct lighter_error *err)
{
    struct session_seat *entry = calloc(1, sizeof *entry);
    int r = entry ? choose_handle(session, spec, &entry->seat.handle, err)
                  : fail_nomem(err);

    if (r < 0) {
        free(entry);
        return r;
    }
    entry->open_size = open_size;
    entry->seat.max_files = files_left(session);
    STAILQ_INSERT_TAIL(&session->seats, entry, link);
    session->n_seats++;
    *ret_seat = &entry->seat;
    return 0;
}

/* Takes the spec, always, and the reply, on success. */
static int
open_job(struct session *session, struct job_spec *spec, struct opening_size size,
         struct reply *reply, struct lighter_error *err)
{
    struct seat *seat = NULL;
    int r;

    sweep_seats(session);
    r = check_room(session, size, err);
    if (r == 0)
        r = add_seat(session, spec, size, &seat, err);
    if (r < 0) {
        job_spec_done(spec);
        return r;
    }
    return jobs_open(&session->daemon->jobs, spec, seat, reply, err); /* takes */
}

static int
handle_open(struct session *session, struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct opening_size size = {message->frame.size, message->n_objects};
    struct job_spec spec;
    int r = opening_read(&spec, session->daemon->settings->pipelines,
                         &session->daemon->registry, message, err);

    return r < 0 ? r : open_job(session, &spec, size, reply, err);
}

static int
check_serving(const struct session *session, struct lighter_error *err)
{
    if (session->daemon->stopping)
        return lighter_fail(err, LIGHTER_E_STATE, "the daemon is stopping");
    return 0;
}

static int
open_read_job(struct session *session, struct opening *opening)
{
    struct lighter_error *err = &opening->error;
    int r = opening->result;

    if (r < 0)
        return r;
    r = check_serving(session, err);
    if (r < 0) {
        job_spec_done(&opening->spec);
        return r;
    }
    return open_job(session, &opening->spec, opening->size, &opening->reply, err);
}

/* A large one was read aside. Requests behind it are handled when its charge is
 * released: what is answered here must not wake the connection before.
 */
static void
on_read(void *data, struct opening *opening)
{
    struct session *session = data;

    if (open_read_job(session, opening) < 0) {
        session->broken = opening->error.code == LIGHTER_E_PROTOCOL;
        if (session->broken)
            opening->reply.id = 0;
        reply_error(&opening->reply, &opening->error, NULL);
    }
    session->opening = NULL;
}

bool
session_is_reading(const struct session *session)
{
    return session->opening != NULL;
}

static int
read_aside(struct session *session, struct frame *frame, struct reply *reply,
           struct lighter_error *err)
{
    const struct settings *settings = session->daemon->settings;
    const struct opening_setup setup = {
        .pool = &session->daemon->jobs.pool,
        .registry = &session->daemon->registry,
        .pipelines = settings->pipelines,
        .max_objects = check_max_objects((uint64_t)settings->max_frame_bytes),
        .data = session,
        .on_read = on_read};
    struct opening_size size = {frame->size, 0};
    int r = check_room(session, size, err); /* before anything is made of it */

    return r < 0 ? r : opening_begin(&session->opening, &setup, frame, reply, err);
}

static int
check_greeted(const struct session *session, bool is_hello, struct lighter_error *err)
{
    if (!session->greeted && !is_hello)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "the first method must be 'hello'");
    return 0;
}

static int
take_open(struct session *session, struct frame *frame, struct reply *reply,
          struct lighter_error *err)
{
    int r = check_greeted(session, false, err);

    if (r < 0)
        return r;
    sweep_seats(session);
    return read_aside(session, frame, reply, err);
}

int
session_take_large(struct session *session, struct frame *frame)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    msgpack_object_str method;
    struct reply reply;
    uint32_t id;
    int r;

    if (frame->size <= OPENING_LARGE || !message_peek(frame, &id, &method) ||
        !params_str_is(method, "open"))
        return SESSION_PARSE;
    reply = reply_new(session->peer, id);
    r = take_open(session, frame, &reply, &err);
    free(frame->data); /* where it was not taken */
    *frame = (struct frame){0};
    if (r < 0)
        reply_error(&reply, &err, NULL);
    reply_done(&reply);
    return r < 0 && err.code == LIGHTER_E_PROTOCOL ? -EPROTO : 0;
}

/* ---- write, end, abort ---- */

static int
find_seat(struct session *session, const msgpack_object *params, struct seat **ret_seat,
          struct lighter_error *err)
{
    struct session_seat *entry;
    int64_t handle;
    int r = params_required(params_int(params, "job", 0, INT64_MAX, &handle, err),
                            "job", err);

    if (r < 0)
        return r;
    STAILQ_FOREACH (entry, &session->seats, link)
        if (entry->seat.handle == handle) {
            *ret_seat = &entry->seat;
            return 0;
        }
    return lighter_fail(err, LIGHTER_E_STATE,
                        "handle %" PRId64 " is not open on this connection", handle);
}

static int
handle_write(struct session *session, struct message *message, struct reply *reply,
             struct lighter_error *err)
{
    struct seat *seat;
    int r = find_seat(session, message->params, &seat, err);

    if (r == 0)
        r = seat_told(seat, message->params, err);
    return r < 0 ? r : seat_write(seat, message, session->memory, reply, err);
}

static int
handle_flush(struct session *session, struct message *message, struct reply *reply,
             struct lighter_error *err)
{
    struct seat *seat;
    int r = find_seat(session, message->params, &seat, err);

    return r < 0 ? r : seat_flush(seat, reply, err);
}

static int
handle_end(struct session *session, struct message *message, struct reply *reply,
           struct lighter_error *err)
{
    struct seat *seat;
    int64_t last = -1;
    bool wait = true;
    int r = find_seat(session, message->params, &seat, err);

    if (r == 0)
        r = params_bool(message->params, "wait", &wait, err);
    if (r >= 0)
        r = params_int(message->params, "seq", 0, INT64_MAX, &last, err);
    if (r >= 0)
        r = seat_told(seat, message->params, err);
    return r < 0 ? r : seat_end(seat, wait, last, reply, err);
}

static int
handle_past(struct session *session, struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct seat *seat;
    int64_t seq = 1;
    int r = find_seat(session, message->params, &seat, err);

    if (r == 0)
        r = params_int(message->params, "seq", 1, INT64_MAX, &seq, err);
    return r < 0 ? r : seat_past(seat, (uint64_t)seq, reply, err);
}

static int
handle_abort(struct session *session, struct message *message, struct reply *reply,
             struct lighter_error *err)
{
    msgpack_object_str reason = {0, ""};
    char text[512];
    struct seat *seat;
    int r = find_seat(session, message->params, &seat, err);

    if (r == 0)
        r = params_string(message->params, "reason", &reason, err);
    if (r < 0)
        return r;
    snprintf(text, sizeof text, "%.*s", (int)(reason.size < 500 ? reason.size : 500),
             reason.ptr);
    return seat_abort(seat, text, reply, err);
}

/* ---- step ---- */

static int
handle_step(struct session *session, struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    const msgpack_object *params = message->params;
    struct lighter_step step = {.size = sizeof step};
    struct seat *seat;
    int r = find_seat(session, params, &seat, err);

    if (r == 0)
        r = params_required(
            params_int(params, "global_step", 0, INT64_MAX, &step.global_step, err),
            "global_step", err);
    if (r == 0)
        r = params_required(params_int(params, "epoch", 0, INT64_MAX, &step.epoch, err),
                            "epoch", err);
    return r < 0 ? r : seat_step(seat, &step, reply, err);
}

/* ---- which is which ---- */

static handler *
find_handler(const struct message *message)
{
    static const struct {
        const char *method;
        handler *handle;
    } table[] = {
        {"write", handle_write}, {"step", handle_step},   {"open", handle_open},
        {"end", handle_end},     {"flush", handle_flush}, {"abort", handle_abort},
        {"past", handle_past},   {"hello", handle_hello}, {"memory", handle_memory}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (message_is(message, table[i].method))
            return table[i].handle;
    return NULL;
}

static int
dispatch(struct session *session, struct message *message, struct reply *reply,
         struct lighter_error *err)
{
    handler *handle;
    int r;

    if (message->type != MESSAGE_REQUEST)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "a client sends requests, and nothing else");
    handle = find_handler(message);
    r = check_greeted(session, handle == handle_hello, err);
    if (r == 0 && handle == handle_open)
        r = check_serving(session, err);
    if (r < 0)
        return r;
    if (handle)
        return handle(session, message, reply, err);
    return control_handle(session->daemon, message, reply, err);
}

int
session_handle(struct session *session, struct message *message)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct reply reply = reply_new(session->peer, message->id);
    int r = dispatch(session, message, &reply, &err);

    message_done(message);
    if (r < 0)
        reply_error(&reply, &err, NULL);
    reply_done(&reply);
    return r < 0 && err.code == LIGHTER_E_PROTOCOL ? -EPROTO : 0;
}
