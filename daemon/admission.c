/* admission.c - who may open a job now, who must wait, and who begins it anew.
 *
 * A rank must wait while the job is being prepared, and when it comes again for the
 * next epoch before this one is over. It is parked with its job then, and looked at
 * again when the job is open, or over.
 *
 * What ranks were told is written may only be removed by one that begins anew: it comes
 * without `resume` and for the first time, and nobody else is there. Not by one that
 * was sent to a daemon that died (`again`), nor by one that waits for the next epoch.
 */
#include "daemon/job_internal.h"
#include "util/error.h"

#include <inttypes.h>

enum admission { ADMIT_NOW, ADMIT_LATER, ADMIT_ANEW };

static int
check_writers(const struct job *job, const struct job_spec *spec,
              struct lighter_error *err)
{
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
    return 0;
}

static const char *
said(const char *text)
{
    return text && *text ? text : "(none)";
}

static int
check_fingerprint(const struct job *job, const struct job_spec *spec,
                  struct lighter_error *err)
{
    const char *has = job->fingerprint ? job->fingerprint : "",
               *brings = spec->fingerprint ? spec->fingerprint : "";

    if (strcmp(has, brings) == 0)
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "job '%s' was begun with the fingerprint '%.200s'; rank %u "
                        "brings '%.200s': what it computes would be mixed with what is "
                        "there. Bring the same, or lighterctl finalize or discard it",
                        job->name, said(has), spec->rank, said(brings));
}

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
    if (check_fingerprint(job, spec, err) < 0)
        return -EBUSY;
    if (!job_spec_comes_back(spec) && check_writers(job, spec, err) < 0)
        return -EINVAL;
    if (!policies_are_same(&job->policies, &spec->policies))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "job '%s' has other policies or parameters than rank %u "
                            "brings",
                            job->name, spec->rank);
    return 0;
}

/* Nobody is connected to it, nor waits for it. */
static bool
is_left(const struct job *job)
{
    return job->state == JOB_OPEN && !job->n_connected && STAILQ_EMPTY(&job->parked);
}

/* Of another start of the program, or another epoch of it? */
static bool
is_same_attempt(const struct job *job, const struct job_spec *spec)
{
    return strcmp(job->attempt, spec->attempt) == 0;
}

static int
admit_stranger(const struct job *job, const struct job_spec *spec,
               struct lighter_error *err)
{
    if (is_left(job) && !spec->again && !spec->id)
        return ADMIT_ANEW;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "job '%s' is being written by another start of the program, "
                        "attempt %s; rank %u is of attempt %s: wait for its end, stop "
                        "it, or call this job otherwise",
                        job->name, said(job->attempt), spec->rank, said(spec->attempt));
}

static bool
has_ended(const struct rank *rank)
{
    return rank->state == RANK_ENDED ||
           (rank->state == RANK_CLOSING && rank->after_closing == RANK_ENDED);
}

/* Its rank has ended in this job, and the same process comes for the next one. Where it
 * was sent to an earlier daemon that cannot be seen, but from `resume` of the very
 * attempt that has the job.
 */
static bool
is_next_epoch(const struct job *job, const struct job_spec *spec,
              const struct peer *peer)
{
    const struct rank *rank = job_rank(job, spec->rank);

    if (!rank || !has_ended(rank) || spec->id)
        return false;
    if (rank->peer == peer)
        return true;
    return spec->again &&
           !(spec->resume && *spec->attempt && is_same_attempt(job, spec));
}

/* The seat's rank has ended, or is about to go. It may come to hear what became of
 * that. Where another process comes to begin, and nobody else is here, this epoch will
 * never end.
 */
static enum admission
admit_again(const struct job *job, const struct rank *rank, const struct job_spec *spec,
            const struct peer *peer)
{
    bool is_another = rank->peer != peer;

    if (rank->state == RANK_ENDED && spec->resume && is_another &&
        (!rank->seat || spec->id))
        return ADMIT_NOW;
    if (is_another && is_left(job) && !spec->again && !spec->resume)
        return ADMIT_ANEW;
    return ADMIT_LATER;
}

