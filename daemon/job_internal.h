/* job_internal.h - what the files of the room "job" have of one another: one section
 * for each. What other rooms may call is in job.h.
 *
 * Loop thread, where nothing else is said.
 */
#ifndef DAEMON_JOB_INTERNAL_H
#define DAEMON_JOB_INTERNAL_H

#include "daemon/job.h"

/* ---- jobs.c ---- */

/* The table takes a job that is in no list, among the live ones, or, where it is over
 * and released, the past ones: of those that are finished the oldest is forgotten when
 * there are too many.
 */
void jobs_add_live(struct job *job);
void jobs_add_past(struct job *job);

/* ... and gives it back: the caller owns it, or adds it to the other list. */
void jobs_take_live(struct job *job);
void jobs_take_past(struct job *job);

/* One was taken from the live ones, and all that follows is done: was it the last? */
void jobs_check_idle(struct jobs *jobs);

/* The newest live one; one whose journal is just being removed. `stage`: NULL: any. */
struct job *jobs_find_live(struct jobs *jobs, const char *name, const char *stage);
struct job *jobs_find_forgotten(struct jobs *jobs, const char *name, const char *stage);

/* The past one that the journal of that name is about: there is one at most. */
struct job *jobs_find_past(struct jobs *jobs, const char *name, const char *stage);

/* The one with this id, where it was published; or the one that came after it. */
const struct job *jobs_find_published(const struct jobs *jobs, const char *name,
                                      const char *stage, uint64_t id);

/* ---- rank.c ---- */

/* NULL: it has never come. */
struct rank *job_rank(const struct job *job, uint32_t number);

/* The same, and now it has come: it stays until the job is released. `number` is below
 * world_size. Return: 0; -ENOMEM.
 */
int job_add_rank(struct job *job, uint32_t number, struct rank **ret_rank,
                 struct lighter_error *err);

/* ---- job.c ---- */

/* In no list yet. What the spec has moves to it. NULL: -ENOMEM. */
struct job *job_new(struct jobs *jobs, struct job_spec *spec,
                    struct lighter_error *err);

/* Ranks that have not ended, for people: "1, 3-5"; owned. NULL: all have. */
char *job_tell_missing(const struct job *job);

/* What only a live job needs. Its ranks, anew: Return: 0; -ENOMEM. */
void job_release(struct job *job);
int job_make_ranks(struct job *job, struct lighter_error *err);

void job_free(struct job *job); /* in no list */

/* `run` on a worker, then `after` on the loop, with the job as work->data. One at a
 * time: the job has one work.
 */
void job_submit(struct job *job, uv_work_cb run, uv_after_work_cb after);

/* `stage`: NULL: any. */
bool job_is_called(const struct job *job, const char *name, const char *stage);

/* Has every rank ended, so that nothing more comes? Also on the job's worker. */
bool job_is_whole(const struct job *job);

/* Files that may be open at a time: for a job of so many writers, its journal, and of
 * each output three, and one more while it is synced; for one of its ranks a shard of
 * each, twice while it is synced. They are counted until the job is over.
 */
uint32_t job_files(uint32_t n_writers);
uint32_t rank_files(uint32_t n_writers);
void job_count_files(struct job *job, uint32_t n_files);

/* What an output's staging directory is called, where nothing has that name. */
void job_staging_name(const struct job *job, uint32_t index,
                      char ret_name[PATH_LEAF_SIZE]);

/* What its outputs have, from what its ranks have done before. */
void job_count_outputs(struct job *job);

/* A task of it that its disk does not let go, or NULL. *ret_output: whose disk that is,
 * as far as it is known: the first's where it is all outputs'.
 */
const struct pool_task *job_stuck_task(const struct job *job,
                                       const struct job_output **ret_output);

/* ---- durable.c ---- */

/* The sync in progress, or NULL. */
const struct pool_task *job_sync_task(const struct job *job);

/* ---- job_begin.c ---- */

/* Begin a job of this spec's writers and policies, which move to it.
 * Return: 0; -EDQUOT, -EBUSY, -EINVAL; -ENOMEM.
 */
