/* client.c - a connection from hello to its end, and control methods.
 * See lighter/client.h.
 */
#include "client/c/client.h"

#include "config.h"

#include "client/c/answer.h"
#include "client/c/jsonwire.h"
#include "client/c/owner.h"
#include "util/error.h"
#include "wire/address.h"
#include "wire/json.h"
#include "wire/params.h"

#include <unistd.h>

#define PROTOCOL_VERSION 1

/* ---- hello --------------------------------------------------------------------- */

static int
pack_hello(const char *client_name, struct frame *ret_frame, struct lighter_error *err)
{
    struct message_out out;

    message_begin_request(&out, SESSION_CALL_ID, "hello");
    msgpack_pack_map(&out.packer, 4);
    pack_key_int(&out.packer, "protocol", PROTOCOL_VERSION);
    pack_key_text(&out.packer, "client", client_name);
    pack_key_int(&out.packer, "pid", getpid());
    pack_key_bool(&out.packer, "notices", true);
    return message_finish(&out, ret_frame, err);
}

/* Those that an old daemon does not tell stay as they are. */
static int
read_limits(const msgpack_object *result, struct lighter_hello *hello,
            int64_t *max_memory, int64_t *max_objects, struct lighter_error *err)
{
    int64_t protocol;
    int r = params_required(params_int(result, "protocol", PROTOCOL_VERSION,
                                       PROTOCOL_VERSION, &protocol, err),
                            "protocol", err);

    if (r == 0)
        r = params_required(params_int(result, "pid", 0, INT32_MAX, &hello->pid, err),
                            "pid", err);
    if (r == 0)
        r = params_required(params_int(result, "max_frame_bytes", 1, UINT32_MAX,
                                       &hello->max_frame_bytes, err),
                            "max_frame_bytes", err);
    if (r == 0)
        r = params_required(params_int(result, "max_client_bytes", 1, INT64_MAX / 2,
                                       &hello->max_client_bytes, err),
                            "max_client_bytes", err);
    if (r == 0)
        r = params_int(result, "max_memory_bytes", 0, INT64_MAX / 2, max_memory, err);
    if (r >= 0)
        r = params_int(result, "max_objects", 1, INT64_MAX / 2, max_objects, err);
    return r < 0 ? r : 0;
}

/* What this library asks only where it is there. */
static int
read_features(const msgpack_object *result, bool *ret_tells_past,
              struct lighter_error *err)
{
    msgpack_object_array names = {0};
    int r = params_array(result, "features", &names, err);

    *ret_tells_past = false;
    for (uint32_t i = 0; i < names.size; i++)
        if (names.ptr[i].type == MSGPACK_OBJECT_STR &&
            params_str_is(names.ptr[i].via.str, "past"))
            *ret_tells_past = true;
    return r < 0 ? r : 0;
}

static int
read_hello(struct lighter_client *client, const msgpack_object *result,
           struct lighter_error *err)
{
    msgpack_object_str server;
    int64_t max_memory = 0, max_objects = CHECK_MAX_OBJECTS;
    int r = read_limits(result, &client->hello, &max_memory, &max_objects, err);

    if (r == 0)
        r = params_required(params_string(result, "server", &server, err), "server",
                            err);
    if (r == 0)
        r = read_features(result, &client->tells_past, err);
    if (r < 0)
        return answer_malformed("hello", err);
    free(client->server);
    client->server = strndup(server.ptr, server.size);
    if (!client->server)
        return fail_nomem(err);
    client->hello.server = client->server;
    client->hello.socket_path = client->address.sun_path;
    client->session.max_frame_bytes = (size_t)client->hello.max_frame_bytes;
    client->session.max_client_bytes = (size_t)client->hello.max_client_bytes;
    client->session.max_objects = (size_t)max_objects;
    client->session.memory_room = memory_room((size_t)max_memory);
    return 0;
}

static int
fail_unserved(const struct lighter_client *client, struct lighter_error *err)
{
    bool is_served = owner_is_served(client->session.channel.fd);

    lighter_fail(
        err, LIGHTER_E_OS, "lighterd on %s closed the connection without an answer%s",
        client->address.sun_path,
        is_served ? ""
                  : ": it runs as another user, and serves that one, root, and "
                    "those that its allow_users and allow_groups name");
    if (err)
        err->errnum = ECONNRESET;
    return -ECONNRESET;
}

int
client_hello(struct lighter_client *client, struct lighter_error *err)
{
    struct message answer;
    struct frame frame;
    int r = pack_hello(client->name, &frame, err);

    if (r == 0)
        r = session_call(&client->session, &frame, &answer, err); /* takes */
    if (r == -ECONNRESET)
        return fail_unserved(client, err);
    if (r < 0)
        return r == -ECONNREFUSED ? -EIO : r; /* somebody did listen */
    r = read_hello(client, answer.result, err);
    message_done(&answer);
    return r;
}

/* ---- connection ---------------------------------------------------------------- */

/* `socket_path` is what the user said, or NULL. */
static void
add_hint(const char *socket_path, struct lighter_error *err)
{
    size_t used = err ? strlen(err->message) : 0;

    if (err)
        snprintf(err->message + used, sizeof err->message - used,
                 "; start one: `lighterd%s%s`", socket_path ? " --socket " : "",
                 socket_path ? socket_path : "");
}

