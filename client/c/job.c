/* job.c - jobs of a connection: open, batches, end. See lighter/client.h.
 *
 * A job counts its batches without an answer, and keeps the first error among the
 * answers until a call can return it.
 */
#include "client/c/client.h"

#include "client/c/answer.h"
#include "client/c/jsonwire.h"
#include "client/c/outputs.h"
#include "util/error.h"
#include "wire/params.h"

#include <inttypes.h>
#include <unistd.h>

/* ---- the list of jobs ---------------------------------------------------------- */

/* NULL where there is none, and `err` says so. */
static struct client_job *
find_job(const struct lighter_client *client, int64_t handle, struct lighter_error *err)
{
    for (struct client_job *job = client->jobs; job; job = job->next)
        if (job->handle == handle)
            return job;
    lighter_fail(err, LIGHTER_E_PARAMS, "no open job has the handle %" PRId64, handle);
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
    free(job);
}

void
jobs_free(struct client_job *jobs)
{
    while (jobs) {
        struct client_job *next = jobs->next;

        free(jobs);
        jobs = next;
    }
}

static int
add_job(struct lighter_client *client, int64_t handle, int64_t seq,
        struct lighter_error *err)
{
    struct client_job *job;

    if (find_job(client, handle, NULL)) {
        lighter_fail(err, LIGHTER_E_PROTOCOL, "the handle %" PRId64 " a second time",
                     handle);
        return answer_malformed("open", err);
    }
    job = calloc(1, sizeof *job);
    if (!job)
        return fail_nomem(err);
    job->handle = handle;
    job->seq = seq;
    job->next = client->jobs;
    client->jobs = job;
    return 0;
}

/* ---- open ---------------------------------------------------------------------- */

static void
pack_spec(msgpack_packer *packer, const struct lighter_job_spec *spec, const char *cwd,
          const json_t *writers)
{
    msgpack_pack_map(packer, 6);
    pack_key_text(packer, "job", spec->job);
    pack_key_text(packer, "stage", spec->stage ? spec->stage : "predict");
    pack_key_uint(packer, "rank", spec->rank);
    pack_key_uint(packer, "world_size", spec->world_size ? spec->world_size : 1);
    pack_key_text(packer, "cwd", cwd);
    pack_key(packer, "writers");
    jsonwire_pack(packer, writers);
}

static int
pack_open(struct session *session, const struct lighter_job_spec *spec,
          struct frame *ret_frame, struct lighter_error *err)
{
    AUTO(free_bytes) char *here = NULL;
    struct message_out out;
    json_t *writers;
    int r;

    if (!spec->job || !spec->writers_json)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' is missing",
                            spec->job ? "writers_json" : "job");
    here = spec->cwd ? NULL : getcwd(NULL, 0);
    if (!spec->cwd && !here)
        return lighter_fail_os(err, errno, "find the working directory");
    r = jsonwire_parse(spec->writers_json, JSON_ARRAY, "writers_json", &writers, err);
    if (r < 0)
        return r;
    message_begin_request(&out, session->next_id, "open");
    pack_spec(&out.packer, spec, spec->cwd ? spec->cwd : here, writers);
    json_decref(writers);
    return message_finish(&out, ret_frame, err);
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

static int
read_opened(struct message *answer, struct lighter_job *job, struct lighter_error *err)
{
    const msgpack_object *result = answer->result;
    int r = params_required(
        params_int(result, "handle", 0, INT64_MAX, &job->handle, err), "handle", err);

    if (r == 0)
        r = params_required(params_int(result, "seq", 0, INT64_MAX - 1, &job->seq, err),
                            "seq", err);
    if (r == 0)
        r = read_warnings(answer, job, err);
    return r < 0 && r != -ENOMEM ? answer_malformed("open", err) : r;
}

int
lighter_open(struct lighter_client *client, const struct lighter_job_spec *spec,
             struct lighter_job *ret_job, struct lighter_error *err)
{
    struct lighter_job job = {0};
    struct message answer;
    struct frame frame;
    int r = pack_open(&client->session, spec, &frame, err);

    if (r == 0)
        r = session_call(&client->session, &frame, &answer, err); /* takes */
    if (r < 0)
        return r;
    r = read_opened(&answer, &job, err);
    if (r == 0)
        r = add_job(client, job.handle, job.seq, err);
    if (r < 0) {
        message_done(&answer);
        return r;
    }
    message_done(&client->opened);
    client->opened = answer;
    *ret_job = job;
    return 0;
}

