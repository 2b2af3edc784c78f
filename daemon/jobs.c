/* jobs.c - the table of jobs: how a job begins, and is over. admission.c says who may
 * open one.
 */
#include "daemon/durable.h"
#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "daemon/recovery.h"
#include "util/error.h"
#include "util/log.h"

#include <inttypes.h>
#include <unistd.h>

void
jobs_init(struct jobs *jobs, uv_loop_t *loop, unsigned n_threads,
          const struct settings *settings, struct state *state)
{
    *jobs = (struct jobs){
        .loop = loop, .n_threads = n_threads, .settings = settings, .state = state};
    TAILQ_INIT(&jobs->live);
    TAILQ_INIT(&jobs->past);
    TAILQ_INIT(&jobs->forgotten);
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
}

/* ---- memory of a job ---- */

static void
submit(struct job *job, uv_work_cb run, uv_after_work_cb after)
{
    job->work.data = job;
    if (uv_queue_work(job->jobs->loop, &job->work, run, after) < 0)
        abort(); /* only for a NULL callback: a bug of ours */
}

void
job_release(struct job *job)
{
    for (uint32_t i = 0; job->ranks && i < job->world_size; i++) {
        rank_free_streams(&job->ranks[i]);
        rank_forget_past(&job->ranks[i]);
        job->ranks[i].peer = peer_unref(job->ranks[i].peer);
        reply_done(&job->ranks[i].reply);
    }
    free(job->ranks);
    job->ranks = NULL;
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        table_done(&job->outputs[i].table);
        files_done(&job->outputs[i].files);
        free(job->outputs[i].names);
        job->outputs[i].names = NULL;
        job->outputs[i].n_names = job->outputs[i].names_room = 0;
    }
    journal_close(&job->journal);
}

void
job_free(struct job *job)
{
    job_release(job);
    policies_done(&job->policies);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        writer_done(&job->outputs[i].writer);
    free(job->outputs);
    free(job->warning);
    if (job->replaced)
        job_free(job->replaced);
    free(job->request.data);
    reply_done(&job->requester);
    journal_done(&job->journal);
    free(job);
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
}

static int
make_ranks(struct job *job, struct lighter_error *err)
{
    job->ranks = calloc(job->world_size, sizeof *job->ranks);
    if (!job->ranks)
        return fail_nomem(err);
    for (uint32_t i = 0; i < job->world_size; i++)
        job->ranks[i] = (struct rank){.job = job, .number = i};
    return 0;
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
    journal_init(&job->journal);
    job->jobs = jobs;
    job->state = JOB_PREPARING;
    job->doom = JOB_OPEN;
    job->world_size = spec->world_size;
    job->opened_at = job->synced_at = uv_now(jobs->loop);
    memcpy(job->name, spec->name, sizeof job->name);
    memcpy(job->stage, spec->stage, sizeof job->stage);
    job->outputs = calloc(spec->n_writers + 1u, sizeof *job->outputs);
    if (!job->outputs || make_ranks(job, err) < 0) {
        job_free(job);
        fail_nomem(err);
        return NULL;
    }
    job->n_outputs = spec->n_writers;
    for (uint32_t i = 0; i < spec->n_writers; i++) {
        job->outputs[i].writer = spec->writers[i]; /* moved */
        table_init(&job->outputs[i].table);
        files_init(&job->outputs[i].files);
        job->outputs[i].table.roots = job->outputs[i].files.roots =
            jobs->settings->output_roots;
    }
    spec->n_writers = 0;
    job->policies = spec->policies; /* moved */
    spec->policies = (struct policies){0};
    job->request = spec->request; /* moved */
    spec->request = (struct frame){0};
    spec->moved = true;
    return job;
}

/* ---- over ---- */

bool
job_is_unfinished(const struct job *job)
{
    return job->has_journal && job->state != JOB_PUBLISHED;
}

static void
enliven(struct job *job)
{
    struct jobs *jobs = job->jobs;

    TAILQ_REMOVE(&jobs->past, job, link);
    jobs->n_past--;
    TAILQ_INSERT_TAIL(&jobs->live, job, link);
    jobs->n_live++;
}

static void
leave(struct job *job)
{
    TAILQ_REMOVE(&job->jobs->live, job, link);
    job->jobs->n_live--;
}

static void
check_idle(struct jobs *jobs)
{
    if (jobs->n_live == 0 && jobs->on_idle)
        jobs->on_idle(jobs->data);
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
    struct jobs *jobs = job->jobs;

    (void)status;
    if (job->work_result < 0)
        log_warning("not forgotten job=%s stage=%s reason=\"%s\"", job->name,
                    job->stage, job->work_error.message);
    TAILQ_REMOVE(&jobs->forgotten, job, link);
    parked_admit_all(jobs, job);
    job_free(job);
}

