/* verify.c - see verify.h. */
#include "daemon/verify.h"

#include "daemon/job_internal.h"
#include "util/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#define CHUNK ((size_t)256 << 10)

/* A batch of which the next record may say that it was taken back. */
struct rows {
    bool has_digest;
    uint64_t seq, size, digest; /* size: of the shard, with it */
};

/* One shard, as far as the journal was read. */
struct progress {
    uint64_t at; /* bytes that are verified, or cannot be */
    bool has_last;
    struct rows last;
};

struct verification {
    struct job *job;
    struct progress *progress; /* of each rank that has come and each output; owned */
    uint8_t *bytes;            /* CHUNK; owned */
    XXH3_state_t *digest;      /* owned */
    int fd;                    /* of the shard that was read last; or -1 */
    size_t open;               /* its index in `progress` */
    struct shard_mark mark;    /* ... and which it is */
};

static int
by_number(const void *key, const void *element)
{
    uint32_t number = *(const uint32_t *)key;
    const struct rank *rank = *(struct rank *const *)element;

    return number < rank->number ? -1 : number > rank->number;
}

/* Where in job->ranks; n_ranks: nowhere. */
static uint32_t
index_of_rank(const struct job *job, uint32_t number)
{
    struct rank **found = job->n_ranks ? bsearch(&number, job->ranks, job->n_ranks,
                                                 sizeof *job->ranks, by_number)
                                       : NULL;

    return found ? (uint32_t)(found - job->ranks) : job->n_ranks;
}

/* ---- bytes ---- */

static void
close_shard(struct verification *it)
{
    if (it->fd >= 0)
        close(it->fd);
    it->fd = -1;
}

static const struct stream_past *
past_of(const struct rank *rank, uint32_t output)
{
    if (rank->streams)
        return &rank->streams[output].past;
    return rank->past ? &rank->past[output] : NULL;
}

/* The shard of a stream has its mark, whatever the journal said first. */
static int
find_mark(struct verification *it, const struct rank *rank, uint32_t output,
          struct lighter_error *err)
{
    const struct stream_past *past = past_of(rank, output);
    const struct shard *shard = rank->streams ? &rank->streams[output].shard : NULL;

    if (shard && *shard->mark.name) {
        it->mark = shard->mark;
        return 0;
    }
    return shard_mark_of(&it->mark, &it->job->outputs[output].table, rank->number,
                         past ? past->shard : NULL, err);
}

