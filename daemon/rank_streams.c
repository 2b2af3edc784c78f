/* rank_streams.c - the streams of one rank: opened when it joins its job, closed when
 * it leaves.
 *
 * In: a rank that comes, or goes. Out: a stream for each of the job's writers; what
 * these have done, counted; an answer when the last of them is open, or closed. Loop
 * thread.
 */
#include "daemon/job_internal.h"
#include "daemon/waits.h"
#include "util/error.h"

#include <inttypes.h>

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

/* Of those that a rank's streams report the first failure is kept. */
static void
note_result(struct rank *rank, int r, const struct lighter_error *error)
{
    if (r >= 0 || rank->stream_result < 0)
        return;
    rank->stream_result = r;
    rank->stream_error = *error;
}

/* ---- closing them ---- */

static void
opening_failed(struct rank *rank)
{
    struct job *job = rank->job;

    rank_answer_error(rank, &rank->stream_error);
    rank_keep_past(rank, NULL); /* else it is tried again with the journal */
    rank_free_streams(rank);
    if (job->error.code == LIGHTER_OK)
        job->error = rank->stream_error;
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
        rank_answer_ended(rank);
    } else if (rank->state == RANK_LOST) {
        rank_answer_lost(rank);
    } else {
        opening_failed(rank);
    }
    if (job->n_connected)
        parked_admit_resuming(job); /* it may be this rank */
    job_settle(job);
}

static void
on_closed(void *data, int r, const struct lighter_error *error)
{
    struct rank *rank = data;

    note_result(rank, r, error);
    if (--rank->n_pending == 0)
        rank_closed(rank);
}

void
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

void
rank_hurry(struct rank *rank)
{
    for (uint32_t i = 0; rank->streams && i < rank->job->n_outputs; i++)
        if (rank->streams[i].opened)
            stream_hurry(&rank->streams[i]);
}

/* ---- what they tell ---- */

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

/* It has said its end, and went before it could hear that a batch was refused: the end
 * does not count.
 */
static void
take_end_back(struct rank *rank, const struct lighter_error *error)
{
    if (rank->state != RANK_CLOSING || rank->after_closing != RANK_ENDED || rank->seat)
        return;
    job_doom(rank->job, JOB_INTERRUPTED,
             "rank %u vanished, and a batch was refused: %s", rank->number,
             error->message);
    rank->after_closing = RANK_LOST;
    rank->job->n_lost++;
    for (uint32_t i = 0; i < rank->job->n_outputs; i++)
        rank->streams[i].ending = false;
}

static void
on_refused(void *data, const struct stream *stream, const struct lighter_error *error)
{
    struct rank *rank = data;
    struct job_output *output = &rank->job->outputs[stream->setup.index];

    output->n_refused++;
    output->last_error = *error;
    rank->job->jobs->n_refused++;
    take_end_back(rank, error);
}

static void
on_taken_back(void *data, const struct stream *stream, uint64_t n_samples,
              uint64_t n_bytes)
{
    struct rank *rank = data;
    struct job *job = rank->job;
    struct job_output *output = &job->outputs[stream->setup.index];

    output->n_samples -= n_samples;
    output->n_bytes -= n_bytes;
    job->n_bytes -= n_bytes;
    if (stream != rank->streams)
        return;
    job->n_batches--;
    job->n_samples -= n_samples;
}

static void
on_done(void *data, uint64_t age_ms)
{
    struct rank *rank = data;

    histogram_add(&rank->job->jobs->ages, age_ms);
}

static void
on_full(void *data)
{
    struct rank *rank = data;

    job_watch_wait(rank->job);
}

/* ---- opening them ---- */

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

static struct stream_setup
setup_of(struct rank *rank, uint32_t index)
{
    struct job *job = rank->job;
    struct job_output *output = &job->outputs[index];
    bool is_table = output->writer.type->kind == LIGHTER_KIND_TABLE;

    return (struct stream_setup){.loop = job->jobs->loop,
                                 .pool = &job->jobs->pool,
                                 .disk = output->disk,
                                 .writer = &output->writer,
                                 .table = is_table ? &output->table : NULL,
                                 .files = is_table ? NULL : &output->files,
                                 .journal = &job->journal,
                                 .index = index,
                                 .rank = rank->number,
                                 .world_size = job->world_size,
                                 .max_parts = job->jobs->n_threads,
                                 .wait_for_space = job->jobs->settings->full_wait_s > 0,
                                 .data = rank,
                                 .on_open = on_open,
                                 .on_written = on_written,
                                 .on_refused = on_refused,
                                 .on_taken_back = on_taken_back,
                                 .on_done = on_done,
                                 .on_full = on_full,
                                 .on_closed = on_closed};
}

static void
open_stream(struct rank *rank, uint32_t index)
{
    struct stream_setup setup = setup_of(rank, index);
    struct stream_past past = {0};
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r;

    if (rank->past) {
        past = rank->past[index]; /* moved */
        rank->past[index] = (struct stream_past){0};
    }
    r = stream_open(&rank->streams[index], &setup, &past, &why);
    if (r < 0)
        on_open(rank, r, &why);
}

static void
open_streams(struct rank *rank)
{
    rank->stream_result = 0;
    rank->n_pending = rank->job->n_outputs + 1; /* one is held until each has begun */
    for (uint32_t i = 0; i < rank->job->n_outputs; i++)
        open_stream(rank, i);
    on_open(rank, 0, NULL);
}

/* Before it is answered: a reply that was lets go of the peer. */
static void
take_place(struct rank *rank, struct seat *seat, struct peer *peer)
{
    peer_unref(rank->peer);
    rank->peer = peer_ref(peer);
    rank->seat = seat;
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
        rank_answer_error(rank, &taken);
    }
    if (!rank->attached)
        rank->job->n_connected++;
    rank->attached = true;
    take_place(rank, seat, reply->peer);
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
    take_place(rank, seat, reply->peer);
    rank->reply = reply_take(reply);
    rank->state = RANK_OPENING;
    rank->total = spec->total;
    if (!spec->id) /* another process: it counts anew */
        rank->told_ms = 0;
    job->n_connected++;
    job->n_changing++;
    open_streams(rank);
    return 0;
}
