/* job_begin.c - how a job begins, and how an unfinished one goes on. admission.c says
 * who may ask for that.
 *
 * In: what a rank brings, or a past job with a journal. Out: a live job, which a worker
 * prepares: its journal, its directories, its shards. Then those who wait for it are
 * let in, or refused. Loop thread; functions called run_* on a worker.
 */
#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "daemon/recovery.h"
#include "util/error.h"

#include <stdio.h>
#include <string.h>

/* ---- may it? ---- */

static bool
makes_table(const struct writer *writer, const char *target)
{
    return writer->type->kind == LIGHTER_KIND_TABLE &&
           strcmp(writer->target, target) == 0;
}

static bool
job_makes_table(const struct job *job, const char *target)
{
    for (uint32_t i = 0; i < job->n_outputs; i++)
        if (makes_table(&job->outputs[i].writer, target))
            return true;
    return false;
}

static int
check_room(const struct jobs *jobs, struct lighter_error *err)
{
    if (jobs->n_live == JOBS_LIVE_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT, "%d jobs are live; that is the limit",
                            JOBS_LIVE_MAX);
    return 0;
}

/* Nobody else may be making this table, nor have left rows of it aside. */
static int
check_free(const struct jobs *jobs, const struct writer *writer, const char *name,
           const char *stage, struct lighter_error *err)
{
    const struct job *job;

    if (writer->type->kind != LIGHTER_KIND_TABLE)
        return 0;
    TAILQ_FOREACH (job, &jobs->live, link)
        if (job_makes_table(job, writer->target))
            return lighter_fail(err, LIGHTER_E_STATE,
                                "'%s' is being written by job '%s' (%s)",
                                writer->target, job->name, job->stage);
    TAILQ_FOREACH (job, &jobs->past, link)
        if (job_is_unfinished(job) && job->n_batches &&
            !job_is_called(job, name, stage) && job_makes_table(job, writer->target))
            return lighter_fail(err, LIGHTER_E_STATE,
                                "'%s' is a table of job '%s' (%s), which is unfinished "
                                "and has rows of it aside: open that one with resume, "
                                "or lighterctl finalize or discard it",
                                writer->target, job->name, job->stage);
    return 0;
}

/* Two tables of one name would write the same shards. */
static int
check_target(struct jobs *jobs, const struct job_spec *spec, uint32_t index,
             struct lighter_error *err)
{
    const struct writer *writer = &spec->writers[index];

    if (writer->type->kind != LIGHTER_KIND_TABLE)
        return 0;
    for (uint32_t i = 0; i < index; i++)
        if (makes_table(&spec->writers[i], writer->target))
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "two writers of the job make the table '%s'",
                                writer->target);
    return check_free(jobs, writer, spec->name, spec->stage, err);
}

/* ---- on a worker ---- */

static int
prepare_new(struct job *job, struct lighter_error *err)
{
    int r = publish_open(job, err);

    if (r == 0)
        r = recovery_begin(job, err);
    if (r == 0)
        r = publish_prepare(job, err);
    if (r == 0)
        r = recovery_note_places(job, err);
    return r < 0 ? r : policies_open(&job->policies, err);
}

static int
note_heir(struct job *job, struct lighter_error *err)
{
    struct journal_record attempt = {
        .kind = JOURNAL_ATTEMPT, .text = job->heir, .text_size = strlen(job->heir)};

    return journal_append(&job->journal, &attempt, err);
}

static int
prepare_revived(struct job *job, struct lighter_error *err)
{
    int r = recovery_resume(job, err);

    if (r == 0 && job->is_taken_over)
        r = note_heir(job, err);
    if (r == 0)
        r = recovery_open_shards(job, job->finalizing || job->is_complete, err);
    return r < 0 ? r : policies_open(&job->policies, err);
}

static void
run_prepare(uv_work_t *work)
{
    struct job *job = work->data;

    job->work_result = job->is_revived ? prepare_revived(job, &job->work_error)
                                       : prepare_new(job, &job->work_error);
    if (job->work_result == 0)
        return;
    if (!job->is_revived)
        publish_unstage(job);
    publish_close(job);
    if (!job->is_revived && job->has_journal)
        recovery_drop(job, NULL);
}

/* ---- back on the loop ---- */

