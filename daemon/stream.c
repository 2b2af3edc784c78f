/* stream.c - see stream.h. run_* are on workers, all else is on the loop thread. */
#include "daemon/stream.h"

#include "daemon/crash.h"
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

/* From here on this worker is in the plugin. `seq`: 0 outside of a batch. */
static void
enter(struct stream_part *part, uint64_t seq)
{
    const struct stream_setup *setup = &part->stream->setup;

    crash_enter(setup->journal, setup->rank, setup->index, seq);
    atomic_store(&part->entered_at, uv_hrtime());
}

static void
leave(struct stream_part *part)
{
    atomic_store(&part->entered_at, 0);
    crash_leave();
}

static int
record(struct stream *stream, struct journal_record *what, struct lighter_error *err)
{
    what->rank = stream->setup.rank;
    what->writer = stream->setup.index;
    return journal_append(stream->setup.journal, what, err);
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
               type_of(stream)->name);
}

/* ---- opening ---- */

static int
check_crashes(const struct stream *stream, uint64_t seq, struct lighter_error *err)
{
    if (stream->past.n_crashes < 2 || stream->past.crashed_seq != seq)
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "lighterd died %u times of %s, and does not try again",
                        stream->past.n_crashes, seq ? "this batch" : "opening this");
}

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
    if (stream->past.has_shard)
        return shard_reopen(&stream->shard, stream->setup.table, stream->setup.rank,
                            stream->past.header_size, stream->past.n_bytes, err);
    if (type_of(stream)->header)
        r = type_of(stream)->header(stream->state, sink, &output_services, err);
    if (r == 0)
        r = shard_open(&stream->shard, stream->setup.table, stream->setup.rank, sink,
                       err);
    sink_clear(sink);
    if (r < 0)
        return r;
    stream->n_bytes = stream->shard.size;
    return record(stream,
                  &(struct journal_record){.kind = JOURNAL_SHARD,
                                           .size = stream->shard.header_size},
                  err);
}

