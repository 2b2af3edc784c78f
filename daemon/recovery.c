/* recovery.c - see recovery.h. */
#include "daemon/recovery.h"

#include "daemon/committed.h"
#include "daemon/ending.h"
#include "daemon/job_internal.h"
#include "daemon/publish.h"
#include "daemon/replay.h"
#include "daemon/staged.h"
#include "daemon/verify.h"
#include "util/error.h"
#include "util/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct staged_list staged;
    char name[NAME_MAX + 1];
    int r;

    state_journal_name(name, job->name, job->stage);
    r = staged_read(&staged, state_fd(job), name, err);
    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = publish_discard(job, i, &staged, err);
    staged_done(&staged);
    return r;
}

/* A journal that begins with `first`, about this job. Of one that is over it need not
 * be durable.
 */
static int
create_journal(struct job *job, struct journal_record *first, bool is_over,
               struct lighter_error *err)
{
    char name[NAME_MAX + 1];
    int r;

    state_journal_name(name, job->name, job->stage);
    first->seq = job->id;
    first->text = job->request.data;
    first->text_size = job->request.size;
    r = state_ensure(job->jobs->state, err);
    if (r == 0)
        r = journal_begin(&job->journal, state_fd(job), name, err);
    if (r == 0)
        r = journal_append(&job->journal, first, err);
    if (r == 0 && is_over)
        r = ending_append(job, JOB_PUBLISHED, err);
    if (r == 0)
        r = journal_replace(&job->journal, state_fd(job), name, !is_over, err);
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
    r = create_journal(job, &first, false, err);
    job->has_journal = r == 0;
    if (r < 0)
        job->id = 0;
    return r;
}

/* ---- the disks ---- */

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
    place->batch_idx = journal_boot();
    place->seq = status.stx_mnt_id;
    place->size = (uint64_t)status.stx_dev_major << 32 | status.stx_dev_minor;
    return 0;
}

int
recovery_note_places(struct job *job, struct lighter_error *err)
{
    struct journal_record nowhere = {.kind = JOURNAL_PLACE};
    int r = job->n_outputs ? 0 : journal_append(&job->journal, &nowhere, err);

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        struct journal_record place = {.writer = i};

        r = find_place(&job->outputs[i], &place, err);
        if (r == 0)
            r = journal_append(&job->journal, &place, err);
    }
    return r;
}

void
recovery_distrust(struct job *job)
{
    struct journal_record nowhere = {.kind = JOURNAL_PLACE};

    job->is_unsure = true;
    /* for the next daemon: no disk is there; where this fails, more is broken */
    journal_append(&job->journal, &nowhere, NULL);
}

