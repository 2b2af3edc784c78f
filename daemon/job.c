/* job.c - see job.h. What the ranks of one job do; jobs.c holds the table of jobs. */
#include "daemon/job_internal.h"

#include "daemon/durable.h"
#include "daemon/pipeline.h"
#include "util/error.h"
#include "util/log.h"
#include "wire/params.h"

#include <inttypes.h>
#include <linux/limits.h>

#define BLOCKED_MAX_MS ((int64_t)1 << 40) /* 34 years: sums stay far from their end */

const char *
job_state_name(const struct job *job)
{
    static const char *const names[] = {"preparing", "open",   "publishing",
                                        "published", "failed", "interrupted",
                                        "aborted"};

    return names[job->doom != JOB_OPEN ? job->doom : job->state];
}

const char *
job_waits(const struct job *job)
{
    if (job->state != JOB_OPEN)
        return NULL;
    for (uint32_t i = 0; i < job->world_size; i++)
        for (uint32_t j = 0; job->ranks[i].streams && j < job->n_outputs; j++)
            if (job->ranks[i].streams[j].full)
                return job->ranks[i].streams[j].parts[0].error.message;
    return NULL;
}

/* ---- the end of all hopes ---- */

static void
detach(struct rank *rank)
{
    if (rank->seat)
        rank->seat->job = NULL;
    rank->seat = NULL;
}

void
job_answer_waiting(struct job *job, const struct lighter_error *error)
{
    for (uint32_t i = 0; i < job->world_size; i++) {
        struct rank *rank = &job->ranks[i];

        if (rank->state != RANK_ENDED || rank->attached)
            continue; /* the latter has not asked yet */
        reply_error(&rank->reply, error, NULL);
        detach(rank);
    }
}

void
job_doom(struct job *job, enum job_state state, const char *format, ...)
{
    char reason[LIGHTER_ERROR_TEXT_MAX];
    va_list args;

    if (job->doom != JOB_OPEN)
        return;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    job->doom = state;
    lighter_fail(&job->error, LIGHTER_E_STATE,
                 "job '%s' is not published: %.800s; what was written stays aside",
                 job->name, reason);
    job_answer_waiting(job, &job->error);
}

/* ---- closing a rank's streams ---- */

/* Two keys. */
static void
pack_end_fields(struct message_out *out, const struct job *job, bool published)
{
    bool is_this_one = job->state == JOB_PUBLISHED;

    pack_key_bool(&out->packer, "published", published);
    pack_key(&out->packer, "paths");
    msgpack_pack_array(&out->packer, is_this_one ? job->n_outputs : 0);
    for (uint32_t i = 0; is_this_one && i < job->n_outputs; i++)
        pack_text(&out->packer, job->outputs[i].writer.target);
}

static void
answer_end(struct rank *rank)
{
    struct message_out out;

    if (reply_owed(&rank->reply)) {
        reply_begin(&rank->reply, &out);
        msgpack_pack_map(&out.packer, 2);
        pack_end_fields(&out, rank->job, rank->job->state == JOB_PUBLISHED);
        reply_send(&rank->reply, &out);
    }
    detach(rank);
}

void
job_answer_published(struct job *job)
{
    for (uint32_t i = 0; i < job->world_size; i++)
        answer_end(&job->ranks[i]);
}

void
rank_free_streams(struct rank *rank)
{
    for (uint32_t i = 0; rank->streams && i < rank->job->n_outputs; i++)
        stream_done(&rank->streams[i]);
    free(rank->streams);
    rank->streams = NULL;
}

void
rank_forget_past(struct rank *rank)
{
    for (uint32_t i = 0; rank->past && i < rank->job->n_outputs; i++)
        stream_past_done(&rank->past[i]);
    free(rank->past);
    rank->past = NULL;
}

/* It is known now, or when the job is over. */
static void
tell_ended(struct rank *rank)
{
    struct job *job = rank->job;

    if (job->doom != JOB_OPEN) {
        reply_error(&rank->reply, &job->error, NULL);
        detach(rank);
    } else if (!rank->wait) {
        answer_end(rank);
    }
}

/* What its streams have done outlives them. */
static int
rank_keep_past(struct rank *rank, struct lighter_error *err)
{
    if (!rank->streams)
        return 0;
    if (!rank->past)
        rank->past = calloc(rank->job->n_outputs + 1u, sizeof *rank->past);
    if (!rank->past)
        return fail_nomem(err);
    for (uint32_t i = 0; i < rank->job->n_outputs; i++)
        rank->past[i] = stream_take_past(&rank->streams[i]);
    rank_free_streams(rank);
    return 0;
}

