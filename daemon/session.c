/* session.c - see session.h. One function a producer method; control.c has the others.
 */
#include "daemon/session.h"

#include "config.h"
#include "daemon/control.h"
#include "util/error.h"
#include "util/utf8.h"
#include "wire/params.h"

#include <inttypes.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1

struct session_seat {
    STAILQ_ENTRY(session_seat) link;
    struct seat seat;
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
    if (session->descriptor >= 0)
        close(session->descriptor);
    session->descriptor = -1;
    session->memory = memory_unref(session->memory);
}

/* ---- hello ---- */

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
    int64_t pid = 0;
    int r = params_string(params, "client", &client, err);

    if (r >= 0)
        r = params_int(params, "pid", 0, INT32_MAX, &pid, err);
    if (r < 0)
        return r;
    if (!utf8_printable(client.ptr, client.size))
        return lighter_fail(err, LIGHTER_E_PARAMS, "'client' expects printable UTF-8");
    snprintf(session->peer->client, sizeof session->peer->client, "%.*s",
             (int)(client.size < 63 ? client.size : 63), client.ptr);
    session->peer->pid = pid;
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
    msgpack_pack_map(&out.packer, 9);
    pack_key_int(&out.packer, "protocol", PROTOCOL_VERSION);
    pack_key_text(&out.packer, "server", "lighterd " PACKAGE_VERSION);
    pack_key_int(&out.packer, "pid", getpid());
    pack_key_int(&out.packer, "max_frame_bytes", settings->max_frame_bytes);
    pack_key_int(&out.packer, "max_client_bytes", settings->max_client_bytes);
    pack_key_int(&out.packer, "max_memory_bytes", settings->max_memory_bytes);
    pack_names(&out, &lists[REGISTRY_WRITER], "writers");
    pack_names(&out, &lists[REGISTRY_ENCODER], "encoders");
    pack_names(&out, &lists[REGISTRY_POLICY], "policies");
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

static int
parse_name(struct job_spec *spec, const msgpack_object *params,
           struct lighter_error *err)
{
    msgpack_object_str name;
    int r = params_required(params_string(params, "job", &name, err), "job", err);

    if (r < 0)
        return r;
    if (name.size == 0 || name.size > JOB_NAME_MAX || name.ptr[0] == '.' ||
        memchr(name.ptr, '/', name.size) || !utf8_printable(name.ptr, name.size))
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'job' expects 1 to %d bytes of printable UTF-8 without '/' and "
            "not starting with '.', got '%.*s'",
            JOB_NAME_MAX, (int)(name.size < 120 ? name.size : 120), name.ptr);
    memcpy(spec->name, name.ptr, name.size);
    return 0;
}

static int
parse_stage(struct job_spec *spec, const msgpack_object *params,
            struct lighter_error *err)
{
    static const char *const stages[] = {"predict", "validate", "test", "fit"};
    msgpack_object_str stage = {7, "predict"};

    if (params_string(params, "stage", &stage, err) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (params_str_is(stage, stages[i])) {
            strcpy(spec->stage, stages[i]);
            return 0;
        }
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'stage' expects predict, validate, test or fit, got '%.*s'",
                        (int)(stage.size < 64 ? stage.size : 64), stage.ptr);
}

static int
parse_ranks(struct job_spec *spec, const msgpack_object *params,
            struct lighter_error *err)
{
    int64_t rank = 0, world_size = 1;
    int r = params_int(params, "world_size", 1, JOB_WORLD_MAX, &world_size, err);

    if (r >= 0)
        r = params_int(params, "rank", 0, world_size - 1, &rank, err);
    spec->rank = (uint32_t)rank;
    spec->world_size = (uint32_t)world_size;
    return r < 0 ? r : 0;
}

/* *ret_cwd is in the zone, NULL where the client brings none. */
static int
parse_cwd(const msgpack_object *params, msgpack_zone *zone, const char **ret_cwd,
          struct lighter_error *err)
{
    msgpack_object_str cwd;
    int r = params_string(params, "cwd", &cwd, err);