/* ---- batches ------------------------------------------------------------------- */

static int
wrap_batch(struct lighter_error *err, int r, int64_t batch_idx, int64_t dataloader_idx)
{
    if (dataloader_idx)
        return error_wrap(err, r, "batch %" PRId64 " of dataloader %" PRId64, batch_idx,
                          dataloader_idx);
    return error_wrap(err, r, "batch %" PRId64, batch_idx);
}

static void
on_batch_answer(const struct request *request, struct message *answer)
{
    struct client_job *job = request->owner;

    job->n_unanswered--;
    if (answer->error && job->n_failed++ == 0) {
        job->failed = answer_error(answer->error, &job->why);
        wrap_batch(&job->why, 0, request->batch_idx, request->dataloader_idx);
    }
}

/* What earlier batches failed with, once. */
static int
take_failure(struct client_job *job, struct lighter_error *err)
{
    size_t used = strlen(job->why.message);

    if (job->n_failed == 0)
        return 0;
    if (job->n_failed > 1)
        snprintf(job->why.message + used, sizeof job->why.message - used,
                 " (and %u more failed)", job->n_failed - 1);
    if (err)
        *err = job->why;
    job->n_failed = 0;
    return job->failed;
}

/* The envelope with an empty map of outputs is a whole message, so the codec makes and
 * checks it; the map's last byte then gives way to a head with the true count.
 */
static int
pack_write(struct session *session, const struct client_job *job,
           const struct request *batch, struct frame *ret_frame,
           struct lighter_error *err)
{
    struct message_out out;

    message_begin_request(&out, session->next_id, "write");
    msgpack_pack_map(&out.packer, 5);
    pack_key_int(&out.packer, "job", job->handle);
    pack_key_int(&out.packer, "seq", job->seq + 1);
    pack_key_int(&out.packer, "batch_idx", batch->batch_idx);
    pack_key_int(&out.packer, "dataloader_idx", batch->dataloader_idx);
    pack_key(&out.packer, "outputs");
    msgpack_pack_map(&out.packer, 0);
    return message_finish(&out, ret_frame, err);
}

#define MAP_HEAD_SIZE 5

static void
map_head(uint8_t head[MAP_HEAD_SIZE], uint32_t count)
{
    head[0] = 0xdf; /* map 32: a big-endian count follows, as at a frame's head */
    frame_head(head + 1, count);
}

/* With its head, and without what is in memory. */
static size_t
frame_size(const struct frame *envelope, const struct lighter_outputs *outputs)
{
    return envelope->size - 1 + MAP_HEAD_SIZE + outputs_size(outputs);
}

/* Send envelope, map head and outputs; `batch` becomes the request. */
static int
send_parts(struct session *session, struct client_job *job,
           const struct frame *envelope, const struct lighter_outputs *outputs,
           const struct request *batch, struct lighter_error *err)
{
    size_t n_parts = 2 + OUTPUTS_N_PARTS(outputs);
    AUTO(free_bytes) struct iovec *parts = reallocarray(NULL, n_parts, sizeof *parts);
    uint8_t head[MAP_HEAD_SIZE];

    if (!parts)
        return fail_nomem(err);
    map_head(head, (uint32_t)outputs->n_keys);
    parts[0] = (struct iovec){envelope->data, envelope->size - 1};
    parts[1] = (struct iovec){head, sizeof head};
    outputs_parts(outputs, parts + 2);
    frame_head(envelope->data,
               (uint32_t)(frame_size(envelope, outputs) - FRAME_HEAD_SIZE));
    job->seq++;
    job->n_unanswered++; /* before it is sent: answers are taken meanwhile */
    return session_send(session, parts, n_parts, batch, err);
}

/* Wait for room, and have the large tensors where the daemon reads them. Without memory
 * they become parts of the frame.
 */
static int
make_room(struct session *session, const struct frame *envelope,
          const struct lighter_outputs *outputs, struct request *batch,
          struct lighter_error *err)
{
    size_t placed = outputs_choose(outputs, session->memory_room);
    int r;

