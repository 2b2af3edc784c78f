/* past.h - what an earlier process has written, and whether this one gives the same.
 *
 * In: batches that are passed over, since the daemon has them. Out: nothing, or an
 * error that says which batch is another one, before anything is written: a resumed run
 * with other batches, or another order, would double some samples and lose others. It
 * goes by the daemon's journal (doc/protocol.md, "past"), a page of it at a time. A job
 * owns it.
 */
#ifndef CLIENT_PAST_H
#define CLIENT_PAST_H

#include "wire/message.h"

/* Batches that differ in nothing but their batch_idx, which grows by 1. */
struct past_run {
    int64_t first, count; /* seqs */
    int64_t batch_idx, dataloader_idx, n_samples;
    bool is_known; /* else nothing is recorded of them */
};

struct past {
    int64_t n_committed;       /* batches of this rank that the daemon is done with */
    int64_t n_passed;          /* of them, that have come again */
    struct past_run run;       /* that n_passed is in */
    struct message page;       /* owned: what `runs` points into */
    msgpack_object_array runs; /* behind `run` */
    int64_t next; /* seq of the first batch behind them; 0: there is none */
};

void past_begin(struct past *past, int64_t n_committed);
void past_done(struct past *past);

/* May the batch behind those that are there be written? Of a job that is not told of
 * what it passes over, any. Return: 0; -EBUSY.
 */
int past_check_write(const struct past *past, struct lighter_error *err);

/* May `rank` end? Return: 0; -EBUSY. */
int past_check_end(const struct past *past, uint32_t rank, struct lighter_error *err);

#endif
