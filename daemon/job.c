/* job.c - see job.h. One job: made of what a rank brings to `open`, freed, and what is
 * to be said of it meanwhile.
 */
#include "daemon/ending.h"
#include "daemon/job_internal.h"
#include "daemon/disk.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

int
job_make_ranks(struct job *job, struct lighter_error *err)
{
    job->ranks = calloc(1, sizeof *job->ranks);
    job->ranks_room = 1;
    return job->ranks ? 0 : fail_nomem(err);
}

static void
take_spec(struct job *job, struct job_spec *spec)
{
    job->n_outputs = spec->n_writers;
    for (uint32_t i = 0; i < spec->n_writers; i++) {
        job->outputs[i].writer = spec->writers[i]; /* moved */
        job->outputs[i].disk = disk_of(job->outputs[i].writer.target);
        job->disk = i && job->disk != job->outputs[i].disk ? 0 : job->outputs[i].disk;
        table_init(&job->outputs[i].table);
        files_init(&job->outputs[i].files);
        job->outputs[i].table.roots = job->outputs[i].files.roots =
            job->jobs->settings->output_roots;
        job->outputs[i].files.overwrite = job->outputs[i].writer.overwrite;
    }
    spec->n_writers = 0;
    job->policies = spec->policies; /* moved */
    spec->policies = (struct policies){0};
    job->request = spec->request; /* moved */
    job->asked = spec->asked;     /* moved */
    spec->request = spec->asked = (struct frame){0};
    job->fingerprint = spec->fingerprint; /* moved */
    spec->fingerprint = NULL;
    spec->moved = true;
}

struct job *
job_new(struct jobs *jobs, struct job_spec *spec, struct lighter_error *err)
{
    struct job *job = calloc(1, sizeof *job);

    if (!job) {
        fail_nomem(err);
        return NULL;
    }
    STAILQ_INIT(&job->parked);
    STAILQ_INIT(&job->flushes);
    STAILQ_INIT(&job->notes_wait);
    journal_init(&job->journal);
    job->jobs = jobs;
    job->state = JOB_PREPARING;
    job->doom = JOB_OPEN;
    job->world_size = spec->world_size;
    job->rank_wait_ms = spec->rank_wait_ms;
    job->opened_at = job->synced_at = uv_now(jobs->loop);
    memcpy(job->name, spec->name, sizeof job->name);
    memcpy(job->stage, spec->stage, sizeof job->stage);
    memcpy(job->attempt, spec->attempt, sizeof job->attempt);
    job->outputs = calloc(spec->n_writers + 1u, sizeof *job->outputs);
    if (!job->outputs || job_make_ranks(job, err) < 0) {
        job_free(job);
        fail_nomem(err);
        return NULL;
    }
    take_spec(job, spec);
    return job;
}

static void
rank_free(struct rank *rank)
{
    rank_free_streams(rank);
    rank_forget_past(rank);
    peer_unref(rank->peer);
    reply_done(&rank->reply);
    free(rank);
}

static bool
has_ended(const struct job *job, uint32_t number)
{
    const struct rank *rank = job_rank(job, number);

    return rank && rank->state == RANK_ENDED;
}

#define MISSING_RANGES_MAX 16

char *
job_tell_missing(const struct job *job)
{
    const char *separator = "";
    uint32_t n_ranges = 0;
    size_t size;
    char *text = NULL;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return NULL;
    for (uint32_t first = 0, last; first < job->world_size; first = last + 1) {
        last = first;
        if (has_ended(job, first))
            continue;
        while (last + 1 < job->world_size && !has_ended(job, last + 1))
            last++;
        if (++n_ranges > MISSING_RANGES_MAX) {
            fprintf(stream, ", ...");
            break;
        }
        fprintf(stream, last == first ? "%s%u" : "%s%u-%u", separator, first, last);
        separator = ", ";
    }
    if (fclose(stream) != 0 || n_ranges == 0) {
        free(text);
        return NULL;
    }
    return text;
}

void
job_release(struct job *job)
{
    if (job->ranks) {
        free(job->missing);
        job->missing = job_tell_missing(job);
    }
    for (uint32_t i = 0; i < job->n_ranks; i++)
        rank_free(job->ranks[i]);
    free(job->ranks);
    job->ranks = NULL;
    job->n_ranks = job->ranks_room = 0;
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        table_done(&job->outputs[i].table);
        files_done(&job->outputs[i].files);
        manifest_done(&job->outputs[i].committed);
    }
    journal_close(&job->journal);
}

