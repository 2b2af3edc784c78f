/* table.c - see table.h. */
#include "daemon/table.h"

#include "daemon/lock.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void
table_init(struct table *table)
{
    *table = (struct table){.directory_fd = -1};
}

void
table_done(struct table *table)
{
    if (table->directory_fd >= 0)
        close(table->directory_fd);
    table->directory_fd = -1;
}

int
table_prepare(struct table *table, const char *path, bool *ret_exists,
              struct lighter_error *err)
{
    const char *name = strrchr(path, '/') + 1;
    char directory[PATH_MAX];
    struct stat status;
    int r;

    if (strlen(name) >= sizeof table->name || strlen(path) >= sizeof directory)
        return lighter_fail_os(err, ENAMETOOLONG, "'%s'", path);
    strcpy(table->name, name);
    snprintf(directory, sizeof directory, "%.*s", (int)(name - path), path);
    r = path_make_below(table->roots, directory, &table->directory_fd, err);
    if (r < 0)
        return r;
    *ret_exists = fstatat(table->directory_fd, name, &status, 0) == 0;
    if (*ret_exists && S_ISDIR(status.st_mode))
        return lighter_fail_os(err, EISDIR, "'%s' cannot be a table", path);
    if (*ret_exists && !S_ISREG(status.st_mode)) /* publishing would take its place */
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'%s' cannot be a table: it is a device, a pipe or a socket", path);
    return 0;
}

/* "name.csv" -> "name.tmp_rank3.csv"; "name" -> "name.tmp_rank3". */
int
shard_name(struct shard *shard, const struct table *table, uint32_t rank,
           struct lighter_error *err)
{
    const char *dot = strrchr(table->name, '.');
    int stem =
        dot && dot != table->name ? (int)(dot - table->name) : (int)strlen(table->name);
    int size = snprintf(shard->name, sizeof shard->name, "%.*s.tmp_rank%u%s", stem,
                        table->name, rank, table->name + stem);

    if ((size_t)size >= sizeof shard->name)
        return lighter_fail_os(err, ENAMETOOLONG, "a shard of '%s'", table->name);
    return 0;
}

/* It is cut only when it is ours: under another path, or in another daemon, a live job
 * may write this shard. The kernel drops the lock with the descriptor.
 */
static int
claim(struct shard *shard, struct lighter_error *err)
{
    int r = lock_take(shard->fd, shard->name, err);

    if (r != LOCK_TAKEN)
        return r;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "the shard '%s' is being written by another job", shard->name);
}

/* Bytes beyond `size` go; the next append stands there. */
static int
cut_to(struct shard *shard, uint64_t size)
{
    if (ftruncate(shard->fd, (off_t)size) < 0 ||
        lseek(shard->fd, (off_t)size, SEEK_SET) < 0)
        return -errno;
    shard->size = size;
    return 0;
}

static int
open_claimed(struct shard *shard, const struct table *table, uint32_t rank, int flags,
             struct lighter_error *err)
{
    int r = shard_name(shard, table, rank, err);

    if (r < 0)
        return r;
    shard->fd = openat(table->directory_fd, shard->name,
                       O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0666);
    if (shard->fd < 0)
        return lighter_fail_os(err, errno, "open the shard '%s'", shard->name);
    return claim(shard, err);
}

int
shard_open(struct shard *shard, const struct table *table, uint32_t rank,
           struct lighter_sink *header, struct lighter_error *err)
{
    int r = open_claimed(shard, table, rank, O_CREAT, err);

    if (r == 0) {
        shard->header_size = header->size;
        r = cut_to(shard, 0);
        if (r < 0)
            lighter_fail_os(err, -r, "empty the shard '%s'", shard->name);
    }
    if (r == 0)
        r = shard_append(shard, header, err);
    if (r < 0)
        shard_close(shard);
    return r;
}

int
shard_check(const struct table *table, uint32_t rank, uint64_t size,
            struct lighter_error *err)
{
    struct shard shard;
    struct stat status;
    int r = shard_name(&shard, table, rank, err);

