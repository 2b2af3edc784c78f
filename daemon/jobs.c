/* jobs.c - the table of jobs: how a job begins, and is over. admission.c says who may
 * open one.
 */
#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "util/error.h"
#include "util/log.h"

#include <inttypes.h>

void
job_spec_done(struct job_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_writers; i++)
        writer_done(&spec->writers[i]);
    free(spec->writers);
    spec->writers = NULL;
    spec->n_writers = 0;
    policies_done(&spec->policies);
}

void
jobs_init(struct jobs *jobs, uv_loop_t *loop, unsigned n_threads)
{
    *jobs = (struct jobs){.loop = loop, .n_threads = n_threads};
    TAILQ_INIT(&jobs->live);
    TAILQ_INIT(&jobs->past);
}

/* ---- memory of a job ---- */

/* What only a live job needs. */
static void
release(struct job *job)
{
    for (uint32_t i = 0; job->ranks && i < job->world_size; i++) {
        rank_free_streams(&job->ranks[i]);
        job->ranks[i].peer = peer_unref(job->ranks[i].peer);
        reply_done(&job->ranks[i].reply);
    }
    free(job->ranks);
    job->ranks = NULL;
    policies_done(&job->policies);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        table_done(&job->outputs[i].table);
        files_done(&job->outputs[i].files);
    }
}

static void
job_free(struct job *job)
{
    release(job);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        writer_done(&job->outputs[i].writer);
    free(job->outputs);
    free(job->replaced);
    free(job);
}

void
jobs_done(struct jobs *jobs)
{
    struct job *job;

    TAILQ_CONCAT(&jobs->past, &jobs->live, link);
    while ((job = TAILQ_FIRST(&jobs->past))) {
        TAILQ_REMOVE(&jobs->past, job, link);
        parked_drop_all(job);
        job_free(job);
    }
}

static struct job *
job_new(struct jobs *jobs, struct job_spec *spec, struct lighter_error *err)
{
    struct job *job = calloc(1, sizeof *job);

    if (job) {
        job->outputs = calloc(spec->n_writers + 1u, sizeof *job->outputs);
        job->ranks = calloc(spec->world_size, sizeof *job->ranks);
    }
    if (!job || !job->outputs || !job->ranks) {
        if (job)
            job_free(job);
        fail_nomem(err);
        return NULL;
    }
    STAILQ_INIT(&job->parked);
    job->jobs = jobs;
    job->state = JOB_PREPARING;
    job->doom = JOB_OPEN;
    job->world_size = spec->world_size;
    job->n_outputs = spec->n_writers;
    job->opened_at = uv_now(jobs->loop);
    memcpy(job->name, spec->name, sizeof job->name);
    memcpy(job->stage, spec->stage, sizeof job->stage);
    for (uint32_t i = 0; i < spec->world_size; i++)
        job->ranks[i] = (struct rank){.job = job, .number = i};
    for (uint32_t i = 0; i < spec->n_writers; i++) {
        job->outputs[i].writer = spec->writers[i]; /* moved */
        table_init(&job->outputs[i].table);
        files_init(&job->outputs[i].files);
    }
    spec->n_writers = 0;
    job->policies = spec->policies; /* moved */
    spec->policies = (struct policies){0};
    spec->moved = true;
    return job;
}

/* ---- over ---- */

static void
forget_oldest(struct jobs *jobs)
{
    struct job *oldest = TAILQ_FIRST(&jobs->past);

    TAILQ_REMOVE(&jobs->past, oldest, link);
    jobs->n_past--;
    job_free(oldest);
}

static void
job_over(struct job *job, enum job_state state)
{
    struct jobs *jobs = job->jobs;

    job->state = state;
    if (state == JOB_PUBLISHED) {
        job->error.code = LIGHTER_OK; /* a rank may have failed to open before */
        jobs->n_published++;
        job_answer_published(job);
        log_info("published job=%s stage=%s samples=%" PRIu64 " bytes=%" PRIu64,
                 job->name, job->stage, job->n_samples, job->n_bytes);
    } else {
        jobs->n_failed++;
        job_answer_waiting(job, &job->error);
        log_warning("not published job=%s stage=%s state=%s reason=\"%s\"", job->name,
                    job->stage, job_state_name(job), job->error.message);
    }
    release(job);
    TAILQ_REMOVE(&jobs->live, job, link);
    jobs->n_live--;
    TAILQ_INSERT_TAIL(&jobs->past, job, link);
    if (++jobs->n_past > JOBS_PAST_MAX)
        forget_oldest(jobs);
    parked_admit_all(jobs, job);
    if (jobs->n_live == 0 && jobs->on_idle)
        jobs->on_idle(jobs->data);
}

/* The last thing on a worker: publish where that is still possible, and let go. */
static void
run_last(uv_work_t *work)
{
    struct job *job = work->data;

    job->work_result = job->doom == JOB_OPEN ? publish_run(job, &job->work_error) : 0;
    publish_close(job);
}

static void
after_last(uv_work_t *work, int status)
{
    struct job *job = work->data;

    (void)status;
    if (job->work_result < 0)
        job->error = job->work_error;
    if (job->doom != JOB_OPEN)
        job_over(job, job->doom);
    else
        job_over(job, job->work_result < 0 ? JOB_FAILED : JOB_PUBLISHED);
}

void
job_finish(struct job *job)
{
    job->state = JOB_PUBLISHING;
    if (uv_queue_work(job->jobs->loop, &job->work, run_last, after_last) < 0)
        abort(); /* only for a NULL callback: a bug of ours */
}

