/* durable.c - see durable.h. */
#include "daemon/durable.h"

#include "daemon/job_internal.h"
#include "daemon/recovery.h"
#include "daemon/storage.h"
#include "daemon/waits.h"
#include "util/error.h"

#include <fcntl.h>
#include <unistd.h>

struct job_flush {
    STAILQ_ENTRY(job_flush) link;
    struct reply reply;
};

STAILQ_HEAD(flush_list, job_flush);

/* A shard that is not open: its rank has not come back yet. */
struct closed_shard {
    uint32_t output;
    struct shard_mark mark;
};

/* Descriptors of its own: what the job does to its shards meanwhile is no matter. Its
 * tables stay as they are: the job is not over before this is.
 */
struct job_sync {
    struct pool_task task;
    struct job *job;
    uint64_t recorded;         /* bytes of the journal: what they tell of is synced */
    struct flush_list flushes; /* those that came before it began */
    int *shards, *stagings;    /* owned, and so are the descriptors */
    size_t n_shards, n_stagings;
    struct closed_shard *closed; /* owned */
    size_t n_closed;
    int result;
    bool is_final;              /* ... of a sync: something may be lost */
    struct storage_space space; /* where there is none for the mark */
    struct lighter_error error;
};

static void
answer_all(struct flush_list *flushes, const struct lighter_error *error)
{
    struct job_flush *flush;

    while ((flush = STAILQ_FIRST(flushes))) {
        STAILQ_REMOVE_HEAD(flushes, link);
        if (error)
            reply_error(&flush->reply, error, NULL);
        else
            reply_empty(&flush->reply);
        reply_done(&flush->reply);
        free(flush);
    }
}

void
job_answer_flushes(struct job *job, const struct lighter_error *error)
{
    struct flush_list flushes = STAILQ_HEAD_INITIALIZER(flushes);

    STAILQ_CONCAT(&flushes, &job->flushes);
    answer_all(&flushes, error);
}

static void
sync_free(struct job_sync *sync)
{
    for (size_t i = 0; i < sync->n_shards; i++)
        close(sync->shards[i]);
    for (size_t i = 0; i < sync->n_stagings; i++)
        close(sync->stagings[i]);
    free(sync->shards);
    free(sync->stagings);
    free(sync->closed);
    free(sync);
}

/* ---- on a worker ---- */

static int
sync_outputs(struct job_sync *sync, struct lighter_error *err)
{
    const struct job_output *outputs = sync->job->outputs;
    int r = 0;

    for (size_t i = 0; i < sync->n_shards && r == 0; i++)
        r = storage_sync_data(sync->shards[i], "a shard", err);
    for (size_t i = 0; i < sync->n_closed && r == 0; i++)
        r = shard_sync(&outputs[sync->closed[i].output].table, &sync->closed[i].mark,
                       err);
    for (uint32_t i = 0; i < sync->job->n_outputs && r == 0; i++)
        if (outputs[i].table.directory_fd >= 0) /* a new shard's name */
            r = storage_sync_names(outputs[i].table.directory_fd, "the directory", err);
    for (size_t i = 0; i < sync->n_stagings && r == 0; i++)
        r = storage_sync_all(sync->stagings[i], err);
    return r;
}

static void
run_sync(uv_work_t *work)
{
    struct job_sync *sync = work->data;
    struct journal *journal = &sync->job->journal;
    struct journal_record durable = {.kind = JOURNAL_DURABLE, .size = sync->recorded};

    sync->is_final = true;
    sync->result = sync_outputs(sync, &sync->error);
    if (sync->result == 0) {
        sync->result = journal_append(journal, &durable, &sync->error);
        sync->is_final = sync->result == 0;
    }
    if (sync->result == -ENOSPC && !sync->is_final)
        sync->space = storage_space(journal->fd);
    if (sync->result == 0)
        sync->result = journal_sync(journal, &sync->error);
    if (sync->result < 0 && sync->is_final)
        recovery_distrust(sync->job);
}

/* ---- on the loop ---- */

/* There is no space for the mark: try again, in a second, as batches do. */
static bool
must_wait(struct job_sync *sync)
{
    struct job *job = sync->job;
    uint64_t now = uv_now(job->jobs->loop),
             limit_ms = (uint64_t)job->jobs->settings->full_wait_s * 1000;

    if (sync->is_final || (sync->result != -ENOSPC && sync->result != -EDQUOT)) {
        job->unmarked_since = 0;
        return false;
    }
    job->unmarked_space = sync->space;
    job->unmarked_error = sync->error;
    if (!job->unmarked_since) {
        job->unmarked_since = now;
        job_watch_wait(job);
    }
    return job->state == JOB_OPEN && now - job->unmarked_since < limit_ms;
}

static void
settle_flushes(struct job_sync *sync)
{
    struct job *job = sync->job;

    if (must_wait(sync)) {
        STAILQ_CONCAT(&sync->flushes, &job->flushes); /* these came first */
        STAILQ_CONCAT(&job->flushes, &sync->flushes);
        return;
    }
    if (sync->result < 0)
        error_wrap(&sync->error, sync->result, "job '%s' is not durable", job->name);
    if (sync->result < 0 && sync->is_final)
        job_doom(job, JOB_FAILED, "%s", sync->error.message);
    answer_all(&sync->flushes, sync->result < 0 ? &sync->error : NULL);
    if (!STAILQ_EMPTY(&job->flushes))
        job_sync(job);
}