/* Have the outputs' disks been there all the time? */
static bool
is_undisturbed(const struct replay *replay)
{
    const struct job *job = replay->job;

    for (uint32_t i = 0; i < job->n_outputs; i++) {
        const struct journal_record *then = &replay->places[i];
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

/* ---- going on ---- */

/* A journal that is cut back: to here goes what counts, and what was made: that stays
 * known, so that it can be removed.
 */
struct cutting {
    const struct replay *replay;
    struct journal *fresh;
    uint64_t limit;
};

static int
copy_record(void *data, const struct journal_record *record, uint64_t end,
            struct lighter_error *err)
{
    const struct cutting *cutting = data;

    if (end > cutting->limit && record->kind != JOURNAL_STAGED &&
        !replay_has_dropped(cutting->replay, record))
        return 0;
    return journal_append(cutting->fresh, record, err);
}

static int
check_staging(const struct job_output *output, struct lighter_error *err)
{
    if (output->committed.n && output->files.staging_fd < 0)
        return lighter_fail(err, LIGHTER_E_STATE, "the staged files of '%s' are gone",
                            output->writer.target);
    return 0;
}

static int
look_at_shard(const struct table *table, uint32_t rank, const struct stream_past *past,
              struct lighter_error *err)
{
    struct shard_mark mark;
    int r = shard_mark_of(&mark, table, rank, past->shard, err);

    return r < 0 ? r : shard_look(table, &mark, past->n_bytes, err);
}

/* What is durable must be there: else the disk is only away, and will come back. */
static int
check_durable(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        const struct job_output *output = &job->outputs[i];

        r = check_staging(output, err);
        for (uint32_t j = 0; j < job->n_ranks && r == 0; j++) {
            const struct stream_past *past =
                job->ranks[j]->past ? &job->ranks[j]->past[i] : NULL;

            if (past && past->has_shard)
                r = look_at_shard(&output->table, job->ranks[j]->number, past, err);
            r = r == -ESTALE ? 0 : r; /* check_shards() compares what it has */
        }
    }
    return r;
}

/* Only what is recorded below `limit` counts: a journal of that alone takes the place
 * of the one that is open.
 */
static int
cut_back(struct replay *replay, uint64_t limit, struct lighter_error *err)
{
    uint64_t size = replay->durable < limit ? replay->durable : limit;
    struct journal_record durable = {.kind = JOURNAL_DURABLE, .size = size};
    struct job *job = replay->job;
    char name[NAME_MAX + 1];
    struct journal fresh;
    struct cutting cutting = {replay, &fresh, limit};
    int r;

    state_journal_name(name, job->name, job->stage);
    r = replay_below(replay, limit, err);
    if (r == 0)
        r = committed_read(job, UINT64_MAX, err);
    if (r == 0)
        r = check_durable(job, err);
    if (r < 0)
        return r;
    journal_init(&fresh);
    r = journal_begin(&fresh, state_fd(job), name, err);
    if (r == 0)
        r = journal_read(&job->journal, UINT64_MAX - 1, copy_record, &cutting, err);
    if (r == 0)
        r = journal_append(&fresh, &durable, err);
    if (r == 0)
        r = journal_replace(&fresh, state_fd(job), name, true, err);
    journal_close(&job->journal);
    job->journal.fd = fresh.fd;
    job->journal.id = fresh.id;
    job->journal.size = fresh.size;
    fresh.fd = -1;
    journal_done(&fresh);
    if (r == 0)
        r = replay_below(replay, UINT64_MAX, err);
    if (r == 0)
        job->is_unsure = false;
    return r;
}

/* How much of the journal counts. */
static uint64_t
find_limit(const struct replay *replay)
{
    const struct job *job = replay->job;
    uint64_t limit = job->tries_again ? replay->refused : UINT64_MAX;

    if (job->is_complete)
        return UINT64_MAX;
    if (replay->durable < limit && (job->is_unsure || !is_undisturbed(replay))) {
        log_warning("not all is there job=%s stage=%s reason=\"its disk was gone "
                    "meanwhile, or could not be synced: only what was durable counts\"",
                    LOG_VALUE(job->name), job->stage);
        limit = replay->durable;
    }
    return limit;
}

static int
fail_gone(void *data, const struct filenote *note, struct lighter_error *err)
{
    (void)data;
    return lighter_fail(err, LIGHTER_E_STATE, "the staged file '%s' is gone",
                        note->name);
}

/* Staged files of batches that were not committed go; their clients send them again.
 * Those that were are all there, as they were written.
 */
static int
prune(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    int r = files_prune(&output->files, &output->committed, err);

    if (r == 0)
        r = committed_each_unseen(job, index, fail_gone, NULL, err);
    return r < 0 ? error_wrap(err, r, "'%s'", output->writer.target) : 0;
}

static int
prune_all(struct job *job, struct lighter_error *err)
{
    int r = committed_read(job, UINT64_MAX, err);

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        struct job_output *output = &job->outputs[i];

        if (output->files.directory_fd < 0)
            continue;
        r = check_staging(output, err);
        if (r == 0)
            r = output->files.staging_fd < 0 ? publish_stage(job, i, err)
                                             : prune(job, i, err);
    }
    committed_forget(job);
    return r;
}

/* ---- shards ---- */