static void
answer_lost(struct rank *rank)
{
    if (rank->stream_result < 0)
        reply_error(&rank->reply, &rank->stream_error, NULL);
    else
        reply_empty(&rank->reply);
    detach(rank);
}

static void
rank_closed(struct rank *rank)
{
    struct job *job = rank->job;

    job->n_connected--;
    job->n_changing--;
    rank->state = rank->after_closing;
    if (rank->state == RANK_ENDED && rank->stream_result < 0) {
        job_doom(job, JOB_FAILED, "%s", rank->stream_error.message);
        rank->state = RANK_LOST;
        job->n_lost++;
    }
    if (rank->state == RANK_ENDED) {
        job->n_ended++;
        tell_ended(rank);
    } else if (rank->state == RANK_LOST) {
        answer_lost(rank);
    } else { /* opening failed */
        reply_error(&rank->reply, &rank->stream_error, NULL);
        detach(rank);
        rank_keep_past(rank, NULL); /* else it is tried again with the journal */
        rank_free_streams(rank);
        if (job->error.code == LIGHTER_OK)
            job->error = rank->stream_error;
    }
    if (job->n_connected)
        parked_admit_resuming(job->jobs, job); /* it may be this rank */
    job_settle(job);
}

/* Of those that a rank's streams report the first failure is kept. */
static void
note_result(struct rank *rank, int r, const struct lighter_error *error)
{
    if (r >= 0 || rank->stream_result < 0)
        return;
    rank->stream_result = r;
    rank->stream_error = *error;
}

static void
on_closed(void *data, int r, const struct lighter_error *error)
{
    struct rank *rank = data;

    note_result(rank, r, error);
    if (--rank->n_pending == 0)
        rank_closed(rank);
}

static void
rank_close(struct rank *rank, enum rank_state after)
{
    rank->state = RANK_CLOSING;
    rank->job->n_changing++;
    rank->job->n_lost += after == RANK_LOST;
    rank->after_closing = after;
    rank->n_pending = 1; /* held until every stream was told */
    for (uint32_t i = 0; i < rank->job->n_outputs; i++)
        if (rank->streams[i].opened) {
            rank->n_pending++;
            stream_close(&rank->streams[i], after == RANK_ENDED);
        }
    on_closed(rank, 0, NULL);
}

/* ---- opening them ---- */

static void
pack_warnings(struct message_out *out, const struct job *job)
{
    uint32_t n = job->warning != NULL;
    char text[PATH_MAX + 128];

    for (uint32_t i = 0; i < job->n_outputs; i++)
        n += job->outputs[i].exists;
    pack_key(&out->packer, "warnings");
    msgpack_pack_array(&out->packer, n);
    if (job->warning)
        pack_text(&out->packer, job->warning);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        if (!job->outputs[i].exists)
            continue;
        snprintf(text, sizeof text,
                 "%s already exists, existing predictions will be overwritten.",
                 job->outputs[i].writer.target);
        pack_text(&out->packer, text);
    }
}

void
job_answer_open(const struct job *job, const struct rank *rank, int64_t handle,
                struct reply *reply)
{
    struct message asked;
    const msgpack_object *writers = pipelines_recall(&job->request, &asked);
    struct message_out out;

    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, writers ? 9 : 8);
    pack_key_int(&out.packer, "handle", handle);
    pack_key_uint(&out.packer, "id", job->id);
    pack_key_uint(&out.packer, "seq", rank ? rank_committed(rank) : 0);
    pack_key_uint(&out.packer, "samples", rank ? rank_samples(rank) : 0);
    pack_key_bool(&out.packer, "ended", !rank || rank->state == RANK_ENDED);
    pack_end_fields(&out, job, !rank);
    pack_warnings(&out, job);
    if (writers) {
        pack_key(&out.packer, "writers");
        msgpack_pack_object(&out.packer, *writers);
    }
    message_done(&asked);
    reply_send(reply, &out);
}

static void
rank_opened(struct rank *rank)
{
    rank->job->n_changing--;
    if (rank->stream_result < 0) {
        rank_close(rank, RANK_ABSENT);
    } else if (!rank->seat) {
        job_doom(rank->job, JOB_INTERRUPTED, "rank %u vanished while it opened",
                 rank->number);
        rank_close(rank, RANK_LOST);
    } else {
        rank->state = RANK_OPEN;
        job_answer_open(rank->job, rank, rank->seat->handle, &rank->reply);
    }
}