static void
run_open(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    part->result = check_crashes(stream, 0, &part->error);
    if (part->result < 0)
        return;
    enter(part, 0);
    part->result = open_state(stream, &part->error);
    if (part->result == 0) {
        part->result = open_shard(stream, &part->error);
        if (part->result < 0)
            close_state(stream);
    }
    leave(part);
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

/* Rows of a batch on their way to the shard. */
struct rows {
    struct stream_part *part;
    int r;
    struct lighter_error error;
};

static int
append_rows(void *data, struct lighter_sink *sink)
{
    struct rows *rows = data;
    struct lighter_output *output = &rows->part->output;
    uint64_t size = sink->size;

    if (rows->r == 0)
        rows->r = shard_append(&rows->part->stream->shard, sink, &rows->error);
    if (rows->r == 0)
        output->n_bytes += size;
    return rows->r;
}

/* All rows, or none of them. `r`: how the plugin ended. */
static int
finish_rows(struct rows *rows, int r)
{
    struct stream_part *part = rows->part;

    part->output.sink.drain = NULL;
    if (r == 0)
        append_rows(rows, &part->output.sink);
    if (rows->r < 0) {
        part->error = rows->error; /* why the plugin had no room, where it says so */
        r = rows->r;
    }
    if (r < 0 && part->output.n_bytes)
        shard_undo(&part->stream->shard, part->output.n_bytes);
    return r;
}

static int
write_samples(struct stream_part *part)
{
    struct rows rows = {.part = part, .error = LIGHTER_ERROR_INIT};
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
    if (stream->setup.table) {
        part->output.sink.drain = append_rows;
        part->output.sink.drain_data = &rows;
    }
    r = type_of(stream)->write(stream->state, &task, &part->output, &part->error);
    return stream->setup.table ? finish_rows(&rows, r) : r;
}

static void
undo(struct stream *stream)
{
    for (unsigned i = 0; i < stream->n_parts; i++)
        output_undo(&stream->parts[i].output);
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

static bool
is_full(const struct stream *stream, int r)
{
    return stream->setup.wait_for_space && !stream->last_try &&
           (r == -ENOSPC || r == -EDQUOT);
}

/* All of the batch is written: the record makes it so. On failure nothing is. */
static int
commit(struct stream *stream, struct lighter_error *err)
{
    const struct lighter_batch *view = &batch_in_hand(stream)->view;
    struct lighter_output *output = &stream->parts[0].output;
    struct journal_record what = {.kind = JOURNAL_WRITTEN,
                                  .seq = view->seq,
                                  .batch_idx = view->batch_idx,
                                  .dataloader_idx = view->dataloader_idx,
                                  .n_samples =
                                      stream->n_samples + stream->batch_samples};
    int r = 0;

    for (unsigned i = 1; i < stream->n_parts && r == 0; i++)
        r = output_merge(output, &stream->parts[i].output, err);
    what.size = stream->n_bytes + output->n_bytes;
    what.text = output->names;
    what.text_size = output->names_used;
    if (r == 0)
        r = record(stream, &what, err);
    if (r < 0 && stream->setup.table)
        shard_undo(&stream->shard, output->n_bytes);
    if (r < 0)
        undo(stream);
    return r;
}

/* Nothing of the batch is written, and that is recorded too: whoever sends it again
 * gets the same answer.
 */
static int
refuse(struct stream *stream, struct lighter_error *error)
{
    struct journal_record what = {.kind = JOURNAL_REFUSED,
                                  .seq = batch_in_hand(stream)->view.seq,
                                  .text = error,
                                  .text_size = offsetof(struct lighter_error, message) +
                                               strlen(error->message) + 1};

    undo(stream);
    if (error->code == LIGHTER_OK)
        lighter_fail(error, LIGHTER_E_INTERNAL, "the writer did not say why");
    return record(stream, &what, NULL);
}

/* The last worker that had a part in the batch ends it. */
static void
conclude(struct stream *stream)
{
    struct stream_part *first = &stream->parts[0], *part = verdict(stream);

    if (part->result == 0)
        part->result = commit(stream, &part->error);
    else if (!is_full(stream, part->result))
        refuse(stream, &part->error); /* where even this fails it is tried anew */
    else
        undo(stream);
    if (part != first) {
        first->result = part->result;
        first->error = part->error;
    }
}

static void
run_write(uv_work_t *work)
{
    struct stream_part *part = work->data;

    enter(part, batch_in_hand(part->stream)->view.seq);
    part->result = write_samples(part);
    leave(part);
    if (atomic_fetch_sub(&part->stream->n_running, 1) == 1)
        conclude(part->stream);
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

static int
check_batch(struct stream *stream, const struct batch *batch, struct lighter_error *err)
{
    int r;

    if (batch->is_refused) {
        *err = batch->error;
        return -EINVAL;
    }
    r = check_crashes(stream, batch->view.seq, err);
    return r < 0 ? r
                 : type_of(stream)->check(stream->state, &batch->view,
                                          &stream->batch_samples, err);
}

/* What is not split is written here at once, and saves a way through the pool. */
static void
run_check(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;
    const struct batch *batch = batch_in_hand(stream);

    stream->batch_samples = 0;
    part->error.code = LIGHTER_OK;
    enter(part, batch->view.seq);
    part->result = check_batch(stream, batch, &part->error);
    split(stream);
    if (part->result < 0)
        stream->n_parts = 1;
    if (part->result == 0 && stream->n_parts == 1 && stream->batch_samples)
        part->result = write_samples(part);
    leave(part);
    if (stream->n_parts == 1)
        conclude(stream);
}

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
    batch_done(task->batch, r, error, type_of(stream)->name);
    free(task);
    stream->busy = false;
    next(stream);
}

static void
after_batch(struct stream *stream)
{
    const struct stream_part *part = &stream->parts[0];

    if (is_full(stream, part->result)) {
        stream->full = true;
        if (!stream->full_since) {
            stream->full_since = uv_now(stream->setup.loop);
            stream->setup.on_full(stream->setup.data, &part->error);
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
        submit(&stream->parts[i], run_write, after_write);
}

static void
begin_batch(struct stream *stream)
{
    stream->busy = true;
    submit(&stream->parts[0], run_check, after_check);
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
run_close(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    part->result = 0;
    if (stream->ending && !stream->past.has_ended)
        part->result = record(stream, &(struct journal_record){.kind = JOURNAL_ENDED},
                              &part->error);
    close_state(stream);
}

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
        submit(&stream->parts[0], run_close, after_close);
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
