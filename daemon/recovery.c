/* recovery.c - see recovery.h. */
#include "daemon/recovery.h"

#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "util/error.h"
#include "util/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static void
journal_name(const struct job *job, char ret_name[NAME_MAX + 1])
{
    state_journal_name(ret_name, job->name, job->stage);
}

static int
state_fd(const struct job *job)
{
    return job->jobs->state->fd;
}

/* ---- the beginning ---- */

static uint64_t
random_id(void)
{
    uint64_t id = 0;

    while (id == 0)
        if (getrandom(&id, sizeof id, 0) != sizeof id)
            id = 0;
    return id & INT64_MAX ? id & INT64_MAX : 1;
}

static int
discard_outputs(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = publish_discard(job, i, err);
    return r;
}

/* A journal that begins with `first`, about this job. */
static int
create_journal(struct job *job, struct journal_record *first, bool durable,
               struct lighter_error *err)
{
    char name[NAME_MAX + 1];
    int r;

    journal_name(job, name);
    first->seq = job->id;
    first->text = job->request.data;
    first->text_size = job->request.size;
    r = journal_begin(&job->journal, state_fd(job), name, err);
    if (r == 0)
        r = journal_append(&job->journal, first, err);
    if (r == 0)
        r = journal_replace(&job->journal, state_fd(job), name, durable, err);
    return r;
}

int
recovery_begin(struct job *job, struct lighter_error *err)
{
    struct journal_record first = {.kind = JOURNAL_JOB, .size = job->published_before};
    int r = job->replaced ? discard_outputs(job->replaced, err) : 0;

    if (r < 0)
        return r;
    job->id = random_id();
    r = create_journal(job, &first, true, err);
    job->has_journal = r == 0;
    if (r < 0)
        job->id = 0;
    return r;
}

/* ---- the disks ---- */

/* A number for the boot that the machine is in; 0: it is not known. */
static int64_t
boot_id(void)
{
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (fd >= 0)
        close(fd);
    return size <= 0 ? 0 : (int64_t)XXH3_64bits(text, (size_t)size);
}

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U /* Linux 6.8: never given again, unlike MNT_ID */
#endif

/* Where an output lies, as a JOURNAL_PLACE says it. */
static int
find_place(const struct job_output *output, struct journal_record *place,
           struct lighter_error *err)
{
    int fd = output->files.directory_fd >= 0 ? output->files.directory_fd
                                             : output->table.directory_fd;
    struct statx status;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &status) < 0)
        return lighter_fail_os(err, errno, "look at '%s'", output->writer.target);
    place->kind = JOURNAL_PLACE;
    place->batch_idx = boot_id();
    place->seq = status.stx_mnt_id;
    place->size = (uint64_t)status.stx_dev_major << 32 | status.stx_dev_minor;
    return 0;
}

int
recovery_note_places(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        struct journal_record place = {.writer = i};

        r = find_place(&job->outputs[i], &place, err);
        if (r == 0)
            r = journal_append(&job->journal, &place, err);
    }
    return r;
}

/* ---- reading ---- */

/* A journal on its way into its job. */
struct reading {
    struct job *job;
    struct journal_record places[JOB_WRITERS_MAX]; /* the last of each output */
    uint64_t durable; /* what is recorded below is on the disk */
    uint64_t end;     /* of the last record */
    uint64_t
        refused; /* where the first batch of which nothing was written is missing */
};

static int
visit_first(void *data, const struct journal_record *record, uint64_t end,
            struct lighter_error *err)
{
    struct journal_record *first = data;

    (void)end;
    if (first->kind)
        return 0;
    if (record->kind != JOURNAL_JOB && record->kind != JOURNAL_PUBLISHED)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "it does not begin with a job");
    *first = *record;
    first->text = malloc(record->text_size);
    if (!first->text)
        return fail_nomem(err);
    memcpy((void *)first->text, record->text, record->text_size);
    return 0;
}

static int
parse_request(const struct journal_record *first, struct message *ret_message,
              struct lighter_error *err)
{
    struct frame frame = {(uint8_t *)first->text, first->text_size};
    int r = message_parse(ret_message, &frame, CHECK_MAX_OBJECTS, err); /* takes */