/* `visit` each shard that the ranks of a job have. */
typedef int visit_shard(struct job *job, struct rank *rank, uint32_t output,
                        struct shard_mark *mark, void *data, struct lighter_error *err);

static int
each_shard(struct job *job, visit_shard *visit, void *data, struct lighter_error *err)
{
    struct shard_mark mark;
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs; i++)
        for (uint32_t j = 0; j < job->n_ranks && r == 0; j++) {
            const struct stream_past *past = job->ranks[j]->past;

            if (!past || !past[i].has_shard)
                continue;
            r = shard_mark_of(&mark, &job->outputs[i].table, job->ranks[j]->number,
                              past[i].shard, err);
            if (r == 0)
                r = visit(job, job->ranks[j], i, &mark, data, err);
        }
    return r;
}

/* Another inode may have the same bytes: who has copied it back did not change it. */
static int
find_strangers(struct job *job, struct rank *rank, uint32_t output,
               struct shard_mark *mark, void *data, struct lighter_error *err)
{
    bool *found = data;
    int r =
        shard_look(&job->outputs[output].table, mark, rank->past[output].n_bytes, err);

    *found |= r == -ESTALE;
    return r == -ESTALE ? 0 : r;
}

/* Its bytes were compared: it is what the journal says. */
static int
take_stranger(struct job *job, struct rank *rank, uint32_t output,
              struct shard_mark *mark, void *data, struct lighter_error *err)
{
    const struct table *table = &job->outputs[output].table;
    struct journal_record staged = {.kind = JOURNAL_STAGED,
                                    .rank = rank->number,
                                    .writer = output,
                                    .text = mark->name,
                                    .text_size = strlen(mark->name)};
    struct own_id id;

    (void)data;
    if (own_adopt(table->directory_fd, mark->name, S_IFREG, &id, err) != 0 ||
        own_same(&id, &mark->id) || !rank->past[output].shard)
        return 0; /* opening it says what is wrong with it */
    rank->past[output].shard->id = id;
    staged.seq = id.inode;
    staged.size = id.device;
    return journal_append(&job->journal, &staged, err);
}

/* Each shard is there, and where that is not certain its bytes are those that were
 * written: at the first `resume` of a new process, on a disk that was away, in another
 * file of that name.
 */
static int
check_shards(struct job *job, bool is_disturbed, struct lighter_error *err)
{
    bool has_strangers = false;
    int r = each_shard(job, find_strangers, &has_strangers, err);

    if (r == 0 && (is_disturbed || has_strangers || job->tries_again))
        r = verify_shards(job, err);
    if (r == 0 && has_strangers)
        r = each_shard(job, take_stranger, NULL, err);
    return r < 0 ? error_wrap(err, r, "job '%s'", job->name) : 0;
}

int
recovery_tell_damage(const struct job *job, struct lighter_error *err)
{
    char name[NAME_MAX + 1];

    state_journal_name(name, job->name, job->stage);
    return lighter_fail(err, LIGHTER_E_STATE,
                        "job '%s' is not published: its journal '%s/%s' is damaged at "
                        "byte %" PRIu64 ", and what is recorded behind that is lost; "
                        "lighterctl finalize --damaged publishes what is recorded "
                        "before it, lighterctl discard removes it",
                        job->name, job->jobs->state->path, name, job->damaged_at);
}

/* Who finalizes it wants what is before the damage. */
static int
pass_damage(struct job *job, struct lighter_error *err)
{
    if (!job->is_consented)
        return recovery_tell_damage(job, err);
    return journal_cut(&job->journal, err);
}

/* Of the last batch of a rank: a writer that has not come so far, where another has.
 * Return: was there one?
 */
static bool
is_uneven(const struct rank *rank, uint32_t *ret_behind)
{
    uint64_t committed = rank_committed(rank);
    bool is_ahead = false;

    for (uint32_t i = 0; rank->past && i < rank->job->n_outputs; i++) {
        is_ahead |= stream_past_ends_with(&rank->past[i], committed + 1);
        if (rank->past[i].seq == committed)
            *ret_behind = i;
    }
    return is_ahead;
}

