/* stream.c - see stream.h. All of it is on the loop thread; worker.c is not. */
#include "daemon/stream.h"

#include "daemon/worker.h"
#include "util/error.h"

static void next(struct stream *stream);

static void
submit(struct stream_part *part, uv_work_cb run, uv_after_work_cb after)
{
    /* fails only for a NULL callback: a bug of ours */
    if (uv_queue_work(part->stream->setup.loop, &part->work, run, after) < 0)
        abort();
}

/* ---- the past ---- */

void
stream_past_done(struct stream_past *past)
{
    free(past->refusals);
    *past = (struct stream_past){0};
}

static bool
is_the_same(const struct lighter_error *one, const struct lighter_error *other)
{
    return one->code == other->code && one->errnum == other->errnum &&
           one->sample == other->sample && strcmp(one->message, other->message) == 0;
}

int
stream_past_refuse(struct stream_past *past, uint64_t first, uint64_t last,
                   const struct lighter_error *error)
{
    struct refusal *latest =
        past->n_refusals ? &past->refusals[past->n_refusals - 1] : NULL;
    struct refusal *refusals;

    /* a whole epoch may lack the same key */
    if (latest && latest->last + 1 == first && is_the_same(&latest->error, error)) {
        latest->last = last;
        past->n_refused += last - first + 1;
        return 0;
    }
    refusals = reallocarray(past->refusals, past->n_refusals + 1, sizeof *refusals);
    if (!refusals)
        return -ENOMEM;
    refusals[past->n_refusals++] = (struct refusal){first, last, *error};
    past->refusals = refusals;
    past->n_refused += last - first + 1;
    return 0;
}

struct stream_past
stream_take_past(struct stream *stream)
{
    struct stream_past past = stream->past;

    stream->past = (struct stream_past){0};
    past.seq = stream->seq;
    past.n_samples = stream->n_samples;
    past.n_bytes = stream->n_bytes;
    if (stream->opened && stream->setup.table) {
        past.has_shard = true;
        past.header_size = stream->shard.header_size;
    }
    return past;
}

static const struct refusal *
find_refusal(const struct stream_past *past, uint64_t seq)
{
    for (size_t i = past->n_refusals; i > 0; i--)
        if (past->refusals[i - 1].first <= seq && seq <= past->refusals[i - 1].last)
            return &past->refusals[i - 1];
    return NULL;
}

/* A batch that came before. */
static void
answer_again(struct stream *stream, struct batch *batch)
{
    const struct refusal *refusal = find_refusal(&stream->past, batch->view.seq);

    batch_done(batch, refusal ? -EINVAL : 0, refusal ? &refusal->error : NULL,
               stream->setup.writer->type->name);
}

/* ---- opening ---- */

static void
after_open(uv_work_t *work, int status)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    (void)status;
    stream->busy = false;
    stream->opened = part->result == 0;
    stream->setup.on_open(stream->setup.data, part->result, &part->error);
}

int
stream_open(struct stream *stream, const struct stream_setup *setup,
            struct stream_past *past, struct lighter_error *err)
{
    *stream = (struct stream){.setup = *setup,
                              .shard = {.fd = -1},
                              .past = *past,
                              .seq = past->seq,
                              .n_samples = past->n_samples,
                              .n_bytes = past->n_bytes};
    *past = (struct stream_past){0};
    STAILQ_INIT(&stream->tasks);
    if (setup->writer->type->threads != LIGHTER_THREADS_SAMPLES)
        stream->setup.max_parts = 1;
    stream->parts = calloc(stream->setup.max_parts, sizeof *stream->parts);
    if (!stream->parts)
        return fail_nomem(err);
    for (unsigned i = 0; i < stream->setup.max_parts; i++) {
        stream->parts[i].stream = stream;
        stream->parts[i].work.data = &stream->parts[i];
        output_init(&stream->parts[i].output, setup->files);
    }
    stream->busy = true;
    submit(&stream->parts[0], worker_open, after_open);
    return 0;
}

/* ---- a batch ---- */

/* For who looks on. The two buffers take turns. */
static void
keep_names(struct stream *stream)
{
    struct lighter_output *output = &stream->parts[0].output;
    char *names = stream->last_names;
    size_t room = stream->last_room;

    stream->last_names = output->names;
    stream->last_used = output->names_used;
    stream->last_room = output->names_room;
    output->names = names;
    output->names_used = 0;
    output->names_room = room;
}