    if (r == 0 && ret_message->type != MESSAGE_REQUEST) {
        message_done(ret_message);
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "it begins with no request");
    }
    return r;
}

int
recovery_peek(const struct state *state, const char *name, struct message *ret_message,
              uint64_t *ret_id, struct lighter_error *err)
{
    struct journal_record first = {0};
    struct journal journal;
    int r;

    journal_init(&journal);
    r = journal_open(&journal, state->fd, name, err);
    if (r == 0)
        r = journal_read(&journal, UINT64_MAX - 1, visit_first, &first, err);
    journal_done(&journal);
    if (r == 0 && !first.kind)
        r = lighter_fail(err, LIGHTER_E_PROTOCOL, "it is empty");
    if (r < 0) {
        free((void *)first.text);
        return r;
    }
    *ret_id = first.seq;
    return parse_request(&first, ret_message, err);
}

static struct stream_past *
past_of(struct job *job, const struct journal_record *record)
{
    struct rank *rank = &job->ranks[record->rank];

    if (!rank->past)
        rank->past = calloc(job->n_outputs + 1u, sizeof *rank->past);
    return rank->past ? &rank->past[record->writer] : NULL;
}

static struct name_digest
digest_of(const char *name, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(name, size);

    return (struct name_digest){hash.low64, hash.high64};
}

static int
add_names(struct job_output *output, const struct journal_record *record,
          struct lighter_error *err)
{
    const char *name = record->text, *end = name + record->text_size;

    for (; name < end; name += strnlen(name, (size_t)(end - name)) + 1) {
        if (output->n_names == output->names_room) {
            size_t room = output->names_room ? 2 * output->names_room : 256;
            void *names = reallocarray(output->names, room, sizeof *output->names);

            if (!names)
                return fail_nomem(err);
            output->names = names;
            output->names_room = room;
        }
        output->names[output->n_names++] =
            digest_of(name, strnlen(name, (size_t)(end - name)));
    }
    return 0;
}

static int
add_written(struct job *job, struct stream_past *past,
            const struct journal_record *record, struct lighter_error *err)
{
    if (record->writer == 0) {
        job->n_batches++;
        job->n_samples += record->n_samples - past->n_samples;
    }
    job->n_bytes += record->size - past->n_bytes;
    past->seq = record->seq;
    past->n_samples = record->n_samples;
    past->n_bytes = record->size;
    return add_names(&job->outputs[record->writer], record, err);
}

static bool
is_of_a_refusal(const struct stream_past *past, const struct journal_record *record)
{
    return record->kind == JOURNAL_REFUSED ||
           (record->kind == JOURNAL_WRITTEN && record->seq > past->seq + 1);
}

static int
add_refusal(struct stream_past *past, const struct journal_record *record,
            struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;

    memcpy(&why, record->text,
           record->text_size < sizeof why ? record->text_size : sizeof why - 1);
    past->seq = record->seq;
    if (stream_past_refuse(past, record->seq, record->seq, &why) < 0)
        return fail_nomem(err);
    return 0;
}

/* Batches come without gaps: of those that are not recorded nothing was written, not
 * even why.
 */
static int
add_gap(struct stream_past *past, uint64_t next, struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;

    if (next <= past->seq + 1)
        return 0;
    lighter_fail(&why, LIGHTER_E_STATE,
                 "the batch was not written; the reason could not be recorded");
    if (stream_past_refuse(past, past->seq + 1, next - 1, &why) < 0)
        return fail_nomem(err);
    return 0;
}

/* What a stream's records say. Numbers that do not fit were not written by us. */
static int
visit_stream(struct reading *reading, const struct journal_record *record,
             struct lighter_error *err)
{
    struct job *job = reading->job;
    struct stream_past *past;
    int r;