/* Of those that are finished the newest are kept. */
static void
forget_oldest(struct jobs *jobs)
{
    struct job *job, *oldest = NULL;
    uint32_t n_finished = 0;

    TAILQ_FOREACH (job, &jobs->past, link) {
        if (job_is_unfinished(job))
            continue;
        oldest = oldest ? oldest : job;
        n_finished++;
    }
    if (n_finished <= JOBS_PAST_MAX)
        return;
    TAILQ_REMOVE(&jobs->past, oldest, link);
    jobs->n_past--;
    if (!oldest->has_journal) {
        job_free(oldest);
        return;
    }
    oldest->state = JOB_PUBLISHING; /* whoever opens it waits */
    TAILQ_INSERT_TAIL(&jobs->forgotten, oldest, link);
    submit(oldest, run_forget, after_forget);
}

void
jobs_remember(struct jobs *jobs, struct job *job)
{
    TAILQ_INSERT_TAIL(&jobs->past, job, link);
    jobs->n_past++;
    forget_oldest(jobs);
}

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
                 job->name, job->stage, job->n_samples, job->n_bytes);
    } else {
        jobs->n_failed++;
        job_answer_waiting(job, &job->error);
        job_answer_flushes(job, &job->error);
        reply_error(&job->requester, &job->error, NULL);
        log_warning("not published job=%s stage=%s state=%s reason=\"%s\"", job->name,
                    job->stage, job_state_name(job), job->error.message);
    }
}

static void
job_over(struct job *job, enum job_state state)
{
    struct jobs *jobs = job->jobs;

    job->state = state;
    job->is_revived = job->finalizing = false;
    job->tries_again = false;
    tell_outcome(job);
    job_release(job);
    if (!job_is_unfinished(job))
        policies_done(&job->policies);
    leave(job);
    jobs_remember(jobs, job);
    parked_admit_all(jobs, job);
    check_idle(jobs);
}

/* Nobody could even open it. */
static bool
is_stillborn(const struct job *job)
{
    return job->doom == JOB_FAILED && !job->is_revived && !job->n_batches &&
           !job->n_ended;
}

/* The last thing on a worker: publish where that is still possible, and let go. */
static void
run_last(uv_work_t *work)
{
    struct job *job = work->data;

    job->work_result = 0;
    if (job->doom == JOB_OPEN)
        job->work_result = publish_run(job, &job->work_error);
    if (job->doom == JOB_OPEN && job->work_result == 0 && job->n_outputs)
        job->finish_result = recovery_finish(job, &job->work_error);
    if (job->doom != JOB_OPEN && !job->was_live && job->journal.fd >= 0)
        recovery_rest(job);
    publish_close(job);
    if (job->has_journal && is_stillborn(job))
        recovery_drop(job, NULL); /* else it is there to be discarded */
}

static void
after_last(uv_work_t *work, int status)
{
    struct job *job = work->data;

    (void)status;
    if (job->finish_result < 0) /* it is published all the same */
        log_warning("forgets that it is published job=%s stage=%s reason=\"%s\"",
                    job->name, job->stage, job->work_error.message);
    if (job->work_result < 0)
        job->error = job->work_error;
    if (job->doom != JOB_OPEN)
        job_over(job, job->doom);
    else
        job_over(job, job->work_result < 0 ? JOB_FAILED : JOB_PUBLISHED);
}

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
    leave(job);
    job_release(job);
    job->state = job->doom;
    job->discarding = false;
    if (job->work_result < 0) {
        reply_error(&job->requester, &job->work_error, NULL);
        jobs_remember(jobs, job);
    } else {
        log_info("discarded job=%s stage=%s", job->name, job->stage);
        reply_empty(&job->requester);
    }
    parked_admit_all(jobs, job);
    if (job->work_result == 0)
        job_free(job);
    check_idle(jobs);
}

void
job_discard(struct job *job)
{
    if (job->state != JOB_OPEN) {
        enliven(job); /* so that nobody opens it */
        job->doom = job->state;
        job->state = JOB_PUBLISHING;
        submit(job, run_discard, after_discard);
        return;
    }
    lighter_fail(&job->error, LIGHTER_E_STATE, "job '%s' was discarded", job->name);
    job_answer_waiting(job, &job->error);
    job->doom = JOB_ABORTED;
    job->discarding = true;
    job_finish(job);
}

void
job_finish(struct job *job)
{
    job->state = JOB_PUBLISHING;
    job->was_live = job->jobs->stopping;
    if (job->sync)
        return; /* that calls again */
    if (job->discarding)
        submit(job, run_discard, after_discard);
    else
        submit(job, run_last, after_last);
}

