/* stream.h - one rank's way into one writer: its batches, in order, through the pool.
 *
 * In: batches, on the loop thread. Out: bytes in the rank's shard or in staged files,
 * then batch_done(). At most one batch of a stream is worked on at a time; a writer
 * that may (LIGHTER_THREADS_SAMPLES) gets its samples split over several workers. All
 * functions and callbacks are called on the loop thread; the plugin runs on workers.
 */
#ifndef DAEMON_STREAM_H
#define DAEMON_STREAM_H

#include "daemon/batch.h"
#include "daemon/output.h"
#include "daemon/table.h"
#include "daemon/writer.h"

#include <sys/queue.h>
#include <uv.h>

/* One worker's part of the batch in hand. */
struct stream_part {
    uv_work_t work;
    struct stream *stream;
    uint64_t first, count; /* samples */
    struct lighter_output output;
    struct lighter_error error;
    int result;
};

struct stream_task {
    STAILQ_ENTRY(stream_task) link;
    struct batch *batch; /* a share */
};

/* What a stream is made of; borrowed for its life. */
struct stream_setup {
    uv_loop_t *loop;
    const struct writer *writer;
    struct table *table; /* where the writer makes a table, else NULL */
    struct files *files; /* where it makes files, else NULL */
    uint32_t rank, world_size;
    unsigned max_parts; /* workers that one batch may use, 1 or more */

    void *data; /* the first argument of the callbacks */
    /* `error` is lent; r < 0: the stream is closed already */
    void (*on_open)(void *data, int r, const struct lighter_error *error);
    void (*on_written)(void *data, const struct stream *stream, uint64_t n_samples,
                       uint64_t n_bytes);
    void (*on_closed)(void *data);
};

struct stream {
    struct stream_setup setup;
    void *state;                      /* the plugin's */
    struct shard shard;               /* tables; open until stream_done() */
    uint64_t n_samples;               /* written */
    STAILQ_HEAD(, stream_task) tasks; /* waiting; the first is in hand while busy */
    bool opened, busy, closing;
    struct stream_part *parts;   /* max_parts of them; [0] does all that is not split */
    unsigned n_parts, n_running; /* of the batch in hand */
    uint64_t batch_samples;      /* of the batch in hand */
};

/* Begin to open: on_open() follows. Return: 0; -ENOMEM, and then nothing follows. */
int stream_open(struct stream *stream, const struct stream_setup *setup,
                struct lighter_error *err);

/* Takes a share of the batch: batch_done() follows, once. Return: 0; -ENOMEM, and the
 * share is still the caller's.
 */
int stream_push(struct stream *stream, struct batch *batch, struct lighter_error *err);

/* No more batches: on_closed() follows when those that wait are written. Not before
 * on_open() came.
 */
void stream_close(struct stream *stream);

/* After on_closed(), or on_open() that failed: free what it holds, its shard too. */
void stream_done(struct stream *stream);

#endif