    if (record->rank >= job->world_size || record->writer >= job->n_outputs)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "a record is of rank %u and writer %u", record->rank,
                            record->writer);
    past = past_of(job, record);
    if (!past)
        return fail_nomem(err);
    if (is_of_a_refusal(past, record) && reading->end < reading->refused)
        reading->refused = reading->end;
    switch (record->kind) {
    case JOURNAL_SHARD:
        past->has_shard = true;
        past->header_size = past->n_bytes = record->size;
        return 0;
    case JOURNAL_WRITTEN:
        r = add_gap(past, record->seq, err);
        return r < 0 ? r : add_written(job, past, record, err);
    case JOURNAL_REFUSED:
        r = add_gap(past, record->seq, err);
        return r < 0 ? r : add_refusal(past, record, err);
    case JOURNAL_CRASHED:
        past->n_crashes = past->crashed_seq == record->seq ? past->n_crashes + 1 : 1;
        past->crashed_seq = record->seq;
        return 0;
    default: /* JOURNAL_ENDED */
        past->has_ended = true;
        return 0;
    }
}

/* A job that goes on knows it already, and the loop may look at it. */
static void
note(uint64_t *field, uint64_t value)
{
    if (*field != value)
        *field = value;
}

static int
visit_job(struct reading *reading, const struct journal_record *record, uint64_t end,
          struct lighter_error *err)
{
    switch (record->kind) {
    case JOURNAL_JOB:
        note(&reading->job->id, record->seq);
        note(&reading->job->published_before, record->size);
        reading->durable = end;
        return 0;
    case JOURNAL_PLACE:
        reading->job->was_live = true;
        if (record->writer < JOB_WRITERS_MAX)
            reading->places[record->writer] = *record;
        return 0;
    case JOURNAL_DURABLE:
        reading->durable = record->size;
        return 0;
    case JOURNAL_RESTED:
        reading->job->was_live = false;
        return 0;
    case JOURNAL_COMPLETE:
        reading->job->is_complete = true;
        return 0;
    case JOURNAL_PUBLISHED:
        note(&reading->job->id, record->seq);
        reading->job->n_samples = record->n_samples;
        reading->job->n_bytes = record->size;
        reading->job->is_published = true;
        return 0;
    case JOURNAL_SHARD:
    case JOURNAL_WRITTEN:
    case JOURNAL_REFUSED:
    case JOURNAL_ENDED:
    case JOURNAL_CRASHED:
        return visit_stream(reading, record, err);
    }
    return lighter_fail(err, LIGHTER_E_PROTOCOL, "a record of the unknown kind %d",
                        (int)record->kind);
}

static int
visit(void *data, const struct journal_record *record, uint64_t end,
      struct lighter_error *err)
{
    struct reading *reading = data;
    int r = visit_job(reading, record, end, err);

    reading->end = end;
    return r;
}

static void
forget(struct job *job)
{
    for (uint32_t i = 0; i < job->world_size; i++)
        rank_forget_past(&job->ranks[i]);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        job->outputs[i].n_names = 0;
    job->n_batches = job->n_samples = job->n_bytes = 0;
    job->is_complete = job->is_published = job->was_live = false;
}

static int
read_below(struct reading *reading, uint64_t limit, struct lighter_error *err)
{
    forget(reading->job);
    reading->end = reading->durable = 0;
    reading->refused = UINT64_MAX;
    return journal_read(&reading->job->journal, limit, visit, reading, err);
}

/* How far a rank has come, and whether it comes again. */
static void
settle_rank(struct rank *rank)
{
    uint32_t n_ended = 0;

    rank->state = RANK_ABSENT;
    if (!rank->past)
        return;
    rank->seq = rank->past[0].seq;
    for (uint32_t i = 0; i < rank->job->n_outputs; i++) {
        if (rank->past[i].seq < rank->seq)
            rank->seq = rank->past[i].seq;
        n_ended += rank->past[i].has_ended;
    }
    if (n_ended == rank->job->n_outputs)
        rank->state = RANK_ENDED;
}

static void
settle(struct job *job)
{
    job->n_ended = 0;
    for (uint32_t i = 0; i < job->world_size; i++) {
        settle_rank(&job->ranks[i]);
        job->n_ended += job->ranks[i].state == RANK_ENDED;
    }
}

static int
open_journal(struct job *job, struct lighter_error *err)
{
    char name[NAME_MAX + 1];

    journal_name(job, name);
    return journal_open(&job->journal, state_fd(job), name, err);
}