static int
open_shard(struct verification *it, size_t index, struct lighter_error *err)
{
    uint32_t n_outputs = it->job->n_outputs, output = (uint32_t)(index % n_outputs);
    const struct table *table = &it->job->outputs[output].table;
    int r;

    if (it->fd >= 0 && it->open == index)
        return 0;
    close_shard(it);
    r = find_mark(it, it->job->ranks[index / n_outputs], output, err);
    if (r == 0)
        r = shard_look(table, &it->mark, 0, err);
    if (r < 0 && r != -ESTALE) /* another file: what it has is compared */
        return r;
    it->open = index;
    it->fd = openat(table->directory_fd, it->mark.name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return it->fd < 0
               ? lighter_fail_os(err, errno, "open the shard '%s'", it->mark.name)
               : 0;
}

/* Digest of the bytes [at, end). Return: 0; -ENODATA; -errno. */
static int
digest_range(struct verification *it, uint64_t at, uint64_t end, uint64_t *ret_digest,
             struct lighter_error *err)
{
    XXH3_64bits_reset(it->digest);
    while (at < end) {
        size_t size = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        ssize_t n = pread(it->fd, it->bytes, size, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lighter_fail_os(err, errno, "read the shard '%s'", it->mark.name);
        if (n == 0) {
            lighter_fail(err, LIGHTER_E_STATE,
                         "the shard '%s' has %" PRIu64 " bytes, but %" PRIu64
                         " were written to it",
                         it->mark.name, at, end);
            return -ENODATA;
        }
        XXH3_64bits_update(it->digest, it->bytes, (size_t)n);
        at += (uint64_t)n;
    }
    *ret_digest = XXH3_64bits_digest(it->digest);
    return 0;
}

static int
fail_rows(const struct verification *it, const struct rows *rows, uint64_t digest,
          struct lighter_error *err)
{
    char which[64] = "its header has";

    if (rows->seq)
        snprintf(which, sizeof which, "the rows of batch %" PRIu64 " have", rows->seq);
    lighter_fail(err, LIGHTER_E_STATE,
                 "the shard '%s' is not as it was written: %s the checksum %016" PRIx64
                 ", but %016" PRIx64 " was expected; put the right file back, or "
                 "discard the job",
                 it->mark.name, which, digest, rows->digest);
    return -ESTALE;
}

/* The last batch that was read stays: nothing takes it back any more. */
static int
confirm(struct verification *it, size_t index, struct lighter_error *err)
{
    struct progress *progress = &it->progress[index];
    const struct rows *rows = &progress->last;
    uint64_t digest = 0;
    int r = 0;

    if (!progress->has_last)
        return 0;
    if (rows->has_digest) {
        r = open_shard(it, index, err);
        if (r == 0)
            r = digest_range(it, progress->at, rows->size, &digest, err);
        if (r == 0 && digest != rows->digest)
            r = fail_rows(it, rows, digest, err);
    }
    progress->at = rows->size;
    progress->has_last = false;
    return r;
}

/* ---- the journal ---- */

static int
visit_rows(struct verification *it, size_t index, const struct journal_record *record,
           struct lighter_error *err)
{
    struct progress *progress = &it->progress[index];
    int r = record->seq ? confirm(it, index, err) : 0; /* 0: of the SHARD before it */

    if (r < 0)
        return r;
    progress->has_last = true;
    progress->last = (struct rows){.seq = record->seq, .size = record->size};
    if (record->kind == JOURNAL_ROWS && record->text_size == sizeof(uint64_t)) {
        progress->last.has_digest = true;
        memcpy(&progress->last.digest, record->text, sizeof(uint64_t));
    }
    return 0;
}

static int
visit(void *data, const struct journal_record *record, uint64_t end,
      struct lighter_error *err)
{
    struct verification *it = data;
    const struct job *job = it->job;
    uint32_t rank = index_of_rank(job, record->rank);
    size_t first = (size_t)rank * job->n_outputs, index = first + record->writer;

    (void)end;
    if (rank == job->n_ranks || record->writer >= job->n_outputs)
        return 0;
    switch (record->kind) {
    case JOURNAL_SHARD: /* a new one; the daemon may have died before its ROWS of seq 0
                         */
        it->progress[index] =
            (struct progress){.has_last = true, .last = {.size = record->size}};
        return 0;
    case JOURNAL_ROWS:
    case JOURNAL_WRITTEN:
        if (job->outputs[record->writer].table.directory_fd < 0)
            return 0;
        return visit_rows(it, index, record, err);
    case JOURNAL_DROPPED: /* no writer has any of it */
        for (size_t i = first; i < first + job->n_outputs; i++)
            if (it->progress[i].has_last && it->progress[i].last.seq == record->seq)
                it->progress[i].has_last = false;
        return 0;
    default:
        return 0;
    }
}

static int
verify(struct verification *it, struct lighter_error *err)
{
    size_t n = (size_t)it->job->n_ranks * it->job->n_outputs;
    struct journal copy; /* that of the job stays at its end, however this ends */
    int r;

    journal_init(&copy);
    copy.fd = it->job->journal.fd;
    r = journal_read(&copy, journal_size(&it->job->journal), visit, it, err);
    copy.fd = -1;
    journal_done(&copy);
    for (size_t i = 0; i < n && r == 0; i++)
        r = confirm(it, i, err);
    close_shard(it);
    return r;
}

int
verify_shards(struct job *job, struct lighter_error *err)
{
    size_t n = (size_t)job->n_ranks * job->n_outputs;
    AUTO(free_bytes) struct progress *progress = calloc(n + 1, sizeof *progress);
    AUTO(free_bytes) uint8_t *bytes = malloc(CHUNK);
    struct verification it = {.job = job,
                              .progress = progress,
                              .bytes = bytes,
                              .digest = XXH3_createState(),
                              .fd = -1};
    int r = progress && bytes && it.digest ? verify(&it, err) : fail_nomem(err);

    XXH3_freeState(it.digest);
    return r;
}