int jobs_create(struct jobs *jobs, struct job_spec *spec, struct job **ret_job,
                struct lighter_error *err);

/* A past job that has a journal goes on, or only to its end.
 * Return: 0; -EDQUOT, -EBUSY; -ENOMEM.
 */
int job_revive(struct job *job, bool finalizing, struct lighter_error *err);

/* ---- job_over.c ---- */

/* From now on the job cannot be published, unless its lost ranks come back. Only the
 * first reason is kept.
 */
__attribute__((format(printf, 3, 4))) void
job_doom(struct job *job, enum job_state state, const char *format, ...);

/* Something changed: is the job complete, or over? It may be freed afterwards. */
void job_settle(struct job *job);

/* No rank is connected any more: publish, where it is not doomed, and then it is over.
 */
void job_finish(struct job *job);

/* It is over in this state, and nothing of it is on a worker: who waits is answered,
 * and it is among the past ones.
 */
void job_over(struct job *job, enum job_state state);

/* Remove all that an unfinished job has left; one that is open has no rank connected.
 * Its requester is answered.
 */
void job_discard(struct job *job);

/* ---- rank_streams.c ---- */

/* Takes the reply, on success: answered when the streams are open.
 * Return: 0; -EBUSY where batches are missing that the client was told of; -ENOMEM.
 */
int rank_open(struct rank *rank, const struct job_spec *spec, struct seat *seat,
              struct reply *reply, struct lighter_error *err);

/* An open rank has no more batches, and is `after` when those in hand are written: then
 * the reply that it is owed is answered.
 */
void rank_close(struct rank *rank, enum rank_state after);

/* Its process has gone: no batch of its waits for space any more. */
void rank_hurry(struct rank *rank);

void rank_free_streams(struct rank *rank);
void rank_forget_past(struct rank *rank); /* also on the job's worker */

/* ---- job_answers.c ---- */

/* `rank`: NULL: the job is over and was published, or was the one after that. */
void job_answer_open(const struct job *job, const struct rank *rank, int64_t handle,
                     struct reply *reply);

/* The last word to one rank, where it is owed one: its seat is detached. That it has
 * ended: now, or when the job is over; that it is lost, which it has asked for.
 */
void rank_answer_error(struct rank *rank, const struct lighter_error *error);
void rank_answer_ended(struct rank *rank);
void rank_answer_lost(struct rank *rank);

/* A client of it may not have heard how it was over, and come to ask. */
void job_is_unheard(struct job *job);

/* Likewise to ranks that have ended and wait, or to all. */
void job_answer_waiting(struct job *job, const struct lighter_error *error);
void job_answer_published(struct job *job);

/* ---- seat.c ---- */

/* *ret_rank: the open rank that sits there. Return: 0; -EBUSY. */
int seat_rank(const struct seat *seat, struct rank **ret_rank,
              struct lighter_error *err);

/* The same, or one that has ended and is attached. */
int seat_any_rank(const struct seat *seat, struct rank **ret_rank,
                  struct lighter_error *err);

/* ---- watch.c ---- */

/* Called by the timer jobs->tick, whose data are the jobs. */
void jobs_watch(uv_timer_t *timer);

/* ---- parked.c ---- */

/* Takes the spec and the reply, on success. The seat is of that job, and nobody sits
 * there yet. Return: 0; -ENOMEM.
 */
int job_park(struct job *job, struct job_spec *spec, struct seat *seat,
             struct reply *reply, struct lighter_error *err);

/* Each open that is parked with the job. */
void parked_each(struct job *job,
                 void (*visit)(void *data, struct seat *seat, struct peer *peer),
                 void *data);

/* Forget the open that is parked for this seat. Return: was there one? */
bool jobs_unpark(struct job *job, const struct seat *seat);

/* Opens that are parked with the job are looked at again, all or those that resume it;
 * answered with its error, all or those that resume it or were sent before; or
 * forgotten.
 */
void parked_admit_all(struct job *job);
void parked_admit_resuming(struct job *job);
void parked_refuse_all(struct job *job);
void parked_refuse_returning(struct job *job);
void parked_drop_all(struct job *job);

#endif
