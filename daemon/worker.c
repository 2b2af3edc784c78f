/* worker.c - see worker.h. */
#include "daemon/worker.h"

#include "daemon/crash.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <xxhash.h>

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
reopen_shard(struct stream *stream, struct lighter_error *err)
{
    const struct stream_past *past = &stream->past;
    struct shard_mark mark;
    int r =
        shard_mark_of(&mark, stream->setup.table, stream->setup.rank, past->shard, err);

    return r < 0 ? r
                 : shard_reopen(&stream->shard, stream->setup.table, &mark,
                                past->header_size, past->n_bytes, err);
}

/* The journal has it before anything is written to it. One that was made before the
 * daemon died, and not begun, goes.
 */
static int
make_shard(struct stream *stream, struct lighter_error *err)
{
    struct stream_past *past = &stream->past;
    struct shard *shard = &stream->shard;
    int r = past->shard ? shard_remove(stream->setup.table, past->shard, err) : 0;

    if (r < 0)
        return r;
    free(past->shard);
    past->shard = calloc(1, sizeof *past->shard);
    if (!past->shard)
        return fail_nomem(err);
    r = shard_create(shard, stream->setup.table, stream->setup.rank, err);
    if (r < 0)
        return r;
    *past->shard = shard->mark;
    r = record(stream,
               &(struct journal_record){.kind = JOURNAL_STAGED,
                                        .seq = shard->mark.id.inode,
                                        .size = shard->mark.id.device,
                                        .text = shard->mark.name,
                                        .text_size = strlen(shard->mark.name)},
               err);
    /* where the machine stops it may stay there, on another disk than the journal's */
    return r < 0 ? r : journal_sync(stream->setup.journal, err);
}

static void
digest_sink(struct stream *stream, struct lighter_sink *sink)
{
    size_t n_parts;
    const struct iovec *parts = sink_parts(sink, &n_parts);

    for (size_t i = 0; i < n_parts; i++)
        XXH3_64bits_update(stream->digest, parts[i].iov_base, parts[i].iov_len);
}

static int
begin_shard(struct stream *stream, struct lighter_sink *header,
            struct lighter_error *err)
{
    struct journal_record shard = {.kind = JOURNAL_SHARD};
    struct journal_record rows = {.kind = JOURNAL_ROWS};
    uint64_t value;
    int r;

    XXH3_64bits_reset(stream->digest);
    digest_sink(stream, header);
    value = XXH3_64bits_digest(stream->digest);
    r = shard_begin(&stream->shard, header, err);
    shard.size = rows.size = stream->n_bytes = stream->shard.size;
    rows.text = &value;
    rows.text_size = sizeof value;
    if (r == 0)
        r = record(stream, &shard, err);
    return r < 0 ? r : record(stream, &rows, err);
}

/* Of one that could not be begun nothing is left. */
static void
drop_shard(struct stream *stream)
{
    shard_close(&stream->shard);
    if (stream->past.shard && *stream->past.shard->name)
        shard_remove(stream->setup.table, stream->past.shard, NULL);
    free(stream->past.shard);
    stream->past.shard = NULL;
}