static int
drop_last(struct job *job, const struct rank *rank, uint32_t behind,
          struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    struct journal_record dropped = {.kind = JOURNAL_DROPPED,
                                     .rank = rank->number,
                                     .writer = behind,
                                     .seq = rank_committed(rank) + 1,
                                     .text = &why};

    lighter_fail(&why, LIGHTER_E_STATE,
                 "the job was finalized before all of its writers had the batch");
    dropped.text_size =
        offsetof(struct lighter_error, message) + strlen(why.message) + 1;
    return journal_append(&job->journal, &dropped, err);
}

/* Nobody sends again what some writers had when the daemon died, and others had not: a
 * batch is shown by all writers or by none.
 */
static int
drop_uneven(struct replay *replay, struct lighter_error *err)
{
    struct job *job = replay->job;
    bool is_one = false;
    uint32_t behind = 0;
    int r = 0;

    for (uint32_t i = 0; i < job->n_ranks && r == 0; i++) {
        if (!is_uneven(job->ranks[i], &behind))
            continue;
        is_one = true;
        r = drop_last(job, job->ranks[i], behind, err);
    }
    if (r == 0 && is_one)
        r = journal_sync(&job->journal, err); /* before what they have is cut off */
    return r < 0 || !is_one ? r : replay_below(replay, UINT64_MAX, err);
}

int
recovery_resume(struct job *job, struct lighter_error *err)
{
    struct replay replay;
    int r = publish_reopen(job, err);
    bool was_whole, is_disturbed;
    uint64_t limit;

    if (r == 0)
        r = replay_open(&replay, job, err);
    if (r == 0 && job->damaged_at)
        r = pass_damage(job, err);
    if (r < 0)
        return r;
    was_whole = job_is_whole(job);
    is_disturbed = job->is_unsure || !is_undisturbed(&replay);
    limit = find_limit(&replay);
    if (limit != UINT64_MAX)
        r = cut_back(&replay, limit, err);
    if (r == 0 && job->finalizing && was_whole && !job_is_whole(job))
        r = lighter_fail(err, LIGHTER_E_STATE,
                         "job '%s' is not published: what was written last is lost; "
                         "resume it, or discard it",
                         job->name);
    if (r < 0 || job->is_complete)
        return r;
    r = job->finalizing ? drop_uneven(&replay, err) : 0;
    if (r == 0)
        r = check_shards(job, is_disturbed, err);
    if (r == 0)
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
        struct shard_mark mark;

        if (!past->has_shard)
            continue;
        r = shard_mark_of(&shard->mark, table, rank->number, past->shard, err);
        mark = shard->mark;
        if (r == 0 && !job->is_complete)
            r = shard_reopen(shard, table, &mark, past->header_size, past->n_bytes,
                             err);
    }
    return r;
}

int
recovery_open_shards(struct job *job, bool all, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_ranks && r == 0; i++) {
        struct rank *rank = job->ranks[i];

        if (rank->past && (all || rank->state == RANK_ENDED))
            r = open_rank_shards(rank, err);
    }
    return r;
}

/* ---- the end ---- */

void
recovery_rest(struct job *job)
{
    /* where it cannot be noted a rank of its next run may join it */
    ending_append(job, job->doom, NULL);
}

int
recovery_drop(struct job *job, struct lighter_error *err)
{
    char name[NAME_MAX + 1];
    struct own_id id;
    int r;

    state_journal_name(name, job->name, job->stage);
    r = own_adopt(state_fd(job), name, S_IFREG, &id, err);
    if (r == 0)
        r = own_remove(state_fd(job), name, &id, err);
    if (r == OWN_OTHER)
        r = lighter_fail(err, LIGHTER_E_STATE, "it is no file");
    if (r < 0)
        return error_wrap(err, r, "the journal '%s'", name);
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
    return create_journal(job, &published, true, err);
}
