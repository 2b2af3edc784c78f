/* job_over.c - how a job is over: published, or not; or discarded, and all that it
 * left.
 *
 * In: news of its ranks, and what people ask. Out: a last time on a worker, answers for
 * all who wait for it, and a line of history. Loop thread; functions called run_* on a
 * worker.
 */
#include "daemon/durable.h"
#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "daemon/recovery.h"
#include "util/error.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void
job_doom(struct job *job, enum job_state state, const char *format, ...)
{
    char reason[LIGHTER_ERROR_TEXT_MAX];
    va_list args;

    if (job->doom != JOB_OPEN)
        return;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    job->doom = state;
    lighter_fail(&job->error, LIGHTER_E_STATE,
                 "job '%s' is not published: %.800s; what was written stays aside",
                 job->name, reason);
    job_answer_waiting(job, &job->error);
}

/* ---- the last of it ---- */

static void
tell_outcome(struct job *job)
{
    struct jobs *jobs = job->jobs;

    if (job->state == JOB_PUBLISHED) {
        job->error.code = LIGHTER_OK; /* a rank may have failed to open before */
        jobs->n_published++;
        job_answer_published(job);
        job_answer_flushes(job, NULL);
        reply_empty(&job->requester);
        log_info("published job=%s stage=%s samples=%" PRIu64 " bytes=%" PRIu64,
                 LOG_VALUE(job->name), job->stage, job->n_samples, job->n_bytes);
    } else {
        jobs->n_failed++;
        job_answer_waiting(job, &job->error);
        job_answer_flushes(job, &job->error);
        reply_error(&job->requester, &job->error, NULL);
        log_warning("not published job=%s stage=%s state=%s reason=%s",
                    LOG_VALUE(job->name), job->stage, job_state_name(job),
                    LOG_VALUE(job->error.message));
    }
}

void
job_over(struct job *job, enum job_state state)
{
    job->state = state;
    job->is_consented = false;
    job->is_revived = job->finalizing = job->tries_again = job->is_taken_over = false;
    tell_outcome(job);
    job_release(job);
    if (!job_is_unfinished(job))
        policies_done(&job->policies);
    jobs_take_live(job);
    jobs_add_past(job);
    parked_admit_all(job);
    jobs_check_idle(job->jobs);
}

/* Nobody could even open it. */
static bool
is_stillborn(const struct job *job)
{
    return job->doom == JOB_FAILED && !job->is_revived && !job->n_batches &&
           !job->n_ended;
}

static void
publish(struct job *job)
{
    job->work_result = publish_run(job, &job->work_error);
    if (job->work_result == 0)
        job->finish_result = recovery_finish(job, &job->work_error);
}

/* The last thing on a worker: publish where that is still possible, and let go. */
static void
run_last(uv_work_t *work)
{
    struct job *job = work->data;

    job->work_result = 0;
    if (job->doom == JOB_OPEN)
        publish(job);
    else if (!job->was_live && job->journal.fd >= 0)
        recovery_rest(job);
    if (is_stillborn(job))
        publish_unstage(job);
    publish_close(job);
    if (job->has_journal && is_stillborn(job))
        recovery_discard(job, NULL); /* else it is there to be discarded */
    else if (!job->n_outputs && job->doom != JOB_OPEN && !job->was_live)
        recovery_drop(job, NULL); /* it made nothing that somebody could finish */
}

static void
after_last(uv_work_t *work, int status)
{
    struct job *job = work->data;

    (void)status;
    if (job->finish_result < 0) /* it is published all the same */
        log_warning("forgets that it is published job=%s stage=%s reason=%s",
                    LOG_VALUE(job->name), job->stage,
                    LOG_VALUE(job->work_error.message));
    if (job->work_result < 0)
        job->error = job->work_error;
    if (job->doom != JOB_OPEN)
        job_over(job, job->doom);
    else
        job_over(job, job->work_result < 0 ? JOB_FAILED : JOB_PUBLISHED);
}

/* ---- nothing is to be left of it ---- */

static void
run_discard(uv_work_t *work)
{
    struct job *job = work->data;

    if (job->ranks)
        publish_close(job);
    job->work_result = recovery_discard(job, &job->work_error);
}

static void
after_discard(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct jobs *jobs = job->jobs;

    (void)status;
    jobs_take_live(job);
    job_release(job);
    job->state = job->doom;
    job->discarding = false;
    if (job->work_result < 0) {
        reply_error(&job->requester, &job->work_error, NULL);
        jobs_add_past(job);
    } else {
        log_info("discarded job=%s stage=%s", LOG_VALUE(job->name), job->stage);
        reply_empty(&job->requester);
    }
    parked_admit_all(job);
    if (job->work_result == 0)
        job_free(job);
    jobs_check_idle(jobs);
}

void
job_discard(struct job *job)
{
    if (job->state != JOB_OPEN) {
        jobs_take_past(job);
        jobs_add_live(job); /* so that nobody opens it */
        job->doom = job->state;
        job->state = JOB_PUBLISHING;
        job_submit(job, run_discard, after_discard);
        return;
    }
    lighter_fail(&job->error, LIGHTER_E_STATE, "job '%s' was discarded", job->name);
    job_answer_waiting(job, &job->error);
    job->doom = JOB_ABORTED;
    job->discarding = true;
    if (!job->n_connected) {
        job_finish(job);
        return;
    }
    for (uint32_t i = 0; i < job->n_ranks; i++) { /* the last of them goes on */
        rank_hurry(job->ranks[i]);
        if (job->ranks[i]->seat && peer_is_gone(job->ranks[i]->peer))
            peer_evict(job->ranks[i]->peer);
    }
}

/* ---- is it time? ---- */

void
job_finish(struct job *job)
{
    job->state = JOB_PUBLISHING;
    job->was_live = job->jobs->stopping || job->is_awaited;
    if (job->sync || job->note)
        return; /* that calls again */
    if (job->discarding)
        job_submit(job, run_discard, after_discard);
    else
        job_submit(job, run_last, after_last);
}

/* Nobody is connected. A training's policies have nothing to wait for then: there is
 * nothing to be joined.
 */
static bool
is_done(const struct job *job)
{
    return job->n_ended == job->world_size ||
           (!job->n_outputs && job->n_ended && STAILQ_EMPTY(&job->parked));
}

/* It is what it was before somebody tried to open it. */
static void
rest_again(struct job *job)
{
    bool is_known = job->rested_as == JOB_FAILED || job->rested_as == JOB_ABORTED;

    job->doom = is_known ? job->rested_as : JOB_INTERRUPTED;
    job->is_awaited = job->was_live;
    if (job->error.code == LIGHTER_OK && *job->error.message)
        job->error.code = LIGHTER_E_STATE;
}

void
job_settle(struct job *job)
{
    if (job->state != JOB_OPEN || job->n_connected)
        return;
    if (job->doom == JOB_OPEN && job->n_ended == 0 && STAILQ_EMPTY(&job->parked) &&
        !job->finalizing) {
        if (job->is_revived)
            rest_again(job);
        else
            job->doom = JOB_FAILED;
        if (job->error.code == LIGHTER_OK)
            lighter_fail(&job->error, LIGHTER_E_STATE, "nobody has opened it");
    }
    if (job->doom != JOB_OPEN || is_done(job) || job->finalizing)
        job_finish(job);
}