/* Under an earlier process, or an earlier daemon. */
static bool
has_written(const struct rank *rank)
{
    for (uint32_t i = 0; rank->past && i < rank->job->n_outputs; i++)
        if (rank->past[i].seq)
            return true;
    return false;
}

/* A rank of a job that goes on has done something before, and this process does not
 * know of it: the job's other ranks are the same as then, or it is begun anew.
 */
static int
admit_newcomer(const struct job *job, const struct rank *rank,
               const struct job_spec *spec, struct lighter_error *err)
{
    if (is_left(job) && !spec->again)
        return ADMIT_ANEW;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "rank %u of job '%s' has written batches before: open it with "
                        "resume, or stop its other ranks and begin anew, or lighterctl "
                        "finalize or discard it",
                        rank->number, job->name);
}

static bool
was_refused(const struct rank *rank)
{
    for (uint32_t i = 0; i < rank->job->n_outputs; i++)
        if ((rank->past && rank->past[i].n_refusals) ||
            (rank->streams && rank->streams[i].past.n_refusals))
            return true;
    return false;
}

/* A new process resumes a rank of which batches were refused: it writes them again, and
 * what came after them, of all ranks. So the others must have gone.
 */
static bool
must_go_back(const struct rank *rank, const struct job_spec *spec)
{
    return spec->resume && !spec->id && was_refused(rank);
}

/* All of its ranks are on their way out, and not because they have ended. Who resumes
 * it goes on with the others that do, and not beside the rest of the run before.
 */
static bool
is_emptying(const struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        if (job->ranks[i]->state == RANK_OPENING || job->ranks[i]->state == RANK_OPEN)
            return false;
    return job->doom != JOB_OPEN;
}

/* Return: an admission; -EBUSY; -EINVAL. */
static int
admit(const struct job *job, struct job_spec *spec, const struct peer *peer,
      struct lighter_error *err)
{
    const struct rank *rank;
    int r;

    if (job->discarding)
        return ADMIT_LATER;
    spec->follows = is_next_epoch(job, spec, peer) ? job->id : 0;
    if (spec->follows)
        return ADMIT_LATER;
    if (job->state == JOB_PUBLISHING ||
        (job->state == JOB_PREPARING && job->is_revived))
        return ADMIT_LATER;
    /* one that is being prepared now is new, and its id is a worker's */
    if (spec->id && (job->state == JOB_PREPARING || spec->id != job->id))
        return lighter_fail(err, LIGHTER_E_STATE,
                            "job '%s' has been begun anew by another process",
                            job->name);
    if (spec->resume && !spec->id && is_emptying(job))
        return ADMIT_LATER;
    if (!is_same_attempt(job, spec))
        return admit_stranger(job, spec, err);
    rank = job_rank(job, spec->rank);
    if (rank && (rank->state == RANK_ENDED || rank->state == RANK_CLOSING))
        return admit_again(job, rank, spec, peer);
    if (rank && must_go_back(rank, spec))
        return job->n_connected ? ADMIT_LATER : ADMIT_ANEW;
    if (rank && has_written(rank) && !spec->resume)
        return admit_newcomer(job, rank, spec, err);
    r = check_same(job, spec, err);
    if (r < 0)
        return r;
    if (rank && rank->state == RANK_OPENING && !rank->seat)
        return ADMIT_LATER; /* who opened it has left: it is lost when it is open */
    if (rank && (rank->state == RANK_OPENING || rank->state == RANK_OPEN))
        return lighter_fail(err, LIGHTER_E_STATE,
                            "rank %u of job '%s' is taken by %s (pid %" PRId64 ")",
                            spec->rank, job->name, rank->peer->client, rank->peer->pid);
    if (job->doom != JOB_OPEN && !spec->resume)
        return lighter_fail(err, LIGHTER_E_STATE, "%.900s; another rank still holds it",
                            job->error.message);
    return job->state == JOB_OPEN ? ADMIT_NOW : ADMIT_LATER;
}

