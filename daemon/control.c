/* control.c - see control.h. The results are those of doc/protocol.md, section 6. */
#include "daemon/control.h"

#include "daemon/durable.h"
#include "daemon/metrics.h"
#include "daemon/report.h"
#include "daemon/settings_show.h"
#include "util/error.h"
#include "wire/params.h"

#include <unistd.h>

typedef int handler(struct daemon *daemon, const struct message *message,
                    struct reply *reply, struct lighter_error *err);

static int
handle_ping(struct daemon *daemon, const struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct message_out out;

    (void)daemon, (void)message, (void)err;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 1);
    pack_key_int(&out.packer, "pid", getpid());
    reply_send(reply, &out);
    return 0;
}

static int
handle_status(struct daemon *daemon, const struct message *message, struct reply *reply,
              struct lighter_error *err)
{
    struct message_out out;

    (void)message, (void)err;
    reply_begin(reply, &out);
    report_status(daemon, &out);
    reply_send(reply, &out);
    return 0;
}

static int
handle_jobs(struct daemon *daemon, const struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct message_out out;

    (void)message, (void)err;
    reply_begin(reply, &out);
    report_jobs(daemon, &out);
    reply_send(reply, &out);
    return 0;
}

static int
handle_metrics(struct daemon *daemon, const struct message *message,
               struct reply *reply, struct lighter_error *err)
{
    AUTO(free_bytes) char *text = NULL;
    struct message_out out;
    size_t size;
    int r = metrics_render(daemon, &text, &size, err);

    (void)message;
    if (r < 0)
        return r;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 1);
    pack_key_text(&out.packer, "text", text);
    reply_send(reply, &out);
    return 0;
}

/* ---- one job ---- */

/* Which job a request is about. */
struct wanted {
    const char *name;
    const char *stage; /* NULL: any */
    uint64_t id;       /* 0: any */
};

static int
read_wanted(const struct message *message, struct wanted *ret_wanted,
            struct lighter_error *err)
{
    msgpack_object_str name, stage;
    int64_t id = 0;
    int r =
        params_required(params_string(message->params, "job", &name, err), "job", err);

    *ret_wanted = (struct wanted){0};
    if (r < 0)
        return r;
    r = params_int(message->params, "id", 0, INT64_MAX, &id, err);
    if (r >= 0)
        r = params_string(message->params, "stage", &stage, err);
    if (r < 0)
        return r;
    ret_wanted->id = (uint64_t)id;
    ret_wanted->name = params_text(message->zone, name);
    if (r == 0)
        ret_wanted->stage = params_text(message->zone, stage);
    return !ret_wanted->name || (r == 0 && !ret_wanted->stage) ? fail_nomem(err) : 0;
}

static int
find_job(struct daemon *daemon, const struct message *message,
         const struct job **ret_job, struct lighter_error *err)
{
    struct wanted wanted;
    int r = read_wanted(message, &wanted, err);

    if (r < 0)
        return r;
    *ret_job = jobs_find(&daemon->jobs, wanted.name, wanted.stage, wanted.id);
    if (*ret_job)
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE, "there is no job '%.100s'%s%.16s%s",
                        wanted.name, wanted.stage ? " (" : "",
                        wanted.stage ? wanted.stage : "", wanted.stage ? ")" : "");
}

static int
handle_show(struct daemon *daemon, const struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct message_out out;
    const struct job *job;
    int r = find_job(daemon, message, &job, err);

    if (r < 0)
        return r;
    reply_begin(reply, &out);
    report_job(daemon, job, &out);
    reply_send(reply, &out);
    return 0;
}

static int
handle_tail(struct daemon *daemon, const struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct message_out out;
    const struct job *job;
    int r = find_job(daemon, message, &job, err);

    if (r < 0)
        return r;
    reply_begin(reply, &out);
    report_tail(job, &out);
    reply_send(reply, &out);
    return 0;
}

static int
handle_sync(struct daemon *daemon, const struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    struct wanted wanted;
    int r = read_wanted(message, &wanted, err);

    if (r < 0)
        return r;
    return jobs_flush(&daemon->jobs, wanted.name, wanted.stage, reply, err);
}

/* ---- finalize, discard ---- */

static int
handle_finalize(struct daemon *daemon, const struct message *message,
                struct reply *reply, struct lighter_error *err)
{
    struct consent consent = {false, false};
    struct wanted wanted;
    int r = read_wanted(message, &wanted, err);

    if (r >= 0)
        r = params_bool(message->params, "partial", &consent.partial, err);
    if (r >= 0)
        r = params_bool(message->params, "damaged", &consent.damaged, err);
    if (r < 0)
        return r;
    return jobs_finalize(&daemon->jobs, wanted.name, wanted.stage, consent, reply, err);
}

