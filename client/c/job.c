/* job.c - jobs of a connection: open, open again, end. See lighter/client.h.
 *
 * What it takes to open a job is kept as long as it is open, for the next daemon. A
 * call whose daemon went away is made again here: the jobs are open by then, and know
 * what they have done.
 */
#include "client/c/client.h"

#include "client/c/answer.h"
#include "client/c/jsonwire.h"
#include "util/error.h"
#include "wire/json.h"
#include "wire/params.h"

#include <inttypes.h>
#include <unistd.h>

/* ---- the list of jobs ---------------------------------------------------------- */

struct client_job *
find_job(const struct lighter_client *client, int64_t handle, struct lighter_error *err)
{
    if (client_check(client, err) < 0)
        return NULL;
    for (struct client_job *job = client->jobs; job; job = job->next)
        if (job->handle == handle)
            return job;
    lighter_fail(err, LIGHTER_E_PARAMS, "no open job has the handle %" PRId64, handle);
    return NULL;
}

static struct client_job *
job_free(struct client_job *job)
{
    if (job) {
        free(job->params.data);
        past_done(&job->past);
        free(job);
    }
    return NULL;
}

static void
forget_job(struct lighter_client *client, struct client_job *job)
{
    struct client_job **link = &client->jobs;

    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    session_disown(&client->session, job);
    job_free(job);
}

void
jobs_free(struct client_job *jobs)
{
    while (jobs) {
        struct client_job *next = jobs->next;

        job_free(jobs);
        jobs = next;
    }
}

/* ---- open ---------------------------------------------------------------------- */

/* 0 of a spec is what is usual; the daemon's 0 is for ever. */
static void
pack_wishes(msgpack_packer *packer, const struct lighter_job_spec *spec)
{
    if (spec->attempt)
        pack_key_text(packer, "attempt", spec->attempt);
    if (spec->fingerprint)
        pack_key_text(packer, "fingerprint", spec->fingerprint);
    if (spec->rank_wait != 0)
        pack_key_double(packer, "rank_wait", spec->rank_wait > 0 ? spec->rank_wait : 0);
}

#define N_PARAMS 6

static uint32_t
count_params(const struct lighter_job_spec *spec)
{
    return N_PARAMS + (spec->attempt != NULL) + (spec->fingerprint != NULL) +
           (spec->rank_wait != 0);
}

static void
pack_params(msgpack_packer *packer, const struct lighter_job_spec *spec,
            const char *cwd, const json_t *writers)
{
    pack_key_text(packer, "job", spec->job);
    pack_key_text(packer, "stage", spec->stage ? spec->stage : "predict");
    pack_key_uint(packer, "rank", spec->rank);
    pack_key_uint(packer, "world_size", spec->world_size ? spec->world_size : 1);
    pack_key_text(packer, "cwd", cwd);
    pack_wishes(packer, spec);
    if (!writers) {
        pack_key_text(packer, "pipeline", spec->pipeline);
        return;
    }
    pack_key(packer, "writers");
    json_pack_value(packer, writers);
}

/* Keys and values; what is wrong with their sizes shows in the message. */
static int
keep_params(struct client_job *job, const struct lighter_job_spec *spec,
            struct lighter_error *err)
{
    AUTO(free_bytes) char *here = NULL;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    json_t *writers = NULL;
    int r = 0;

    if (!spec->job || (!spec->writers_json && !spec->pipeline))
        return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' is missing",
                            spec->job ? "writers_json" : "job");
    if (spec->writers_json && spec->pipeline)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'writers_json' and 'pipeline': one of them is NULL");
    here = spec->cwd ? NULL : getcwd(NULL, 0);
    if (!spec->cwd && !here)
        return lighter_fail_os(err, errno, "find the working directory");
    if (spec->writers_json)
        r = jsonwire_parse(spec->writers_json, JSON_ARRAY, "writers_json", &writers,
                           err);
    if (r < 0)
        return r;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    pack_params(&packer, spec, spec->cwd ? spec->cwd : here, writers);
    json_decref(writers);
    job->params = (struct frame){(uint8_t *)buffer.data, buffer.size};
    job->n_params = count_params(spec);
    return 0;
}

/* Every batch of the job up to this one has its answer. */
static int64_t
answered(const struct session *session, const struct client_job *job)
{
    int64_t seq = job->seq;

    for (uint32_t i = 0; i < SESSION_MAX_BATCHES; i++) {
        const struct request *request = &session->requests[i];

        if (request->id && request->owner == job && request->seq <= seq)
            seq = request->seq - 1;
    }
    return seq;
}

/* What a daemon that knows the job already is to find again: the keys and values behind
 * the job's own.
 */