/* Is there room for so many files more, for all clients and for this one? */
static int
check_files(const struct jobs *jobs, const struct job_spec *spec,
            const struct seat *seat, uint32_t n_files, struct lighter_error *err)
{
    if (n_files > seat->max_files)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "job '%s' may need %u open files, and this client has %u "
                            "left (max_client_files)",
                            spec->name, n_files, seat->max_files);
    if (jobs->max_files && (uint64_t)jobs->n_files + n_files > jobs->max_files)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "job '%s' may need %u open files, and of %u that the "
                            "system gives for all jobs %u are taken: see ulimit -n",
                            spec->name, n_files, jobs->max_files, jobs->n_files);
    return 0;
}

static int
admit_now(struct job *job, struct job_spec *spec, struct seat *seat,
          struct reply *reply, struct lighter_error *err)
{
    uint32_t n_files = rank_files(job->n_outputs);
    struct rank *rank;
    int r = job_add_rank(job, spec->rank, &rank, err);

    if (r == 0 && !rank->n_files)
        r = check_files(job->jobs, spec, seat, n_files, err);
    if (r < 0)
        return r;
    if (!rank->n_files)
        job_count_files(job, n_files);
    rank->n_files = n_files;
    seat->job = job;
    r = rank_open(rank, spec, seat, reply, err);
    if (r < 0)
        seat->job = NULL;
    return r;
}

/* How long the ranks of a job that was live when its daemon ended may take to come. */
#define RETURN_MS 60000

/* May it be a rank of this job, which had not come before the daemon died? */
static bool
is_awaited(const struct jobs *jobs, const struct job *past, const struct job_spec *spec)
{
    if (!past->was_live || past->damaged_at)
        return false;
    if (spec->again)
        return true;
    if (!past->n_outputs && past->world_size == 1)
        return false; /* its only rank was there, and comes with its id */
    return uv_now(jobs->loop) - jobs->loaded_at < RETURN_MS &&
           is_same_attempt(past, spec) && check_fingerprint(past, spec, NULL) == 0;
}

static bool
goes_on(const struct jobs *jobs, const struct job *past, const struct job_spec *spec)
{
    return past && job_is_unfinished(past) &&
           (spec->resume || is_awaited(jobs, past, spec));
}

/* Who was there when its daemon died, or waits for the next epoch, does not know that
 * this one is not whole: it may neither replace it, nor go on with it as if it were
 * its own.
 */
static int
refuse_to_follow(const struct job *past, struct lighter_error *err)
{
    return lighter_fail(err, LIGHTER_E_STATE,
                        "%.800s. Nothing is begun in its place: open it with resume, "
                        "or lighterctl finalize or discard it, and then begin anew",
                        past->error.message);
}

/* It has policies, and writes nothing. */
static bool
is_training(const struct job_spec *spec)
{
    return spec->policies.n_items && !spec->n_writers;
}

/* Is the unfinished job one that this rank may go on with, or replace? */
static int
check_past(const struct job *past, const struct job_spec *spec,
           struct lighter_error *err)
{
    bool was_sent_before = spec->again && !spec->resume && past->is_inherited;

    if (past->is_unreadable)
        return error_copy(err, &past->error);
    if (past->damaged_at && (spec->resume || spec->again))
        return error_copy(err, &past->error);
    if (spec->follows == past->id || (was_sent_before && !past->was_live))
        return refuse_to_follow(past, err);
    if (is_training(spec) && past->n_batches && !spec->id)
        return refuse_to_follow(past, err);
    if (spec->id && !is_same_attempt(past, spec))
        return admit_stranger(past, spec, err);
    return spec->resume ? check_fingerprint(past, spec, err) : 0;
}

/* A new start of the program resumes it. One that was sent before, to a daemon that
 * died while the job was live, may be of the next epoch.
 */
