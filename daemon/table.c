/* table.c - see table.h. */
#include "daemon/table.h"

#include "daemon/gzip.h"
#include "daemon/path.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

void
table_init(struct table *table)
{
    *table =
        (struct table){.directory_fd = -1, .packed_fd = -1, .whole_size = OWN_ANY_SIZE};
}

void
table_done(struct table *table)
{
    table->claim = claim_free(table->claim);
    if (table->directory_fd >= 0)
        close(table->directory_fd);
    if (table->packed_fd >= 0)
        close(table->packed_fd);
    free(table->place);
    table->place = NULL;
    table->directory_fd = table->packed_fd = -1;
}

/* ---- where it is ---- */

#define LINKS_MAX 40 /* as the kernel */

/* What the link `path` leads to takes its place. *ret_is_link: there was one.
 * Return: 0; -errno.
 */
static int
follow_one(char path[PATH_MAX], bool *ret_is_link, struct lighter_error *err)
{
    char target[PATH_MAX], joined[2 * PATH_MAX];
    ssize_t size = readlink(path, target, sizeof target - 1);
    int folder = (int)(strrchr(path, '/') + 1 - path);

    *ret_is_link = size >= 0;
    if (size < 0)
        return 0; /* no link; where it cannot be known, opening it says why */
    target[size] = '\0';
    snprintf(joined, sizeof joined, "%.*s%s", target[0] == '/' ? 0 : folder, path,
             target);
    if (strlen(joined) >= PATH_MAX)
        return lighter_fail_os(err, ENAMETOOLONG, "'%s'", joined);
    strcpy(path, joined);
    return 0;
}

/* A link in the table's place: what it leads to is the table, so long as that lasts. */
static int
follow(char path[PATH_MAX], struct lighter_error *err)
{
    char folder[PATH_MAX], real[PATH_MAX];
    bool is_link = true, was_link = false;
    const char *name;
    char *whole;
    int r = 0;

    for (int i = 0; i < LINKS_MAX && is_link && r == 0; i++) {
        r = follow_one(path, &is_link, err);
        was_link |= is_link;
    }
    if (r < 0 || !was_link)
        return r;
    if (is_link)
        return lighter_fail_os(err, ELOOP, "'%s'", path);
    name = strrchr(path, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
    if (!realpath(folder, real))
        return 0; /* it is made, where it may be */
    if (asprintf(&whole, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0)
        return fail_nomem(err);
    if (strlen(whole) >= PATH_MAX)
        r = lighter_fail_os(err, ENAMETOOLONG, "'%s'", whole);
    else
        strcpy(path, whole);
    free(whole);
    return r;
}

static int
refuse_name(const char *path, struct lighter_error *err)
{
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'%s' cannot be a table: names such as .lighterd.* and "
                        "*.tmp_rank0.* are those of lighterd's own files; choose "
                        "another",
                        path);
}

/* A directory in which only our files lie, by whatever path it was found. */
static bool
is_in_staging(int directory)
{
    char link[64], path[PATH_MAX];
    ssize_t size;

    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return false;
    path[size] = '\0';
    return strstr(path, "/.lighterd.") != NULL;
}

static int
check_name(const struct table *table, const char *path, struct lighter_error *err)
{
    if (strncmp(table->name, ".lighterd.", 10) == 0 || shard_is_name(table->name) ||
        is_in_staging(table->directory_fd))
        return refuse_name(path, err);
    return 0;
}

/* The longest name is that of the last rank's shard, should its place be taken. */
static int
check_room(const struct table *table, const char *path, uint32_t world_size,
           struct lighter_error *err)
{
    char name[PATH_LEAF_SIZE];
    long most = fpathconf(table->directory_fd, _PC_NAME_MAX);
    int r = shard_longest_name(name, table, world_size ? world_size - 1 : 0, NULL);

    if (r == 0 && (most <= 0 || strlen(name) <= (size_t)most))
        return 0;
    return lighter_fail_os(err, ENAMETOOLONG,
                           "'%s' leaves no room for the names of its %u shards", path,
                           world_size);
}

static int
check_place(const struct table *table, const char *path, bool *ret_exists,
            struct lighter_error *err)
{
    struct stat status;
    int flags = AT_SYMLINK_NOFOLLOW; /* it was followed already */

    *ret_exists = fstatat(table->directory_fd, table->name, &status, flags) == 0;
    if (*ret_exists && S_ISDIR(status.st_mode))
        return lighter_fail_os(err, EISDIR, "'%s' cannot be a table", path);
    if (*ret_exists && !S_ISREG(status.st_mode)) /* publishing would take its place */
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'%s' cannot be a table: it is a device, a pipe or a socket", path);
    return 0;
}

static bool
ends_in(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);

    return size > suffix_size && strcasecmp(name + size - suffix_size, suffix) == 0;
}