    *ret_cwd = NULL;
    if (r == PARAMS_ABSENT)
        return 0;
    if (r < 0)
        return r;
    if (cwd.size == 0 || cwd.size >= PATH_MAX || cwd.ptr[0] != '/' ||
        !utf8_printable(cwd.ptr, cwd.size))
        return lighter_fail(err, LIGHTER_E_PARAMS, "'cwd' expects an absolute path");
    *ret_cwd = params_text(zone, cwd);
    return *ret_cwd ? 0 : fail_nomem(err);
}

static int
parse_writers(struct job_spec *spec, const struct registry *registry,
              const msgpack_object *params, msgpack_zone *zone,
              struct lighter_error *err)
{
    msgpack_object_array array;
    const char *cwd;
    int r = parse_cwd(params, zone, &cwd, err);

    if (r == 0)
        r = params_required(params_array(params, "writers", &array, err), "writers",
                            err);
    if (r < 0)
        return r;
    if (array.size > JOB_WRITERS_MAX || (!array.size && !spec->policies.n_items))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'writers' expects 1 to %d maps, got %u", JOB_WRITERS_MAX,
                            array.size);
    spec->writers = calloc(array.size + 1u, sizeof *spec->writers);
    if (!spec->writers)
        return fail_nomem(err);
    for (uint32_t i = 0; i < array.size; i++) {
        r = writer_init(&spec->writers[i], registry, cwd, &array.ptr[i], err);
        if (r < 0)
            return r;
        spec->n_writers = i + 1;
    }
    return 0;
}

static int
parse_spec(struct job_spec *spec, const struct registry *registry,
           struct message *message, struct lighter_error *err)
{
    const msgpack_object *params = message->params;
    int r = parse_name(spec, params, err);

    if (r == 0)
        r = parse_stage(spec, params, err);
    if (r == 0)
        r = parse_ranks(spec, params, err);
    if (r == 0)
        r = policies_init(&spec->policies, registry, params, err);
    if (r == 0)
        r = parse_writers(spec, registry, params, message->zone, err);
    return r;
}

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

static int
handle_open(struct session *session, struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct job_spec spec = {0};
    struct session_seat *entry;
    int r;

    sweep_seats(session);
    if (session->n_seats == SESSION_SEATS_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "this connection holds %d jobs; that is the limit",
                            SESSION_SEATS_MAX);
    r = parse_spec(&spec, &session->daemon->registry, message, err);
    if (r < 0) {
        job_spec_done(&spec);
        return r;
    }
    entry = calloc(1, sizeof *entry);
    if (!entry) {
        job_spec_done(&spec);
        return fail_nomem(err);
    }
    entry->seat.handle = ++session->last_handle;
    STAILQ_INSERT_TAIL(&session->seats, entry, link);
    session->n_seats++;
    return jobs_open(&session->daemon->jobs, &spec, &entry->seat, reply,
                     err); /* takes */
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

    return r < 0 ? r : seat_write(seat, message, session->memory, reply, err);
}

static int
handle_end(struct session *session, struct message *message, struct reply *reply,
           struct lighter_error *err)
{
    struct seat *seat;
    bool wait = true;
    int r = find_seat(session, message->params, &seat, err);

    if (r == 0)
        r = params_bool(message->params, "wait", &wait, err);
    return r < 0 ? r : seat_end(seat, wait, reply, err);
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
    } table[] = {{"write", handle_write}, {"step", handle_step},
                 {"open", handle_open},   {"end", handle_end},
                 {"abort", handle_abort}, {"hello", handle_hello},
                 {"memory", handle_memory}};

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

    if (message->type != MESSAGE_REQUEST)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "a response from a client");
    handle = find_handler(message);
    if (!session->greeted && handle != handle_hello)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "the first method must be 'hello'");
    if (session->daemon->stopping && handle == handle_open)
        return lighter_fail(err, LIGHTER_E_STATE, "the daemon is stopping");
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