static int
open_shard(struct stream *stream, struct lighter_error *err)
{
    struct lighter_sink *sink = &stream->parts[0].output.sink;
    int r = 0;

    if (!stream->setup.table)
        return 0;
    if (!stream->digest)
        stream->digest = XXH3_createState();
    if (!stream->digest)
        return fail_nomem(err);
    if (stream->past.has_shard)
        return reopen_shard(stream, err);
    if (type_of(stream)->header)
        r = type_of(stream)->header(stream->state, sink, &output_services, err);
    if (r == 0)
        r = make_shard(stream, err);
    if (r == 0)
        r = begin_shard(stream, sink, err);
    if (r < 0)
        drop_shard(stream);
    sink_clear(sink);
    return r;
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

static struct batch_share *
share_in_hand(const struct stream *stream)
{
    return STAILQ_FIRST(&stream->tasks);
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
        digest_sink(rows->part->stream, sink);
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
    part->stream->batch_digest = XXH3_64bits_digest(part->stream->digest);
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
                                .batch = &share_in_hand(stream)->view,
                                .first = part->first,
                                .count = part->count,
                                .index = stream->n_samples + stream->n_dropped,
                                .rank = stream->setup.rank,
                                .world_size = stream->setup.world_size};
    int r;

    /* a plugin that fails without a word is told apart */
    part->error.code = LIGHTER_OK;
    if (stream->setup.table) {
        XXH3_64bits_reset(stream->digest);
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

    stream->shortage.in_journal = is_journals;
    stream->shortage.space = storage_space(fd);
    if (r != -ENOSPC)
        stream->shortage.space.free_bytes = -1;
}

/* All of the batch is written: the record makes it so. On failure nothing is. */
static int
commit(struct stream *stream, struct lighter_error *err)
{
    const struct batch_share *share = share_in_hand(stream);
    struct lighter_output *output = &stream->parts[0].output;
    struct journal_record what = {.kind = JOURNAL_FILES,
                                  .seq = share->view.seq,
                                  .batch_idx = share->view.batch_idx,
                                  .dataloader_idx = share->view.dataloader_idx,
                                  .n_samples = stream->n_samples + share->n_samples};
    int r = 0;

    for (unsigned i = 1; i < stream->n_parts && r == 0; i++)
        r = output_merge(output, &stream->parts[i].output, err);
    what.size = stream->n_bytes + output->n_bytes;
    what.text = output->names;
    what.text_size = output->names_used;
    if (stream->setup.table) {
        what.kind = JOURNAL_ROWS;
        if (!output->n_bytes)
            stream->batch_digest = XXH3_64bits("", 0);
        what.text = &stream->batch_digest;
        what.text_size = sizeof stream->batch_digest;
    }
    if (r == 0)
        r = record(stream, &what, err);
    if (r < 0 && stream->setup.table)
        shard_undo(&stream->shard, output->n_bytes);
    if (r < 0)
        undo(stream);
    return r;
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
    else
        undo(stream);
    if (r < 0 && part->error.code == LIGHTER_OK)
        lighter_fail(&part->error, LIGHTER_E_INTERNAL, "the writer did not say why");
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

    part->result = 0;
    if (part->count) {
        enter(part, share_in_hand(part->stream)->view.seq);
        part->result = write_samples(part);
        leave(part);
    }
    if (atomic_fetch_sub(&part->stream->n_running, 1) == 1)
        conclude(part->stream);
}

/* ---- refusing ---- */

/* Has the stream any of the batch that can be taken back? */
static bool
has_written(const struct batch_share *share)
{
    const struct stream *stream = share->stream;

    if (share->is_past)
        return stream_past_ends_with(&stream->past, share->batch->seq);
    return share->batch->is_checked && stream->parts[0].result == 0;
}

static bool
is_kept(const struct batch *batch)
{
    for (unsigned i = 0; i < batch->n_shares; i++)
        if (has_written(&batch->shares[i]))
            return true;
    return false;
}

static void
take_back(struct batch_share *share)
{
    struct stream *stream = share->stream;
    const struct stream_last *last = &stream->past.last;

    if (!has_written(share))
        return;
    if (stream->setup.table)
        shard_undo(&stream->shard,
                   share->is_past ? last->n_bytes : stream->parts[0].output.n_bytes);
    if (share->is_past && stream->setup.files)
        output_remove(stream->setup.files, last->names, last->names_size);
    else if (!share->is_past)
        undo(stream);
}

/* The record's text: the error, and for each writer the samples that have numbers. */
static int
record_drop(struct batch *batch, struct lighter_error *err)
{
    size_t size =
        offsetof(struct lighter_error, message) + strlen(batch->error.message) + 1;
    size_t counts_size = batch->n_shares * sizeof(uint64_t);
    AUTO(free_bytes) uint8_t *text = malloc(size + counts_size);
    struct stream *refuser = batch->refuser->stream;
    struct journal_record what = {.kind = JOURNAL_DROPPED,
                                  .seq = batch->seq,
                                  .batch_idx = batch->batch_idx,
                                  .dataloader_idx = batch->dataloader_idx,
                                  .n_samples = batch_share_numbers(batch->refuser),
                                  .text = text,
                                  .text_size = size + counts_size};

    if (!text)
        return fail_nomem(err);
    memcpy(text, &batch->error, size);
    for (unsigned i = 0; i < batch->n_shares; i++) {
        uint64_t numbers = batch_share_numbers(&batch->shares[i]);

        memcpy(text + size + i * sizeof numbers, &numbers, sizeof numbers);
    }
    return record(refuser, &what, err);
}

/* Whoever sends it again gets the same answer. What others have of it goes only when
 * that it went is on the disk: after a loss of power what they had recorded may count.
 *
 * Where it cannot be recorded, and nobody has any of it, the gap in the journal says
 * the same. Else the journal must end here: what would follow does not say which writer
 * has what.
 */
static void
drop(struct batch *batch, struct stream_part *part)
{
    struct journal *journal = part->stream->setup.journal;
    bool kept = is_kept(batch);
    int r = record_drop(batch, &part->error);

    part->stream->no_space = kept && is_full(part->stream, r);
    if (part->stream->no_space)
        look_at_space(part->stream, true, r);
    if (!kept || part->stream->no_space)
        return;
    if (r == 0)
        r = journal_sync(journal, &part->error);
    if (r < 0) {
        journal_break(journal);
        return;
    }
    for (unsigned i = 0; i < batch->n_shares; i++)
        take_back(&batch->shares[i]);
}

void
worker_drop(uv_work_t *work)
{
    struct stream_part *part = work->data;

    drop(share_in_hand(part->stream)->batch, part);
}

/* ---- checking ---- */

static void
split(struct stream *stream, uint64_t n_samples)
{
    uint64_t n_parts = stream->setup.max_parts, at = 0;

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
check_readable(const struct stream *stream, const struct batch *batch,
               struct lighter_error *err)
{
    if (batch->is_unreadable) {
        *err = batch->error;
        return -EINVAL;
    }
    return check_crashes(stream, batch->seq, err);
}

/* A writer that is not asked for any of it has no samples. */
static int
check(struct batch_share *share, struct lighter_error *err)
{
    struct stream *stream = share->stream;
    int r = check_readable(stream, share->batch, err);

    share->n_samples = 0;
    stream->n_parts = 1;
    if (r == 0 && share->view.outputs)
        r = type_of(stream)->check(stream->state, &share->view, &share->n_samples, err);
    if (r == 0)
        split(stream, share->n_samples);
    else if (err->code == LIGHTER_OK)
        lighter_fail(err, LIGHTER_E_INTERNAL, "the writer did not say why");
    return r;
}

/* A lone writer goes on and writes, as long as it is in the plugin. */
static bool
check_share(struct batch_share *share)
{
    struct stream *stream = share->stream;
    struct stream_part *part = &stream->parts[0];
    bool is_lone = share->batch->n_active == 1;

    part->error.code = LIGHTER_OK;
    enter(part, share->batch->seq);
    part->result = check(share, &part->error);
    if (part->result < 0) {
        leave(part);
        batch_refuse(share, &part->error);
        return false;
    }
    if (is_lone && stream->n_parts == 1 && share->n_samples)
        part->result = write_samples(part);
    leave(part);
    if (is_lone && stream->n_parts == 1)
        conclude(stream);
    return true;
}

void
worker_check(uv_work_t *work)
{
    struct stream_part *part = work->data;
    struct batch *batch = share_in_hand(part->stream)->batch;
    bool is_good = !batch->refuser; /* else it was refused before */

    for (unsigned i = 0; i < batch->n_shares && is_good; i++)
        if (!batch->shares[i].is_past)
            is_good = check_share(&batch->shares[i]);
    batch->is_checked = is_good;
    if (!is_good)
        drop(batch, part);
}