static void
finish_batch(struct stream *stream, int r, const struct lighter_error *error)
{
    struct stream_task *task = STAILQ_FIRST(&stream->tasks);
    uint64_t n_bytes = stream->parts[0].output.n_bytes;

    if (r == 0 && stream->setup.files)
        keep_names(stream);
    for (unsigned i = 0; i < stream->n_parts; i++)
        output_clear(&stream->parts[i].output);
    stream->seq = task->batch->view.seq;
    stream->last_try = false;
    stream->full_since = 0;
    if (r == 0) {
        stream->n_samples += stream->batch_samples;
        stream->n_bytes += n_bytes;
        stream->setup.on_written(stream->setup.data, stream, stream->batch_samples,
                                 n_bytes);
    } else if (stream_past_refuse(&stream->past, stream->seq, stream->seq, error) < 0) {
        abort(); /* the next daemon has it from the journal */
    } else {
        stream->setup.on_refused(stream->setup.data, stream, error);
    }
    stream->setup.on_done(stream->setup.data,
                          uv_now(stream->setup.loop) - task->came_at);
    STAILQ_REMOVE_HEAD(&stream->tasks, link);
    stream->n_waiting--;
    stream->bytes_waiting -= task->batch->charge;
    batch_done(task->batch, r, error, stream->setup.writer->type->name);
    free(task);
    stream->busy = false;
    next(stream);
}

static void
after_batch(struct stream *stream)
{
    const struct stream_part *part = &stream->parts[0];

    if (stream->no_space) {
        stream->full = true;
        if (!stream->full_since) {
            stream->full_since = uv_now(stream->setup.loop);
            stream->setup.on_full(stream->setup.data);
        }
    } else {
        finish_batch(stream, part->result, &part->error);
    }
}

static void
after_write(uv_work_t *work, int status)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;

    (void)status;
    if (++stream->n_back == stream->n_parts)
        after_batch(stream);
}

static void
after_check(uv_work_t *work, int status)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;

    (void)status;
    if (stream->n_parts == 1) {
        after_batch(stream);
        return;
    }
    stream->n_back = 0;
    atomic_store(&stream->n_running, stream->n_parts);
    for (unsigned i = 0; i < stream->n_parts; i++)
        submit(&stream->parts[i], worker_write, after_write);
}

static void
begin_batch(struct stream *stream)
{
    stream->busy = true;
    submit(&stream->parts[0], worker_check, after_check);
}

void
stream_retry(struct stream *stream, bool last)
{
    stream->full = false;
    stream->last_try = last;
    begin_batch(stream);
}

/* ---- the lane ---- */

static void
after_close(uv_work_t *work, int status)
{
    struct stream_part *part = work->data;

    (void)status;
    part->stream->setup.on_closed(part->stream->setup.data, part->result, &part->error);
}

/* Put the next thing there is to do into the pool. */
static void
next(struct stream *stream)
{
    if (stream->busy)
        return;
    if (!STAILQ_EMPTY(&stream->tasks)) {
        begin_batch(stream);
    } else if (stream->closing) {
        stream->busy = true;
        submit(&stream->parts[0], worker_close, after_close);
    }
}

int
stream_push(struct stream *stream, struct batch *batch, struct lighter_error *err)
{
    struct stream_task *task;

    if (batch->view.seq <= stream->past.seq) {
        answer_again(stream, batch);
        return 0;
    }
    task = calloc(1, sizeof *task);
    if (!task)
        return fail_nomem(err);
    task->batch = batch;
    task->came_at = uv_now(stream->setup.loop);
    STAILQ_INSERT_TAIL(&stream->tasks, task, link);
    stream->n_waiting++;
    stream->bytes_waiting += batch->charge;
    next(stream);
    return 0;
}

bool
stream_hangs(const struct stream *stream, uint64_t limit_ms, uint64_t *ret_seq)
{
    const struct stream_task *task = STAILQ_FIRST(&stream->tasks);
    uint64_t now = uv_hrtime();

    for (unsigned i = 0; stream->parts && i < stream->setup.max_parts; i++) {
        uint64_t entered = atomic_load(&stream->parts[i].entered_at);

        if (!entered || now < entered || now - entered < limit_ms * 1000000)
            continue;
        *ret_seq = stream->opened && task ? task->batch->view.seq : 0;
        return true;
    }
    return false;
}

void
stream_close(struct stream *stream, bool ending)
{
    stream->closing = true;
    stream->ending = ending;
    next(stream);
}

void
stream_done(struct stream *stream)
{
    for (unsigned i = 0; stream->parts && i < stream->setup.max_parts; i++)
        output_done(&stream->parts[i].output);
    free(stream->parts);
    free(stream->last_names);
    stream->parts = NULL;
    stream->last_names = NULL;
    stream_past_done(&stream->past);
    shard_close(&stream->shard);
}
