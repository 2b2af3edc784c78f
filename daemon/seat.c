/* seat.c - what a session asks for the rank that it has a seat for: write, flush, end,
 * abort. training.c has the steps.
 *
 * In: requests, and that the session is over. Out: batches in the rank's streams; a
 * rank that closes. Loop thread.
 */
#include "daemon/durable.h"
#include "daemon/job_internal.h"
#include "util/error.h"
#include "wire/params.h"

#include <inttypes.h>

#define BLOCKED_MAX_MS ((int64_t)1 << 40) /* 34 years: sums stay far from their end */

/* NULL: nobody sits there. So it is while the open waits; the job may have been
 * released then, or have fewer ranks than this one thinks.
 */
static struct rank *
rank_at(const struct seat *seat)
{
    struct rank *rank = seat->job ? job_rank(seat->job, seat->rank) : NULL;

    return rank && rank->seat == seat ? rank : NULL;
}

int
seat_rank(const struct seat *seat, struct rank **ret_rank, struct lighter_error *err)
{
    struct rank *rank = rank_at(seat);

    if (!seat->job)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "the job of handle %" PRId64 " is over", seat->handle);
    if (!rank || rank->state != RANK_OPEN)
        return lighter_fail(err, LIGHTER_E_STATE, "rank %u of job '%s' is not open",
                            seat->rank, seat->job->name);
    *ret_rank = rank;
    return 0;
}

int
seat_told(struct seat *seat, const msgpack_object *params, struct lighter_error *err)
{
    struct rank *rank = rank_at(seat);
    int64_t blocked_ms;
    int r = params_int(params, "blocked_ms", 0, BLOCKED_MAX_MS, &blocked_ms, err);
    uint64_t more_ms;

    if (r != 0 || !rank)
        return r < 0 ? r : 0;
    if ((uint64_t)blocked_ms <= rank->told_ms)
        return 0;
    more_ms = (uint64_t)blocked_ms - rank->told_ms;
    rank->told_ms += more_ms;
    rank->blocked_ms += more_ms;
    rank->job->blocked_ms += more_ms;
    rank->job->jobs->blocked_ms += more_ms;
    return 0;
}

/* ---- batches ---- */

static int
next_seq(struct rank *rank, const msgpack_object *params, struct lighter_error *err)
{
    int64_t seq;
    int r =
        params_required(params_int(params, "seq", 1, INT64_MAX, &seq, err), "seq", err);

    if (r < 0)
        return r;
    if ((uint64_t)seq != rank->seq + 1)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'seq' expects %" PRIu64 " next, got %" PRId64,
                            rank->seq + 1, seq);
    rank->seq++;
    return 0;
}

int
seat_write(struct seat *seat, struct message *message, struct memory *memory,
           struct reply *reply, struct lighter_error *err)
{
    struct batch *batch;
    struct rank *rank;
    int r = seat_rank(seat, &rank, err);

    if (r == 0 && !rank->job->n_outputs)
        r = lighter_fail(err, LIGHTER_E_STATE, "job '%s' has no writers",
                         rank->job->name);
    if (r == 0)
        r = next_seq(rank, message->params, err);
    if (r < 0) {
        message_done(message);
        return r;
    }
    r = batch_new(&batch, message, memory, reply, rank->job->n_outputs,
                  err); /* takes message */
    if (r < 0)
        return r;
    streams_push(rank->streams, batch); /* takes */
    return 0;
}

/* ---- the end, for this rank ---- */

int
seat_any_rank(const struct seat *seat, struct rank **ret_rank,
              struct lighter_error *err)
{
    struct rank *rank = rank_at(seat);

    if (!rank || !rank->attached)
        return seat_rank(seat, ret_rank, err);
    *ret_rank = rank;
    return 0;
}

int
seat_flush(struct seat *seat, struct reply *reply, struct lighter_error *err)
{
    struct rank *rank;
    int r = seat_any_rank(seat, &rank, err);

    return r < 0 ? r : job_flush(rank->job, reply, err);
}

/* job_settle() is to follow. */
static void
rank_let_go(struct rank *rank)
{
    rank->attached = false;
    rank->job->n_connected--;
}

static void
end_again(struct rank *rank)
{
    rank_let_go(rank);
    rank_answer_ended(rank);
    job_settle(rank->job);
}

/* Who resumes a rank, and ends before it has passed over all that is there, brings
 * other batches than its predecessor did.
 */
static int
check_last(const struct rank *rank, uint64_t last, struct lighter_error *err)
{
    uint64_t seq = rank->attached ? rank_committed(rank) : rank->seq;

    if (last == seq)
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "rank %u of job '%s' ends after %" PRIu64
                        " batches, and %" PRIu64
                        " are there: it was resumed with other batches than it was "
                        "begun with. Give the same, or begin anew",
                        rank->number, rank->job->name, last, seq);
}

int
seat_end(struct seat *seat, bool wait, int64_t last, struct reply *reply,
         struct lighter_error *err)
{
    struct rank *rank;
    int r = seat_any_rank(seat, &rank, err);

    if (r == 0 && last >= 0)
        r = check_last(rank, (uint64_t)last, err);
    if (r < 0)
        return r;
    rank->wait = wait;
    rank->reply = reply_take(reply);
    if (rank->attached)
        end_again(rank);
    else
        rank_close(rank, RANK_ENDED);
    return 0;
}

static void
abort_again(struct rank *rank)
{
    rank_let_go(rank);
    rank_answer_lost(rank); /* nothing has failed: it had ended */
    job_settle(rank->job);
}

int
seat_abort(struct seat *seat, const char *reason, struct reply *reply,
           struct lighter_error *err)
{
    struct rank *rank;
    int r = seat_any_rank(seat, &rank, err);

    if (r < 0)
        return r;
    job_doom(rank->job, JOB_ABORTED, "rank %u aborted%s%s", rank->number,
             *reason ? ": " : "", reason);
    rank->reply = reply_take(reply);
    rank_hurry(rank);
    if (rank->attached)
        abort_again(rank);
    else
        rank_close(rank, RANK_LOST);
    return 0;
}

void
seat_leave(struct seat *seat)
{
    struct job *job = seat->job;
    struct rank *rank;

    if (!job)
        return;
    seat->job = NULL;
    if (jobs_unpark(job, seat))
        return;
    rank = job_rank(job, seat->rank);
    rank->seat = NULL;
    if (rank->attached) {
        rank_let_go(rank);
        job_settle(job);
        return;
    }
    rank_hurry(rank);
    if (rank->state != RANK_OPEN)
        return; /* opening: rank_opened() sees it; else it has said its last word */
    job_doom(job, JOB_INTERRUPTED, "rank %u vanished without end or abort",
             rank->number);
    rank_close(rank, RANK_LOST);
}