void
job_settle(struct job *job)
{
    if (job->state != JOB_OPEN || job->n_connected)
        return;
    if (job->doom == JOB_OPEN && job->n_ended == 0 && STAILQ_EMPTY(&job->parked) &&
        !job->finalizing) {
        job->doom = job->is_revived ? JOB_INTERRUPTED : JOB_FAILED;
        if (job->error.code == LIGHTER_OK)
            lighter_fail(&job->error, LIGHTER_E_STATE, "nobody has opened it");
    }
    if (job->doom != JOB_OPEN || job->n_ended == job->world_size || job->finalizing)
        job_finish(job);
}

/* ---- the beginning ---- */

void
job_count_outputs(struct job *job)
{
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        struct job_output *output = &job->outputs[i];

        output->n_samples = output->n_bytes = output->n_refused = 0;
        for (uint32_t j = 0; j < job->world_size; j++) {
            const struct stream_past *past = job->ranks[j].past;

            output->n_samples += past ? past[i].n_samples : 0;
            output->n_bytes += past ? past[i].n_bytes : 0;
            output->n_refused += past ? past[i].n_refused : 0;
        }
    }
}

static int
prepare_new(struct job *job, struct lighter_error *err)
{
    int r = job->n_outputs ? recovery_begin(job, err) : 0;

    if (r == 0)
        r = publish_prepare(job, err);
    if (r == 0 && job->n_outputs)
        r = recovery_note_places(job, err);
    return r < 0 ? r : policies_open(&job->policies, err);
}

bool
job_is_whole(const struct job *job)
{
    return job->is_complete || job->n_ended == job->world_size;
}

static int
prepare_revived(struct job *job, struct lighter_error *err)
{
    int r = recovery_resume(job, err);

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
    publish_close(job);
    if (!job->is_revived && job->has_journal)
        recovery_drop(job, NULL);
}

/* One that could not begin is forgotten; one that could not go on stays as it is. */
static void
not_prepared(struct job *job)
{
    job->error = job->work_error;
    parked_refuse_all(job);
    job_over(job, job->is_revived ? JOB_INTERRUPTED : JOB_FAILED);
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
        jobs_remember(job->jobs, replaced);
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
    parked_admit_all(job->jobs, job);
    job_settle(job); /* whoever wanted it may have gone meanwhile */
}

bool
job_is_called(const struct job *job, const char *name, const char *stage)
{
    return strcmp(job->name, name) == 0 && (!stage || strcmp(job->stage, stage) == 0);
}

struct job *
jobs_find_live(struct jobs *jobs, const char *name, const char *stage)
{
    struct job *job;

    TAILQ_FOREACH_REVERSE (job, &jobs->live, job_list, link)
        if (job_is_called(job, name, stage))
            return job;
    return NULL;
}

/* A new job is given one on a worker; one that goes on has it all the time. */
uint64_t
job_id(const struct job *job)
{
    return job->state == JOB_PREPARING && !job->is_revived ? 0 : job->id;
}

static const struct job *
find_in(const struct job_list *list, const char *name, const char *stage, uint64_t id)
{
    const struct job *job;

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
jobs_find_forgotten(struct jobs *jobs, const char *name, const char *stage)
{
    struct job *job;

    TAILQ_FOREACH (job, &jobs->forgotten, link)
        if (job_is_called(job, name, stage))
            return job;
    return NULL;
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

/* Its journal gets the place of an older one: an unfinished job's outputs are removed
 * then, and who opens the new one is warned.
 */
static void
replace(struct jobs *jobs, struct job *job)
{
    struct job *past = jobs_find_past(jobs, job->name, job->stage);

    if (!past || !job->n_outputs)
        return;
    if (!job_is_unfinished(past)) {
        past->has_journal = false;
        job->published_before = past->state == JOB_PUBLISHED ? past->id : 0;
        return;
    }
    if (past->n_batches && asprintf(&job->warning, "%s. What it left is replaced.",
                                    past->error.message) < 0)
        job->warning = NULL;
    TAILQ_REMOVE(&jobs->past, past, link);
    jobs->n_past--;
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
    TAILQ_INSERT_TAIL(&jobs->live, job, link);
    jobs->n_live++;
    submit(job, run_prepare, after_prepare);
    *ret_job = job;
    return 0;
}

int
jobs_revive(struct jobs *jobs, struct job *job, bool finalizing,
            struct lighter_error *err)
{
    int r = check_room(jobs, err);

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = check_free(jobs, &job->outputs[i].writer, job->name, job->stage, err);
    if (r == 0)
        r = make_ranks(job, err);
    if (r < 0)
        return r;
    enliven(job);
    job->state = JOB_PREPARING;
    job->doom = JOB_OPEN;
    job->error.code = LIGHTER_OK;
    job->n_lost = job->n_ended = 0;
    job->is_revived = true;
    job->finalizing = finalizing;
    submit(job, run_prepare, after_prepare);
    return 0;
}