static int
handle_discard(struct daemon *daemon, const struct message *message,
               struct reply *reply, struct lighter_error *err)
{
    struct wanted wanted;
    int r = read_wanted(message, &wanted, err);

    return r < 0 ? r
                 : jobs_discard(&daemon->jobs, wanted.name, wanted.stage, reply, err);
}

/* ---- plugins ---- */

static int
handle_plugins(struct daemon *daemon, const struct message *message,
               struct reply *reply, struct lighter_error *err)
{
    msgpack_object_str string;
    struct message_out out;
    char name[65];
    bool is_named;
    size_t n;
    int r = params_string(message->params, "name", &string, err);

    if (r < 0)
        return r;
    is_named = r == 0;
    if (is_named)
        snprintf(name, sizeof name, "%.*s", (int)(string.size < 64 ? string.size : 64),
                 string.ptr);
    reply_begin(reply, &out);
    n = report_plugins(&daemon->registry, is_named ? name : NULL, &out);
    if (n == 0 && is_named) {
        message_out_done(&out);
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "no plugin, writer, encoder or policy is called '%s'",
                            name);
    }
    reply_send(reply, &out);
    return 0;
}

/* ---- freeze, unfreeze ---- */

#define PATTERNS_MAX 64

static int
ask(struct daemon *daemon, const struct message *message, enum lighter_action action,
    struct reply *reply, struct lighter_error *err)
{
    struct lighter_strings patterns;
    msgpack_object_str name;
    const char *text;
    int r =
        params_required(params_string(message->params, "job", &name, err), "job", err);

    if (r == 0)
        r = params_required(params_texts(message->params, "patterns", PATTERNS_MAX,
                                         message->zone, &patterns.items,
                                         &patterns.count, err),
                            "patterns", err);
    if (r < 0)
        return r;
    if (!patterns.count)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'patterns' expects one or more");
    text = params_text(message->zone, name);
    if (!text)
        return fail_nomem(err);
    return jobs_ask(&daemon->jobs, text, &patterns, action, reply, err);
}

static int
handle_freeze(struct daemon *daemon, const struct message *message, struct reply *reply,
              struct lighter_error *err)
{
    return ask(daemon, message, LIGHTER_FREEZE, reply, err);
}

static int
handle_unfreeze(struct daemon *daemon, const struct message *message,
                struct reply *reply, struct lighter_error *err)
{
    return ask(daemon, message, LIGHTER_TRAIN, reply, err);
}

/* It reads a file, of a few lines: for once the loop waits for a disk. */
static int
handle_reload(struct daemon *daemon, const struct message *message, struct reply *reply,
              struct lighter_error *err)
{
    struct settings_change change;
    struct message_out out;
    int r = daemon_reload(daemon, &change, err);

    (void)message;
    if (r < 0)
        return r;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 2);
    pack_key_text(&out.packer, "applied", change.applied);
    pack_key_text(&out.packer, "kept", change.kept);
    reply_send(reply, &out);
    return 0;
}

#define DRAIN_MAX_S ((int64_t)1 << 30) /* as the setting */

static int
handle_shutdown(struct daemon *daemon, const struct message *message,
                struct reply *reply, struct lighter_error *err)
{
    int64_t drain_s = DRAIN_SET;
    int r = params_int(message->params, "drain", 0, DRAIN_MAX_S, &drain_s, err);

    if (r < 0)
        return r;
    reply_empty(reply);
    daemon_stop(daemon, drain_s);
    return 0;
}

int
control_handle(struct daemon *daemon, const struct message *message,
               struct reply *reply, struct lighter_error *err)
{
    static const struct {
        const char *method;
        handler *handle;
    } table[] = {{"ping", handle_ping},         {"status", handle_status},
                 {"jobs", handle_jobs},         {"plugins", handle_plugins},
                 {"show", handle_show},         {"tail", handle_tail},
                 {"sync", handle_sync},         {"metrics", handle_metrics},
                 {"freeze", handle_freeze},     {"unfreeze", handle_unfreeze},
                 {"finalize", handle_finalize}, {"discard", handle_discard},
                 {"reload", handle_reload},     {"config", settings_show},
                 {"shutdown", handle_shutdown}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (message_is(message, table[i].method))
            return table[i].handle(daemon, message, reply, err);
    return lighter_fail(err, LIGHTER_E_METHOD, "unknown method '%.*s'",
                        (int)(message->method.size < 64 ? message->method.size : 64),
                        message->method.ptr);
}
