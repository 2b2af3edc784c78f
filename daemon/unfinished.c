/* unfinished.c - jobs that are over without being published: those that earlier daemons
 * left, and what people do with them. That ranks go on with them is admission.c's.
 */
#include "daemon/ending.h"
#include "daemon/job_internal.h"
#include "daemon/recovery.h"
#include "daemon/replay.h"
#include "daemon/waits.h"
#include "util/error.h"
#include "util/log.h"

/* ---- what earlier daemons left ---- */

struct loading {
    struct jobs *jobs;
    const struct registry *registry;
};

static struct job *
make_job(struct loading *loading, struct job_spec *spec, uint64_t id,
         struct lighter_error *err)
{
    struct job *job = job_new(loading->jobs, spec, err);

    job_spec_done(spec);
    if (!job)
        return NULL;
    job->id = id;
    job->has_journal = true;
    return job;
}

/* What is there cannot be read: people shall know, and nobody shall replace it. */
static void
tell_unreadable(struct job *job, const char *name, const struct lighter_error *why)
{
    job->is_unreadable = true;
    job->n_ended = 0;
    lighter_fail(
        &job->error, LIGHTER_E_STATE,
        "the journal '%.400s/%.130s' of job '%s' cannot be read: %.300s; it is "
        "left alone until lighterctl discard removes it",
        job->jobs->state->path, name, job->name, why->message);
    log_error("left alone journal=%s reason=%s", LOG_VALUE(name),
              LOG_VALUE(why->message));
}

/* Of one whose first record cannot be read only its file's name is known. */
static int
load_nameless(struct loading *loading, const char *name, struct job **ret_job,
              const struct lighter_error *why)
{
    struct job_spec spec = {.world_size = 1};
    struct lighter_error unused;

    if (!state_split_name(name, spec.name, sizeof spec.name, spec.stage,
                          sizeof spec.stage))
        return -EPROTO;
    *ret_job = make_job(loading, &spec, 0, &unused);
    if (!*ret_job)
        return -ENOMEM;
    tell_unreadable(*ret_job, name, why);
    return 0;
}

/* *ret_job may be NULL on 0: there is nothing in it. */
static int
load_job(struct loading *loading, const char *name, struct job **ret_job,
         struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    struct job_spec spec;
    struct message message;
    uint64_t id;
    int r = replay_peek(loading->jobs->state, name, &message, &id, &why);

    *ret_job = NULL;
    if (r == REPLAY_BLANK) {
        log_warning("blank journal=%s", LOG_VALUE(name));
        return 0;
    }
    if (r == 0) {
        r = job_spec_init(&spec, loading->registry, &message, &why);
        message_done(&message);
    }
    if (r < 0) {
        *err = why;
        return load_nameless(loading, name, ret_job, &why);
    }
    *ret_job = make_job(loading, &spec, id, err);
    if (!*ret_job)
        return -ENOMEM;
    if (replay_read(*ret_job, &why) < 0)
        tell_unreadable(*ret_job, name, &why);
    return 0;
}

/* One that every rank has ended, or that was being shown, needs nobody any more. */
static void
go_on_alone(struct job *job)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    if (job_revive(job, true, &err) < 0)
        log_error("not published job=%s stage=%s reason=%s", LOG_VALUE(job->name),
                  job->stage, LOG_VALUE(err.message));
}

static void
tell_state(struct job *job)
{
    job->state = job->is_published ? JOB_PUBLISHED : JOB_INTERRUPTED;
    job->is_inherited |= job->was_live;
    if (job->is_published)
        job->n_ended = job->world_size; /* as far as 0.1.0 says */
    if (job->is_published)
        job_is_unheard(job); /* its daemon may have died before it answered */
    if (job->is_unreadable)
        return;
    if (job->damaged_at) {
        recovery_tell_damage(job, &job->error);
        log_error("damaged job=%s stage=%s reason=%s", LOG_VALUE(job->name), job->stage,
                  LOG_VALUE(job->error.message));
        return;
    }
    if (ending_show(job) || job->is_published)
        return;
    lighter_fail(&job->error, LIGHTER_E_STATE,
                 "job '%s' is not published: the daemon ended before; what was "
                 "written stays aside",
                 job->name);
}

