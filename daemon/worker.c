/* worker.c - see worker.h. */
#include "daemon/worker.h"

#include "daemon/crash.h"
#include "daemon/storage.h"
#include "util/error.h"

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

static int
check_crashes(const struct stream *stream, uint64_t seq, struct lighter_error *err)
{
    if (stream->past.n_crashes < 2 || stream->past.crashed_seq != seq)
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "lighterd died %u times of %s, and does not try again",
                        stream->past.n_crashes, seq ? "this batch" : "opening this");
}

/* ---- opening and closing ---- */

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

void
worker_open(uv_work_t *work)
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

void
worker_close(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;

    part->result = 0;
    if (stream->ending && !stream->past.has_ended)
        part->result = record(stream, &(struct journal_record){.kind = JOURNAL_ENDED},
                              &part->error);
    close_state(stream);
}

/* ---- writing ---- */

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

    /* a plugin that fails without a word is told apart */
    part->error.code = LIGHTER_OK;
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

/* Of which disk, and how much is left there. A quota has its own count. */
static void
look_at_space(struct stream *stream, bool is_journals, int r)
{
    int fd = is_journals           ? stream->setup.journal->fd
             : stream->setup.table ? stream->setup.table->directory_fd
                                   : stream->setup.files->directory_fd;

    stream->space = (struct disk_space){
        .is_journals = is_journals, .free_bytes = r == -ENOSPC ? storage_free(fd) : -1};
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
 * gets the same answer. Where even this fails it is tried anew.
 */
static void
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
    record(stream, &what, NULL);
}

/* The last worker that had a part in the batch ends it. The loop looks at the first
 * part alone.
 */
static void
conclude(struct stream *stream)
{
    struct stream_part *first = &stream->parts[0], *part = verdict(stream);
    bool is_written = part->result == 0;
    int r = part->result;

    if (is_written)
        r = commit(stream, &part->error);
    else if (is_full(stream, r))
        undo(stream);
    else
        refuse(stream, &part->error);
    stream->no_space = is_full(stream, r);
    if (stream->no_space)
        look_at_space(stream, is_written, r);
    first->result = r;
    if (part != first)
        first->error = part->error;
}

void
worker_write(uv_work_t *work)
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

void
worker_check(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct stream *stream = part->stream;
    const struct batch *batch = batch_in_hand(stream);

    stream->batch_samples = 0;
    part->error.code = LIGHTER_OK;
    enter(part, batch->view.seq);
    part->result = check_batch(stream, batch, &part->error);
    stream->n_parts = 1;
    if (part->result == 0)
        split(stream);
    if (part->result == 0 && stream->n_parts == 1 && stream->batch_samples)
        part->result = write_samples(part);
    leave(part);
    if (stream->n_parts == 1)
        conclude(stream);
}
