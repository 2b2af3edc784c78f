/* gzip.c - see gzip.h. */
#include "daemon/gzip.h"

#include "util/error.h"

#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 64
#define LEVEL 6 /* gzip's own */

/* The lock is held for a look and for the write of a member; nothing is taken within.
 */
struct gzip {
    int fd;
    const struct gzip_extent *extents;
    uint32_t n_extents;
    uint64_t n_members;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    uint64_t next;    /* the first that nobody has */
    uint64_t written; /* so many, in order */
    uint64_t size;    /* bytes of these */
    int result;       /* of the first that failed: then nobody goes on */
    struct lighter_error error;
};

/* What one thread holds. */
struct worker {
    struct gzip *gzip;
    struct libdeflate_compressor *compressor;
    uint8_t *text, *packed;
    size_t room; /* of `packed` */
    struct lighter_error error;
};

/* ---- one member ---- */

static int
read_all(const struct gzip_extent *extent, uint64_t at, uint8_t *to, size_t size,
         struct lighter_error *err)
{
    while (size) {
        ssize_t n = pread(extent->fd, to, size, (off_t)(extent->offset + at));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lighter_fail_os(err, n < 0 ? errno : EIO, "read a shard");
        to += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/* The text of the member `number`: bytes of one extent, or of several. */
static int
read_member(struct worker *worker, uint64_t number, size_t *ret_size,
            struct lighter_error *err)
{
    const struct gzip *gzip = worker->gzip;
    uint64_t skip = number * GZIP_MEMBER;
    size_t used = 0;
    int r = 0;

    for (uint32_t i = 0; i < gzip->n_extents && used < GZIP_MEMBER && r == 0; i++) {
        const struct gzip_extent *extent = &gzip->extents[i];
        uint64_t size = extent->size;

        if (skip >= size) {
            skip -= size;
            continue;
        }
        size -= skip;
        if (size > GZIP_MEMBER - used)
            size = GZIP_MEMBER - used;
        r = read_all(extent, skip, worker->text + used, size, err);
        used += size;
        skip = 0;
    }
    *ret_size = used;
    return r;
}

static int
write_all(int fd, const uint8_t *bytes, size_t size, uint64_t at,
          struct lighter_error *err)
{
    while (size) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lighter_fail_os(err, n < 0 ? errno : EIO,
                                   "write the compressed table");
        bytes += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int
pack_member(struct worker *worker, uint64_t number, size_t *ret_size,
            struct lighter_error *err)
{
    size_t size;
    int r = read_member(worker, number, &size, err);

    if (r < 0)
        return r;
    *ret_size = libdeflate_gzip_compress(worker->compressor, worker->text, size,
                                         worker->packed, worker->room);
    return *ret_size ? 0 : lighter_fail_os(err, ENOBUFS, "compress the table");
}

/* ---- all of them ---- */

/* Return: is there one? */
static bool
take_number(struct gzip *gzip, uint64_t *ret_number)
{
    bool found;

    pthread_mutex_lock(&gzip->lock);
    found = gzip->result == 0 && gzip->next < gzip->n_members;
    if (found)
        *ret_number = gzip->next++;
    pthread_mutex_unlock(&gzip->lock);
    return found;
}

/* `r`: how it was made. Its place is known when all before it are written. */
static void
put_member(struct worker *worker, uint64_t number, size_t size, int r)
{
    struct gzip *gzip = worker->gzip;

    pthread_mutex_lock(&gzip->lock);
    while (gzip->result == 0 && r == 0 && gzip->written != number)
        pthread_cond_wait(&gzip->turn, &gzip->lock);
    if (gzip->result == 0 && r == 0)
        r = write_all(gzip->fd, worker->packed, size, gzip->size, &worker->error);
    if (gzip->result == 0 && r < 0) {
        gzip->result = r;
        gzip->error = worker->error;
    }
    if (r == 0) {
        gzip->written++;
        gzip->size += size;
    }
    pthread_cond_broadcast(&gzip->turn);
    pthread_mutex_unlock(&gzip->lock);
}

static void
worker_done(struct worker *worker)
{
    libdeflate_free_compressor(worker->compressor);
    free(worker->text);
    free(worker->packed);
}

static int
worker_init(struct worker *worker, struct gzip *gzip)
{
    *worker = (struct worker){.gzip = gzip, .error = LIGHTER_ERROR_INIT};
    worker->compressor = libdeflate_alloc_compressor(LEVEL);
    if (worker->compressor)
        worker->room = libdeflate_gzip_compress_bound(worker->compressor, GZIP_MEMBER);
    worker->text = malloc(GZIP_MEMBER);
    worker->packed = worker->room ? malloc(worker->room) : NULL;
    if (worker->text && worker->packed)
        return 0;
    worker_done(worker);
    return -ENOMEM;
}

/* Return: 0; -ENOMEM, and it had no part in anything. */
static int
work(struct gzip *gzip)
{
    struct worker worker;
    uint64_t number;
    size_t size = 0;
    int r = worker_init(&worker, gzip);

    if (r < 0)
        return r;
    while (take_number(gzip, &number)) {
        r = pack_member(&worker, number, &size, &worker.error);
        put_member(&worker, number, size, r);
    }
    worker_done(&worker);
    return 0;
}

static void *
run_thread(void *gzip)
{
    work(gzip); /* where it has no memory the others go on */
    return NULL;
}

/* No signal is for them: what the process is told goes to the loop. */
static unsigned
start_threads(struct gzip *gzip, pthread_t *threads, unsigned n)
{
    sigset_t all, before;
    unsigned n_started = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (n_started < n &&
           pthread_create(&threads[n_started], NULL, run_thread, gzip) == 0)
        n_started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n_started;
}

static uint64_t
count_members(const struct gzip_extent *extents, uint32_t n_extents)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < n_extents; i++)
        size += extents[i].size;
    return size ? (size + GZIP_MEMBER - 1) / GZIP_MEMBER : 1;
}

/* Others than the caller, of whom there is one already. */
static unsigned
count_threads(unsigned n_threads, uint64_t n_members)
{
    uint64_t n = n_threads < THREADS_MAX ? n_threads : THREADS_MAX;

    if (n > n_members)
        n = n_members;
    return n ? (unsigned)n - 1 : 0;
}

int
gzip_write(int fd, const struct gzip_extent *extents, uint32_t n_extents,
           unsigned n_threads, uint64_t *ret_size, struct lighter_error *err)
{
    struct gzip gzip = {.fd = fd,
                        .extents = extents,
                        .n_extents = n_extents,
                        .n_members = count_members(extents, n_extents),
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .turn = PTHREAD_COND_INITIALIZER,
                        .error = LIGHTER_ERROR_INIT};
    pthread_t threads[THREADS_MAX];
    unsigned n =
        start_threads(&gzip, threads, count_threads(n_threads, gzip.n_members));
    int r = work(&gzip);

    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&gzip.turn);
    pthread_mutex_destroy(&gzip.lock);
    if (gzip.result < 0) {
        if (err)
            *err = gzip.error;
        return gzip.result;
    }
    if (gzip.written < gzip.n_members) /* nobody had memory enough */
        return r < 0 ? fail_nomem(err)
                     : lighter_fail_os(err, EIO, "compress the table");
    *ret_size = gzip.size;
    return 0;
}