/* A `waiting` that this library does not understand whole is none. */
static void
on_notification(void *context, const struct message *message)
{
    struct lighter_client *client = context;
    msgpack_object_str reason = {0}, text;
    struct lighter_notice notice = {0};
    char name[32], sentence[LIGHTER_ERROR_TEXT_MAX];

    if (!client->on_notice || !message_is(message, "waiting") ||
        params_string(message->params, "message", &text, NULL) != 0 ||
        params_int(message->params, "job", 0, INT64_MAX, &notice.handle, NULL) < 0 ||
        params_string(message->params, "reason", &reason, NULL) < 0)
        return;
    snprintf(name, sizeof name, "%.*s", (int)reason.size, reason.ptr ? reason.ptr : "");
    snprintf(sentence, sizeof sentence, "%.*s", (int)text.size, text.ptr);
    notice.reason = *name ? name : NULL;
    notice.message = sentence;
    client->on_notice(client->notice_context, &notice);
}

static int
prepare(struct lighter_client *client, const struct lighter_connect_spec *spec,
        uid_t *ret_owner, struct lighter_error *err)
{
    const char *name =
        spec->client_name ? spec->client_name : "liblighter " PACKAGE_VERSION;
    int r = restore_limit(&client->reconnect_seconds, err);

    if (r == 0)
        r = owner_find(spec->owner, ret_owner, err);
    if (r < 0)
        return r;
    if (spec->no_reconnect)
        client->reconnect_seconds = 0;
    client->pid = getpid();
    client->on_notice = spec->on_notice;
    client->notice_context = spec->notice_context;
    client->name = strdup(name);
    if (!client->name)
        return fail_nomem(err);
    return address_find(spec->socket_path, &client->address, err);
}

/* A daemon may die before it has said a word: then the next one will do. One of another
 * user closes whom it does not serve.
 */
static int
greet_first(struct lighter_client *client, struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r = client_hello(client, &why);

    client->session.on_lost = restore;
    client->session.context = client;
    if (r == -ECONNRESET && owner_is_served(client->session.channel.fd)) {
        client->session.broken = 0;
        client->session.takes_losses = true;
        r = restore(client, &why);
        client->session.takes_losses = false;
        client->hello.n_reconnects = 0;
    }
    if (r < 0 && err)
        *err = why;
    return r;
}

int
lighter_connect_as(struct lighter_client **ret_client,
                   const struct lighter_connect_spec *spec, struct lighter_error *err)
{
    struct lighter_client *client = calloc(1, sizeof *client);
    uid_t owner;
    int r;

    if (!client)
        return fail_nomem(err);
    client->session.channel.fd = -1;
    r = prepare(client, spec, &owner, err);
    if (r == 0)
        r = session_open(&client->session, &client->address, owner, err);
    if (r == -ECONNREFUSED)
        add_hint(spec->socket_path, err);
    client->session.on_notification = on_notification;
    if (r == 0)
        r = greet_first(client, err);
    if (r < 0) {
        lighter_disconnect(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

int
lighter_connect(struct lighter_client **ret_client, const char *socket_path,
                const char *client_name, struct lighter_error *err)
{
    struct lighter_connect_spec spec = {.socket_path = socket_path,
                                        .client_name = client_name};

    return lighter_connect_as(ret_client, &spec, err);
}

int
client_check(const struct lighter_client *client, struct lighter_error *err)
{
    if (client->pid == getpid())
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE, "this connection belongs to process %d",
                        (int)client->pid);
}

struct lighter_client *
lighter_disconnect(struct lighter_client *client)
{
    if (client) {
        session_close(&client->session);
        jobs_free(client->jobs);
        while (client->opened_names) {
            struct opened *next = client->opened_names->next;

            free(client->opened_names);
            client->opened_names = next;
        }
        message_done(&client->opened);
        free(client->server);
        free(client->name);
        free(client);
    }
    return NULL;
}

void
lighter_set_reconnect(struct lighter_client *client, double seconds)
{
    client->reconnect_seconds = seconds;
}

const struct lighter_hello *
lighter_hello(const struct lighter_client *client)
{
    return &client->hello;
}

int
lighter_fd(const struct lighter_client *client)
{
    return client->session.channel.fd;
}

/* ---- control ------------------------------------------------------------------- */

static int
pack_control(const char *method, const json_t *params, struct frame *ret_frame,
             struct lighter_error *err)
{
    struct message_out out;

    message_begin_request(&out, SESSION_CALL_ID, method);
    json_pack_value(&out.packer, params);
    return message_finish(&out, ret_frame, err);
}

/* Takes the parameters. */
static int
call_control(struct session *session, const char *method, json_t *params,
             struct message *ret_answer, struct lighter_error *err)
{
    struct frame frame;
    int r;

    do {
        r = pack_control(method, params, &frame, err);
        if (r == 0)
            r = session_call(session, &frame, ret_answer, err); /* takes */
    } while (r == SESSION_LOST);
    json_decref(params);
    return r;
}

int
lighter_control(struct lighter_client *client, const char *method,
                const char *params_json, char **ret_result_json,
                struct lighter_error *err)
{
    struct message answer;
    json_t *params;
    int r = client_check(client, err);

    if (r == 0)
        r = jsonwire_parse(params_json ? params_json : "{}", JSON_OBJECT, "params_json",
                           &params, err);
    if (r == 0)
        r = call_control(&client->session, method, params, &answer, err); /* takes */
    if (r < 0)
        return r;
    r = jsonwire_text(answer.result, ret_result_json, err);
    message_done(&answer);
    return r == -EPROTO ? answer_malformed(method, err) : r;
}