static void
pack_again(msgpack_packer *packer, const struct session *session,
           const struct client_job *job)
{
    pack_key_int(packer, "handle", job->handle);
    if (!job->id)
        return;
    pack_key_int(packer, "id", job->id);
    pack_key_int(packer, "answered", answered(session, job));
}

/* `again`: a daemon before has been asked. */
static int
pack_open(const struct session *session, const struct client_job *job, bool again,
          struct frame *ret_frame, struct lighter_error *err)
{
    uint32_t n_more = !job->handle ? 0 : !job->id ? 1 : 3;
    struct message_out out;

    message_begin_request(&out, SESSION_CALL_ID, "open");
    msgpack_pack_map(&out.packer, job->n_params + 2 + n_more);
    msgpack_pack_str_body(&out.packer, job->params.data, job->params.size);
    pack_key_bool(&out.packer, "resume", job->resume || job->id);
    pack_key_bool(&out.packer, "again", again || job->again);
    if (job->handle)
        pack_again(&out.packer, session, job);
    return message_finish(&out, ret_frame, err);
}

static int
call_open(struct session *session, const struct client_job *job, bool again,
          struct message *ret_answer, struct lighter_error *err)
{
    struct frame frame;
    int r = pack_open(session, job, again, &frame, err);

    return r < 0 ? r : session_call(session, &frame, ret_answer, err); /* takes */
}

/* The texts live in the answer's zone. */
static int
read_warnings(struct message *answer, struct lighter_job *job,
              struct lighter_error *err)
{
    msgpack_object_array array = {0};
    const char **texts;
    int r = params_array(answer->result, "warnings", &array, err);

    if (r < 0)
        return r;
    texts = msgpack_zone_malloc(answer->zone, (array.size + 1) * sizeof *texts);
    if (!texts)
        return fail_nomem(err);
    for (uint32_t i = 0; i < array.size; i++) {
        if (array.ptr[i].type != MSGPACK_OBJECT_STR)
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "'warnings' expects strings, got %s",
                                params_type_name(&array.ptr[i]));
        texts[i] = params_text(answer->zone, array.ptr[i].via.str);
        if (!texts[i])
            return fail_nomem(err);
    }
    job->n_warnings = array.size;
    job->warnings = texts;
    return 0;
}

/* What a daemon need not know is 0 where it does not. */
static int
read_opened(struct message *answer, struct client_job *job, struct lighter_job *opened,
            struct lighter_error *err)
{
    const msgpack_object *result = answer->result;
    int r = params_required(
        params_int(result, "handle", 1, INT64_MAX, &opened->handle, err), "handle",
        err);

    if (r == 0)
        r = params_required(params_int(result, "seq", 0, INT64_MAX - 1,
                                       &opened->committed_batches, err),
                            "seq", err);
    if (r == 0)
        r = params_int(result, "samples", 0, INT64_MAX, &opened->committed_samples,
                       err);
    if (r >= 0)
        r = params_int(result, "id", 0, INT64_MAX, &job->id, err);
    if (r >= 0)
        r = read_warnings(answer, opened, err);
    return r < 0 && r != -ENOMEM ? answer_malformed("open", err) : r;
}

static int
add_job(struct lighter_client *client, struct client_job *job,
        const struct lighter_job *opened, struct lighter_error *err)
{
    if (find_job(client, opened->handle, NULL)) {
        lighter_fail(err, LIGHTER_E_PROTOCOL, "the handle %" PRId64 " a second time",
                     opened->handle);
        return answer_malformed("open", err);
    }
    job->handle = opened->handle;
    job->seq = opened->committed_batches;
    past_begin(&job->past, opened->committed_batches);
    job->next = client->jobs;
    client->jobs = job;
    return 0;
}

/* Has this connection opened the job before, and lost its daemon since? That job is
 * noted, for the next time.
 */
static int
note_opened(struct lighter_client *client, const struct lighter_job_spec *spec,
            bool *ret_again, struct lighter_error *err)
{
    const char *stage = spec->stage ? spec->stage : "predict";
    size_t size = strlen(spec->job) + strlen(stage) + 2;
    struct opened *opened = client->opened_names;
    AUTO(free_bytes) char *name = malloc(size);

    if (!name)
        return fail_nomem(err);
    snprintf(name, size, "%s/%s", spec->job, stage);
    while (opened && strcmp(opened->name, name) != 0)
        opened = opened->next;
    *ret_again = opened && opened->n_reconnects != client->hello.n_reconnects;
    if (!opened) {
        opened = malloc(sizeof *opened + size);
        if (!opened)
            return fail_nomem(err);
        memcpy(opened->name, name, size);
        opened->next = client->opened_names;
        client->opened_names = opened;
    }
    opened->n_reconnects = client->hello.n_reconnects;
    return 0;
}