int
recovery_read(struct job *job, struct lighter_error *err)
{
    struct reading reading = {.job = job};
    int r = open_journal(job, err);

    if (r == 0)
        r = read_below(&reading, UINT64_MAX, err);
    settle(job);
    journal_close(&job->journal);
    return r;
}

/* ---- going on ---- */

/* Have the outputs' disks been there all the time? */
static bool
is_undisturbed(const struct reading *reading)
{
    const struct job *job = reading->job;

    for (uint32_t i = 0; i < job->n_outputs; i++) {
        const struct journal_record *then = &reading->places[i];
        struct journal_record now = {0};

        if (!then->kind)
            continue; /* it had not come to that: nothing was written */
        if (find_place(&job->outputs[i], &now, NULL) < 0 || now.batch_idx == 0 ||
            now.batch_idx != then->batch_idx || now.seq != then->seq ||
            now.size != then->size)
            return false;
    }
    return true;
}

static int
copy_record(void *data, const struct journal_record *record, uint64_t end,
            struct lighter_error *err)
{
    (void)end;
    return journal_append(data, record, err);
}

/* What is durable must be there: else the disk is only away, and will come back. */
static int
check_durable(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        const struct job_output *output = &job->outputs[i];

        if (output->n_names && output->files.staging_fd < 0)
            r = lighter_fail(err, LIGHTER_E_STATE, "the staged files of '%s' are gone",
                             output->writer.target);
        for (uint32_t j = 0; j < job->world_size && r == 0; j++) {
            const struct stream_past *past =
                job->ranks[j].past ? &job->ranks[j].past[i] : NULL;

            if (past && past->has_shard)
                r = shard_check(&output->table, j, past->n_bytes, err);
        }
    }
    return r;
}

/* Only what is recorded below `limit` counts: a journal of that alone takes the place
 * of the one that is open.
 */
static int
cut_back(struct reading *reading, uint64_t limit, struct lighter_error *err)
{
    uint64_t size = reading->durable < limit ? reading->durable : limit;
    struct journal_record durable = {.kind = JOURNAL_DURABLE, .size = size};
    struct job *job = reading->job;
    char name[NAME_MAX + 1];
    struct journal fresh;
    int r;

    journal_name(job, name);
    r = read_below(reading, limit, err);
    if (r == 0)
        r = check_durable(job, err);
    if (r < 0)
        return r;
    journal_init(&fresh);
    r = journal_begin(&fresh, state_fd(job), name, err);
    if (r == 0)
        r = journal_read(&job->journal, limit, copy_record, &fresh, err);
    if (r == 0)
        r = journal_append(&fresh, &durable, err);
    if (r == 0)
        r = journal_replace(&fresh, state_fd(job), name, true, err);
    journal_close(&job->journal);
    job->journal.fd = fresh.fd;
    job->journal.size = fresh.size;
    fresh.fd = -1;
    journal_done(&fresh);
    if (r == 0)
        job->is_unsure = false;
    return r;
}

void
recovery_distrust(struct job *job)
{
    struct journal_record nowhere = {.kind = JOURNAL_PLACE};

    job->is_unsure = true;
    /* for the next daemon: no disk is there. Where this fails as well, more is broken
     */
    journal_append(&job->journal, &nowhere, NULL);
}

/* How much of the journal counts. */
static uint64_t
find_limit(const struct reading *reading)
{
    const struct job *job = reading->job;
    uint64_t limit = job->tries_again ? reading->refused : UINT64_MAX;

    if (job->is_complete)
        return UINT64_MAX;
    if (reading->durable < limit && (job->is_unsure || !is_undisturbed(reading))) {
        log_warning("not all is there job=%s stage=%s reason=\"its disk was gone "
                    "meanwhile, or could not be synced: only what was durable counts\"",
                    job->name, job->stage);
        limit = reading->durable;
    }
    return limit;
}

static int
by_digest(const void *a, const void *b)
{
    const struct name_digest *x = a, *y = b;

    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    return x->high < y->high ? -1 : x->high > y->high;
}

static bool
is_committed(const void *data, const char *name)
{
    const struct job_output *output = data;
    struct name_digest digest = digest_of(name, strlen(name));

    return output->n_names && bsearch(&digest, output->names, output->n_names,
                                      sizeof digest, by_digest) != NULL;
}

