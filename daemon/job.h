/* job.h - one epoch of one stage under a name: its ranks, its writers, its end.
 *
 * In: what sessions ask for a rank. Out: streams that write, and at the end the
 * published outputs. All on the loop thread; disks are touched by workers.
 *
 *   preparing -> open -> publishing -> published
 *       ^          |         `------> failed       what was written stays, aside
 *       |          `-> interrupted | aborted       likewise: a rank vanished, gave up
 *       `-------- resume, finalize ------'
 *
 * A job is over in the last four states. It leaves jobs->live then, and stays among
 * jobs->past: as a line of history, or, where it is unfinished, with a journal from
 * which it can go on. discard ends it for good.
 */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include "daemon/claims.h"
#include "daemon/histogram.h"
#include "daemon/pace.h"
#include "daemon/settings.h"
#include "daemon/spec.h"
#include "daemon/state.h"
#include "daemon/stream.h"

#define JOBS_LIVE_MAX 4096
#define JOBS_PAST_MAX 100 /* of those that are finished */

/* Published, and a client has not heard of it: it is remembered for so long at least,
 * as long as there are not too many.
 */
#define JOBS_UNHEARD_MS 3600000
#define JOBS_UNHEARD_MAX 10000

enum job_state {
    JOB_PREPARING,
    JOB_OPEN,
    JOB_PUBLISHING,
    JOB_PUBLISHED,
    JOB_FAILED,
    JOB_INTERRUPTED,
    JOB_ABORTED,
};

/* Why a job does not go on (waits.h). */
enum wait_reason {
    WAIT_NOTHING,
    WAIT_RANKS, /* that have not come: all that are there have ended, or wait */
    WAIT_SPACE, /* on a disk that is full */
    WAIT_DISK,  /* that does not answer */
    WAIT_EPOCH, /* an `open`: until the job that is there is over */
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
    int64_t handle;     /* how the client calls it */
    uint32_t n_files;   /* that may be open because of it */
    uint32_t max_files; /* what its owner has left for it */

    uint64_t parked_at;    /* uv_now(), ms: since then its `open` waits */
    enum wait_reason told; /* its client was told that it waits for this */
    uint64_t told_at;      /* likewise, when last */
};

/* As it was seen last. */
struct job_wait {
    enum wait_reason reason;
    uint64_t since;     /* uv_now(), ms */
    uint64_t logged_at; /* likewise; 0: not yet */
};

struct rank {
    enum rank_state state;
    enum rank_state after_closing;
    struct job *job;
    uint32_t number;
    uint32_t n_files;         /* that may be open for it; 0 until it is admitted */
    struct seat *seat;        /* NULL: nobody sits here */
    struct peer *peer;        /* who opened it last; a reference */
    struct stream *streams;   /* one a writer; NULL unless opened */
    struct stream_past *past; /* one a writer, or NULL: it is new. Owned */
    uint32_t n_pending;       /* streams that are opening or closing */
    uint64_t seq;             /* the last batch handed over */
    uint64_t total;      /* batches that it will have, says its client; 0: unknown */
    uint64_t durable;    /* seq: up to here no loss of power takes a batch back */
    uint64_t syncing;    /* ... if the sync in progress succeeds */
    uint64_t blocked_ms; /* that its processes have waited for us, as they say */
    uint64_t told_ms;    /* ... the one that is there now */
    bool wait;           /* `end` is answered when published */
    bool attached;       /* it had ended, and came again: it will say so again */
    struct reply reply;  /* owed for `open`, `end` or `abort` */
    int stream_result;   /* the first failure among its streams */
    struct lighter_error stream_error;
};

/* A writer of the job and where its bytes go. */
struct job_output {
    struct writer writer;
    struct table table;
    struct files files;
    bool exists;   /* something was there before */
    uint64_t disk; /* on which it is (disk.h) */

    /* since the job began; they stay when it is over */
    uint64_t n_samples, n_bytes;
    uint64_t n_refused; /* batches, by this writer */
    struct lighter_error last_error;

    struct manifest committed; /* files: while they are compared with the disk */
    struct files_shown shown;  /* once it is published */
    char *warning;             /* for who opens the job, or NULL; owned */
};

struct parked_open;
struct job_ending;
struct training_note;

