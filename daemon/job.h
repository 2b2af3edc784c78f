/* job.h - one epoch of one stage under a name: its ranks, its writers, its end.
 *
 * In: what sessions ask for a rank. Out: streams that write, and at the end the
 * published outputs. All on the loop thread; disks are touched by workers.
 *
 *   preparing -> open -> publishing -> published
 *                  |         `------> failed       nothing was published, shards stay
 *                  `-> interrupted | aborted       likewise: a rank vanished, gave up
 *
 * A job is over in the last four states. It leaves jobs->live then, and stays among the
 * last JOBS_PAST_MAX for `lighterctl jobs`.
 */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include "daemon/policy.h"
#include "daemon/stream.h"

#define JOB_NAME_MAX 100 /* bytes */
#define JOBS_LIVE_MAX 4096
#define JOBS_PAST_MAX 100
#define JOB_WRITERS_MAX 64
#define JOB_WORLD_MAX 65536

enum job_state {
    JOB_PREPARING,
    JOB_OPEN,
    JOB_PUBLISHING,
    JOB_PUBLISHED,
    JOB_FAILED,
    JOB_INTERRUPTED,
    JOB_ABORTED,
};

enum rank_state {
    RANK_ABSENT,  /* never opened, or opening failed */
    RANK_OPENING, /* its streams are being made */
    RANK_OPEN,
    RANK_CLOSING, /* its last batches are being written */
    RANK_ENDED,
    RANK_LOST, /* vanished or aborted */
};

/* One rank's place in a job, held by a session; detached (job NULL) when the job is
 * over or the rank has left. The owner must call seat_leave() before it frees it.
 */
struct seat {
    struct job *job;
    uint32_t rank;
    int64_t handle; /* how the client calls it */
};

struct rank {
    enum rank_state state;
    enum rank_state after_closing;
    struct job *job;
    uint32_t number;
    struct seat *seat;      /* NULL: nobody sits here */
    struct peer *peer;      /* who opened it last; a reference */
    struct stream *streams; /* one a writer; NULL unless opened */
    uint32_t n_pending;     /* streams that are opening or closing */
    uint64_t seq;           /* the last batch handed over */
    bool wait;              /* `end` is answered when published */
    struct reply reply;     /* owed for `open`, `end` or `abort` */
    int open_result;        /* the first failure among its streams */
    struct lighter_error open_error;
};

/* A writer of the job and where its bytes go. */
struct job_output {
    struct writer writer;
    struct table table;
    struct files files;
    bool exists; /* something was there before */
};

/* What a rank brings to `open`; writers and policies move to the job that it creates.
 */
struct job_spec {
    char name[JOB_NAME_MAX + 1];
    char stage[16];
    uint32_t rank, world_size;
    struct writer *writers; /* owned */
    uint32_t n_writers;
    struct policies policies; /* owned */
    bool moved;               /* the job has them now */
};

struct parked_open;

struct job {
    TAILQ_ENTRY(job) link;
    struct jobs *jobs;
    char name[JOB_NAME_MAX + 1];
    char stage[16];
    enum job_state state;
    enum job_state
        doom; /* what it will end as for certain; JOB_OPEN: still undecided */
    uint32_t world_size, n_outputs;
    uint32_t n_ended;           /* ranks */
    uint32_t n_connected;       /* ranks opening, open or closing */
    uint32_t n_changing;        /* ranks opening or closing: they are owed an answer */
    struct job_output *outputs; /* their text and targets stay when the job is over */
    struct rank *ranks;
    struct policies policies;
    STAILQ_HEAD(, parked_open)
    parked;         /* opens that wait for the job to be ready, or over */
    char *replaced; /* a warning for who opens, or NULL */
    uint64_t n_batches, n_samples, n_bytes;
    uint64_t opened_at; /* uv_now(), ms */
    uv_work_t work;     /* preparing and publishing */
    int work_result;
    struct lighter_error work_error; /* the worker's, until it has come back */
    struct lighter_error error;      /* why it is failed, interrupted or aborted */
};

/* All jobs of the daemon. */
struct jobs {
    uv_loop_t *loop;
    unsigned n_threads; /* of the pool */
    TAILQ_HEAD(job_list, job) live, past;
    uint32_t n_live, n_past;
    uint64_t n_published, n_failed, n_batches, n_samples, n_bytes; /* since the start */
    void (*on_idle)(void *data); /* the last live job is over */
    void *data;
};

void jobs_init(struct jobs *jobs, uv_loop_t *loop, unsigned n_threads);

/* After the loop has ended: frees every job, live ones as well. */
void jobs_done(struct jobs *jobs);

void job_spec_done(struct job_spec *spec);

/* A rank wants its seat. Takes the spec, always, and the reply, on success: the answer
 * comes when the rank's streams are open. `seat` is the caller's; only handle is set.
 * Return: 0; -EBUSY, -EINVAL, -EDQUOT; -ENOMEM.
 */
int jobs_open(struct jobs *jobs, struct job_spec *spec, struct seat *seat,
              struct reply *reply, struct lighter_error *err);

/* Takes the message, always, and the reply, on success; borrows the memory. Return: 0;
 * -EBUSY where the seat is lost; what batch_new() gives.
 */
int seat_write(struct seat *seat, struct message *message, struct memory *memory,
               struct reply *reply, struct lighter_error *err);

/* The rank has no more batches. Takes the reply, on success. The seat is detached when
 * the answer is given. Return: 0; -EBUSY.
 */
int seat_end(struct seat *seat, bool wait, struct reply *reply,
             struct lighter_error *err);

/* The rank gives up: what it handed over is written, nothing is published. */
int seat_abort(struct seat *seat, const char *reason, struct reply *reply,
               struct lighter_error *err);

/* A training step: what the job's policies decide. Takes the reply, on success. */
int seat_step(struct seat *seat, const struct lighter_step *step, struct reply *reply,
              struct lighter_error *err);

/* Somebody asks the live job `name` to freeze or to train what matches `patterns`; its
 * ranks are told to ask at their next step. *ret_n_matched: parameters in all.
 * Return: 0; -EBUSY: there is no such job with policies; -EINVAL: a pattern matches
 *         nothing, and nothing was changed; -ENOMEM.
 */
int jobs_ask(struct jobs *jobs, const char *name,
             const struct lighter_strings *patterns, enum lighter_action action,
             size_t *ret_n_matched, struct lighter_error *err);

/* The session is over. Nothing where the seat is detached. */
void seat_leave(struct seat *seat);

/* "open", "published", ... Static text. */
const char *job_state_name(const struct job *job);

#endif
