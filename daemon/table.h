/* table.h - one table file, joined of its shards when all ranks have ended.
 *
 * In: shards. Out: the file under its final name, whole, or the one that was there
 * before. The table is the job's; all functions run on workers, one at a time.
 *
 * One whose name ends in .gz is compressed then: its shards are text.
 */
#ifndef DAEMON_TABLE_H
#define DAEMON_TABLE_H

#include "daemon/claims.h"
#include "daemon/shard.h"

struct table {
    const char *roots;       /* see path_make_below(); borrowed */
    uint64_t job;            /* its id: part of names that are not the usual ones */
    int directory_fd;        /* -1 before table_prepare() */
    struct own_id directory; /* which one that is, whatever its path */
    char *place; /* its path, where the link that has its name leads to; owned */
    char name[PATH_LEAF_SIZE]; /* the final one, in that directory */
    struct claim *claim; /* owned, or NULL */
    bool is_gzip;
    int packed_fd;            /* of the compressed table, while it is written; or -1 */
    struct shard_mark packed; /* ... as the journal has it; no name: there is none */
    uint64_t whole_size; /* of the table that was joined; OWN_ANY_SIZE: not known */
};

void table_init(struct table *table);
void table_done(struct table *table);

/* Make the directory of `path` (absolute) and hold it. Where a link has the table's
 * name, what it leads to is the table, and the link stays. *ret_exists: a file is
 * there. Names of our own files are refused, and those that leave no room for the
 * shards of `world_size` ranks.
 * Return: 0; -EISDIR where a directory has that name; -EINVAL; -ENAMETOOLONG; -errno.
 */
int table_prepare(struct table *table, const char *path, uint32_t world_size,
                  bool *ret_exists, struct lighter_error *err);

/* The first half of publishing: all other shards are appended onto the first, without
 * their headers. Shards that are not as they were written are refused. On failure the
 * first is as it was. Return: 0; what shard_check() gives; -errno.
 */
int table_join(struct table *table, struct shard *const *shards, uint32_t n_shards,
               struct lighter_error *err);

/* The same for one that is compressed: make its file, table->packed, which the journal
 * is told; then fill it, on `n_threads` threads of its own. Return: as table_join().
 */
int table_make_packed(struct table *table, struct lighter_error *err);
int table_pack(struct table *table, struct shard *const *shards, uint32_t n_shards,
               unsigned n_threads, struct lighter_error *err);

/* ... and bring it to the disk. A failure is final. Return: 0; -errno. */
int table_sync(const struct table *table, const struct shard *first,
               struct lighter_error *err);

/* Before anything is shown: is what will be renamed as it was written, and can it be?
 * Return: 0; -ENOENT; -ESTALE; -ENODATA; -EISDIR; -EACCES; -errno.
 */
int table_check(const struct table *table, const struct shard *first,
                struct lighter_error *err);

/* The second half: the table gets the final name, unless it has it already, the
 * directory is synced, the shards are removed. They need not be open. `flags`: see
 * own_rename(). Return: 0; -errno, and the table may be visible but not durable.
 */
int table_publish(struct table *table, struct shard *const *shards, uint32_t n_shards,
                  unsigned flags, struct lighter_error *err);

/* Where a published table is, if its directory was renamed while the job ran and `path`
 * does not lead to it any more; else *ret_path is NULL. Return: 0, and the caller owns
 * *ret_path; -errno.
 */
int table_tell_where(const struct table *table, const char *path, char **ret_path,
                     struct lighter_error *err);

/* Remove what was made for a compressed table. Return: as shard_remove(). */
int table_remove_packed(struct table *table, struct lighter_error *err);

#endif