    if (r < 0)
        return r;
    if (fstatat(table->directory_fd, shard.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return lighter_fail_os(err, errno, "look at the shard '%s'", shard.name);
    if ((uint64_t)status.st_size >= size)
        return 0;
    lighter_fail(err, LIGHTER_E_STATE,
                 "the shard '%s' has %jd bytes, but %ju were written to it", shard.name,
                 (intmax_t)status.st_size, (uintmax_t)size);
    return -ENODATA;
}

int
shard_reopen(struct shard *shard, const struct table *table, uint32_t rank,
             uint64_t header_size, uint64_t size, struct lighter_error *err)
{
    int r = open_claimed(shard, table, rank, 0, err);

    if (r == 0)
        r = shard_check(table, rank, size, err);
    if (r == 0) {
        shard->header_size = header_size;
        r = cut_to(shard, size);
        if (r < 0)
            lighter_fail_os(err, -r, "cut the shard '%s'", shard->name);
    }
    if (r < 0)
        shard_close(shard);
    return r;
}

void
shard_close(struct shard *shard)
{
    if (shard->fd >= 0) {
        flock(shard->fd, LOCK_UN); /* a duplicate that is being synced would keep it */
        close(shard->fd);
    }
    shard->fd = -1;
}

int
shard_sync(const struct table *table, uint32_t rank, struct lighter_error *err)
{
    struct shard shard = {.fd = -1};
    int r = shard_name(&shard, table, rank, err), fd;

    if (r < 0)
        return r;
    fd = openat(table->directory_fd, shard.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return lighter_fail_os(err, errno, "open the shard '%s'", shard.name);
    r = storage_sync_data(fd, shard.name, err);
    close(fd);
    return r;
}

/* Back to its committed size: what a failed write left is cut off. */
static void
cut(struct shard *shard)
{
    /* where even this fails the next append stands behind torn bytes: give up on it */
    if (cut_to(shard, shard->size) < 0)
        shard->given_up = true;
}

/* Bytes that the disk is asked to take while there is nothing to wait for, so that the
 * sync at the end finds little to do.
 */
#define EARLY_BYTES ((uint64_t)4 << 20)

static void
write_back_early(struct shard *shard)
{
    if (shard->size - shard->early < EARLY_BYTES)
        return;
    sync_file_range(shard->fd, (off_t)shard->early, (off_t)(shard->size - shard->early),
                    SYNC_FILE_RANGE_WRITE); /* a wish: what fails the sync will tell */
    shard->early = shard->size;
}

int
shard_append(struct shard *shard, struct lighter_sink *rows, struct lighter_error *err)
{
    uint64_t size = shard->size + rows->size;
    int r;

    if (shard->given_up)
        return lighter_fail_os(err, EIO, "the shard '%s' was given up", shard->name);
    r = storage_write(shard->fd, rows, err);
    if (r < 0) {
        cut(shard);
        return error_wrap(err, r, "shard '%s'", shard->name);
    }
    shard->size = size;
    write_back_early(shard);
    return 0;
}

void
shard_undo(struct shard *shard, uint64_t size)
{
    shard->size -= size;
    if (shard->early > shard->size)
        shard->early = shard->size;
    cut(shard);
}

int
table_join(struct shard *const *shards, uint32_t n_shards, struct lighter_error *err)
{
    struct shard *first = shards[0];
    uint64_t appended;
    int r = 0;

    for (uint32_t i = 0; i < n_shards; i++)
        if (shards[i]->given_up)
            return lighter_fail_os(err, EIO, "the shard '%s' was given up",
                                   shards[i]->name);
    cut(first); /* an earlier attempt may have joined already */
    for (uint32_t i = 1; i < n_shards && r == 0; i++) {
        r = storage_append(first->fd, shards[i]->fd, shards[i]->header_size, &appended,
                           err);
        if (r == 0 && appended != shards[i]->size - shards[i]->header_size)
            r = lighter_fail_os(err, EIO, "the shard '%s' has changed its size",
                                shards[i]->name);
    }
    if (r < 0)
        cut(first);
    return r;
}

int
table_sync(const struct table *table, const struct shard *first,
           struct lighter_error *err)
{
    return storage_sync(first->fd, table->name, err);
}

/* A shard that is not open was whole before, and an earlier daemon may have come as far
 * as to rename it. Keeps errno.
 */
static bool
was_renamed(const struct table *table, const struct shard *shard)
{
    struct stat status;

    return errno == ENOENT && shard->fd < 0 &&
           fstatat(table->directory_fd, table->name, &status, 0) == 0;
}

int
table_publish(struct table *table, struct shard *const *shards, uint32_t n_shards,
              struct lighter_error *err)
{
    int r;

    if (renameat(table->directory_fd, shards[0]->name, table->directory_fd,
                 table->name) < 0 &&
        !was_renamed(table, shards[0]))
        return lighter_fail_os(err, errno, "rename '%s' to '%s'", shards[0]->name,
                               table->name);
    for (uint32_t i = 1; i < n_shards; i++)
        unlinkat(table->directory_fd, shards[i]->name, 0);
    r = storage_sync_names(table->directory_fd, "the directory", err);
    return r < 0 ? error_wrap(err, r, "published, durability unknown") : 0;
}

int
shard_remove(const struct table *table, uint32_t rank, struct lighter_error *err)
{
    struct shard shard = {.fd = -1};
    int r = open_claimed(&shard, table, rank, 0, err);

    if (r == 0 && unlinkat(table->directory_fd, shard.name, 0) < 0)
        r = lighter_fail_os(err, errno, "remove the shard '%s'", shard.name);
    shard_close(&shard);
    return r == -ENOENT ? 0 : r;
}
