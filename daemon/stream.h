/* stream.h - one rank's way into one writer: its batches, in order, through the pool.
 *
 * In: batches, on the loop thread. Out: bytes in the rank's shard or in staged files, a
 * record in the job's journal, then the batch's answer, in this order. The streams of a
 * rank go in step: each of them checks a batch before any of them writes it, and all
 * have written it before the next one is checked. So a batch that one writer refuses,
 * before or after, is kept by none: what others have of it is the last that they have.
 *
 * A writer that may (LIGHTER_THREADS_SAMPLES) gets its samples split over several
 * workers. All functions and callbacks are called on the loop thread; the plugin runs
 * on workers (worker.h).
 */
#ifndef DAEMON_STREAM_H
#define DAEMON_STREAM_H

#include "daemon/batch.h"
#include "daemon/journal.h"
#include "daemon/output.h"
#include "daemon/pool.h"
#include "daemon/storage.h"
#include "daemon/table.h"
#include "daemon/writer.h"

#include <stdatomic.h>
#include <sys/queue.h>
#include <uv.h>

/* Batches of which nothing was written, and why: kept by the stream whose writer
 * refused them.
 */
struct refusal {
    uint64_t first, last; /* seq */
    struct lighter_error error;
};

/* What a stream has of its last batch, as an earlier daemon wrote it. Another writer
 * may not have come so far, and refuse that batch yet.
 */
struct stream_last {
    uint64_t seq; /* 0: nothing is known */
    uint64_t n_samples, n_bytes;
    uint64_t recorded_at; /* where in the journal its record begins */
    char *names;          /* notes of its files; owned */
    size_t names_size;
};

/* What a stream has done before: under an earlier daemon, or before its client was gone
 * and came back.
 */
struct stream_past {
    bool has_shard, has_ended;
    uint64_t seq; /* of the last batch that it is done with */
    uint64_t n_samples, n_bytes;
    uint64_t n_dropped;   /* samples that have numbers, of batches that were refused
                             after all writers had found them good */
    uint64_t header_size; /* of its shard; n_bytes is the shard's size */
    struct stream_last last;
    struct shard_mark *shard; /* what was made for it; NULL: nothing, or 0.1.0 made it.
                                 Owned */
    struct refusal *refusals; /* by seq; owned */
    size_t n_refusals;
    uint64_t n_refused;   /* batches, in all of them */
    uint64_t crashed_seq; /* of the batch that the daemon died of last */
    unsigned n_crashes;   /* how often it did */
    uint64_t durable; /* seq: up to here no loss of power takes a batch back, said its
                         journal when it was read */
};

void stream_past_done(struct stream_past *past);

/* The batches `first` to `last` were refused. Return: 0; -ENOMEM. */
int stream_past_refuse(struct stream_past *past, uint64_t first, uint64_t last,
                       const struct lighter_error *error);

/* NULL: this writer has not refused it. */
const struct refusal *stream_past_refusal(const struct stream_past *past, uint64_t seq);

/* Is the batch the last that it has, and can be taken back? */
bool stream_past_ends_with(const struct stream_past *past, uint64_t seq);

/* It is taken back: the counts are as before. Its samples keep their numbers where
 * `numbers` of them have some.
 */
void stream_past_take_back(struct stream_past *past, uint64_t numbers);

/* One worker's part of the batch in hand. */
struct stream_part {
    struct pool_task task;
    struct stream *stream;
    uint64_t first, count;    /* samples */
    atomic_ullong entered_at; /* the plugin: uv_hrtime(), ns; 0: it is not there */
    struct lighter_output output;
    struct lighter_error error;
    int result;
};

/* What a stream is made of; borrowed for its life. */
struct stream_setup {
    uv_loop_t *loop;
    struct pool *pool;
    uint64_t disk; /* of the outputs (disk.h) */
    const struct writer *writer;
    struct table *table; /* where the writer makes a table, else NULL */
    struct files *files; /* where it makes files, else NULL */
    struct journal *journal;
    uint32_t index; /* of the writer in its job */
    uint32_t rank, world_size;
    unsigned max_parts;  /* workers that one batch may use, 1 or more */
    bool wait_for_space; /* a full disk makes a batch wait, not fail */