int
table_prepare(struct table *table, const char *path, uint32_t world_size,
              bool *ret_exists, struct lighter_error *err)
{
    char real[PATH_MAX], directory[PATH_MAX];
    const char *name;
    int r;

    if (strlen(path) >= sizeof real)
        return lighter_fail_os(err, ENAMETOOLONG, "'%s'", path);
    strcpy(real, path);
    r = follow(real, err);
    if (r < 0)
        return r;
    free(table->place);
    table->place = strdup(real);
    if (!table->place)
        return fail_nomem(err);
    name = strrchr(real, '/') + 1;
    if (strlen(name) >= sizeof table->name)
        return lighter_fail_os(err, ENAMETOOLONG, "'%s'", path);
    strcpy(table->name, name);
    table->is_gzip = ends_in(name, ".gz");
    snprintf(directory, sizeof directory, "%.*s", (int)(name - real), real);
    r = path_make_below(table->roots, directory, &table->directory_fd, err);
    if (r == 0)
        r = own_of(table->directory_fd, &table->directory, err);
    if (r == 0)
        r = check_name(table, path, err);
    if (r == 0)
        r = check_room(table, path, world_size, err);
    return r < 0 ? r : check_place(table, path, ret_exists, err);
}

/* ---- publishing ---- */

static int
check_shards(const struct table *table, struct shard *const *shards, uint32_t n_shards,
             struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < n_shards && r == 0; i++)
        r = shard_check(shards[i], table, err);
    return r;
}

static int
append_shard(struct table *table, const struct shard *first, const struct shard *shard,
             struct lighter_error *err)
{
    uint64_t appended, expected = shard->size - shard->header_size;
    int r = storage_append(first->fd, shard->fd, shard->header_size, &appended, err);

    if (r == 0 && appended != expected)
        r = lighter_fail_os(err, EIO, "the shard '%s' has changed its size",
                            shard->mark.name);
    if (r == 0)
        table->whole_size += appended;
    return r;
}

int
table_join(struct table *table, struct shard *const *shards, uint32_t n_shards,
           struct lighter_error *err)
{
    struct shard *first = shards[0];
    int r = check_shards(table, shards, n_shards, err);

    if (r < 0)
        return r;
    table->whole_size = first->size;
    for (uint32_t i = 1; i < n_shards && r == 0; i++)
        r = append_shard(table, first, shards[i], err);
    if (r < 0)
        shard_cut(first);
    return r;
}

int
table_sync(const struct table *table, const struct shard *first,
           struct lighter_error *err)
{
    return storage_sync(table->is_gzip ? table->packed_fd : first->fd, table->name,
                        err);
}

/* What is renamed. */
static const struct shard_mark *
whole_mark(const struct table *table, const struct shard *first)
{
    return table->is_gzip ? &table->packed : &first->mark;
}