static int
load(void *data, const char *name, struct lighter_error *err)
{
    struct loading *loading = data;
    struct job *job;
    bool is_ready;

    if (load_job(loading, name, &job, err) < 0)
        log_error("left alone journal=%s reason=%s", LOG_VALUE(name),
                  LOG_VALUE(err->message));
    if (!job)
        return 0;
    is_ready = job_is_whole(job) && !job->is_published && !job->is_unreadable &&
               !job->damaged_at;
    job_count_outputs(job);
    tell_state(job);
    ending_forget(job);
    if (job->is_published)
        policies_done(&job->policies);
    job_release(job);
    jobs_add_past(job);
    if (is_ready)
        go_on_alone(job);
    return 0;
}

int
jobs_load(struct jobs *jobs, const struct registry *registry, struct lighter_error *err)
{
    struct loading loading = {jobs, registry};

    jobs->loaded_at = uv_now(jobs->loop);
    return state_each(jobs->state, load, &loading, err);
}

/* ---- what people ask ---- */

/* It waits for ranks, and there is none to be asked. */
static bool
is_deserted(const struct job *job)
{
    return job->state == JOB_OPEN && job->has_journal && !job->n_connected;
}

/* Its ranks are all on their way out, or their processes have gone: nothing more is
 * going to come.
 */
static bool
is_forsaken(const struct job *job)
{
    if (job->state != JOB_OPEN || !job->n_outputs || job->discarding)
        return false;
    for (uint32_t i = 0; i < job->n_ranks; i++) {
        const struct rank *rank = job->ranks[i];
        bool is_here =
            rank->attached || rank->state == RANK_OPENING || rank->state == RANK_OPEN;

        if (is_here && !peer_is_gone(rank->peer))
            return false;
    }
    return true;
}

static int
fail_live(const struct job *job, struct lighter_error *err)
{
    struct wait_report report;

    job_describe_wait(job, &report);
    return lighter_fail(err, LIGHTER_E_STATE,
                        "job '%s' (%s) is live: %u of its ranks are connected%s%s",
                        job->name, job->stage, job->n_connected,
                        report.reason ? "; " : "", report.message);
}

/* An unfinished job of that name that nobody is connected to, live or not. */
static int
find_unfinished(struct jobs *jobs, const char *name, const char *stage,
                struct job **ret_job, struct lighter_error *err)
{
    struct job *live = jobs_find_live(jobs, name, stage), *job;

    if (live && !is_deserted(live))
        return fail_live(live, err);
    *ret_job = live;
    if (live)
        return 0;
    TAILQ_FOREACH_REVERSE (job, &jobs->past, job_list, link)
        if (job_is_unfinished(job) && job_is_called(job, name, stage)) {
            *ret_job = job;
            return 0;
        }
    return lighter_fail(err, LIGHTER_E_STATE, "there is no unfinished job '%.100s'",
                        name);
}

/* Is it whole, or are people content with less? */
static int
check_consent(const struct job *job, struct consent consent, struct lighter_error *err)
{
    AUTO(free_bytes) char *missing = NULL;

    if (job->is_unreadable)
        return error_copy(err, &job->error);
    if (job->damaged_at && !consent.damaged)
        return recovery_tell_damage(job, err);
    if (consent.partial || consent.damaged || job_is_whole(job))
        return 0;
    missing =
        job->ranks ? job_tell_missing(job) : strdup(job->missing ? job->missing : "?");
    return lighter_fail(err, LIGHTER_E_STATE,
                        "job '%s' is not whole: of its %u ranks these have not ended: "
                        "%.300s. lighterctl finalize --partial publishes it without "
                        "what they did not write",
                        job->name, job->world_size, missing ? missing : "?");
}

int
jobs_finalize(struct jobs *jobs, const char *name, const char *stage,
              struct consent consent, struct reply *reply, struct lighter_error *err)
{
    struct job *job;
    int r = find_unfinished(jobs, name, stage, &job, err);

    if (r == 0)
        r = check_consent(job, consent, err);
    if (r < 0)
        return r;
    if (job->state == JOB_OPEN) {
        job->finalizing = true;
        job_finish(job);
    } else {
        job->is_consented = consent.damaged;
        r = job_revive(job, true, err);
    }
    if (r == 0)
        job->requester = reply_take(reply);
    return r;
}

int
jobs_discard(struct jobs *jobs, const char *name, const char *stage,
             struct reply *reply, struct lighter_error *err)
{
    struct job *job = jobs_find_live(jobs, name, stage);
    int r = 0;

    if (!job || !is_forsaken(job))
        r = find_unfinished(jobs, name, stage, &job, err);
    if (r < 0)
        return r;
    job->requester = reply_take(reply);
    job_discard(job);
    return 0;
}
