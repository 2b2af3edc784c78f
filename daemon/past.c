/* past.c - what of a rank is committed, told from the job's journal: so that a process
 * that resumes it sees that it passes over the batches that are there, and no others.
 *
 * In: a rank's seat, and the first batch that is asked for. Out: an answer, in pages.
 * The journal is read on a worker, by a descriptor of its own: the job may be over
 * meanwhile. Nothing is kept in memory of what batches were: a page is made, answered
 * and forgotten.
 */
#include "daemon/job_internal.h"
#include "util/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define PAGE_BATCHES 65536 /* looked at for one answer */
#define PAGE_RUNS 4096     /* in one answer */

struct past_batch {
    bool is_known;
    int64_t batch_idx, dataloader_idx;
    uint64_t n_samples; /* by the writer that has most of them */
};

/* Batches that follow one another, and differ in nothing but that batch_idx grows. */
struct past_run {
    uint64_t count;
    struct past_batch first;
};

/* Its last batch, and its samples with it, and without. */
struct past_writer {
    uint64_t seq, n_samples, n_samples_before;
};

struct past_look {
    struct pool_task task;
    struct reply reply;
    int fd;        /* the journal's; owned */
    uint64_t size; /* of the journal, bytes: what is behind is of no interest */
    uint32_t rank, n_outputs;
    uint64_t first, last;        /* seq: of this answer */
    uint64_t committed;          /* seq: of the rank */
    struct past_writer *writers; /* so far; owned */
    struct past_batch *batches;
    struct past_run *runs; /* owned */
    size_t n_runs;
    uint64_t next; /* seq: of the next page; 0: there is none */
    int result;
    struct lighter_error error;
};

static void
look_free(struct past_look *look)
{
    if (look->fd >= 0)
        close(look->fd);
    reply_done(&look->reply);
    free(look->writers);
    free(look->batches);
    free(look->runs);
    free(look);
}

/* ---- on a worker ---- */

static struct past_batch *
batch_at(struct past_look *look, const struct journal_record *record)
{
    struct past_batch *batch;

    if (record->seq < look->first || record->seq > look->last)
        return NULL;
    batch = &look->batches[record->seq - look->first];
    batch->is_known = true;
    batch->batch_idx = record->batch_idx;
    batch->dataloader_idx = record->dataloader_idx;
    return batch;
}

static void
add_written(struct past_look *look, const struct journal_record *record)
{
    struct past_writer *writer = &look->writers[record->writer];
    struct past_batch *batch = batch_at(look, record);
    uint64_t n_samples = record->n_samples - writer->n_samples;

    *writer = (struct past_writer){record->seq, record->n_samples, writer->n_samples};
    if (batch && n_samples > batch->n_samples)
        batch->n_samples = n_samples;
}

/* What some writers had of it was taken back. */
static void
add_dropped(struct past_look *look, const struct journal_record *record)
{
    struct past_batch *batch = batch_at(look, record);

    if (batch)
        batch->n_samples = 0;
    for (uint32_t i = 0; i < look->n_outputs; i++)
        if (look->writers[i].seq == record->seq)
            look->writers[i].n_samples = look->writers[i].n_samples_before;
}

static int
visit(void *data, const struct journal_record *record, uint64_t end,
      struct lighter_error *err)
{
    struct past_look *look = data;

    (void)end, (void)err;
    if (record->rank != look->rank || record->writer >= look->n_outputs)
        return 0;
    if (journal_is_written(record->kind))
        add_written(look, record);
    else if (record->kind == JOURNAL_DROPPED)
        add_dropped(look, record);
    return 0;
}

static bool
goes_on(const struct past_run *run, const struct past_batch *batch)
{
    const struct past_batch *first = &run->first;

    return first->is_known == batch->is_known &&
           first->dataloader_idx == batch->dataloader_idx &&
           first->n_samples == batch->n_samples &&
           (!batch->is_known ||
            batch->batch_idx - first->batch_idx == (int64_t)run->count);
}

