/* jobs.c - the table of jobs: which are live, which are remembered, and which of those
 * are forgotten; how each is found.
 *
 * The table owns all its jobs. Loop thread; functions called run_* on a worker.
 */
#include "daemon/durable.h"
#include "daemon/job_internal.h"
#include "daemon/recovery.h"
#include "util/error.h"
#include "util/log.h"

void
jobs_init(struct jobs *jobs, uv_loop_t *loop, unsigned n_threads,
          const struct settings *settings, struct state *state)
{
    *jobs = (struct jobs){
        .loop = loop, .n_threads = n_threads, .settings = settings, .state = state};
    TAILQ_INIT(&jobs->live);
    TAILQ_INIT(&jobs->past);
    TAILQ_INIT(&jobs->forgotten);
    claims_init(&jobs->claims);
    if (pool_init(&jobs->pool, loop, n_threads) < 0)
        abort(); /* no threads at the very start */
    uv_timer_init(loop, &jobs->tick);
    jobs->tick.data = jobs;
    pace_begin(&jobs->pace, &(struct pace_counts){0}, uv_now(loop));
    uv_timer_start(&jobs->tick, jobs_watch, 1000, 1000);
    uv_unref((uv_handle_t *)&jobs->tick);
}

void
jobs_stop(struct jobs *jobs)
{
    if (!uv_is_closing((uv_handle_t *)&jobs->tick))
        uv_close((uv_handle_t *)&jobs->tick, NULL);
    pool_stop(&jobs->pool);
}

void
jobs_done(struct jobs *jobs)
{
    struct lighter_error why;
    struct job *job;

    lighter_fail(&why, LIGHTER_E_STATE, "the daemon ends");
    TAILQ_CONCAT(&jobs->past, &jobs->live, link);
    TAILQ_CONCAT(&jobs->past, &jobs->forgotten, link);
    while ((job = TAILQ_FIRST(&jobs->past))) {
        TAILQ_REMOVE(&jobs->past, job, link);
        parked_drop_all(job);
        job_answer_flushes(job, &why);
        job_free(job);
    }
    pool_done(&jobs->pool);
    claims_done(&jobs->claims);
}

/* ---- live ---- */

void
jobs_add_live(struct job *job)
{
    TAILQ_INSERT_TAIL(&job->jobs->live, job, link);
    job->jobs->n_live++;
    job_count_files(job, job_files(job->n_outputs));
}

void
jobs_take_live(struct job *job)
{
    TAILQ_REMOVE(&job->jobs->live, job, link);
    job->jobs->n_live--;
    job->jobs->n_files -= job->n_files;
    job->n_files = 0;
}

void
jobs_check_idle(struct jobs *jobs)
{
    if (jobs->n_live == 0 && jobs->on_idle)
        jobs->on_idle(jobs->data);
}

/* ---- past ---- */

void
jobs_take_past(struct job *job)
{
    TAILQ_REMOVE(&job->jobs->past, job, link);
    job->jobs->n_past--;
}

static void
run_forget(uv_work_t *work)
{
    struct job *job = work->data;

    job->work_result = recovery_drop(job, &job->work_error);
}

static void
after_forget(uv_work_t *work, int status)
{
    struct job *job = work->data;

    (void)status;
    if (job->work_result < 0)
        log_warning("not forgotten job=%s stage=%s reason=%s", LOG_VALUE(job->name),
                    job->stage, LOG_VALUE(job->work_error.message));
    TAILQ_REMOVE(&job->jobs->forgotten, job, link);
    parked_admit_all(job);
    job_free(job);
}

/* The oldest that is finished, and of which everybody has heard, where there are more
 * than are kept; else NULL.
 */
static struct job *
find_surplus(const struct jobs *jobs)
{
    struct job *job, *oldest = NULL, *heard = NULL;
    uint32_t n_finished = 0, n_heard = 0;

    TAILQ_FOREACH (job, &jobs->past, link) {
        if (job_is_unfinished(job))
            continue;
        oldest = oldest ? oldest : job;
        n_finished++;
        if (job->unheard_until > uv_now(jobs->loop))
            continue;
        heard = heard ? heard : job;
        n_heard++;
    }
    if (n_heard > JOBS_PAST_MAX)
        return heard;
    return n_finished > JOBS_UNHEARD_MAX ? oldest : NULL;
}

static void
forget(struct job *job)
{
    jobs_take_past(job);
    if (!job->has_journal) {
        job_free(job);
        return;
    }
    job->state = JOB_PUBLISHING; /* whoever opens it waits */
    TAILQ_INSERT_TAIL(&job->jobs->forgotten, job, link);
    job_submit(job, run_forget, after_forget);
}

void
jobs_add_past(struct job *job)
{
    struct job *surplus;

    TAILQ_INSERT_TAIL(&job->jobs->past, job, link);
    job->jobs->n_past++;
    surplus = find_surplus(job->jobs);
    if (surplus)
        forget(surplus);
}

/* ---- who is called so? ---- */

static struct job *
find_in(const struct job_list *list, const char *name, const char *stage, uint64_t id)
{
    struct job *job;

    TAILQ_FOREACH_REVERSE (job, list, job_list, link)
        if (job_is_called(job, name, stage) && (!id || job_id(job) == id))
            return job;
    return NULL;
}

const struct job *
jobs_find(const struct jobs *jobs, const char *name, const char *stage, uint64_t id)
{
    const struct job *job = find_in(&jobs->live, name, stage, id);

    return job ? job : find_in(&jobs->past, name, stage, id);
}

struct job *
jobs_find_live(struct jobs *jobs, const char *name, const char *stage)
{
    return find_in(&jobs->live, name, stage, 0);
}

struct job *
jobs_find_forgotten(struct jobs *jobs, const char *name, const char *stage)
{
    return find_in(&jobs->forgotten, name, stage, 0);
}

struct job *
jobs_find_past(struct jobs *jobs, const char *name, const char *stage)
{
    struct job *job;

    TAILQ_FOREACH_REVERSE (job, &jobs->past, job_list, link)
        if (job->has_journal && job_is_called(job, name, stage))
            return job;
    return NULL;
}

static const struct job *
find_published(const struct job_list *list, const char *name, const char *stage,
               uint64_t id)
{
    const struct job *job;

    TAILQ_FOREACH (job, list, link)
        if (job_is_called(job, name, stage) &&
            (job->published_before == id ||
             (job->state == JOB_PUBLISHED && job->id == id)))
            return job;
    return NULL;
}

const struct job *
jobs_find_published(const struct jobs *jobs, const char *name, const char *stage,
                    uint64_t id)
{
    const struct job *job = find_published(&jobs->past, name, stage, id);

    return job ? job : find_published(&jobs->live, name, stage, id);
}
