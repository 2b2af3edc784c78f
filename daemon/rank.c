/* rank.c - the ranks of a job that have come; and what there is to say of one: how far
 * it is, what waits, what failed.
 *
 * In: a job; the streams of a rank, or what is left of them. Out: the rank; numbers for
 * answers and reports. Loop thread, or the worker that recovers the job.
 */
#include "daemon/job_internal.h"
#include "util/error.h"

/* Where the rank of that number is, or belongs. */
static uint32_t
place_of(const struct job *job, uint32_t number)
{
    uint32_t low = 0, high = job->n_ranks;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (job->ranks[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct rank *
job_rank(const struct job *job, uint32_t number)
{
    uint32_t place = place_of(job, number);

    return place < job->n_ranks && job->ranks[place]->number == number
               ? job->ranks[place]
               : NULL;
}

static int
make_room(struct job *job, struct lighter_error *err)
{
    uint32_t room = 2 * job->ranks_room + 1;
    struct rank **ranks;

    if (job->n_ranks < job->ranks_room)
        return 0;
    ranks = reallocarray(job->ranks, room, sizeof *ranks);
    if (!ranks)
        return fail_nomem(err);
    job->ranks = ranks;
    job->ranks_room = room;
    return 0;
}

int
job_add_rank(struct job *job, uint32_t number, struct rank **ret_rank,
             struct lighter_error *err)
{
    uint32_t place = place_of(job, number);
    struct rank *rank;

    *ret_rank = job_rank(job, number);
    if (*ret_rank)
        return 0;
    rank = make_room(job, err) < 0 ? NULL : calloc(1, sizeof *rank);
    if (!rank)
        return fail_nomem(err);
    *rank = (struct rank){.job = job, .number = number};
    memmove(&job->ranks[place + 1], &job->ranks[place],
            (job->n_ranks++ - place) * sizeof *job->ranks);
    job->ranks[place] = *ret_rank = rank;
    return 0;
}

static uint64_t
seq_of(const struct rank *rank, uint32_t output)
{
    return rank->streams ? rank->streams[output].seq
           : rank->past  ? rank->past[output].seq
                         : 0;
}

uint64_t
rank_committed(const struct rank *rank)
{
    uint64_t seq = UINT64_MAX;

    for (uint32_t i = 0; i < rank->job->n_outputs; i++)
        if (seq_of(rank, i) < seq)
            seq = seq_of(rank, i);
    return seq == UINT64_MAX ? 0 : seq;
}

uint64_t
rank_samples(const struct rank *rank)
{
    if (!rank->job->n_outputs)
        return 0;
    return rank->streams ? rank->streams[0].n_samples
           : rank->past  ? rank->past[0].n_samples
                         : 0;
}

struct waiting
rank_waiting(const struct rank *rank)
{
    struct waiting waiting = {0};

    for (uint32_t i = 0; rank->streams && i < rank->job->n_outputs; i++) {
        const struct stream *stream = &rank->streams[i];

        if (stream->n_waiting <= waiting.batches)
            continue;
        waiting =
            (struct waiting){.batches = stream->n_waiting,
                             .bytes = stream->bytes_waiting,
                             .since = STAILQ_FIRST(&stream->tasks)->batch->came_at};
    }
    return waiting;
}

const struct lighter_error *
rank_last_error(const struct rank *rank, uint64_t *ret_n_refused)
{
    const struct refusal *last = NULL;

    *ret_n_refused = 0;
    for (uint32_t i = 0; i < rank->job->n_outputs; i++) {
        const struct stream_past *past = rank->streams ? &rank->streams[i].past
                                         : rank->past  ? &rank->past[i]
                                                       : NULL;

        if (!past || !past->n_refusals)
            continue;
        *ret_n_refused += past->n_refused;
        if (!last || past->refusals[past->n_refusals - 1].last > last->last)
            last = &past->refusals[past->n_refusals - 1];
    }
    return last ? &last->error : NULL;
}