static bool
takes_over(const struct job *past, const struct job_spec *spec)
{
    return spec->resume && !spec->id && !is_same_attempt(past, spec) &&
           !(spec->again && past->was_live);
}

static bool
is_known(const struct job *past, const struct job_spec *spec)
{
    return past && past->id == spec->id && job_is_unfinished(past);
}

/* There is no live job: one goes on that is unfinished, or one is made. */
static int
begin(struct jobs *jobs, struct job_spec *spec, struct seat *seat, struct job **ret_job,
      struct lighter_error *err)
{
    struct job *past = jobs_find_past(jobs, spec->name, spec->stage);
    int r = 0;

    if (spec->id && !is_known(past, spec) && is_training(spec))
        spec->id = 0; /* nothing was written that could be missed */
    if (spec->id && !is_known(past, spec))
        return lighter_fail(err, LIGHTER_E_STATE,
                            "job '%s' is not known here: it was discarded or begun "
                            "anew, or this daemon has another state directory",
                            spec->name);
    if (past && job_is_unfinished(past))
        r = check_past(past, spec, err);
    if (r < 0)
        return r;
    if (!goes_on(jobs, past, spec)) {
        uint32_t n_files = job_files(spec->n_writers) + rank_files(spec->n_writers);

        r = check_files(jobs, spec, seat, n_files, err);
        seat->n_files = n_files; /* also while it waits: others may come behind it */
        return r < 0 ? r : jobs_create(jobs, spec, ret_job, err);
    }
    *ret_job = past;
    if (spec->rank_wait_ms >= 0)
        past->rank_wait_ms = spec->rank_wait_ms;
    past->tries_again = spec->resume && !spec->id;
    past->is_taken_over = takes_over(past, spec);
    memcpy(past->heir, spec->attempt, sizeof past->heir);
    return job_revive(past, false, err);
}

/* This epoch will never end. */
static void
give_up(struct job *job)
{
    job_doom(job, JOB_INTERRUPTED, "not all of its ranks came");
    job_finish(job);
}

/* A killed process whose child still holds the socket keeps no rank. */
static void
free_seat_of_dead(struct job *job, const struct job_spec *spec, const struct peer *peer)
{
    const struct rank *rank = job->state == JOB_OPEN ? job_rank(job, spec->rank) : NULL;

    if (rank && rank->seat && rank->peer != peer && peer_is_gone(rank->peer))
        peer_evict(rank->peer);
}

static int
take_seat(struct jobs *jobs, struct job_spec *spec, struct seat *seat,
          struct reply *reply, struct lighter_error *err)
{
    struct job *job = jobs_find_live(jobs, spec->name, spec->stage);
    int r;

    if (!job)
        job = jobs_find_forgotten(jobs, spec->name, spec->stage);
    if (job)
        free_seat_of_dead(job, spec, reply->peer);
    r = job ? admit(job, spec, reply->peer, err) : 0;
    if (r == ADMIT_ANEW && job)
        give_up(job);
    if (!job) {
        r = begin(jobs, spec, seat, &job, err);
        r = r < 0 ? r : ADMIT_LATER;
    }
    if (r < 0)
        return r;
    seat->rank = spec->rank;
    if (!seat->n_files)
        seat->n_files = rank_files(job->n_outputs);
    return r == ADMIT_NOW ? admit_now(job, spec, seat, reply, err)
                          : job_park(job, spec, seat, reply, err);
}

int
jobs_open(struct jobs *jobs, struct job_spec *spec, struct seat *seat,
          struct reply *reply, struct lighter_error *err)
{
    const struct job *published = NULL;
    int r = 0;

    if (spec->id)
        published = jobs_find_published(jobs, spec->name, spec->stage, spec->id);
    if (published) /* and the client did not hear of it */
        job_answer_open(published, NULL, seat->handle, reply);
    else
        r = take_seat(jobs, spec, seat, reply, err);
    job_spec_done(spec);
    return r;
}
