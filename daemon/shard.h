/* shard.h - what one rank has written of a table, beside it until that is published.
 *
 * In: the bytes of the rank's batches. Out: a file with a name of its own, which begins
 * with the table's header. A shard is its stream's; all functions run on workers, one
 * at a time for each shard.
 *
 * predictions.csv -> predictions.tmp_rank0.csv, predictions.tmp_rank1.csv, ...
 *
 * Whatever has such a name already is not ours: it stays, and the shard gets another
 * one. What is ours is known by its inode, which the journal has (JOURNAL_STAGED).
 */
#ifndef DAEMON_SHARD_H
#define DAEMON_SHARD_H

#include "daemon/own.h"
#include "daemon/path.h"
#include "daemon/sink.h"

#include <stdbool.h>
#include <stdint.h>

struct table;

/* A shard as the journal knows it. */
struct shard_mark {
    struct own_id id; /* all zero: it is by 0.1.0, which did not say */
    char name[PATH_LEAF_SIZE];
};

struct shard {
    int fd;        /* -1: not open */
    bool given_up; /* its end is not known any more */
    bool beside;   /* something has the name that it should have */
    struct shard_mark mark;
    uint64_t size;        /* bytes of committed batches, with the header */
    uint64_t header_size; /* bytes that stand once in the joined table */
    uint64_t early;       /* bytes that the disk was asked to take already */
};

/* The name that it has where nothing else has it. Return: 0; -ENAMETOOLONG. */
int shard_name(char ret_name[PATH_LEAF_SIZE], const struct table *table, uint32_t rank,
               struct lighter_error *err);

/* The longest that it may need. Return: 0; -ENAMETOOLONG. */
int shard_longest_name(char ret_name[PATH_LEAF_SIZE], const struct table *table,
                       uint32_t rank, struct lighter_error *err);

/* The mark of a rank's shard. `known`: what the journal says; NULL: one of 0.1.0 says
 * nothing. Return: 0; -ENAMETOOLONG.
 */
int shard_mark_of(struct shard_mark *ret_mark, const struct table *table, uint32_t rank,
                  const struct shard_mark *known, struct lighter_error *err);

/* Is this the name of a shard, of whatever table? */
bool shard_is_name(const char *name);

/* Make an empty one for this rank. What has its name already is left as it is, and it
 * gets another. Return: 0; -EBUSY where a live job, of whatever daemon, is writing what
 * has its name; -errno.
 */
int shard_create(struct shard *shard, const struct table *table, uint32_t rank,
                 struct lighter_error *err);

/* The same for the compressed table: table->packed and packed_fd. */
int shard_create_packed(struct table *table, struct lighter_error *err);

/* It begins with `header`. Return: 0; -errno. */
int shard_begin(struct shard *shard, struct lighter_sink *header,
                struct lighter_error *err);

/* The shard that an earlier daemon left, cut back to `size` bytes of committed batches.
 * Return: 0; -EBUSY, as above; -ESTALE: it is another file; -ENODATA where it has lost
 * some of them; -errno.
 */
int shard_reopen(struct shard *shard, const struct table *table,
                 const struct shard_mark *mark, uint64_t header_size, uint64_t size,
                 struct lighter_error *err);

/* Is what lies there the shard, and has it `size` bytes, or more?
 * Return: 0; -ENOENT; -ESTALE; -ENODATA; -errno.
 */
int shard_look(const struct table *table, const struct shard_mark *mark, uint64_t size,
               struct lighter_error *err);

/* Is the open shard as we have written it, to the byte, and still where it was?
 * Return: 0; -ENOENT; -ESTALE; -ENODATA; -EIO where it was given up; -errno.
 */
int shard_check(const struct shard *shard, const struct table *table,
                struct lighter_error *err);

void shard_close(struct shard *shard);

/* Bring a shard that nobody has open to the disk. Return: 0; -errno. */
int shard_sync(const struct table *table, const struct shard_mark *mark,
               struct lighter_error *err);

/* Append a batch. On failure the shard is as it was. Return: 0; -errno. */
int shard_append(struct shard *shard, struct lighter_sink *rows,
                 struct lighter_error *err);

/* Take the last `size` bytes back. */
void shard_undo(struct shard *shard, uint64_t size);

/* Whatever stands behind the committed bytes goes; the next append stands there. Where
 * this fails the shard is given up.
 */
void shard_cut(struct shard *shard);

/* Remove a shard, open or not. Return: 0, also where there is none, or another file;
 * -EBUSY where somebody writes it; -errno.
 */
int shard_remove(const struct table *table, const struct shard_mark *mark,
                 struct lighter_error *err);

#endif
