/* verify.h - have the shards the bytes that the journal says were written to them?
 *
 * In: a job whose journal is open, and its shards, open or not. Out: the first batch
 * whose rows have another checksum than its record (JOURNAL_ROWS). What 0.1.0 wrote has
 * no checksums, and passes. Reads all of the shards, of which most is in memory still;
 * holds one descriptor and a little memory for each shard. Runs on a worker while
 * nothing else of the job runs.
 */
#ifndef DAEMON_VERIFY_H
#define DAEMON_VERIFY_H

#include "daemon/job.h"

/* Return: 0; -ESTALE: `err` names shard, rank and batch; -ENOENT, -ENODATA where a
 * shard has lost bytes; -errno.
 */
int verify_shards(struct job *job, struct lighter_error *err);

#endif