    void *data; /* the first argument of the callbacks */
    /* `error` is lent; r < 0: the stream is closed already */
    void (*on_open)(void *data, int r, const struct lighter_error *error);
    void (*on_written)(void *data, const struct stream *stream, uint64_t n_samples,
                       uint64_t n_bytes);
    /* by its writer; nor has any other written the batch */
    void (*on_refused)(void *data, const struct stream *stream,
                       const struct lighter_error *error);
    /* what it had written before, under an earlier daemon, another one refuses */
    void (*on_taken_back)(void *data, const struct stream *stream, uint64_t n_samples,
                          uint64_t n_bytes);
    /* after any of them: the batch was here for so long */
    void (*on_done)(void *data, uint64_t age_ms);
    /* the batch in hand waits for space on its disk: stream_retry() */
    void (*on_full)(void *data);
    /* r < 0: that no more batches come could not be recorded */
    void (*on_closed)(void *data, int r, const struct lighter_error *error);
};

/* A disk without space. */
struct stream_shortage {
    bool in_journal;            /* the journal's disk, not the outputs' */
    struct storage_space space; /* what is left there */
};

struct stream {
    struct stream_setup setup;
    void *state;                       /* the plugin's */
    struct shard shard;                /* tables; open until stream_done() */
    uint64_t seq;                      /* of the last batch that it is done with */
    uint64_t n_samples, n_bytes;       /* written */
    uint64_t n_dropped;                /* samples that have numbers all the same */
    struct stream_past past;           /* owned */
    STAILQ_HEAD(, batch_share) tasks;  /* waiting; the first is in hand while busy */
    uint64_t n_waiting, bytes_waiting; /* in `tasks` */
    bool opened, busy, closing;
    bool ending;                     /* ... because no more batches come */
    bool no_space;                   /* for the batch in hand, says its last worker */
    bool full;                       /* ... and so it waits for space */
    struct stream_shortage shortage; /* likewise: its last worker's */
    bool last_try;                   /* it does not wait any more */
    bool hurried;                    /* none does: who sent them has gone */
    bool spent;                      /* nor does the next one: one has waited in vain */
    uint64_t full_since;             /* likewise, while it is tried again too; 0: it has
                                      * not waited */
    struct stream_shortage full_of;  /* ... and for what: the loop's */
    struct lighter_error full_error;
    struct stream_part *parts; /* max_parts of them; [0] does all that is not split */
    unsigned n_parts;          /* of the batch in hand */
    atomic_uint n_running;     /* of them, as workers count */
    unsigned n_back;           /* of them, as the loop counts */
    char *last_names;          /* notes of the files of the last batch */
    size_t last_used, last_room;

    /* tables */
    struct XXH3_state_s *digest; /* of the batch in hand, as its rows come; owned */
    uint64_t batch_digest;       /* ... XXH3-64 of all of them */
};

/* Begin to open: on_open() follows. `past` is moved into the stream, also on failure;
 * all zero: it is new. Return: 0; -ENOMEM, and then nothing follows.
 */
int stream_open(struct stream *stream, const struct stream_setup *setup,
                struct stream_past *past, struct lighter_error *err);

/* Takes the batch: it is answered. `streams`: those of a rank, one for each share of
 * the batch. One that all of them have dealt with in their past is answered as it was
 * then.
 */
void streams_push(struct stream *streams, struct batch *batch);

/* Go on with the batch that waits for space. `last`: if there is still none, it has
 * failed.
 */
void stream_retry(struct stream *stream, bool last);

/* Whoever sent them has gone, and does not make room: from now on no batch waits for
 * space.
 */
void stream_hurry(struct stream *stream);

/* Is a worker in the plugin for longer than `limit_ms`? *ret_seq: with which batch; 0:
 * it opens.
 */
bool stream_hangs(const struct stream *stream, uint64_t limit_ms, uint64_t *ret_seq);

/* No more batches: on_closed() follows when those that wait are written. `ending`: not
 * now, nor later. Not before on_open() came.
 */
void stream_close(struct stream *stream, bool ending);

/* What it has done; of a stream that is closed. Moved out of it. */
struct stream_past stream_take_past(struct stream *stream);

/* After on_closed(), or on_open() that failed: free what it holds, its shard too. */
void stream_done(struct stream *stream);

#endif