/* What would make the rename fail, when other outputs are shown already. */
static int
check_way(const struct table *table, struct lighter_error *err)
{
    struct stat status;

    if (faccessat(table->directory_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return lighter_fail_os(err, errno, "the directory of '%s'", table->name);
    if (fstatat(table->directory_fd, table->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(status.st_mode))
        return lighter_fail_os(err, EISDIR, "'%s' is in the way", table->name);
    return 0;
}

int
table_check(const struct table *table, const struct shard *first,
            struct lighter_error *err)
{
    const struct shard_mark *mark = whole_mark(table, first);
    struct shard whole = {.fd = -1, .mark = *mark, .size = table->whole_size};
    int r = shard_check(&whole, table, err);

    return r < 0 ? r : check_way(table, err);
}

/* An earlier daemon may have come as far as to rename it. Of a journal of 0.1.0 that
 * can only be guessed.
 */
static bool
was_renamed(const struct table *table, const struct shard_mark *mark)
{
    struct stat status;

    if (mark->id.inode)
        return own_look(table->directory_fd, table->name, &mark->id, NULL, NULL) == 0;
    return fstatat(table->directory_fd, mark->name, &status, AT_SYMLINK_NOFOLLOW) < 0 &&
           errno == ENOENT &&
           fstatat(table->directory_fd, table->name, &status, 0) == 0;
}

/* The one that has it already is ours: was_renamed() knows. */
static int
give_name(struct table *table, const struct shard_mark *mark, unsigned flags,
          struct lighter_error *err)
{
    struct own_id id = mark->id;
    int r = 0;

    if (was_renamed(table, mark))
        return 0;
    if (!id.inode)
        r = own_adopt(table->directory_fd, mark->name, S_IFREG, &id, err);
    if (r > 0)
        return lighter_fail_os(err, ENOENT, "the shard '%s'", mark->name);
    return r < 0 ? r
                 : own_rename(table->directory_fd, mark->name, table->directory_fd,
                              table->name, flags, &id, table->whole_size, err);
}

int
table_publish(struct table *table, struct shard *const *shards, uint32_t n_shards,
              unsigned flags, struct lighter_error *err)
{
    int r = give_name(table, whole_mark(table, shards[0]), flags, err);

    if (r < 0)
        return r;
    for (uint32_t i = table->is_gzip ? 0 : 1; i < n_shards && r == 0; i++) {
        shard_close(shards[i]);
        r = shard_remove(table, &shards[i]->mark, err);
    }
    if (r < 0) /* the journal still knows it as ours */
        return error_wrap(err, r, "published, but its shards stay");
    r = storage_sync_names(table->directory_fd, "the directory", err);
    return r < 0 ? error_wrap(err, r, "published, durability unknown") : 0;
}

/* ---- compressed ---- */

int
table_make_packed(struct table *table, struct lighter_error *err)
{
    int r = table_remove_packed(table, err); /* of a publication that failed */

    return r < 0 ? r : shard_create_packed(table, err);
}

/* Bytes of the table, in order: the header once, then the rows of every shard. */
static struct gzip_extent *
list_extents(struct shard *const *shards, uint32_t n_shards)
{
    struct gzip_extent *extents = calloc(n_shards, sizeof *extents);

    for (uint32_t i = 0; extents && i < n_shards; i++) {
        uint64_t skipped = i ? shards[i]->header_size : 0;

        extents[i] =
            (struct gzip_extent){shards[i]->fd, skipped, shards[i]->size - skipped};
    }
    return extents;
}

int
table_pack(struct table *table, struct shard *const *shards, uint32_t n_shards,
           unsigned n_threads, struct lighter_error *err)
{
    AUTO(free_bytes) struct gzip_extent *extents = NULL;
    int r = check_shards(table, shards, n_shards, err);

    if (r < 0)
        return r;
    extents = list_extents(shards, n_shards);
    if (!extents)
        return fail_nomem(err);
    return gzip_write(table->packed_fd, extents, n_shards, n_threads,
                      &table->whole_size, err);
}

int
table_remove_packed(struct table *table, struct lighter_error *err)
{
    int r;

    if (!*table->packed.name)
        return 0;
    if (table->packed_fd >= 0)
        close(table->packed_fd);
    table->packed_fd = -1;
    r = shard_remove(table, &table->packed, err);
    if (r == 0)
        table->packed = (struct shard_mark){0};
    return r;
}

int
table_tell_where(const struct table *table, const char *path, char **ret_path,
                 struct lighter_error *err)
{
    struct stat there, shown;
    char now[PATH_MAX];

    *ret_path = NULL;
    if (fstatat(table->directory_fd, table->name, &shown, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* somebody has taken it: what was asked for is the best name */
    if (stat(path, &there) == 0 && there.st_dev == shown.st_dev &&
        there.st_ino == shown.st_ino)
        return 0;
    if (path_of(table->directory_fd, now) < 0)
        return 0;
    if (asprintf(ret_path, "%s/%s", strcmp(now, "/") == 0 ? "" : now, table->name) >= 0)
        return 0;
    *ret_path = NULL;
    return fail_nomem(err);
}