void
job_settle(struct job *job)
{
    if (job->state != JOB_OPEN || job->n_connected)
        return;
    if (job->doom == JOB_OPEN && job->n_ended == 0 && STAILQ_EMPTY(&job->parked)) {
        job->doom = JOB_FAILED; /* nobody could open it */
        if (job->error.code == LIGHTER_OK)
            lighter_fail(&job->error, LIGHTER_E_STATE, "nobody has opened it");
    }
    if (job->doom != JOB_OPEN || job->n_ended == job->world_size)
        job_finish(job);
}

/* ---- the beginning ---- */

static void
run_prepare(uv_work_t *work)
{
    struct job *job = work->data;

    job->work_result = publish_prepare(job, &job->work_error);
    if (job->work_result == 0)
        job->work_result = policies_open(&job->policies, &job->work_error);
}

static void
after_prepare(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct jobs *jobs = job->jobs;

    (void)status;
    if (job->work_result < 0) {
        job->error = job->work_error;
        parked_refuse_all(job);
        job_over(job, JOB_FAILED);
        return;
    }
    job->state = JOB_OPEN;
    parked_admit_all(jobs, job);
    job_settle(job); /* whoever wanted it may have gone meanwhile */
}

static struct job *
find(struct job_list *list, const struct job_spec *spec)
{
    struct job *job;

    TAILQ_FOREACH_REVERSE (job, list, job_list, link)
        if (strcmp(job->name, spec->name) == 0 && strcmp(job->stage, spec->stage) == 0)
            return job;
    return NULL;
}

struct job *
jobs_find_live(struct jobs *jobs, const struct job_spec *spec)
{
    return find(&jobs->live, spec);
}

static bool
makes_table(const struct writer *writer, const char *target)
{
    return writer->type->kind == LIGHTER_KIND_TABLE &&
           strcmp(writer->target, target) == 0;
}

/* Two tables of one name would write the same shards. */
static int
check_target(struct jobs *jobs, const struct job_spec *spec, uint32_t index,
             struct lighter_error *err)
{
    const struct writer *writer = &spec->writers[index];
    struct job *job;

    if (writer->type->kind != LIGHTER_KIND_TABLE)
        return 0;
    for (uint32_t i = 0; i < index; i++)
        if (makes_table(&spec->writers[i], writer->target))
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "two writers of the job make the table '%s'",
                                writer->target);
    TAILQ_FOREACH (job, &jobs->live, link)
        for (uint32_t i = 0; i < job->n_outputs; i++)
            if (makes_table(&job->outputs[i].writer, writer->target))
                return lighter_fail(err, LIGHTER_E_STATE,
                                    "'%s' is being written by job '%s' (%s)",
                                    writer->target, job->name, job->stage);
    return 0;
}

/* A warning where what an unfinished job left is about to be removed. */
static char *
describe_replaced(struct jobs *jobs, const struct job_spec *spec)
{
    struct job *past = find(&jobs->past, spec);
    char *text;

    if (!past || past->state == JOB_PUBLISHED || past->n_batches == 0)
        return NULL;
    if (asprintf(&text, "%s. What it left is replaced.", past->error.message) < 0)
        return NULL;
    return text;
}

int
jobs_create(struct jobs *jobs, struct job_spec *spec, struct job **ret_job,
            struct lighter_error *err)
{
    struct job *job;
    int r = 0;

    if (jobs->n_live == JOBS_LIVE_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT, "%d jobs are live; that is the limit",
                            JOBS_LIVE_MAX);
    for (uint32_t i = 0; i < spec->n_writers && r == 0; i++)
        r = check_target(jobs, spec, i, err);
    if (r < 0)
        return r;
    job = job_new(jobs, spec, err);
    if (!job)
        return -ENOMEM;
    job->replaced = describe_replaced(jobs, spec);
    TAILQ_INSERT_TAIL(&jobs->live, job, link);
    jobs->n_live++;
    job->work.data = job;
    if (uv_queue_work(jobs->loop, &job->work, run_prepare, after_prepare) < 0)
        abort(); /* only for a NULL callback: a bug of ours */
    *ret_job = job;
    return 0;
}

/* ---- what people ask of a job ---- */

static struct job *
find_policies(struct jobs *jobs, const char *name)
{
    struct job *job;

    TAILQ_FOREACH (job, &jobs->live, link)
        if (job->state == JOB_OPEN && job->policies.n_items &&
            strcmp(job->name, name) == 0)
            return job;
    return NULL;
}

int
jobs_ask(struct jobs *jobs, const char *name, const struct lighter_strings *patterns,
         enum lighter_action action, size_t *ret_n_matched, struct lighter_error *err)
{
    struct job *job = find_policies(jobs, name);
    size_t n_matched = 0, n;
    int r = 0;

    if (!job)
        return lighter_fail(err, LIGHTER_E_STATE, "no live job '%s' has policies",
                            name);
    for (size_t i = 0; i < patterns->count; i++)
        if (!policies_count(&job->policies, patterns->items[i]))
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "no parameter of job '%s' matches '%.200s'", name,
                                patterns->items[i]);
    for (size_t i = 0; i < patterns->count && r == 0; i++) {
        r = policies_ask(&job->policies, patterns->items[i], action, &n, err);
        n_matched += r == 0 ? n : 0;
    }
    job_tell_ranks(job);
    if (r == 0)
        *ret_n_matched = n_matched;
    return r;
}