struct job {
    TAILQ_ENTRY(job) link;
    struct jobs *jobs;
    char name[JOB_NAME_MAX + 1];
    char stage[16];
    enum job_state state;
    enum job_state
        doom,      /* what it will end as for certain; JOB_OPEN: still undecided */
        rested_as; /* of one that goes on: what it had ended as */
    char attempt[JOB_ATTEMPT_SIZE]; /* the start of the program that has it */
    char heir[JOB_ATTEMPT_SIZE];    /* ... that takes it over, while it is prepared */
    char *fingerprint;              /* of its first `open`, or NULL; owned */
    uint32_t world_size, n_outputs;
    uint32_t n_files;           /* that may be open for it and its ranks */
    uint64_t disk;              /* of all its outputs; 0: of several */
    int64_t rank_wait_ms;       /* for ranks that do not come; -1: as it is set */
    uint32_t n_ended;           /* ranks */
    uint32_t n_connected;       /* ranks opening, open, closing or attached */
    uint32_t n_changing;        /* ranks opening or closing: they are owed an answer */
    uint32_t n_lost;            /* ranks that are, or are about to be */
    struct job_output *outputs; /* their text and targets stay when the job is over */
    struct rank **ranks;        /* that ever came, by number: memory follows them, for a
                                 * world_size is quickly said. Owned; NULL: it is released */
    uint32_t n_ranks, ranks_room;
    struct policies policies;
    struct training_note *note;              /* on its way into the journal, or NULL */
    STAILQ_HEAD(, training_wait) notes_wait; /* what came meanwhile */
    STAILQ_HEAD(, parked_open)
    parked;               /* opens that wait for the job to be ready, or over */
    char *warning;        /* for who opens it, or NULL; owned */
    struct job *replaced; /* an unfinished one of that name, to be removed; owned */

    uint64_t id;            /* the same in every daemon that has it */
    uint64_t unheard_until; /* uv_now(), ms: a client may come to ask; 0: none will */
    uint64_t published_before; /* id of the last of its name that was; 0: unknown */
    struct journal journal;    /* open while the job is live */
    struct frame asked;   /* the writers that its pipeline stands for, packed; owned */
    struct frame request; /* the `open` that made it, until the journal has it; owned */
    bool has_journal;     /* a file of the state directory is about it */
    uint64_t damaged_at; /* where its journal is no record, before others; 0: nowhere */
    bool is_unreadable;  /* its journal is: it can only be discarded */
    bool is_consented;   /* finalize: though the journal is damaged */
    struct job_ending *ending; /* that its journal tells of, or NULL; owned */
    char *missing;      /* of one that is over: ranks that had not ended, for people;
                                 owned; NULL: none */
    bool is_revived;    /* it goes on from its journal */
    bool was_live;      /* when its daemon ended: its ranks may be about to come */
    bool is_inherited;  /* it was once live when its daemon ended */
    bool is_awaited;    /* ... and nobody has come back to it yet */
    bool is_taken_over; /* the heir gets it, when it is prepared */
    bool finalizing;    /* publish what is there; nobody comes again */
    bool is_unsure;     /* a sync failed: what was not durable before may be lost */
    bool discarding;    /* remove what is there */
    bool tries_again;   /* new processes resume it: from its first refused batch on */
    bool is_complete;   /* its outputs are whole and are to be shown */
    bool is_published;  /* says its journal */
    struct reply requester; /* who asked for finalize or discard is owed an answer */
    struct job_sync *sync;  /* in progress, or NULL */
    STAILQ_HEAD(, job_flush) flushes;    /* answers owed when all of now is durable */
    uint64_t synced_at;                  /* uv_now(), ms */
    uint64_t synced_bytes;               /* n_bytes then */
    uint64_t unmarked_since;             /* there is no space to note it; 0: there is */
    struct storage_space unmarked_space; /* likewise */
    struct lighter_error unmarked_error; /* likewise */
    struct job_wait wait;
    uint64_t n_batches, n_samples, n_bytes;
    uint64_t blocked_ms; /* of all its ranks */
    struct pace pace;
    uint64_t opened_at;    /* uv_now(), ms */
    struct pool_task task; /* preparing and publishing */
    int work_result, finish_result;
    struct lighter_error work_error; /* the worker's, until it has come back */
    struct lighter_error error;      /* why it is failed, interrupted or aborted */
};

/* All jobs of the daemon. */
struct jobs {
    uv_loop_t *loop;
    const struct settings *settings;
    struct state *state;
    unsigned n_threads; /* of the pool */
    struct pool pool;
    uint64_t loaded_at; /* uv_now(), ms */
    bool stopping;      /* the daemon is: ranks that go now will come back */
    uv_timer_t tick;    /* once a second, while there are live jobs */
    TAILQ_HEAD(job_list, job) live, past;
    struct job_list forgotten; /* until their journals are removed */
    struct claims claims;      /* of the outputs of live jobs */
    uint32_t n_live, n_past;
    uint32_t n_files, max_files; /* that may be open for live jobs; max 0: no limit */
    uint64_t n_published, n_failed, n_batches, n_samples, n_bytes; /* since the start */
    uint64_t n_refused;    /* likewise; batches that no writer has */
    uint64_t blocked_ms;   /* likewise */
    struct histogram ages; /* of batches, when a writer was done with them */
    struct pace pace;
    void (*on_idle)(void *data); /* the last live job is over */
    void *data;
};

