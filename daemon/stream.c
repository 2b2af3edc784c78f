/* stream.c - see stream.h. All of it is on the loop thread; worker.c is not. */
#include "daemon/stream.h"

#include "daemon/worker.h"
#include "util/error.h"

#include <xxhash.h>

static void next(struct stream *stream);

static void
submit(struct stream_part *part, uv_work_cb run, uv_after_work_cb after)
{
    const struct stream_setup *setup = &part->stream->setup;

    pool_submit(setup->pool, &part->task, setup->disk, run, after);
}

/* ---- the past ---- */

void
stream_past_done(struct stream_past *past)
{
    free(past->refusals);
    free(past->last.names);
    free(past->shard);
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

const struct refusal *
stream_past_refusal(const struct stream_past *past, uint64_t seq)
{
    for (size_t i = past->n_refusals; i > 0; i--)
        if (past->refusals[i - 1].first <= seq && seq <= past->refusals[i - 1].last)
            return &past->refusals[i - 1];
    return NULL;
}

bool
stream_past_ends_with(const struct stream_past *past, uint64_t seq)
{
    return past->seq == seq && past->last.seq == seq;
}

void
stream_past_take_back(struct stream_past *past, uint64_t numbers)
{
    past->n_samples -= past->last.n_samples;
    past->n_bytes -= past->last.n_bytes;
    past->n_dropped += numbers;
    free(past->last.names);
    past->last = (struct stream_last){0};
}

struct stream_past
stream_take_past(struct stream *stream)
{
    struct stream_past past = stream->past;

    stream->past = (struct stream_past){0};
    past.seq = stream->seq;
    past.n_samples = stream->n_samples;
    past.n_bytes = stream->n_bytes;
    past.n_dropped = stream->n_dropped;
    if (stream->opened && stream->setup.table) {
        past.has_shard = true;
        past.header_size = stream->shard.header_size;
    }
    return past;
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
                              .n_bytes = past->n_bytes,
                              .n_dropped = past->n_dropped};
    *past = (struct stream_past){0};
    STAILQ_INIT(&stream->tasks);
    if (setup->writer->type->threads != LIGHTER_THREADS_SAMPLES)
        stream->setup.max_parts = 1;
    stream->parts = calloc(stream->setup.max_parts, sizeof *stream->parts);
    if (!stream->parts)
        return fail_nomem(err);
    for (unsigned i = 0; i < stream->setup.max_parts; i++) {
        stream->parts[i].stream = stream;
        stream->parts[i].task.work.data = &stream->parts[i];
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

/* It is refused, and the stream has nothing of it. */
static void
count_refused(struct stream *stream, const struct batch_share *share)
{
    const struct batch *batch = share->batch;

    stream->n_dropped += batch_share_numbers(share);
    if (share != batch->refuser)
        return;
    if (stream_past_refuse(&stream->past, batch->seq, batch->seq, &batch->error) < 0)
        abort(); /* the next daemon has it from the journal */
    stream->setup.on_refused(stream->setup.data, stream, &batch->error);
}

static void
count_written(struct stream *stream, const struct batch_share *share)
{
    uint64_t n_bytes = stream->parts[0].output.n_bytes;

    if (stream->setup.files)
        keep_names(stream);
    stream->n_samples += share->n_samples;
    stream->n_bytes += n_bytes;
    stream->setup.on_written(stream->setup.data, stream, share->n_samples, n_bytes);
}

static void
finish_share(struct stream *stream, const struct batch_share *share)
{
    const struct batch *batch = share->batch;

    stream->seq = batch->seq;
    if (!batch->refuser)
        stream->spent = false;
    else if (stream->full_since && stream->last_try)
        stream->spent = true;
    stream->last_try = false;
    stream->full_since = 0;
    if (batch->refuser)
        count_refused(stream, share);
    else
        count_written(stream, share);
    for (unsigned i = 0; i < stream->n_parts; i++)
        output_clear(&stream->parts[i].output);
    stream->setup.on_done(stream->setup.data,
                          uv_now(stream->setup.loop) - batch->came_at);
    STAILQ_REMOVE_HEAD(&stream->tasks, link);
    stream->n_waiting--;
    stream->bytes_waiting -= batch->charge;
}

/* A worker has taken back what the stream had of it from its past, and the counts
 * follow.
 */
static void
finish_past_share(struct stream *stream, const struct batch_share *share)
{
    struct stream_last last = stream->past.last;

    if (!share->batch->refuser ||
        !stream_past_ends_with(&stream->past, share->batch->seq))
        return;
    stream_past_take_back(&stream->past, 0);
    stream->n_samples -= last.n_samples;
    stream->n_bytes -= last.n_bytes;
    stream->n_dropped += batch_share_numbers(share);
    stream->setup.on_taken_back(stream->setup.data, stream, last.n_samples,
                                last.n_bytes);
}

/* All of its streams are done with it, and go on. */
static void
finish(struct batch *batch)
{
    const char *writer = NULL;

    for (unsigned i = 0; i < batch->n_shares; i++) {
        struct batch_share *share = &batch->shares[i];

        if (share == batch->refuser)
            writer = share->stream->setup.writer->type->name;
        if (share->is_past)
            finish_past_share(share->stream, share);
        else
            finish_share(share->stream, share);
    }
    for (unsigned i = 0; i < batch->n_shares; i++) {
        if (batch->shares[i].is_past)
            continue;
        batch->shares[i].stream->busy = false;
        next(batch->shares[i].stream);
    }
    batch_answer(batch, writer); /* takes */
}

static struct batch *
batch_of(const uv_work_t *work)
{
    const struct stream_part *part = work->data;

    return STAILQ_FIRST(&part->stream->tasks)->batch;
}

/* What it has in hand has to wait. */
static void
wait_for_space(struct stream *stream)
{
    stream->full = true;
    stream->full_of = stream->shortage;
    stream->full_error = stream->parts[0].error;
    if (stream->hurried) {
        stream_retry(stream, true);
        return;
    }
    if (stream->full_since)
        return;
    stream->full_since = uv_now(stream->setup.loop);
    stream->setup.on_full(stream->setup.data);
}

static void
after_drop(uv_work_t *work, int status)
{
    struct stream_part *part = work->data;

    (void)status;
    if (part->stream->no_space)
        wait_for_space(part->stream);
    else
        finish(batch_of(work));
}

/* The first writer that could not write it. */
static struct batch_share *
find_failed(struct batch *batch)
{
    for (unsigned i = 0; i < batch->n_shares; i++)
        if (!batch->shares[i].is_past && batch->shares[i].stream->parts[0].result < 0)
            return &batch->shares[i];
    return NULL;
}

/* All of its writers have written it, or failed to. */
static void
settle(struct batch *batch)
{
    struct batch_share *failed = find_failed(batch);

    if (!failed) {
        finish(batch);
        return;
    }
    batch_refuse(failed, &failed->stream->parts[0].error);
    submit(&failed->stream->parts[0], worker_drop, after_drop);
}

static void
stream_wrote(struct stream *stream)
{
    struct batch *batch = STAILQ_FIRST(&stream->tasks)->batch;

    if (stream->no_space)
        wait_for_space(stream);
    else if (++batch->n_here == batch->n_active)
        settle(batch);
}

static void
after_write(uv_work_t *work, int status)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;

    (void)status;
    if (++stream->n_back == stream->n_parts)
        stream_wrote(stream);
}

static void
begin_writing(struct stream *stream)
{
    stream->n_back = 0;
    atomic_store(&stream->n_running, stream->n_parts);
    for (unsigned i = 0; i < stream->n_parts; i++)
        submit(&stream->parts[i], worker_write, after_write);
}

static void
after_check(uv_work_t *work, int status)
{
    struct stream *stream = ((struct stream_part *)work->data)->stream;
    struct batch *batch = batch_of(work);

    (void)status;
    if (batch->refuser) {
        after_drop(work, status);
        return;
    }
    if (batch->n_active == 1 && stream->n_parts == 1) {
        stream_wrote(stream); /* in the same go */
        return;
    }
    for (unsigned i = 0; i < batch->n_shares; i++)
        if (!batch->shares[i].is_past)
            begin_writing(batch->shares[i].stream);
}

void
stream_retry(struct stream *stream, bool last)
{
    const struct batch *batch = STAILQ_FIRST(&stream->tasks)->batch;

    stream->full = false;
    stream->last_try = last;
    if (batch->refuser)
        submit(&stream->parts[0], worker_drop, after_drop);
    else
        begin_writing(stream);
}

void
stream_hurry(struct stream *stream)
{
    stream->hurried = true;
    if (stream->full)
        stream_retry(stream, true);
}

/* The stream has it in hand. With the last one it begins: one worker checks it for all
 * of them.
 */
static void
take_in_hand(struct stream *stream, struct batch *batch)
{
    stream->busy = true;
    stream->last_try = stream->hurried || stream->spent;
    if (++batch->n_here < batch->n_active)
        return;
    batch->n_here = 0;
    submit(&stream->parts[0], worker_check, after_check);
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
        take_in_hand(stream, STAILQ_FIRST(&stream->tasks)->batch);
    } else if (stream->closing) {
        stream->busy = true;
        submit(&stream->parts[0], worker_close, after_close);
    }
}

