/* worker.h - what a worker does for a stream, with the batch in hand above all.
 *
 * In: a struct stream_part, as work for the pool. Out: bytes in the rank's shard or in
 * staged files, then a record in the job's journal, and how it ended in the stream's
 * first part. A writer plugin is called from here alone. Until the loop has the work
 * back the first of the stream's tasks, the plugin's state and the shard are the
 * worker's, and what it reads of the stream is not changed.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "daemon/stream.h"

/* Each is an uv_work_cb: work->data is the part. */

/* Make the plugin's state, and open the stream's shard where it has one. Result: 0;
 * -errno, and the state is freed.
 */
void worker_open(uv_work_t *work);

/* Check the batch in hand for all writers of the part's rank. Refused by one of them,
 * it is ended as by worker_drop(). Else there are n_parts to be written by each stream;
 * the only part of a lone stream is, as by worker_write(): that saves a way through the
 * pool.
 */
void worker_check(uv_work_t *work);

/* One part, all of them at once; stream->n_running counts down, and the last worker
 * ends the batch for its stream. Result, in the first part: 0: all of it is written and
 * recorded; -errno: the stream has nothing of it, and if stream->no_space it may be
 * written yet.
 */
void worker_write(uv_work_t *work);

/* A writer has refused the batch in hand, and no worker has it: that is recorded, once,
 * and what others have of it is taken back. If stream->no_space that has to wait.
 */
void worker_drop(uv_work_t *work);

/* Where the stream is ending that is recorded; the plugin's state is freed.
 * Result: 0; -errno: it could not be recorded.
 */
void worker_close(uv_work_t *work);

#endif