/* One that could not begin is forgotten; one that could not go on stays as it is, and
 * whoever does not come back to it begins anew.
 */
static void
not_prepared(struct job *job)
{
    job->error = job->work_error;
    job->was_live = false;
    if (job->is_revived)
        parked_refuse_returning(job);
    else
        parked_refuse_all(job);
    job_over(job, job->is_revived ? JOB_INTERRUPTED : JOB_FAILED);
}

/* From now on ranks of the attempt before are refused. */
static void
take_over(struct job *job)
{
    if (job->is_taken_over)
        memcpy(job->attempt, job->heir, sizeof job->attempt);
    job->is_taken_over = false;
}

/* Where the new job has not even got its journal, the old one is still there. */
static void
settle_replaced(struct job *job)
{
    struct job *replaced = job->replaced;

    job->replaced = NULL;
    if (replaced && job->id)
        job_free(replaced);
    else if (replaced)
        jobs_add_past(replaced);
}

static void
after_prepare(uv_work_t *work, int status)
{
    struct job *job = work->data;

    (void)status;
    settle_replaced(job);
    if (job->work_result < 0) {
        not_prepared(job);
        return;
    }
    job->state = JOB_OPEN;
    take_over(job);
    job->synced_bytes = 0; /* who wrote what is there may not have synced it */
    if (job->is_revived)
        job_count_outputs(job);
    pace_begin(&job->pace,
               &(struct pace_counts){job->n_batches, job->n_samples, job->n_bytes},
               uv_now(job->jobs->loop));
    if (job->finalizing || job_is_whole(job)) {
        job_finish(job); /* no more batches: who has come meanwhile waits for that */
        return;
    }
    parked_admit_all(job);
    job_settle(job); /* whoever wanted it may have gone meanwhile */
}

/* ---- it begins ---- */

/* What the next run is told of what it takes the place of. */
static char *
tell_replaced(const struct job *past)
{
    char *text;
    const char *rest =
        past->is_complete
            ? "Some of it may have its final name already, among what was there before "
              "('lighterctl finalize' would have shown the rest); what has not is "
              "removed"
            : "What it left is replaced";

    return asprintf(&text, "%s. %s.", past->error.message, rest) < 0 ? NULL : text;
}

/* Its journal gets the place of an older one: an unfinished job's outputs are removed
 * then, and who opens the new one is warned.
 */
static void
replace(struct jobs *jobs, struct job *job)
{
    struct job *past = jobs_find_past(jobs, job->name, job->stage);

    if (!past)
        return;
    if (!job_is_unfinished(past)) {
        past->has_journal = false;
        job->published_before = past->state == JOB_PUBLISHED ? past->id : 0;
        return;
    }
    if (past->n_batches || past->damaged_at)
        job->warning = tell_replaced(past);
    jobs_take_past(past);
    job->replaced = past;
}

int
jobs_create(struct jobs *jobs, struct job_spec *spec, struct job **ret_job,
            struct lighter_error *err)
{
    struct job *job;
    int r = check_room(jobs, err);

    for (uint32_t i = 0; i < spec->n_writers && r == 0; i++)
        r = check_target(jobs, spec, i, err);
    if (r < 0)
        return r;
    job = job_new(jobs, spec, err);
    if (!job)
        return -ENOMEM;
    replace(jobs, job);
    jobs_add_live(job);
    job_submit(job, run_prepare, after_prepare);
    *ret_job = job;
    return 0;
}

int
job_revive(struct job *job, bool finalizing, struct lighter_error *err)
{
    int r = check_room(job->jobs, err);

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = check_free(job->jobs, &job->outputs[i].writer, job->name, job->stage, err);
    if (r == 0)
        r = job_make_ranks(job, err);
    if (r < 0)
        return r;
    jobs_take_past(job);
    jobs_add_live(job);
    job->rested_as = job->state;
    job->state = JOB_PREPARING;
    job->doom = JOB_OPEN;
    job->error.code = LIGHTER_OK; /* its text stays: job_settle() */
    job->n_lost = job->n_ended = 0;
    job->is_revived = true;
    job->is_awaited = false;
    job->finalizing = finalizing;
    job_submit(job, run_prepare, after_prepare);
    return 0;
}