/* Borrows the job, which is the client's where this returns 0. */
static int
open_job(struct lighter_client *client, const struct lighter_job_spec *spec,
         struct client_job *job, struct lighter_job *ret_opened,
         struct lighter_error *err)
{
    struct lighter_job opened = {0};
    struct message answer;
    int r = keep_params(job, spec, err);

    if (r == 0)
        r = note_opened(client, spec, &job->again, err);
    if (r == 0)
        r = call_open(&client->session, job, false, &answer, err);
    while (r == SESSION_LOST)
        r = call_open(&client->session, job, true, &answer, err);
    if (r < 0)
        return r;
    r = read_opened(&answer, job, &opened, err);
    if (r == 0)
        r = add_job(client, job, &opened, err);
    if (r < 0) {
        message_done(&answer);
        return r;
    }
    message_done(&client->opened);
    client->opened = answer; /* moved */
    *ret_opened = opened;
    return 0;
}

int
lighter_open(struct lighter_client *client, const struct lighter_job_spec *spec,
             struct lighter_job *ret_job, struct lighter_error *err)
{
    struct client_job *job;
    int r = client_check(client, err);

    if (r < 0)
        return r;
    job = calloc(1, sizeof *job);
    if (!job)
        return fail_nomem(err);
    job->resume = spec->resume;
    job->rank = spec->rank;
    r = open_job(client, spec, job, ret_job, err);
    if (r < 0)
        job_free(job);
    return r;
}

int
job_open_again(struct session *session, struct client_job *job,
               struct lighter_error *err)
{
    struct lighter_job opened = {0};
    struct message answer;
    int r = call_open(session, job, true, &answer, err);

    if (r != 0)
        return r;
    r = read_opened(&answer, job, &opened, err);
    if (r == 0)
        r = params_bool(answer.result, "published", &job->is_published, err);
    message_done(&answer);
    if (r >= 0 && opened.handle != job->handle) {
        lighter_fail(err, LIGHTER_E_PROTOCOL, "the handle %" PRId64 ", not %" PRId64,
                     opened.handle, job->handle);
        return answer_malformed("open", err);
    }
    return r < 0 ? r : 0;
}

/* ---- requests about a job ------------------------------------------------------ */

/* What one has beside the handle; at most one of them. */
struct job_request {
    const char *method;
    const bool *wait;
    const char *reason;
};

static int
call_once(struct session *session, const struct client_job *job,
          const struct job_request *request, struct lighter_error *err)
{
    struct message_out out;
    struct message answer;
    struct frame frame;
    int r;

    message_begin_request(&out, SESSION_CALL_ID, request->method);
    msgpack_pack_map(&out.packer, request->wait || request->reason ? 2 : 1);
    pack_key_int(&out.packer, "job", job->handle);
    if (request->wait)
        pack_key_bool(&out.packer, "wait", *request->wait);
    if (request->reason)
        pack_key_text(&out.packer, "reason", request->reason);
    r = message_finish(&out, &frame, err);
    if (r == 0)
        r = session_call(session, &frame, &answer, err); /* takes */
    if (r == 0)
        message_done(&answer);
    return r;
}

/* A daemon that died may have published the job, and not said it: that is the answer.
 */
static int
call_about(struct session *session, const struct client_job *job,
           const struct job_request *request, struct lighter_error *err)
{
    int r;

    do
        r = call_once(session, job, request, err);
    while (r == SESSION_LOST && !job->is_published);
    return r < 0 ? r : 0;
}

int
lighter_flush(struct lighter_client *client, int64_t handle, struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    int r;

    if (!job)
        return -EINVAL;
    r = job_commit(&client->session, job, err);
    if (r < 0)
        return r;
    return call_about(&client->session, job, &(struct job_request){.method = "flush"},
                      err);
}

int
lighter_end(struct lighter_client *client, int64_t handle, bool wait,
            struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    int r;

    if (!job)
        return -EINVAL;
    r = job_commit(&client->session, job, err);
    if (r == 0)
        r = past_check_end(&job->past, job->rank, err);
    if (r < 0)
        return r;
    r = call_about(&client->session, job,
                   &(struct job_request){.method = "end", .wait = &wait}, err);
    forget_job(client, job);
    return r;
}

/* Where the daemon is gone there is nothing to tell: the job's other ranks, and this
 * client's other jobs, look for the next one when they need it.
 */
int
lighter_abort(struct lighter_client *client, int64_t handle, const char *reason,
              struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    int r;

    if (!job)
        return -EINVAL;
    client->session.takes_losses = true;
    r = call_once(&client->session, job,
                  &(struct job_request){.method = "abort", .reason = reason}, err);
    client->session.takes_losses = false;
    forget_job(client, job);
    return r;
}