static void
on_open(void *data, int r, const struct lighter_error *error)
{
    struct rank *rank = data;

    note_result(rank, r, error);
    if (--rank->n_pending == 0)
        rank_opened(rank);
}

static void
on_written(void *data, const struct stream *stream, uint64_t n_samples,
           uint64_t n_bytes)
{
    struct rank *rank = data;
    struct job *job = rank->job;
    struct job_output *output = &job->outputs[stream->setup.index];

    output->n_samples += n_samples;
    output->n_bytes += n_bytes;
    job->n_bytes += n_bytes;
    job->jobs->n_bytes += n_bytes;
    if (stream != rank->streams) /* samples are counted once, however many writers */
        return;
    job->n_batches++;
    job->n_samples += n_samples;
    job->jobs->n_batches++;
    job->jobs->n_samples += n_samples;
}

static void
on_refused(void *data, const struct stream *stream, const struct lighter_error *error)
{
    struct rank *rank = data;
    struct job_output *output = &rank->job->outputs[stream->setup.index];

    output->n_refused++;
    output->last_error = *error;
    rank->job->jobs->n_refused++;
}

static void
on_done(void *data, uint64_t age_ms)
{
    struct rank *rank = data;

    histogram_add(&rank->job->jobs->ages, age_ms);
}

static void
on_full(void *data, const struct lighter_error *error)
{
    struct rank *rank = data;

    log_warning("waits for space job=%s stage=%s rank=%u reason=\"%s\"",
                rank->job->name, rank->job->stage, rank->number, error->message);
}

static void
open_streams(struct rank *rank)
{
    struct job *job = rank->job;
    struct lighter_error why = LIGHTER_ERROR_INIT;

    for (uint32_t i = 0; i < job->n_outputs; i++) {
        struct job_output *output = &job->outputs[i];
        bool is_table = output->writer.type->kind == LIGHTER_KIND_TABLE;
        struct stream_past past = {0};
        struct stream_setup setup = {.loop = job->jobs->loop,
                                     .writer = &output->writer,
                                     .table = is_table ? &output->table : NULL,
                                     .files = is_table ? NULL : &output->files,
                                     .journal = &job->journal,
                                     .index = i,
                                     .rank = rank->number,
                                     .world_size = job->world_size,
                                     .max_parts = job->jobs->n_threads,
                                     .wait_for_space =
                                         job->jobs->settings->full_wait_s > 0,
                                     .data = rank,
                                     .on_open = on_open,
                                     .on_written = on_written,
                                     .on_refused = on_refused,
                                     .on_done = on_done,
                                     .on_full = on_full,
                                     .on_closed = on_closed};
        int r;

        if (rank->past) {
            past = rank->past[i]; /* moved */
            rank->past[i] = (struct stream_past){0};
        }
        r = stream_open(&rank->streams[i], &setup, &past, &why);
        if (r < 0)
            on_open(rank, r, &why);
    }
}

/* A rank that has ended comes to hear what became of it: nothing does, until it has
 * said its end again, or left.
 */
static void
rank_attach(struct rank *rank, struct seat *seat, struct reply *reply)
{
    struct lighter_error taken;

    if (rank->seat) { /* its connection is gone, but that was not seen yet */
        lighter_fail(&taken, LIGHTER_E_STATE, "rank %u of job '%s' has come again",
                     rank->number, rank->job->name);
        reply_error(&rank->reply, &taken, NULL);
        detach(rank);
    }
    if (!rank->attached)
        rank->job->n_connected++;
    rank->attached = true;
    peer_unref(rank->peer);
    rank->peer = peer_ref(reply->peer); /* before the answer: it lets go of the peer */
    rank->seat = seat;
    job_answer_open(rank->job, rank, seat->handle, reply);
}

/* It was lost, and is not any more. Where it was the last such, there is hope again. */
static void
rank_found(struct rank *rank)
{
    struct job *job = rank->job;

    rank->state = RANK_ABSENT;
    if (--job->n_lost || job->doom == JOB_FAILED)
        return;
    job->doom = JOB_OPEN;
    job->error.code = LIGHTER_OK;
}

