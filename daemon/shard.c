/* shard.c - see shard.h. */
#include "daemon/shard.h"

#include "daemon/lock.h"
#include "daemon/storage.h"
#include "daemon/table.h"
#include "util/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- names ---- */

#define RANK_MARK ".tmp_rank"
#define GZIP_MARK ".tmp_gzip"
#define MARK_SIZE (sizeof RANK_MARK - 1)

/* Bytes of `name` before its suffix, which may be empty. */
static int
stem_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    return (int)(dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* "name.csv" -> "name.tmp_rank3.csv"; "name" -> "name.tmp_rank3". What is inside of a
 * compressed table is text: "name.csv.gz" -> "name.tmp_rank3.gz.csv". `more` may be
 * empty.
 */
static int
make_name(char ret_name[PATH_LEAF_SIZE], const struct table *table, const char *mark,
          const char *more, struct lighter_error *err)
{
    const char *name = table->name;
    int size = (int)strlen(name) - (table->is_gzip ? 3 : 0);
    char plain[PATH_LEAF_SIZE];
    int stem;

    snprintf(plain, sizeof plain, "%.*s", size, name);
    stem = stem_of(plain);
    size = snprintf(ret_name, PATH_LEAF_SIZE, "%.*s%s%s%s%s", stem, plain, mark,
                    table->is_gzip ? ".gz" : "", more, plain + stem);
    if (size >= PATH_LEAF_SIZE)
        return lighter_fail_os(err, ENAMETOOLONG, "a shard of '%s'", name);
    return 0;
}

/* What tells the shards of a table apart. */
struct shard_tag {
    char text[32];
};

static struct shard_tag
tag_of(uint32_t rank)
{
    struct shard_tag tag;

    snprintf(tag.text, sizeof tag.text, RANK_MARK "%u", rank);
    return tag;
}

int
shard_name(char ret_name[PATH_LEAF_SIZE], const struct table *table, uint32_t rank,
           struct lighter_error *err)
{
    return make_name(ret_name, table, tag_of(rank).text, "", err);
}

/* In whose place something lies: the job's id, and a number behind the first. */
static struct shard_tag
second_tag(const struct table *table, int number)
{
    struct shard_tag tag;

    if (number)
        snprintf(tag.text, sizeof tag.text, ".%016" PRIx64 "-%d", table->job, number);
    else
        snprintf(tag.text, sizeof tag.text, ".%016" PRIx64, table->job);
    return tag;
}

int
shard_longest_name(char ret_name[PATH_LEAF_SIZE], const struct table *table,
                   uint32_t rank, struct lighter_error *err)
{
    return make_name(ret_name, table, tag_of(rank).text, second_tag(table, 0).text,
                     err);
}

int
shard_mark_of(struct shard_mark *ret_mark, const struct table *table, uint32_t rank,
              const struct shard_mark *known, struct lighter_error *err)
{
    *ret_mark = known ? *known : (struct shard_mark){0};
    return known ? 0 : shard_name(ret_mark->name, table, rank, err);
}

bool
shard_is_name(const char *name)
{
    if (strstr(name, GZIP_MARK "."))
        return true;
    while ((name = strstr(name, RANK_MARK))) {
        name += MARK_SIZE;
        if (*name >= '0' && *name <= '9')
            return true;
    }
    return false;
}

/* ---- making one ---- */

static int
busy(const char *name, struct lighter_error *err)
{
    return lighter_fail(err, LIGHTER_E_STATE,
                        "the shard '%s' is being written by another job", name);
}

/* Something has the name. Under another path, or in another daemon, a live job may be
 * writing it: then two runs are about to make one table. Else it is left over.
 */
static int
look_at_other(const struct table *table, const char *name, struct lighter_error *err)
{
    int fd = openat(table->directory_fd, name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int r;

    if (fd < 0)
        return 0; /* a link, a socket, what others may not read: no shard of a daemon */
    r = lock_take(fd, name, err);
    close(fd);
    return r == LOCK_TAKEN ? busy(name, err) : r;
}

/* How often a job may find its own second name taken: by itself, each time the machine
 * stopped before the journal had it.
 */
#define TRIES 100

static int
create_beside(struct shard *shard, const struct table *table, const char *tag,
              struct lighter_error *err)
{
    int r = -EEXIST;

    for (int i = 0; i < TRIES && r == -EEXIST; i++) {
        r = make_name(shard->mark.name, table, tag, second_tag(table, i).text, err);
        if (r == 0)
            r = own_create(table->directory_fd, shard->mark.name, 0666, &shard->fd,
                           err);
    }
    shard->beside = r == 0;
    return r;
}

static int
create(struct shard *shard, const struct table *table, const char *tag,
       struct lighter_error *err)
{
    int r = make_name(shard->mark.name, table, tag, "", err);

    if (r < 0)
        return r;
    r = own_create(table->directory_fd, shard->mark.name, 0666, &shard->fd, err);
    if (r != -EEXIST)
        return r;
    r = look_at_other(table, shard->mark.name, err);
    return r < 0 ? r : create_beside(shard, table, tag, err);
}

/* The kernel drops the lock with the descriptor. */
static int
claim(struct shard *shard, struct lighter_error *err)
{
    int r = lock_take(shard->fd, shard->mark.name, err);

    return r == LOCK_TAKEN ? busy(shard->mark.name, err) : r;
}

static int
create_claimed(struct shard *shard, const struct table *table, const char *tag,
               struct lighter_error *err)
{
    int r;

    *shard = (struct shard){.fd = -1};
    r = create(shard, table, tag, err);
    if (r < 0)
        return error_wrap(err, r, "make the shard '%s'", shard->mark.name);
    r = own_of(shard->fd, &shard->mark.id, err);
    if (r == 0)
        r = claim(shard, err);
    if (r < 0) { /* no journal has it: it would stay for good */
        own_remove(table->directory_fd, shard->mark.name, &shard->mark.id, NULL);
        shard_close(shard);
    }
    return r;
}

int
shard_create(struct shard *shard, const struct table *table, uint32_t rank,
             struct lighter_error *err)
{
    return create_claimed(shard, table, tag_of(rank).text, err);
}

int
shard_create_packed(struct table *table, struct lighter_error *err)
{
    struct shard packed;
    int r = create_claimed(&packed, table, GZIP_MARK, err);

    if (r < 0)
        return r;
    table->packed = packed.mark;
    table->packed_fd = packed.fd;
    return 0;
}

int
shard_begin(struct shard *shard, struct lighter_sink *header, struct lighter_error *err)
{
    uint64_t size = header->size;
    int r = shard_append(shard, header, err);

    if (r == 0)
        shard->header_size = size;
    return r;
}

/* ---- one that is there ---- */

static int
fail_size(const char *name, int64_t size, uint64_t expected, struct lighter_error *err)
{
    lighter_fail(err, LIGHTER_E_STATE,
                 "the shard '%s' has %" PRId64 " bytes, but %" PRIu64
                 " were written to it",
                 name, size, expected);
    return -ENODATA;
}

/* `r`: of own_look(). */
static int
fail_look(int r, const struct shard_mark *mark, const struct stat *status,
          struct lighter_error *err)
{
    if (r == OWN_GONE) {
        lighter_fail(err, LIGHTER_E_STATE,
                     "the shard '%s' is gone; put it back, or discard the job",
                     mark->name);
        return -ENOENT;
    }
    if (r != OWN_OTHER)
        return r < 0 ? error_wrap(err, r, "a shard") : 0;
    lighter_fail(err, LIGHTER_E_STATE,
                 "the shard '%s' is not the file that this job wrote: inode %" PRIu64
                 " of device %" PRIu64 " was expected, and inode %" PRIu64
                 " of device %" PRIu64 " is there; put the right one back, or discard "
                 "the job",
                 mark->name, mark->id.inode, mark->id.device, (uint64_t)status->st_ino,
                 (uint64_t)status->st_dev);
    return -ESTALE;
}

/* What lies there must be the shard; one by 0.1.0 is known by its name alone. */
static int
look(const struct table *table, const struct shard_mark *mark, struct stat *status,
     struct lighter_error *err)
{
    struct own_id id = mark->id;
    int r = 0;

    if (!id.inode)
        r = own_adopt(table->directory_fd, mark->name, S_IFREG, &id, err);
    if (r == 0)
        r = own_look(table->directory_fd, mark->name, &id, status, err);
    else if (r == OWN_OTHER)
        return lighter_fail(err, LIGHTER_E_STATE, "the shard '%s' is no file",
                            mark->name);
    return fail_look(r, mark, status, err);
}

int
shard_look(const struct table *table, const struct shard_mark *mark, uint64_t size,
           struct lighter_error *err)
{
    struct stat status;
    int r = look(table, mark, &status, err);

    if (r == 0 && (uint64_t)status.st_size < size)
        r = fail_size(mark->name, status.st_size, size, err);
    return r;
}

int
shard_check(const struct shard *shard, const struct table *table,
            struct lighter_error *err)
{
    struct stat status;
    int r;

    if (shard->given_up)
        return lighter_fail_os(err, EIO, "the shard '%s' was given up",
                               shard->mark.name);
    r = look(table, &shard->mark, &status, err);
    if (r == 0 && shard->size != OWN_ANY_SIZE &&
        (uint64_t)status.st_size != shard->size)
        r = fail_size(shard->mark.name, status.st_size, shard->size, err);
    return r;
}

/* Bytes beyond `size` go; the next append stands there. */
static int
cut_to(struct shard *shard, uint64_t size, struct lighter_error *err)
{
    int r = own_cut(shard->fd, &shard->mark.id, size, err);

    if (r == 0 && lseek(shard->fd, (off_t)size, SEEK_SET) < 0)
        r = lighter_fail_os(err, errno, "seek in the shard '%s'", shard->mark.name);
    if (r == 0)
        shard->size = size;
    return r;
}

/* Open and locked. What is open has no name any more to be compared: its inode is. */
static int
open_marked(struct shard *shard, const struct table *table,
            const struct shard_mark *mark, struct lighter_error *err)
{
    struct stat status;
    struct own_id id;
    int r;

    *shard = (struct shard){.fd = -1, .mark = *mark};
    r = look(table, mark, &status, err);
    if (r < 0)
        return r;
    shard->fd = openat(table->directory_fd, mark->name,
                       O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (shard->fd < 0)
        return lighter_fail_os(err, errno, "open the shard '%s'", mark->name);
    shard->mark.id = own_of_status(&status);
    r = own_of(shard->fd, &id, err);
    if (r == 0 && !own_same(&id, &shard->mark.id))
        r = lighter_fail_os(err, ESTALE, "the shard '%s'", mark->name);
    return r < 0 ? r : claim(shard, err);
}

int
shard_reopen(struct shard *shard, const struct table *table,
             const struct shard_mark *mark, uint64_t header_size, uint64_t size,
             struct lighter_error *err)
{
    int r = open_marked(shard, table, mark, err);

    if (r == 0)
        r = shard_look(table, &shard->mark, size, err);
    if (r == 0)
        r = cut_to(shard, size, err);
    shard->header_size = header_size;
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
shard_sync(const struct table *table, const struct shard_mark *mark,
           struct lighter_error *err)
{
    int fd = openat(table->directory_fd, mark->name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int r;

    if (fd < 0)
        return lighter_fail_os(err, errno, "open the shard '%s'", mark->name);
    r = storage_sync_data(fd, mark->name, err);
    close(fd);
    return r;
}

int
shard_remove(const struct table *table, const struct shard_mark *mark,
             struct lighter_error *err)
{
    struct shard shard;
    int r = open_marked(&shard, table, mark, err);

    if (r == 0)
        r = own_remove(table->directory_fd, mark->name, &shard.mark.id, err);
    shard_close(&shard);
    return r > 0 || r == -ENOENT || r == -ESTALE ? 0 : r;
}

/* ---- bytes ---- */

void
shard_cut(struct shard *shard)
{
    /* where even this fails the next append stands behind torn bytes: give up on it */
    if (cut_to(shard, shard->size, NULL) < 0)
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
        return lighter_fail_os(err, EIO, "the shard '%s' was given up",
                               shard->mark.name);
    r = storage_write(shard->fd, rows, err);
    if (r < 0) {
        shard_cut(shard);
        return error_wrap(err, r, "shard '%s'", shard->mark.name);
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
    shard_cut(shard);
}
