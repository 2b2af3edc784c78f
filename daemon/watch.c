/* watch.c - what is looked at once a second: batches that wait for space, plugins that
 * hang, bytes that are due on the disk, how fast it all goes.
 */
#include "daemon/crash.h"
#include "daemon/durable.h"
#include "daemon/job_internal.h"
#include "daemon/waits.h"
#include "util/log.h"

#include <stdlib.h>
#include <unistd.h>

/* A worker cannot be taken away from a plugin that hangs: the daemon ends, and the next
 * one goes on.
 */
static void
end_hang(const struct stream *stream, uint64_t seq)
{
    const struct stream_setup *setup = &stream->setup;

    log_error("a plugin hangs writer=%s target=%s rank=%u: ending, to go on anew",
              setup->writer->type->name, LOG_VALUE(setup->writer->target), setup->rank);
    crash_note(setup->journal, setup->rank, setup->index, seq);
    _exit(EXIT_FAILURE);
}

static void
watch_stream(struct jobs *jobs, struct stream *stream)
{
    uint64_t full_ms = uv_now(jobs->loop) - stream->full_since,
             limit_ms = (uint64_t)jobs->settings->full_wait_s * 1000,
             timeout_ms = (uint64_t)jobs->settings->task_timeout_s * 1000, seq;

    if (stream->full)
        stream_retry(stream, full_ms >= limit_ms);
    else if (timeout_ms && stream_hangs(stream, timeout_ms, &seq))
        end_hang(stream, seq);
}

/* One whose process has been killed meanwhile is not read, while its batches wait. */
static void
watch_process(struct rank *rank)
{
    bool is_full = false;

    for (uint32_t i = 0; rank->streams && i < rank->job->n_outputs; i++)
        is_full |= rank->streams[i].full;
    if (is_full && peer_is_gone(rank->peer))
        rank_hurry(rank);
}

static void
watch(struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        watch_process(job->ranks[i]);
    for (uint32_t i = 0; i < job->n_ranks; i++)
        for (uint32_t j = 0; job->ranks[i]->streams && j < job->n_outputs; j++)
            watch_stream(job->jobs, &job->ranks[i]->streams[j]);
    job_sync_if_due(job, job->jobs->settings);
    pace_look(&job->pace,
              &(struct pace_counts){job->n_batches, job->n_samples, job->n_bytes},
              uv_now(job->jobs->loop));
}

void
jobs_watch(uv_timer_t *timer)
{
    struct jobs *jobs = timer->data;
    struct job *job;

    pool_watch(&jobs->pool);
    TAILQ_FOREACH (job, &jobs->live, link) {
        if (job->state == JOB_OPEN)
            watch(job);
        job_watch_wait(job);
    }
    pace_look(&jobs->pace,
              &(struct pace_counts){jobs->n_batches, jobs->n_samples, jobs->n_bytes},
              uv_now(jobs->loop));
}
