/* table.h - one table file, written as a shard a rank and joined at the end.
 *
 * In: the bytes of each rank's batches. Out: the file under its final name, whole, or
 * the one that was there before. The table is the job's, a shard its stream's; all
 * functions run on workers, one at a time for each shard.
 *
 * predictions.csv -> predictions.tmp_rank0.csv, predictions.tmp_rank1.csv, ...
 */
#ifndef DAEMON_TABLE_H
#define DAEMON_TABLE_H

#include "daemon/path.h"
#include "daemon/sink.h"

#include <stdbool.h>
#include <stdint.h>

struct table {
    const char *roots;         /* see path_make_below(); borrowed */
    int directory_fd;          /* -1 before table_prepare() */
    char name[PATH_LEAF_SIZE]; /* the final one, in that directory */
};

struct shard {
    int fd;        /* -1: not open */
    bool given_up; /* its end is not known any more */
    char name[PATH_LEAF_SIZE];
    uint64_t size;        /* bytes of committed batches, with the header */
    uint64_t header_size; /* bytes that stand once in the joined table */
    uint64_t early;       /* bytes that the disk was asked to take already */
};

void table_init(struct table *table);
void table_done(struct table *table);

/* Make the directory of `path` (absolute) and hold it. *ret_exists: a file is there.
 * Return: 0; -EISDIR where a directory has that name; -errno.
 */
int table_prepare(struct table *table, const char *path, bool *ret_exists,
                  struct lighter_error *err);

/* An empty shard of this rank that begins with `header`; an old one is replaced.
 * Return: 0; -EBUSY where another job, of whatever daemon, is writing it; -errno.
 */
int shard_open(struct shard *shard, const struct table *table, uint32_t rank,
               struct lighter_sink *header, struct lighter_error *err);
/* The shard that an earlier daemon left, cut back to `size` bytes of committed batches.
 * Return: 0; -EBUSY, as above; -ENODATA where it has lost some of them; -errno.
 */
int shard_reopen(struct shard *shard, const struct table *table, uint32_t rank,
                 uint64_t header_size, uint64_t size, struct lighter_error *err);
/* Has the shard `size` bytes? Return: 0; -ENODATA; -errno. */
int shard_check(const struct table *table, uint32_t rank, uint64_t size,
                struct lighter_error *err);
void shard_close(struct shard *shard);

/* Bring a shard that nobody has open to the disk. Return: 0; -errno. */
int shard_sync(const struct table *table, uint32_t rank, struct lighter_error *err);

/* The shard's name, of a shard that is not open. Return: 0; -ENAMETOOLONG. */
int shard_name(struct shard *shard, const struct table *table, uint32_t rank,
               struct lighter_error *err);

/* Append a batch. On failure the shard is as it was. Return: 0; -errno. */
int shard_append(struct shard *shard, struct lighter_sink *rows,
                 struct lighter_error *err);

/* Take the last `size` bytes back. */
void shard_undo(struct shard *shard, uint64_t size);

/* The first half of publishing: all other shards are appended onto the first, without
 * their headers. On failure it is as it was. Return: 0; -errno.
 */
int table_join(struct shard *const *shards, uint32_t n_shards,
               struct lighter_error *err);

/* ... and brings it to the disk. A failure is final. Return: 0; -errno. */
int table_sync(const struct table *table, const struct shard *first,
               struct lighter_error *err);

/* The second half: the first shard gets the final name, unless it has it already, the
 * directory is synced, the other shards are removed. They need not be open.
 * Return: 0; -errno, and the table may be visible but not durable.
 */
int table_publish(struct table *table, struct shard *const *shards, uint32_t n_shards,
                  struct lighter_error *err);

/* Remove a shard, open or not. Return: 0, also where there is none; -EBUSY where
 * somebody writes it; -errno.
 */
int shard_remove(const struct table *table, uint32_t rank, struct lighter_error *err);

#endif
