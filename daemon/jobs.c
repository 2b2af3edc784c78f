/* jobs.c - the table of jobs: who may open which, and how a job begins and is over. */
#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "util/error.h"
#include "util/log.h"

#include <inttypes.h>

/* A rank that wants its seat, and must wait for the job to be ready or over. */
struct parked_open {
    STAILQ_ENTRY(parked_open) link;
    struct job_spec spec;
    struct seat *seat;
    struct reply reply;
};

enum admission { ADMIT_NOW, ADMIT_LATER, ADMIT_ANEW };

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

static void
parked_free(struct parked_open *parked)
{
    job_spec_done(&parked->spec);
    reply_done(&parked->reply);
    free(parked);
}

void
jobs_done(struct jobs *jobs)
{
    struct parked_open *parked;
    struct job *job;

    TAILQ_CONCAT(&jobs->past, &jobs->live, link);
    while ((job = TAILQ_FIRST(&jobs->past))) {
        TAILQ_REMOVE(&jobs->past, job, link);
        while ((parked = STAILQ_FIRST(&job->parked))) {
            STAILQ_REMOVE_HEAD(&job->parked, link);
            parked_free(parked);
        }
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
admit_parked(struct jobs *jobs, struct parked_open *parked)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    parked->seat->job = NULL;
    if (jobs_open(jobs, &parked->spec, parked->seat, &parked->reply, &err) < 0)
        reply_error(&parked->reply, &err, NULL);
    parked_free(parked);
}

/* Those that waited are looked at again, in order; some may have to wait once more. */
static void
admit_all_parked(struct jobs *jobs, struct job *job)
{
    STAILQ_HEAD(, parked_open) waiting = STAILQ_HEAD_INITIALIZER(waiting);
    struct parked_open *parked;

    STAILQ_CONCAT(&waiting, &job->parked);
    while ((parked = STAILQ_FIRST(&waiting))) {
        STAILQ_REMOVE_HEAD(&waiting, link);
        admit_parked(jobs, parked);
    }
}

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
    admit_all_parked(jobs, job);
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

static void
finish(struct job *job)
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
        finish(job);
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
refuse_all_parked(struct job *job)
{
    struct parked_open *parked;

    while ((parked = STAILQ_FIRST(&job->parked))) {
        STAILQ_REMOVE_HEAD(&job->parked, link);
        parked->seat->job = NULL;
        reply_error(&parked->reply, &job->error, NULL);
        parked_free(parked);
    }
}

static void
after_prepare(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct jobs *jobs = job->jobs;

    (void)status;
    if (job->work_result < 0) {
        job->error = job->work_error;
        refuse_all_parked(job);
        job_over(job, JOB_FAILED);
        return;
    }
    job->state = JOB_OPEN;
    admit_all_parked(jobs, job);
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

static int
create(struct jobs *jobs, struct job_spec *spec, struct job **ret_job,
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

/* ---- who may open ---- */

static int
check_same(const struct job *job, const struct job_spec *spec,
           struct lighter_error *err)
{
    if (job->world_size != spec->world_size)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "job '%s' has world_size %u; rank %u brings %u", job->name,
                            job->world_size, spec->rank, spec->world_size);
    if (spec->moved)
        return 0;
    if (job->n_outputs != spec->n_writers)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "job '%s' has %u writers; rank %u brings %u", job->name,
                            job->n_outputs, spec->rank, spec->n_writers);
    for (uint32_t i = 0; i < spec->n_writers; i++)
        if (strcmp(job->outputs[i].writer.text, spec->writers[i].text) != 0)
            return lighter_fail(
                err, LIGHTER_E_PARAMS,
                "job '%s' has the writer [%.350s]; rank %u brings [%.350s]", job->name,
                job->outputs[i].writer.text, spec->rank, spec->writers[i].text);
    if (!policies_are_same(&job->policies, &spec->policies))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "job '%s' has other policies or parameters than rank %u "
                            "brings",
                            job->name, spec->rank);
    return 0;
}

/* The seat's rank has ended, or is about to, and comes again for the next epoch. Where
 * it comes from another process, and nobody else is here, this epoch will never end.
 */
static enum admission
admit_again(const struct job *job, const struct rank *rank, const struct peer *peer)
{
    if (rank->peer != peer && job->n_connected == 0 && job->state == JOB_OPEN)
        return ADMIT_ANEW;
    return ADMIT_LATER;
}

/* Return: an admission; -EBUSY; -EINVAL. */
static int
admit(const struct job *job, const struct job_spec *spec, const struct peer *peer,
      struct lighter_error *err)
{
    const struct rank *rank;
    int r;

    if (job->state == JOB_PUBLISHING)
        return ADMIT_LATER;
    rank = spec->rank < job->world_size ? &job->ranks[spec->rank] : NULL;
    if (rank && (rank->state == RANK_ENDED || rank->state == RANK_CLOSING))
        return admit_again(job, rank, peer);
    r = check_same(job, spec, err);
    if (r < 0)
        return r;
    if (rank->state == RANK_OPENING || rank->state == RANK_OPEN)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "rank %u of job '%s' is taken by %s (pid %" PRId64 ")",
                            spec->rank, job->name, rank->peer->client, rank->peer->pid);
    if (job->doom != JOB_OPEN)
        return lighter_fail(err, LIGHTER_E_STATE, "%.900s; another rank still holds it",
                            job->error.message);
    return job->state == JOB_OPEN ? ADMIT_NOW : ADMIT_LATER;
}

static int
park(struct job *job, struct job_spec *spec, struct seat *seat, struct reply *reply,
     struct lighter_error *err)
{
    struct parked_open *parked = calloc(1, sizeof *parked);

    if (!parked)
        return fail_nomem(err);
    parked->spec = *spec; /* moved */
    *spec = (struct job_spec){0};
    parked->seat = seat;
    parked->reply = reply_take(reply);
    seat->job = job;
    STAILQ_INSERT_TAIL(&job->parked, parked, link);
    return 0;
}

bool
jobs_unpark(struct job *job, const struct seat *seat)
{
    struct parked_open *parked;

    STAILQ_FOREACH (parked, &job->parked, link)
        if (parked->seat == seat) {
            STAILQ_REMOVE(&job->parked, parked, parked_open, link);
            parked_free(parked);
            job_settle(job);
            return true;
        }
    return false;
}

static int
take_seat(struct jobs *jobs, struct job_spec *spec, struct seat *seat,
          struct reply *reply, struct lighter_error *err)
{
    struct job *job = find(&jobs->live, spec);
    int r = job ? admit(job, spec, reply->peer, err) : ADMIT_ANEW;

    if (r < 0)
        return r;
    if (r == ADMIT_ANEW && job) {
        job->doom = JOB_INTERRUPTED;
        lighter_fail(&job->error, LIGHTER_E_STATE,
                     "job '%s' is not published: not all of its ranks came", job->name);
        job_answer_waiting(job, &job->error);
        finish(job);
    } else if (r == ADMIT_ANEW) {
        r = create(jobs, spec, &job, err);
        if (r < 0)
            return r;
    }
    seat->rank = spec->rank;
    if (job->state != JOB_OPEN || r == ADMIT_LATER)
        return park(job, spec, seat, reply, err);
    seat->job = job;
    r = rank_open(&job->ranks[spec->rank], seat, reply, err);
    if (r < 0)
        seat->job = NULL;
    return r;
}

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

int
jobs_open(struct jobs *jobs, struct job_spec *spec, struct seat *seat,
          struct reply *reply, struct lighter_error *err)
{
    int r = take_seat(jobs, spec, seat, reply, err);

    job_spec_done(spec);
    return r;
}