/* `settings` and `state` are borrowed. `n_threads`: of the pool. */
void jobs_init(struct jobs *jobs, uv_loop_t *loop, unsigned n_threads,
               const struct settings *settings, struct state *state);

/* Jobs that earlier daemons left in the state directory: those that only need to be
 * published are, the others wait. Before the loop runs. Return: 0; -errno.
 */
int jobs_load(struct jobs *jobs, const struct registry *registry,
              struct lighter_error *err);

/* Let go of the loop: no timer of ours keeps it any more. */
void jobs_stop(struct jobs *jobs);

/* After the loop has ended: frees every job, live ones as well. */
void jobs_done(struct jobs *jobs);

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

/* Answer when all that the rank's job has written is durable. Takes the reply, on
 * success. Return: 0; -EBUSY; -ENOMEM.
 */
int seat_flush(struct seat *seat, struct reply *reply, struct lighter_error *err);

/* The rank has no more batches; its last one was `last`, a seq, or it does not say: -1.
 * Takes the reply, on success. The seat is detached when the answer is given.
 * Return: 0; -EBUSY.
 */
int seat_end(struct seat *seat, bool wait, int64_t last, struct reply *reply,
             struct lighter_error *err);

/* What of the rank is committed, from `seq` on: read from the journal, on a worker.
 * Takes the reply, on success. Return: 0; -EBUSY; -ENOMEM, -EMFILE.
 */
int seat_past(struct seat *seat, uint64_t seq, struct reply *reply,
              struct lighter_error *err);

/* What a request of the rank says beside: how long its process has waited for us.
 * Return: 0; -EINVAL.
 */
int seat_told(struct seat *seat, const msgpack_object *params,
              struct lighter_error *err);

/* The rank gives up: what it handed over is written, nothing is published. */
int seat_abort(struct seat *seat, const char *reason, struct reply *reply,
               struct lighter_error *err);

/* A training step: what the job's policies decide. Takes the reply, on success. */
int seat_step(struct seat *seat, const struct lighter_step *step, struct reply *reply,
              struct lighter_error *err);

/* What people accept, who publish an unfinished job. */
struct consent {
    bool partial; /* ranks are missing, or have not ended */
    bool damaged; /* the journal ends before its time */
};

/* Publish what is committed of an unfinished job, or remove it. `stage` may be NULL
 * where the name is enough. Takes the reply, on success: the answer comes when it is
 * done. Return: 0; -EBUSY: there is no such job, ranks are connected to it, or it
 * needs more consent; else what job_revive() gives.
 */
int jobs_finalize(struct jobs *jobs, const char *name, const char *stage,
                  struct consent consent, struct reply *reply,
                  struct lighter_error *err);
int jobs_discard(struct jobs *jobs, const char *name, const char *stage,
                 struct reply *reply, struct lighter_error *err);

/* Somebody asks the live job `name` to freeze or to train what matches `patterns`; its
 * ranks are told to ask at their next step. Takes the reply, on success: the answer,
 * how many parameters match, comes when the journal has it. Return: 0; -EBUSY: there is
 * no such job with policies; -EINVAL: a pattern matches nothing, and nothing was
 * changed; -ENOMEM.
 */
int jobs_ask(struct jobs *jobs, const char *name,
             const struct lighter_strings *patterns, enum lighter_action action,
             struct reply *reply, struct lighter_error *err);

/* The session is over. Nothing where the seat is detached. */
void seat_leave(struct seat *seat);

/* Of all jobs, live ones first and late ones before early ones: `stage` NULL: any, `id`
 * 0: any. NULL: there is none.
 */
const struct job *jobs_find(const struct jobs *jobs, const char *name,
                            const char *stage, uint64_t id);

/* Of a job that is over: can it go on, be finalized or discarded? */
bool job_is_unfinished(const struct job *job);

/* The same in every daemon that has it. 0: it has none yet. */
uint64_t job_id(const struct job *job);

/* "open", "published", ... Static text. */
const char *job_state_name(const struct job *job);

/* What has been handed over and is not written yet, by the slowest of the writers. */
struct waiting {
    uint64_t batches, bytes;
    uint64_t since; /* uv_now(), ms: when the oldest came, where there is one */
};

struct waiting rank_waiting(const struct rank *rank);

/* The last batch that all its writers are done with: written, or refused. */
uint64_t rank_committed(const struct rank *rank);
uint64_t rank_samples(const struct rank *rank);

/* Why the last of its batches that were refused was, or NULL: lent until the loop
 * turns. *ret_n_refused: how many were.
 */
const struct lighter_error *rank_last_error(const struct rank *rank,
                                            uint64_t *ret_n_refused);

#endif