static void
make_runs(struct past_look *look)
{
    uint64_t n = look->last - look->first + 1, i;

    for (i = 0; i < n; i++) {
        struct past_run *run = look->n_runs ? &look->runs[look->n_runs - 1] : NULL;

        if (run && goes_on(run, &look->batches[i])) {
            run->count++;
            continue;
        }
        if (look->n_runs == PAGE_RUNS)
            break;
        look->runs[look->n_runs++] = (struct past_run){1, look->batches[i]};
    }
    look->next = look->first + i <= look->committed ? look->first + i : 0;
}

static void
run_look(uv_work_t *work)
{
    struct past_look *look = work->data;

    look->writers = calloc(look->n_outputs + 1u, sizeof *look->writers);
    look->batches = calloc(look->last - look->first + 1, sizeof *look->batches);
    look->runs = calloc(PAGE_RUNS, sizeof *look->runs);
    if (!look->writers || !look->batches || !look->runs) {
        look->result = fail_nomem(&look->error);
        return;
    }
    look->result = journal_look(look->fd, look->size, visit, look, &look->error);
    if (look->result == 0)
        make_runs(look);
    free(look->batches);
    look->batches = NULL;
}

/* ---- on the loop ---- */

static void
pack_known(struct message_out *out, bool is_known, int64_t number)
{
    if (is_known)
        msgpack_pack_int64(&out->packer, number);
    else
        msgpack_pack_nil(&out->packer);
}

static void
answer(struct past_look *look)
{
    struct message_out out;

    reply_begin(&look->reply, &out);
    msgpack_pack_map(&out.packer, 2);
    pack_key(&out.packer, "runs");
    msgpack_pack_array(&out.packer, look->n_runs);
    for (size_t i = 0; i < look->n_runs; i++) {
        const struct past_run *run = &look->runs[i];

        msgpack_pack_array(&out.packer, 4);
        msgpack_pack_uint64(&out.packer, run->count);
        pack_known(&out, run->first.is_known, run->first.batch_idx);
        pack_known(&out, run->first.is_known, run->first.dataloader_idx);
        msgpack_pack_uint64(&out.packer, run->first.n_samples);
    }
    pack_key_uint(&out.packer, "next", look->next);
    reply_send(&look->reply, &out);
}

static void
after_look(uv_work_t *work, int status)
{
    struct past_look *look = work->data;

    (void)status;
    if (look->result < 0)
        reply_error(&look->reply, &look->error, NULL);
    else
        answer(look);
    look_free(look);
}

static int
begin_look(struct past_look *look, const struct rank *rank, uint64_t seq,
           struct lighter_error *err)
{
    const struct job *job = rank->job;

    look->rank = rank->number;
    look->n_outputs = job->n_outputs;
    look->committed = rank_committed(rank);
    look->first = seq;
    look->last = look->committed;
    if (look->last >= seq && look->last - seq >= PAGE_BATCHES)
        look->last = seq + PAGE_BATCHES - 1;
    look->size = journal_size(&job->journal);
    look->fd = look->last < seq ? -1 : fcntl(job->journal.fd, F_DUPFD_CLOEXEC, 3);
    if (look->last >= seq && look->fd < 0)
        return lighter_fail_os(err, errno, "read the journal");
    return 0;
}

int
seat_past(struct seat *seat, uint64_t seq, struct reply *reply,
          struct lighter_error *err)
{
    struct past_look *look;
    struct rank *rank;
    int r = seat_any_rank(seat, &rank, err);

    if (r < 0)
        return r;
    look = calloc(1, sizeof *look);
    if (!look)
        return fail_nomem(err);
    r = begin_look(look, rank, seq, err);
    if (r < 0) {
        look_free(look);
        return r;
    }
    look->reply = reply_take(reply);
    if (look->fd < 0) { /* there is nothing from there on */
        answer(look);
        look_free(look);
        return 0;
    }
    look->task.work.data = look;
    pool_submit(&rank->job->jobs->pool, &look->task, 0, run_look, after_look);
    return 0;
}
