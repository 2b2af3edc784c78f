/* control.c - see control.h. The results are those of doc/protocol.md, section 6. */
#include "daemon/control.h"

#include "config.h"
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

static double
seconds_since(const struct daemon *daemon, uint64_t then)
{
    return (double)(uv_now(&daemon->loop) - then) / 1e3;
}

static int
handle_status(struct daemon *daemon, const struct message *message, struct reply *reply,
              struct lighter_error *err)
{
    const struct jobs *jobs = &daemon->jobs;
    struct message_out out;

    (void)message, (void)err;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 14);
    pack_key_text(&out.packer, "version", PACKAGE_VERSION);
    pack_key_int(&out.packer, "pid", getpid());
    pack_key_double(&out.packer, "uptime", seconds_since(daemon, daemon->started_at));
    pack_key_text(&out.packer, "socket", daemon->listener.address.sun_path);
    pack_key_uint(&out.packer, "connections", daemon->n_conns);
    pack_key_uint(&out.packer, "jobs", jobs->n_live);
    pack_key_uint(&out.packer, "jobs_published", jobs->n_published);
    pack_key_uint(&out.packer, "jobs_failed", jobs->n_failed);
    pack_key_uint(&out.packer, "bytes_waiting", daemon->quota.used);
    pack_key_uint(&out.packer, "max_daemon_bytes", daemon->quota.max);
    pack_key_uint(&out.packer, "batches", jobs->n_batches);
    pack_key_uint(&out.packer, "samples", jobs->n_samples);
    pack_key_uint(&out.packer, "bytes_written", jobs->n_bytes);
    pack_key_uint(&out.packer, "threads", daemon->n_threads);
    reply_send(reply, &out);
    return 0;
}

/* ---- jobs ---- */

/* What has been written, as far as it is known: a worker may be at its journal. */
static void
pack_counts(struct message_out *out, const struct job *job)
{
    bool is_known = job->state != JOB_PREPARING;

    pack_key_uint(&out->packer, "ranks_ended", is_known ? job->n_ended : 0);
    pack_key_uint(&out->packer, "batches", is_known ? job->n_batches : 0);
    pack_key_uint(&out->packer, "samples", is_known ? job->n_samples : 0);
    pack_key_uint(&out->packer, "bytes_written", is_known ? job->n_bytes : 0);
}

/* `unfinished`: it is at rest, and can go on. */
static void
pack_job(struct message_out *out, const struct daemon *daemon, const struct job *job,
         bool unfinished)
{
    msgpack_pack_map(&out->packer, 14);
    pack_key_text(&out->packer, "name", job->name);
    pack_key_text(&out->packer, "stage", job->stage);
    pack_key_text(&out->packer, "state", job_state_name(job));
    pack_key_uint(&out->packer, "world_size", job->world_size);
    pack_key_uint(&out->packer, "ranks_open", job->n_connected);
    pack_counts(out, job);
    pack_key_bool(&out->packer, "unfinished", unfinished);
    pack_key_double(&out->packer, "age", seconds_since(daemon, job->opened_at));
    pack_key_text(&out->packer, "error",
                  job->error.code == LIGHTER_OK ? NULL : job->error.message);
    pack_key_text(&out->packer, "waits", job_waits(job));
    pack_key(&out->packer, "targets");
    msgpack_pack_array(&out->packer, job->n_outputs);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        pack_text(&out->packer, job->outputs[i].writer.target);
}

static int
handle_jobs(struct daemon *daemon, const struct message *message, struct reply *reply,
            struct lighter_error *err)
{
    const struct jobs *jobs = &daemon->jobs;
    struct message_out out;
    const struct job *job;

    (void)message, (void)err;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "jobs");
    msgpack_pack_array(&out.packer, jobs->n_past + jobs->n_live);
    TAILQ_FOREACH (job, &jobs->past, link)
        pack_job(&out, daemon, job, job_is_unfinished(job));
    TAILQ_FOREACH (job, &jobs->live, link)
        pack_job(&out, daemon, job, false);
    reply_send(reply, &out);
    return 0;
}

/* ---- finalize, discard ---- */

typedef int act_on(struct jobs *jobs, const char *name, const char *stage,
                   struct reply *reply, struct lighter_error *err);

static int
handle_unfinished(struct daemon *daemon, const struct message *message, act_on *act,
                  struct reply *reply, struct lighter_error *err)
{
    const char *name, *stage = NULL;
    msgpack_object_str string;
    int r = params_required(params_string(message->params, "job", &string, err), "job",
                            err);

    if (r < 0)
        return r;
    name = params_text(message->zone, string);
    r = params_string(message->params, "stage", &string, err);
    if (r == 0)
        stage = params_text(message->zone, string);
    if (r < 0)
        return r;
    if (!name || (r == 0 && !stage))
        return fail_nomem(err);
    return act(&daemon->jobs, name, stage, reply, err);
}

static int
handle_finalize(struct daemon *daemon, const struct message *message,
                struct reply *reply, struct lighter_error *err)
{
    return handle_unfinished(daemon, message, jobs_finalize, reply, err);
}

static int
handle_discard(struct daemon *daemon, const struct message *message,
               struct reply *reply, struct lighter_error *err)
{
    return handle_unfinished(daemon, message, jobs_discard, reply, err);
}