static int
resume_at(struct rank *rank, const struct job_spec *spec, struct lighter_error *err)
{
    uint64_t committed = rank_committed(rank);

    if (spec->id && spec->answered > committed)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "job '%s' has lost batches: rank %u was told that %" PRIu64
                            " are written, and %" PRIu64 " are there",
                            rank->job->name, rank->number, spec->answered, committed);
    rank->seq = spec->id ? spec->answered : committed;
    return 0;
}

int
rank_open(struct rank *rank, const struct job_spec *spec, struct seat *seat,
          struct reply *reply, struct lighter_error *err)
{
    struct job *job = rank->job;
    int r;

    if (rank->state == RANK_ENDED) {
        rank_attach(rank, seat, reply);
        return 0;
    }
    r = rank_keep_past(rank, err);
    if (r == 0)
        r = resume_at(rank, spec, err);
    if (r < 0)
        return r;
    rank->streams = calloc(job->n_outputs + 1u, sizeof *rank->streams);
    if (!rank->streams)
        return fail_nomem(err);
    if (rank->state == RANK_LOST)
        rank_found(rank);
    peer_unref(rank->peer);
    rank->peer = peer_ref(reply->peer);
    rank->reply = reply_take(reply);
    rank->seat = seat;
    rank->state = RANK_OPENING;
    rank->total = spec->total;
    if (!spec->id) /* another process: it counts anew */
        rank->told_ms = 0;
    rank->stream_result = 0;
    rank->n_pending = job->n_outputs + 1; /* one is held until every stream began */
    job->n_connected++;
    job->n_changing++;
    open_streams(rank);
    on_open(rank, 0, NULL);
    return 0;
}

/* ---- what a session asks of a seat ---- */

static int
rank_of(const struct seat *seat, struct rank **ret_rank, struct lighter_error *err)
{
    struct rank *rank;

    if (!seat->job)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "the job of handle %" PRId64 " is over", seat->handle);
    rank = &seat->job->ranks[seat->rank];
    if (rank->seat != seat || rank->state != RANK_OPEN)
        return lighter_fail(err, LIGHTER_E_STATE, "rank %u of job '%s' is not open",
                            seat->rank, seat->job->name);
    *ret_rank = rank;
    return 0;
}

static int
next_seq(struct rank *rank, const msgpack_object *params, struct lighter_error *err)
{
    int64_t seq;
    int r =
        params_required(params_int(params, "seq", 1, INT64_MAX, &seq, err), "seq", err);

    if (r < 0)
        return r;
    if ((uint64_t)seq != rank->seq + 1)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'seq' expects %" PRIu64 " next, got %" PRId64,
                            rank->seq + 1, seq);
    rank->seq++;
    return 0;
}

int
seat_told(struct seat *seat, const msgpack_object *params, struct lighter_error *err)
{
    struct rank *rank = seat->job ? &seat->job->ranks[seat->rank] : NULL;
    int64_t blocked_ms;
    int r = params_int(params, "blocked_ms", 0, BLOCKED_MAX_MS, &blocked_ms, err);
    uint64_t more_ms;

    if (r != 0 || !rank || rank->seat != seat)
        return r < 0 ? r : 0;
    if ((uint64_t)blocked_ms <= rank->told_ms)
        return 0;
    more_ms = (uint64_t)blocked_ms - rank->told_ms;
    rank->told_ms += more_ms;
    rank->blocked_ms += more_ms;
    rank->job->blocked_ms += more_ms;
    rank->job->jobs->blocked_ms += more_ms;
    return 0;
}

int
seat_write(struct seat *seat, struct message *message, struct memory *memory,
           struct reply *reply, struct lighter_error *err)
{
    struct batch *batch;
    struct rank *rank;
    int r = rank_of(seat, &rank, err);

    if (r == 0 && !rank->job->n_outputs)
        r = lighter_fail(err, LIGHTER_E_STATE, "job '%s' has no writers",
                         rank->job->name);
    if (r == 0)
        r = next_seq(rank, message->params, err);
    if (r < 0) {
        message_done(message);
        return r;
    }
    r = batch_new(&batch, message, memory, reply, rank->job->n_outputs,
                  err); /* takes message */
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < rank->job->n_outputs; i++) {
        struct lighter_error why = LIGHTER_ERROR_INIT;

        r = stream_push(&rank->streams[i], batch, &why); /* takes a share */
        if (r < 0)
            batch_done(batch, r, &why, rank->job->outputs[i].writer.type->name);
    }
    return 0;
}

