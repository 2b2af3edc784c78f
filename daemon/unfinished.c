/* unfinished.c - jobs that are over without being published: those that earlier daemons
 * left, and what people do with them. That ranks go on with them is admission.c's.
 */
#include "daemon/job_internal.h"
#include "daemon/replay.h"
#include "util/error.h"
#include "util/log.h"

/* ---- what earlier daemons left ---- */

struct loading {
    struct jobs *jobs;
    const struct registry *registry;
};

static int
load_job(struct loading *loading, const char *name, struct job **ret_job,
         struct lighter_error *err)
{
    struct job_spec spec;
    struct message message;
    struct job *job;
    uint64_t id;
    int r = replay_peek(loading->jobs->state, name, &message, &id, err);

    if (r < 0)
        return r;
    r = job_spec_init(&spec, loading->registry, &message, err);
    message_done(&message);
    if (r < 0)
        return r;
    job = job_new(loading->jobs, &spec, err);
    job_spec_done(&spec);
    if (!job)
        return -ENOMEM;
    job->id = id;
    job->has_journal = true;
    r = replay_read(job, err);
    if (r < 0)
        job_free(job);
    else
        *ret_job = job;
    return r;
}

/* One that every rank has ended, or that was being shown, needs nobody any more. */
static void
go_on_alone(struct job *job)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    if (job_revive(job, true, &err) < 0)
        log_error("not published job=%s stage=%s reason=\"%s\"", job->name, job->stage,
                  err.message);
}

static int
load(void *data, const char *name, struct lighter_error *err)
{
    struct loading *loading = data;
    struct job *job;
    bool is_ready;

    if (load_job(loading, name, &job, err) < 0) {
        log_error("left alone journal=%s reason=\"%s\"", name, err->message);
        return 0;
    }
    is_ready = job_is_whole(job);
    job->state = job->is_published ? JOB_PUBLISHED : JOB_INTERRUPTED;
    job->is_inherited = job->was_live;
    if (!job->is_published)
        lighter_fail(&job->error, LIGHTER_E_STATE,
                     "job '%s' is not published: the daemon ended before; what was "
                     "written stays aside",
                     job->name);
    job_count_outputs(job);
    job_release(job);
    jobs_add_past(job);
    if (!job->is_published && is_ready)
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
    return job->state == JOB_OPEN && job->n_outputs && !job->n_connected;
}

/* An unfinished job of that name that nobody is connected to, live or not. */
static int
find_unfinished(struct jobs *jobs, const char *name, const char *stage,
                struct job **ret_job, struct lighter_error *err)
{
    struct job *live = jobs_find_live(jobs, name, stage), *job;

    if (live && !is_deserted(live))
        return lighter_fail(err, LIGHTER_E_STATE,
                            "job '%s' (%s) is live: %u of its ranks are connected",
                            live->name, live->stage, live->n_connected);
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

int
jobs_finalize(struct jobs *jobs, const char *name, const char *stage,
              struct reply *reply, struct lighter_error *err)
{
    struct job *job;
    int r = find_unfinished(jobs, name, stage, &job, err);

    if (r < 0)
        return r;
    if (job->state == JOB_OPEN) {
        job->finalizing = true;
        job_finish(job);
    } else {
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
    struct job *job;
    int r = find_unfinished(jobs, name, stage, &job, err);

    if (r < 0)
        return r;
    job->requester = reply_take(reply);
    job_discard(job);
    return 0;
}