/* ---- plugins ---- */

/* The name that was asked for; NULL selects everything. */
struct selection {
    const char *name;
    const struct registry *registry;
};

static bool
selects(const struct selection *selection, const struct registry_entry *entry)
{
    const char *plugin = selection->registry->plugins[entry->plugin].name;

    return !selection->name || strcmp(selection->name, entry->name) == 0 ||
           strcmp(selection->name, plugin) == 0;
}

static void
pack_options(struct message_out *out, const struct lighter_option *options)
{
    uint32_t n = 0;

    while (options[n].name)
        n++;
    pack_key(&out->packer, "options");
    msgpack_pack_array(&out->packer, n);
    for (uint32_t i = 0; i < n; i++) {
        msgpack_pack_map(&out->packer, 5);
        pack_key_text(&out->packer, "name", options[i].name);
        pack_key_text(&out->packer, "type", option_type_name(options[i].type));
        pack_key_bool(&out->packer, "required", options[i].required);
        pack_key_text(&out->packer, "default", options[i].fallback);
        pack_key_text(&out->packer, "help", options[i].help);
    }
}

static void
pack_entry(struct message_out *out, const struct registry *registry,
           enum registry_kind kind, const struct registry_entry *entry)
{
    bool is_writer = kind == REGISTRY_WRITER;

    msgpack_pack_map(&out->packer, 4 + is_writer);
    pack_key_text(&out->packer, "name", entry->name);
    pack_key_text(&out->packer, "plugin", registry->plugins[entry->plugin].name);
    pack_key_text(&out->packer, "summary", entry->summary);
    if (is_writer)
        pack_key_text(&out->packer, "kind",
                      entry->as.writer.kind == LIGHTER_KIND_TABLE ? "table" : "files");
    pack_options(out, entry->options);
}

/* Those of one kind that are selected. Return: how many. */
static size_t
pack_kind(struct message_out *out, const struct selection *selection,
          enum registry_kind kind, const char *key)
{
    const struct registry_list *list = &selection->registry->lists[kind];
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++)
        n += selects(selection, list->items[i]);
    pack_key(&out->packer, key);
    msgpack_pack_array(&out->packer, n);
    for (size_t i = 0; i < list->count; i++)
        if (selects(selection, list->items[i]))
            pack_entry(out, selection->registry, kind, list->items[i]);
    return n;
}

static void
pack_loaded(struct message_out *out, const struct registry *registry)
{
    pack_key(&out->packer, "plugins");
    msgpack_pack_array(&out->packer, registry->n_plugins);
    for (size_t i = 0; i < registry->n_plugins; i++) {
        msgpack_pack_map(&out->packer, 3);
        pack_key_text(&out->packer, "name", registry->plugins[i].name);
        pack_key_text(&out->packer, "version", registry->plugins[i].version);
        pack_key_text(&out->packer, "path", registry->plugins[i].path);
    }
    pack_key(&out->packer, "refused");
    msgpack_pack_array(&out->packer, registry->n_refusals);
    for (size_t i = 0; i < registry->n_refusals; i++) {
        msgpack_pack_map(&out->packer, 2);
        pack_key_text(&out->packer, "path", registry->refusals[i].path);
        pack_key_text(&out->packer, "reason", registry->refusals[i].reason);
    }
}

static int
handle_plugins(struct daemon *daemon, const struct message *message,
               struct reply *reply, struct lighter_error *err)
{
    struct selection selection = {NULL, &daemon->registry};
    msgpack_object_str string;
    struct message_out out;
    char name[65];
    size_t n;
    int r = params_string(message->params, "name", &string, err);

    if (r < 0)
        return r;
    if (r == 0) {
        snprintf(name, sizeof name, "%.*s", (int)(string.size < 64 ? string.size : 64),
                 string.ptr);
        selection.name = name;
    }
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 5);
    pack_loaded(&out, &daemon->registry);
    n = pack_kind(&out, &selection, REGISTRY_WRITER, "writers");
    n += pack_kind(&out, &selection, REGISTRY_ENCODER, "encoders");
    n += pack_kind(&out, &selection, REGISTRY_POLICY, "policies");
    if (n == 0 && selection.name) {
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
    struct message_out out;
    const char *text;
    size_t n_matched;
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
    r = jobs_ask(&daemon->jobs, text, &patterns, action, &n_matched, err);
    if (r < 0)
        return r;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 1);
    pack_key_uint(&out.packer, "matched", n_matched);
    reply_send(reply, &out);
    return 0;
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

static int
handle_shutdown(struct daemon *daemon, const struct message *message,
                struct reply *reply, struct lighter_error *err)
{
    (void)message, (void)err;
    reply_empty(reply);
    daemon_stop(daemon);
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
                 {"freeze", handle_freeze},     {"unfreeze", handle_unfreeze},
                 {"finalize", handle_finalize}, {"discard", handle_discard},
                 {"reload", handle_reload},     {"shutdown", handle_shutdown},
                 {"config", settings_show}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (message_is(message, table[i].method))
            return table[i].handle(daemon, message, reply, err);
    return lighter_fail(err, LIGHTER_E_METHOD, "unknown method '%.*s'",
                        (int)(message->method.size < 64 ? message->method.size : 64),
                        message->method.ptr);
}
