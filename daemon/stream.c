/* stream.c - see stream.h. run_* are on workers, all else is on the loop thread. */
#include "daemon/stream.h"

#include "util/error.h"

static void next(struct stream *stream);

static void
submit(struct stream_part *part, uv_work_cb run, uv_after_work_cb after)
{
    /* fails only for a NULL callback: a bug of ours */
    if (uv_queue_work(part->stream->setup.loop, &part->work, run, after) < 0)
        abort();
}

static const struct lighter_writer *
type_of(const struct stream *stream)
{
    return stream->setup.writer->type;
}

/* ---- opening ---- */

static int
open_state(struct stream *stream, struct lighter_error *err)
{
    struct lighter_context context = {.size = sizeof context,
                                      .services = &output_services,
                                      .rank = stream->setup.rank,
                                      .world_size = stream->setup.world_size};

    if (type_of(stream)->open)
        return type_of(stream)->open(&stream->state, stream->setup.writer->options,
                                     &context, err);
    stream->state = (void *)stream->setup.writer->options;
    return 0;
}

static void
close_state(struct stream *stream)
{
    if (type_of(stream)->close)
        type_of(stream)->close(stream->state);
}

static int
open_shard(struct stream *stream, struct lighter_error *err)
{
    struct lighter_sink *sink = &stream->parts[0].output.sink;
    int r = 0;

    if (!stream->setup.table)
        return 0;
    if (type_of(stream)->header)
        r = type_of(stream)->header(stream->state, sink, &output_services, err);
    if (r == 0)
        r = shard_open(&stream->shard, stream->setup.table, stream->setup.rank, sink,
                       err);
    sink_clear(sink);
    return r;
}

static void
run_open(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    part->result = open_state(stream, &part->error);
    if (part->result < 0)
        return;
    part->result = open_shard(stream, &part->error);
    if (part->result < 0)
        close_state(stream);
}

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
            struct lighter_error *err)
{
    *stream = (struct stream){.setup = *setup, .shard = {.fd = -1}};
    STAILQ_INIT(&stream->tasks);
    if (type_of(stream)->threads != LIGHTER_THREADS_SAMPLES)
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
    submit(&stream->parts[0], run_open, after_open);
    return 0;
}

/* ---- a batch ---- */

static struct batch *
batch_in_hand(struct stream *stream)
{
    return STAILQ_FIRST(&stream->tasks)->batch;
}

static int
write_samples(struct stream_part *part)
{
    struct stream *stream = part->stream;
    struct lighter_task task = {.size = sizeof task,
                                .services = &output_services,
                                .batch = &batch_in_hand(stream)->view,
                                .first = part->first,
                                .count = part->count,
                                .index = stream->n_samples,
                                .rank = stream->setup.rank,
                                .world_size = stream->setup.world_size};
    int r;

    part->error.code =
        LIGHTER_OK; /* a plugin that fails without a word is told apart */
    r = type_of(stream)->write(stream->state, &task, &part->output, &part->error);
    if (r == 0 && stream->setup.table) {
        part->output.n_bytes = part->output.sink.size;
        r = shard_append(&stream->shard, &part->output.sink, &part->error);
    }
    return r;
}

static void
run_write(uv_work_t *work)
{
    struct stream_part *part = work->data;

    part->result = write_samples(part);
}

static void
run_undo(uv_work_t *work)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;

    for (unsigned i = 0; i < stream->n_parts; i++)
        output_undo(&stream->parts[i].output);
}

static void
split(struct stream *stream)
{
    uint64_t n_samples = stream->batch_samples, n_parts = stream->setup.max_parts,
             at = 0;

    if (n_parts > n_samples)
        n_parts = n_samples ? n_samples : 1;
    stream->n_parts = (unsigned)n_parts;
    for (unsigned i = 0; i < n_parts; i++) {
        stream->parts[i].first = at;
        stream->parts[i].count = n_samples / n_parts + (i < n_samples % n_parts);
        at += stream->parts[i].count;
    }
}

