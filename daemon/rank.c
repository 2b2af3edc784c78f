/* rank.c - what there is to say of one rank: how far it is, what waits, what failed.
 *
 * In: its streams, or what is left of them. Out: numbers for answers and reports. Loop
 * thread; nothing is changed.
 */
#include "daemon/job.h"

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
        waiting = (struct waiting){.batches = stream->n_waiting,
                                   .bytes = stream->bytes_waiting,
                                   .since = STAILQ_FIRST(&stream->tasks)->came_at};
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
        if (past->n_refused > *ret_n_refused)
            *ret_n_refused = past->n_refused;
        if (!last || past->refusals[past->n_refusals - 1].last > last->last)
            last = &past->refusals[past->n_refusals - 1];
    }
    return last ? &last->error : NULL;
}