    batch->size = frame_size(envelope, outputs);
    r = session_check_size(session, batch->size, err);
    if (r < 0)
        return wrap_batch(err, r, batch->batch_idx, batch->dataloader_idx);
    batch->size += placed;
    r = session_make_room(session, batch->size, err);
    if (r < 0 || placed == 0)
        return r;
    r = session_take_slot(session, placed, &batch->slot, err);
    if (r == SESSION_NO_MEMORY) /* which is then so for all that follow, this first */
        return make_room(session, envelope, outputs, batch, err);
    if (r == 0)
        outputs_place(outputs, session->memory.bytes, batch->slot.start);
    return r;
}

/* Answers are taken before the batch is sent: those that are there, and more of them
 * while there is no room.
 */
static int
send_batch(struct session *session, struct client_job *job,
           const struct lighter_outputs *outputs, struct request *batch,
           struct lighter_error *err)
{
    AUTO(free_bytes) uint8_t *bytes = NULL;
    struct frame envelope;
    size_t placed = outputs_choose(outputs, session->memory_room);
    int r = placed ? session_share_memory(session, placed, err) : 0;

    if (r == 0) /* not before: an id is a request's, and that was one */
        r = pack_write(session, job, batch, &envelope, err);
    if (r < 0)
        return r;
    bytes = envelope.data;
    r = make_room(session, &envelope, outputs, batch, err);
    if (r < 0)
        return r;
    r = take_failure(job, err);
    if (r == 0)
        return send_parts(session, job, &envelope, outputs, batch, err);
    if (batch->slot.size)
        memory_give_back(&session->memory, batch->slot);
    return r;
}

int
lighter_write(struct lighter_client *client, int64_t handle,
              const struct lighter_outputs *outputs, int64_t batch_idx,
              int64_t dataloader_idx, struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    struct request batch = {.on_answer = on_batch_answer,
                            .owner = job,
                            .batch_idx = batch_idx,
                            .dataloader_idx = dataloader_idx};
    int r;

    if (!job)
        return -EINVAL;
    r = outputs_check(outputs, err);
    if (r < 0)
        return wrap_batch(err, r, batch_idx, dataloader_idx);
    r = session_poll(&client->session, err);
    return r < 0 ? r : send_batch(&client->session, job, outputs, &batch, err);
}

static int
commit(struct session *session, struct client_job *job, struct lighter_error *err)
{
    int r = 0;

    while (r == 0 && job->n_unanswered)
        r = session_wait(session, err);
    return r < 0 ? r : take_failure(job, err);
}

int
lighter_commit(struct lighter_client *client, int64_t handle, struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);

    return job ? commit(&client->session, job, err) : -EINVAL;
}

/* ---- the end of a job ---------------------------------------------------------- */

static int
call_end(struct session *session, const struct client_job *job, bool wait,
         struct lighter_error *err)
{
    struct message_out out;
    struct message answer;
    struct frame frame;
    int r;

    message_begin_request(&out, session->next_id, "end");
    msgpack_pack_map(&out.packer, 2);
    pack_key_int(&out.packer, "job", job->handle);
    pack_key_bool(&out.packer, "wait", wait);
    r = message_finish(&out, &frame, err);
    if (r == 0)
        r = session_call(session, &frame, &answer, err); /* takes */
    if (r == 0)
        message_done(&answer);
    return r;
}

int
lighter_end(struct lighter_client *client, int64_t handle, bool wait,
            struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    int r;

    if (!job)
        return -EINVAL;
    r = commit(&client->session, job, err);
    if (r < 0)
        return r;
    r = call_end(&client->session, job, wait, err);
    forget_job(client, job);
    return r;
}

static int
call_abort(struct session *session, const struct client_job *job, const char *reason,
           struct lighter_error *err)
{
    struct message_out out;
    struct message answer;
    struct frame frame;
    int r;

    message_begin_request(&out, session->next_id, "abort");
    msgpack_pack_map(&out.packer, reason ? 2 : 1);
    pack_key_int(&out.packer, "job", job->handle);
    if (reason)
        pack_key_text(&out.packer, "reason", reason);
    r = message_finish(&out, &frame, err);
    if (r == 0)
        r = session_call(session, &frame, &answer, err); /* takes */
    if (r == 0)
        message_done(&answer);
    return r;
}

int
lighter_abort(struct lighter_client *client, int64_t handle, const char *reason,
              struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    int r;

    if (!job)
        return -EINVAL;
    r = call_abort(&client->session, job, reason, err);
    forget_job(client, job);
    return r;
}