static void
after_sync(uv_work_t *work, int status)
{
    struct job_sync *sync = work->data;
    struct job *job = sync->job;

    (void)status;
    job->sync = NULL;
    for (uint32_t i = 0; sync->result == 0 && i < job->n_ranks; i++)
        job->ranks[i]->durable = job->ranks[i]->syncing;
    settle_flushes(sync);
    sync_free(sync);
    if (job->state == JOB_PUBLISHING && !job->sync)
        job_finish(job); /* it has waited for this */
}

static int
duplicate(int *list, size_t *n, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return -errno;
    list[(*n)++] = copy;
    return 0;
}

static int
note_closed(struct job_sync *sync, const struct rank *rank, uint32_t output)
{
    struct closed_shard *closed = &sync->closed[sync->n_closed];
    int r = shard_mark_of(&closed->mark, &rank->job->outputs[output].table,
                          rank->number, rank->past[output].shard, NULL);

    closed->output = output;
    sync->n_closed += r == 0;
    return r;
}

static int
collect_shard(struct job_sync *sync, const struct rank *rank, uint32_t output)
{
    if (rank->streams && rank->streams[output].shard.fd >= 0)
        return duplicate(sync->shards, &sync->n_shards, rank->streams[output].shard.fd);
    return rank->past && rank->past[output].has_shard ? note_closed(sync, rank, output)
                                                      : 0;
}

/* After the journal was looked at: all that it tells of has been written. */
static int
collect(struct job_sync *sync)
{
    struct job *job = sync->job;
    size_t most = (size_t)job->n_ranks * job->n_outputs + 1;
    int r = 0;

    sync->shards = calloc(most, sizeof *sync->shards);
    sync->closed = calloc(most, sizeof *sync->closed);
    sync->stagings = calloc(job->n_outputs + 1u, sizeof *sync->stagings);
    if (!sync->shards || !sync->closed || !sync->stagings)
        return -ENOMEM;
    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        if (job->outputs[i].files.staging_fd >= 0)
            r = duplicate(sync->stagings, &sync->n_stagings,
                          job->outputs[i].files.staging_fd);
    for (uint32_t i = 0; i < job->n_ranks; i++)
        for (uint32_t j = 0; j < job->n_outputs && r == 0; j++)
            r = collect_shard(sync, job->ranks[i], j);
    return r;
}

/* A rank that is opening makes its shards on a worker at this moment. */
static bool
is_opening(const struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        if (job->ranks[i]->state == RANK_OPENING)
            return true;
    return false;
}

void
job_sync(struct job *job)
{
    struct job_sync *sync;

    if (job->sync || job->state != JOB_OPEN || !job->n_outputs || is_opening(job))
        return; /* the next second sees to it */
    sync = calloc(1, sizeof *sync);
    if (!sync)
        return;
    sync->job = job;
    sync->space.free_bytes = -1;
    sync->recorded = journal_size(&job->journal);
    STAILQ_INIT(&sync->flushes);
    if (collect(sync) < 0) {
        sync_free(sync);
        return;
    }
    STAILQ_CONCAT(&sync->flushes, &job->flushes);
    for (uint32_t i = 0; i < job->n_ranks; i++)
        job->ranks[i]->syncing = rank_committed(job->ranks[i]);
    job->sync = sync;
    job->synced_at = uv_now(job->jobs->loop);
    job->synced_bytes = job->n_bytes;
    sync->task.work.data = sync;
    pool_submit(&job->jobs->pool, &sync->task, job->disk, run_sync, after_sync);
}

const struct pool_task *
job_sync_task(const struct job *job)
{
    return job->sync ? &job->sync->task : NULL;
}

void
job_sync_if_due(struct job *job, const struct settings *settings)
{
    uint64_t n_bytes = job->n_bytes - job->synced_bytes,
             waited_ms = uv_now(job->jobs->loop) - job->synced_at;
    bool is_late = settings->sync_interval_s &&
                   waited_ms >= (uint64_t)settings->sync_interval_s * 1000;
    bool is_much = settings->sync_bytes && n_bytes >= (uint64_t)settings->sync_bytes;

    if (!STAILQ_EMPTY(&job->flushes) || (n_bytes && (is_late || is_much)))
        job_sync(job);
}

int
job_flush(struct job *job, struct reply *reply, struct lighter_error *err)
{
    struct job_flush *flush;

    if (!job->n_outputs) { /* it writes nothing */
        reply_empty(reply);
        return 0;
    }
    flush = calloc(1, sizeof *flush);
    if (!flush)
        return fail_nomem(err);
    flush->reply = reply_take(reply);
    STAILQ_INSERT_TAIL(&job->flushes, flush, link);
    job_sync(job);
    return 0;
}

int
jobs_flush(struct jobs *jobs, const char *name, const char *stage, struct reply *reply,
           struct lighter_error *err)
{
    struct job *job = jobs_find_live(jobs, name, stage);

    if (!job)
        return lighter_fail(err, LIGHTER_E_STATE, "there is no live job '%.100s'",
                            name);
    return job_flush(job, reply, err);
}
