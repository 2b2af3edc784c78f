/* parked.c - opens that wait with a job until it is open, or over; then admission.c
 * looks at them again.
 *
 * In: what a rank brings, its seat and the answer that it is owed. Out: the same, to
 * jobs_open(), in the order in which they came; or an error; or nothing, where who
 * waited has gone. Loop thread.
 */
#include "daemon/job_internal.h"
#include "daemon/waits.h"
#include "util/error.h"

/* A rank that wants its seat, and must wait for the job to be ready or over. */
struct parked_open {
    STAILQ_ENTRY(parked_open) link;
    struct job_spec spec;
    struct seat *seat;
    struct reply reply;
};

static void
parked_free(struct parked_open *parked)
{
    job_spec_done(&parked->spec);
    reply_done(&parked->reply);
    free(parked);
}

int
job_park(struct job *job, struct job_spec *spec, struct seat *seat, struct reply *reply,
         struct lighter_error *err)
{
    struct parked_open *parked = calloc(1, sizeof *parked);

    if (!parked)
        return fail_nomem(err);
    parked->spec = *spec; /* moved */
    *spec = (struct job_spec){0};
    parked->seat = seat;
    seat->parked_at = uv_now(job->jobs->loop);
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

/* ---- looked at again ---- */

void
parked_each(struct job *job,
            void (*visit)(void *data, struct seat *seat, struct peer *peer), void *data)
{
    struct parked_open *parked;

    STAILQ_FOREACH (parked, &job->parked, link)
        visit(data, parked->seat, parked->reply.peer);
}

static void
admit_parked(struct jobs *jobs, struct parked_open *parked)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    parked->seat->job = NULL;
    if (jobs_open(jobs, &parked->spec, parked->seat, &parked->reply, &err) < 0) {
        seat_wait_over(parked->seat, parked->reply.peer);
        reply_error(&parked->reply, &err, NULL);
    }
    parked_free(parked);
}

static void
refuse_parked(const struct job *job, struct parked_open *parked)
{
    parked->seat->job = NULL;
    seat_wait_over(parked->seat, parked->reply.peer);
    reply_error(&parked->reply, &job->error, NULL);
    parked_free(parked);
}

static size_t
count_parked(const struct job *job)
{
    const struct parked_open *parked;
    size_t n = 0;

    STAILQ_FOREACH (parked, &job->parked, link)
        n++;
    return n;
}

/* Those that waited are looked at again, in order; some may have to wait once more. Who
 * came to resume a job that only had to be published hears that it could not be. Those
 * that are still to be looked at are there meanwhile: nobody takes the job for left.
 */
void
parked_admit_all(struct job *job)
{
    struct parked_open *parked;
    size_t n = count_parked(job);

    for (; n && (parked = STAILQ_FIRST(&job->parked)); n--) {
        STAILQ_REMOVE_HEAD(&job->parked, link);
        if (job->state == JOB_FAILED && job_is_whole(job) && parked->spec.resume)
            refuse_parked(job, parked);
        else
            admit_parked(job->jobs, parked);
    }
}

void
parked_admit_resuming(struct job *job)
{
    STAILQ_HEAD(, parked_open) waiting = STAILQ_HEAD_INITIALIZER(waiting);
    struct parked_open *parked;

    STAILQ_CONCAT(&waiting, &job->parked);
    while ((parked = STAILQ_FIRST(&waiting))) {
        STAILQ_REMOVE_HEAD(&waiting, link);
        if (parked->spec.resume)
            admit_parked(job->jobs, parked);
        else
            STAILQ_INSERT_TAIL(&job->parked, parked, link);
    }
}

/* Who comes for the first time may begin anew. */
void
parked_refuse_returning(struct job *job)
{
    struct parked_open *parked;
    size_t n = count_parked(job);

    for (; n && (parked = STAILQ_FIRST(&job->parked)); n--) {
        STAILQ_REMOVE_HEAD(&job->parked, link);
        if (parked->spec.resume || parked->spec.again)
            refuse_parked(job, parked);
        else
            STAILQ_INSERT_TAIL(&job->parked, parked, link);
    }
}

void
parked_refuse_all(struct job *job)
{
    struct parked_open *parked;

    while ((parked = STAILQ_FIRST(&job->parked))) {
        STAILQ_REMOVE_HEAD(&job->parked, link);
        refuse_parked(job, parked);
    }
}

void
parked_drop_all(struct job *job)
{
    struct parked_open *parked;

    while ((parked = STAILQ_FIRST(&job->parked))) {
        STAILQ_REMOVE_HEAD(&job->parked, link);
        parked_free(parked);
    }
}