void
job_free(struct job *job)
{
    job_release(job);
    policies_done(&job->policies);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        writer_done(&job->outputs[i].writer);
        free(job->outputs[i].shown.path);
        free(job->outputs[i].shown.before);
        free(job->outputs[i].warning);
    }
    free(job->outputs);
    free(job->warning);
    free(job->fingerprint);
    free(job->missing);
    ending_forget(job);
    if (job->replaced)
        job_free(job->replaced);
    free(job->request.data);
    free(job->asked.data);
    reply_done(&job->requester);
    journal_done(&job->journal);
    free(job);
}

void
job_submit(struct job *job, uv_work_cb run, uv_after_work_cb after)
{
    job->task.work.data = job;
    pool_submit(&job->jobs->pool, &job->task, job->disk, run, after);
}

/* ---- what is to be said of it ---- */

static const struct pool_task *
stream_stuck_task(const struct stream *stream)
{
    for (unsigned i = 0; stream->parts && i < stream->setup.max_parts; i++)
        if (atomic_load(&stream->parts[i].task.stuck))
            return &stream->parts[i].task;
    return NULL;
}

static const struct pool_task *
rank_stuck_task(const struct rank *rank, const struct job_output **ret_output)
{
    for (uint32_t i = 0; rank->streams && i < rank->job->n_outputs; i++) {
        const struct pool_task *task = stream_stuck_task(&rank->streams[i]);

        if (task) {
            *ret_output = &rank->job->outputs[i];
            return task;
        }
    }
    return NULL;
}

const struct pool_task *
job_stuck_task(const struct job *job, const struct job_output **ret_output)
{
    const struct pool_task *sync = job_sync_task(job), *task = NULL;

    *ret_output = &job->outputs[0];
    if (atomic_load(&job->task.stuck))
        return &job->task;
    if (sync && atomic_load(&sync->stuck))
        return sync;
    /* else its ranks are a worker's, or have let go of their streams */
    for (uint32_t i = 0; job->state == JOB_OPEN && i < job->n_ranks && !task; i++)
        task = rank_stuck_task(job->ranks[i], ret_output);
    return task;
}

const char *
job_state_name(const struct job *job)
{
    static const char *const names[] = {"preparing", "open",   "publishing",
                                        "published", "failed", "interrupted",
                                        "aborted"};

    return names[job->doom != JOB_OPEN ? job->doom : job->state];
}

bool
job_is_called(const struct job *job, const char *name, const char *stage)
{
    return strcmp(job->name, name) == 0 && (!stage || strcmp(job->stage, stage) == 0);
}

/* A new job is given one on a worker; one that goes on has it all the time. */
uint64_t
job_id(const struct job *job)
{
    return job->state == JOB_PREPARING && !job->is_revived ? 0 : job->id;
}

bool
job_is_unfinished(const struct job *job)
{
    return job->has_journal && job->state != JOB_PUBLISHED;
}

bool
job_is_whole(const struct job *job)
{
    return job->is_complete || job->n_ended == job->world_size;
}

uint32_t
job_files(uint32_t n_writers)
{
    return 1 + 4 * n_writers;
}

uint32_t
rank_files(uint32_t n_writers)
{
    return 2 * n_writers;
}

void
job_count_files(struct job *job, uint32_t n_files)
{
    job->n_files += n_files;
    job->jobs->n_files += n_files;
}

void
job_count_outputs(struct job *job)
{
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        struct job_output *output = &job->outputs[i];

        output->n_samples = output->n_bytes = output->n_refused = 0;
        for (uint32_t j = 0; j < job->n_ranks; j++) {
            const struct stream_past *past = job->ranks[j]->past;

            output->n_samples += past ? past[i].n_samples : 0;
            output->n_bytes += past ? past[i].n_bytes : 0;
            output->n_refused += past ? past[i].n_refused : 0;
        }
    }
}

void
job_staging_name(const struct job *job, uint32_t index, char ret_name[PATH_LEAF_SIZE])
{
    snprintf(ret_name, PATH_LEAF_SIZE, PATH_OURS "%s.%s.%u", job->name, job->stage,
             index);
}