/* Staged files of batches that were not committed go; their clients send them again. */
static int
prune(struct job_output *output, struct lighter_error *err)
{
    int r;

    if (output->n_names)
        qsort(output->names, output->n_names, sizeof *output->names, by_digest);
    r = files_prune(&output->files, is_committed, output, err);
    return r < 0 ? error_wrap(err, r, "'%s'", output->writer.target) : 0;
}

static int
prune_all(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        struct job_output *output = &job->outputs[i];

        if (output->files.directory_fd < 0)
            continue;
        if (output->files.staging_fd < 0 && output->n_names)
            r = lighter_fail(err, LIGHTER_E_STATE, "the staged files of '%s' are gone",
                             output->writer.target);
        else if (output->files.staging_fd < 0)
            r = files_stage(&output->files, output->writer.target, err);
        else
            r = prune(output, err);
    }
    return r;
}

int
recovery_resume(struct job *job, struct lighter_error *err)
{
    struct reading reading = {.job = job};
    int r = publish_reopen(job, err);
    uint64_t limit;
    bool was_whole;

    if (r == 0)
        r = open_journal(job, err);
    if (r == 0)
        r = read_below(&reading, UINT64_MAX, err);
    settle(job);
    was_whole = job_is_whole(job);
    limit = find_limit(&reading);
    if (r == 0 && limit != UINT64_MAX) {
        r = cut_back(&reading, limit, err);
        settle(job);
    }
    if (r == 0 && job->finalizing && was_whole && !job_is_whole(job))
        r = lighter_fail(err, LIGHTER_E_STATE,
                         "job '%s' is not published: what was written last is lost; "
                         "resume it, or discard it",
                         job->name);
    if (r < 0 || job->is_complete)
        return r;
    r = prune_all(job, err);
    return r < 0 ? r : recovery_note_places(job, err);
}

static int
open_rank_shards(struct rank *rank, struct lighter_error *err)
{
    struct job *job = rank->job;
    int r = 0;

    rank->streams = calloc(job->n_outputs + 1u, sizeof *rank->streams);
    if (!rank->streams)
        return fail_nomem(err);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        rank->streams[i] = (struct stream){.shard = {.fd = -1},
                                           .seq = rank->past[i].seq,
                                           .n_samples = rank->past[i].n_samples,
                                           .n_bytes = rank->past[i].n_bytes};
    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        const struct stream_past *past = &rank->past[i];
        struct table *table = &job->outputs[i].table;
        struct shard *shard = &rank->streams[i].shard;

        if (!past->has_shard)
            continue;
        r = job->is_complete ? shard_name(shard, table, rank->number, err)
                             : shard_reopen(shard, table, rank->number,
                                            past->header_size, past->n_bytes, err);
    }
    return r;
}

int
recovery_open_shards(struct job *job, bool all, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->world_size && r == 0; i++) {
        struct rank *rank = &job->ranks[i];

        if (rank->past && (all || rank->state == RANK_ENDED))
            r = open_rank_shards(rank, err);
    }
    return r;
}

/* ---- the end ---- */

void
recovery_rest(struct job *job)
{
    struct journal_record rested = {.kind = JOURNAL_RESTED};

    /* where it cannot be noted a rank of its next run may join it */
    journal_append(&job->journal, &rested, NULL);
}

int
recovery_drop(struct job *job, struct lighter_error *err)
{
    char name[NAME_MAX + 1];

    journal_name(job, name);
    if (unlinkat(state_fd(job), name, 0) < 0 && errno != ENOENT)
        return lighter_fail_os(err, errno, "remove the journal '%s'", name);
    job->has_journal = false;
    return 0;
}

int
recovery_discard(struct job *job, struct lighter_error *err)
{
    int r = discard_outputs(job, err);

    return r < 0 ? r : recovery_drop(job, err);
}

int
recovery_finish(struct job *job, struct lighter_error *err)
{
    struct journal_record published = {
        .kind = JOURNAL_PUBLISHED, .n_samples = job->n_samples, .size = job->n_bytes};

    journal_close(&job->journal);
    return create_journal(job, &published, false, err);
}