/* What its streams have done with it before. A refusal by one of them holds for all. */
static void
look_back(struct stream *streams, struct batch *batch)
{
    batch->n_active = batch->n_shares;
    for (unsigned i = 0; i < batch->n_shares; i++) {
        struct batch_share *share = &batch->shares[i];
        const struct stream_past *past = &streams[i].past;
        const struct refusal *refusal = stream_past_refusal(past, batch->seq);

        share->stream = &streams[i];
        share->is_past = batch->seq <= past->seq;
        if (stream_past_ends_with(past, batch->seq))
            share->n_samples = past->last.n_samples;
        batch->n_active -= share->is_past;
        if (refusal)
            batch_refuse(share, &refusal->error);
    }
}

static void
push(struct stream *stream, struct batch_share *share)
{
    STAILQ_INSERT_TAIL(&stream->tasks, share, link);
    stream->n_waiting++;
    stream->bytes_waiting += share->batch->charge;
}

void
streams_push(struct stream *streams, struct batch *batch)
{
    look_back(streams, batch);
    if (!batch->n_active) {
        const struct batch_share *refuser = batch->refuser;

        batch_answer(batch, refuser ? refuser->stream->setup.writer->type->name : NULL);
        return;
    }
    batch->came_at = uv_now(streams->setup.loop);
    for (unsigned i = 0; i < batch->n_shares; i++) {
        if (batch->shares[i].is_past)
            continue;
        push(&streams[i], &batch->shares[i]);
        next(&streams[i]);
    }
}

bool
stream_hangs(const struct stream *stream, uint64_t limit_ms, uint64_t *ret_seq)
{
    const struct batch_share *task = STAILQ_FIRST(&stream->tasks);
    uint64_t now = uv_hrtime();

    for (unsigned i = 0; stream->parts && i < stream->setup.max_parts; i++) {
        uint64_t entered = atomic_load(&stream->parts[i].entered_at);

        if (!entered || now < entered || now - entered < limit_ms * 1000000)
            continue;
        *ret_seq = stream->opened && task ? task->batch->seq : 0;
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
    XXH3_freeState(stream->digest);
    stream->digest = NULL;
    shard_close(&stream->shard);
}