/* What is not split is written here at once, and saves a way through the pool. */
static void
run_check(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    stream->batch_samples = 0;
    part->error.code = LIGHTER_OK;
    part->result = type_of(stream)->check(stream->state, &batch_in_hand(stream)->view,
                                          &stream->batch_samples, &part->error);
    split(stream);
    if (part->result < 0 || stream->n_parts > 1)
        return;
    if (stream->batch_samples)
        part->result = write_samples(part);
    if (part->result < 0)
        run_undo(work);
}

/* The first part that failed, else the first. */
static struct stream_part *
verdict(struct stream *stream)
{
    for (unsigned i = 0; i < stream->n_parts; i++)
        if (stream->parts[i].result < 0)
            return &stream->parts[i];
    return &stream->parts[0];
}

static void
finish_batch(struct stream *stream)
{
    struct stream_task *task = STAILQ_FIRST(&stream->tasks);
    struct stream_part *part = verdict(stream);
    uint64_t n_bytes = 0;

    for (unsigned i = 0; i < stream->n_parts; i++) {
        n_bytes += stream->parts[i].output.n_bytes;
        output_clear(&stream->parts[i].output);
    }
    if (part->result == 0) {
        stream->n_samples += stream->batch_samples;
        stream->setup.on_written(stream->setup.data, stream, stream->batch_samples,
                                 n_bytes);
    }
    if (part->result < 0 && part->error.code == LIGHTER_OK)
        lighter_fail(&part->error, LIGHTER_E_INTERNAL, "the writer did not say why");
    STAILQ_REMOVE_HEAD(&stream->tasks, link);
    batch_done(task->batch, part->result, &part->error, type_of(stream)->name);
    free(task);
    stream->busy = false;
    next(stream);
}

static void
after_undo(uv_work_t *work, int status)
{
    (void)status;
    finish_batch(((struct stream_part *)work->data)->stream);
}

static void
after_write(uv_work_t *work, int status)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;

    (void)status;
    if (--stream->n_running)
        return;
    if (verdict(stream)->result < 0)
        submit(&stream->parts[0], run_undo, after_undo);
    else
        finish_batch(stream);
}

static void
after_check(uv_work_t *work, int status)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    (void)status;
    if (part->result < 0 || stream->n_parts == 1) {
        stream->n_parts = 1;
        finish_batch(stream);
        return;
    }
    stream->n_running = stream->n_parts;
    for (unsigned i = 0; i < stream->n_parts; i++)
        submit(&stream->parts[i], run_write, after_write);
}

/* ---- the lane ---- */

static void
run_close(uv_work_t *work)
{
    close_state(((struct stream_part *)work->data)->stream);
}

static void
after_close(uv_work_t *work, int status)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;

    (void)status;
    stream->setup.on_closed(stream->setup.data);
}

/* Put the next thing there is to do into the pool. */
static void
next(struct stream *stream)
{
    if (stream->busy)
        return;
    if (!STAILQ_EMPTY(&stream->tasks)) {
        stream->busy = true;
        submit(&stream->parts[0], run_check, after_check);
    } else if (stream->closing) {
        stream->busy = true;
        submit(&stream->parts[0], run_close, after_close);
    }
}

int
stream_push(struct stream *stream, struct batch *batch, struct lighter_error *err)
{
    struct stream_task *task = calloc(1, sizeof *task);

    if (!task)
        return fail_nomem(err);
    task->batch = batch;
    STAILQ_INSERT_TAIL(&stream->tasks, task, link);
    next(stream);
    return 0;
}

void
stream_close(struct stream *stream)
{
    stream->closing = true;
    next(stream);
}

void
stream_done(struct stream *stream)
{
    for (unsigned i = 0; stream->parts && i < stream->setup.max_parts; i++)
        output_done(&stream->parts[i].output);
    free(stream->parts);
    stream->parts = NULL;
    shard_close(&stream->shard);
}