static bool
is_attached(const struct seat *seat)
{
    const struct rank *rank = seat->job ? &seat->job->ranks[seat->rank] : NULL;

    return rank && rank->seat == seat && rank->attached;
}

/* job_settle() is to follow. */
static void
rank_let_go(struct rank *rank)
{
    rank->attached = false;
    rank->job->n_connected--;
}

static int
end_again(struct rank *rank, bool wait, struct reply *reply)
{
    rank->wait = wait;
    rank->reply = reply_take(reply);
    rank_let_go(rank);
    tell_ended(rank);
    job_settle(rank->job);
    return 0;
}

static int
abort_again(struct rank *rank, struct reply *reply)
{
    rank_let_go(rank);
    reply_empty(reply);
    detach(rank);
    job_settle(rank->job);
    return 0;
}

int
seat_end(struct seat *seat, bool wait, struct reply *reply, struct lighter_error *err)
{
    struct rank *rank;
    int r;

    if (is_attached(seat))
        return end_again(&seat->job->ranks[seat->rank], wait, reply);
    r = rank_of(seat, &rank, err);
    if (r < 0)
        return r;
    rank->wait = wait;
    rank->reply = reply_take(reply);
    rank_close(rank, RANK_ENDED);
    return 0;
}

int
seat_flush(struct seat *seat, struct reply *reply, struct lighter_error *err)
{
    struct rank *rank;
    int r = is_attached(seat) ? 0 : rank_of(seat, &rank, err);

    return r < 0 ? r : job_flush(seat->job, reply, err);
}

int
seat_abort(struct seat *seat, const char *reason, struct reply *reply,
           struct lighter_error *err)
{
    bool again = is_attached(seat);
    struct rank *rank = again ? &seat->job->ranks[seat->rank] : NULL;
    int r = again ? 0 : rank_of(seat, &rank, err);

    if (r < 0)
        return r;
    job_doom(rank->job, JOB_ABORTED, "rank %u aborted%s%s", rank->number,
             *reason ? ": " : "", reason);
    if (again)
        return abort_again(rank, reply);
    rank->reply = reply_take(reply);
    rank_close(rank, RANK_LOST);
    return 0;
}

/* How far ranks may be apart: they meet in every backward pass, and are told of a
 * change within a step.
 */
#define STEPS_APART 2

static void
pack_limit(struct message_out *out, const char *key, int64_t limit)
{
    if (limit != INT64_MAX) {
        pack_key_int(&out->packer, key, limit);
        return;
    }
    pack_key(&out->packer, key);
    msgpack_pack_nil(&out->packer);
}

int
seat_step(struct seat *seat, const struct lighter_step *step, struct reply *reply,
          struct lighter_error *err)
{
    int64_t until_step, until_epoch;
    const uint8_t *actions;
    struct message_out out;
    struct rank *rank;
    struct job *job;
    int r = rank_of(seat, &rank, err);

    if (r < 0)
        return r;
    job = rank->job;
    if (!job->policies.n_items)
        return lighter_fail(err, LIGHTER_E_STATE, "job '%s' has no policies",
                            job->name);
    r = policies_decide(&job->policies, step, job->world_size > 1 ? STEPS_APART : 0,
                        &actions, &until_step, &until_epoch, err);
    if (r < 0)
        return r;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 3);
    pack_key(&out.packer, "actions");
    msgpack_pack_bin_with_body(&out.packer, actions, job->policies.parameters.count);
    pack_limit(&out, "until_step", until_step);
    pack_limit(&out, "until_epoch", until_epoch);
    reply_send(reply, &out);
    return 0;
}

void
job_tell_ranks(struct job *job)
{
    for (uint32_t i = 0; i < job->world_size; i++) {
        struct rank *rank = &job->ranks[i];

        if (rank->state == RANK_OPEN)
            peer_notify(rank->peer, "changed", rank->seat->handle);
    }
}

void
seat_leave(struct seat *seat)
{
    struct job *job = seat->job;
    struct rank *rank;

    if (!job)
        return;
    seat->job = NULL;
    if (jobs_unpark(job, seat))
        return;
    rank = &job->ranks[seat->rank];
    rank->seat = NULL;
    if (rank->attached) {
        rank_let_go(rank);
        job_settle(job);
        return;
    }
    if (rank->state != RANK_OPEN)
        return; /* opening: rank_opened() sees it; else it has said its last word */
    job_doom(job, JOB_INTERRUPTED, "rank %u vanished without end or abort",
             rank->number);
    rank_close(rank, RANK_LOST);
}
