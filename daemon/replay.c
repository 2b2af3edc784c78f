/* replay.c - see replay.h. */
#include "daemon/replay.h"

#include "config.h"
#include "daemon/ending.h"
#include "daemon/job_internal.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the first record ---- */

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

static bool
is_blank(int fd)
{
    static const uint8_t nothing[64];
    uint8_t head[sizeof nothing];
    ssize_t size = pread(fd, head, sizeof head, 0);

    return size >= 0 && memcmp(head, nothing, (size_t)size) == 0;
}

int
replay_peek(const struct state *state, const char *name, struct message *ret_message,
            uint64_t *ret_id, struct lighter_error *err)
{
    struct journal_record first = {0};
    struct journal journal;
    bool blank = false;
    int r;

    journal_init(&journal);
    r = journal_open(&journal, state->fd, name, err);
    if (r == 0) {
        blank = is_blank(journal.fd);
        r = journal_read(&journal, UINT64_MAX - 1, visit_first, &first, err);
    }
    journal_done(&journal);
    if (r == 0 && blank)
        return REPLAY_BLANK;
    if (r == 0 && !first.kind)
        r = lighter_fail(err, LIGHTER_E_PROTOCOL, "it does not begin with a record");
    if (r < 0) {
        free((void *)first.text);
        return r;
    }
    *ret_id = first.seq;
    return parse_request(&first, ret_message, err);
}

/* ---- what streams have done ---- */

/* Those of the record's rank, one a writer. NULL: there is no memory. */
static struct stream_past *
pasts_of(struct job *job, const struct journal_record *record)
{
    struct rank *rank;

    if (job_add_rank(job, record->rank, &rank, NULL) < 0)
        return NULL;
    if (!rank->past)
        rank->past = calloc(job->n_outputs + 1u, sizeof *rank->past);
    return rank->past;
}

static bool
is_of_files(const struct job *job, uint32_t writer)
{
    return job->outputs[writer].writer.type->kind == LIGHTER_KIND_FILES;
}

/* 0.1.0 does not say what it has made: it has always the same name, in the target. */
static void
assume_staging(struct job *job, uint32_t writer)
{
    struct files_mark *mark = &job->outputs[writer].files.mark;

    if (!*mark->name)
        job_staging_name(job, writer, mark->name);
}

/* Notes of the batch's files, also where 0.1.0 has written their names alone. */
static int
copy_notes(struct stream_last *last, const struct journal_record *record,
           struct lighter_error *err)
{
    bool heads = record->kind == JOURNAL_FILES;
    size_t at = 0, room = record->text_size;
    struct filenote note;
    char *notes;

    if (!heads)
        room *= FILENOTE_HEAD + 1; /* a name has a byte or more */
    last->names = notes = malloc(room + 1);
    if (!notes)
        return fail_nomem(err);
    while (filenote_next(record->text, record->text_size, heads, &at, &note)) {
        filenote_put_head(notes, note.size, note.inode);
        strcpy(notes + FILENOTE_HEAD, note.name);
        notes += FILENOTE_HEAD + strlen(note.name) + 1;
    }
    last->names_size = (size_t)(notes - last->names);
    return 0;
}

static int
note_last(struct replay *replay, struct stream_past *past,
          const struct journal_record *record, struct lighter_error *err)
{
    free(past->last.names);
    past->last = (struct stream_last){.seq = record->seq,
                                      .n_samples = record->n_samples - past->n_samples,
                                      .n_bytes = record->size - past->n_bytes,
                                      .recorded_at = replay->end};
    if (!record->text_size || !is_of_files(replay->job, record->writer))
        return 0;
    return copy_notes(&past->last, record, err);
}

static int
add_written(struct replay *replay, struct stream_past *past,
            const struct journal_record *record, struct lighter_error *err)
{
    struct job *job = replay->job;
    int r = note_last(replay, past, record, err);

    if (r < 0)
        return r;
    if (record->writer == 0) {
        job->n_batches++;
        job->n_samples += past->last.n_samples;
    }
    job->n_bytes += past->last.n_bytes;
    past->seq = record->seq;
    past->n_samples = record->n_samples;
    past->n_bytes = record->size;
    if (record->kind == JOURNAL_WRITTEN && is_of_files(job, record->writer))
        assume_staging(job, record->writer);
    return 0;
}

/* Of a batch that another writer refuses, or has not. */
static void
take_back(struct replay *replay, uint32_t writer, struct stream_past *past,
          uint64_t numbers)
{
    struct job *job = replay->job;

    if (past->last.recorded_at < replay->refused)
        replay->refused = past->last.recorded_at;
    if (writer == 0) {
        job->n_batches--;
        job->n_samples -= past->last.n_samples;
    }
    job->n_bytes -= past->last.n_bytes;
    stream_past_take_back(past, numbers);
}

static bool
is_of_a_refusal(const struct stream_past *past, const struct journal_record *record)
{
    return record->kind == JOURNAL_REFUSED || record->kind == JOURNAL_DROPPED ||
           (journal_is_written(record->kind) && record->seq > past->seq + 1);
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

/* How many samples of a batch that was dropped have numbers, for each writer. */
static uint64_t
numbers_of(const struct journal_record *record, uint32_t writer)
{
    size_t head = offsetof(struct lighter_error, message), at;
    const char *text = record->text;
    uint64_t numbers;

    if (record->text_size <= head)
        return 0;
    at = head + strnlen(text + head, record->text_size - head) + 1 +
         writer * sizeof numbers;
    if (at > record->text_size || record->text_size - at < sizeof numbers)
        return 0;
    memcpy(&numbers, text + at, sizeof numbers);
    return numbers;
}

/* No writer has any of it: those that had it have it as their last. (One that is beyond
 * it was written when writers did not go in step: it keeps what it has.)
 */
static int
add_drop(struct replay *replay, struct stream_past *pasts,
         const struct journal_record *record, struct lighter_error *err)
{
    struct stream_past *refuser = &pasts[record->writer];
    int r = add_gap(refuser, record->seq, err);

    if (r == 0)
        r = add_refusal(refuser, record, err);
    for (uint32_t i = 0; i < replay->job->n_outputs; i++) {
        uint64_t numbers = numbers_of(record, i);

        if (stream_past_ends_with(&pasts[i], record->seq))
            take_back(replay, i, &pasts[i], numbers);
        else if (pasts[i].seq < record->seq || i == record->writer)
            pasts[i].n_dropped += numbers;
        if (pasts[i].seq < record->seq)
            pasts[i].seq = record->seq;
    }
    return r;
}

/* One that is open is known already, as it is now. */
static void
note_staging(struct files *files, const struct shard_mark *mark, bool beside)
{
    if (files->staging_fd >= 0)
        return;
    files->mark = (struct files_mark){.id = mark->id, .beside = beside};
    strcpy(files->mark.name, mark->name);
}

/* What was made for an output, and is ours. */
static int
add_staged(struct job *job, struct stream_past *past,
           const struct journal_record *record, struct lighter_error *err)
{
    struct shard_mark mark = {.id = {.device = record->size, .inode = record->seq}};
    struct job_output *output = &job->outputs[record->writer];

    if (record->text_size >= sizeof mark.name)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "a name of %zu bytes",
                            record->text_size);
    memcpy(mark.name, record->text, record->text_size);
    if (!past && is_of_files(job, record->writer))
        note_staging(&output->files, &mark, record->batch_idx == 1);
    else if (!past)
        output->table.packed = mark;
    if (!past)
        return 0;
    if (!past->shard)
        past->shard = malloc(sizeof *past->shard);
    if (!past->shard)
        return fail_nomem(err);
    *past->shard = mark;
    return 0;
}

static int
visit_staged(struct replay *replay, const struct journal_record *record,
             struct lighter_error *err)
{
    struct job *job = replay->job;
    bool is_shard = record->rank != JOURNAL_NO_RANK;
    struct stream_past *past = NULL;

    if (record->writer >= job->n_outputs ||
        (is_shard && record->rank >= job->world_size))
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "a record is of rank %u and writer %u", record->rank,
                            record->writer);
    if (is_shard)
        past = pasts_of(job, record);
    if (is_shard && !past)
        return fail_nomem(err);
    return add_staged(job, past ? &past[record->writer] : NULL, record, err);
}

/* What a stream's records say. Numbers that do not fit were not written by us. */
static int
visit_stream(struct replay *replay, const struct journal_record *record,
             struct lighter_error *err)
{
    struct job *job = replay->job;
    struct stream_past *pasts, *past;
    struct journal_record rows;
    int r;

    if (record->rank >= job->world_size || record->writer >= job->n_outputs)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "a record is of rank %u and writer %u", record->rank,
                            record->writer);
    pasts = pasts_of(job, record);
    if (!pasts)
        return fail_nomem(err);
    past = &pasts[record->writer];
    if (is_of_a_refusal(past, record) && replay->end < replay->refused)
        replay->refused = replay->end;
    switch (record->kind) {
    case JOURNAL_SHARD:
        past->has_shard = true;
        past->header_size = past->n_bytes = record->size;
        return 0;
    case JOURNAL_ROWS:
        if (record->seq == 0) /* the shard's header, which has its own record */
            return 0;
        rows = *record;
        rows.text_size = 0; /* it is no names */
        r = add_gap(past, record->seq, err);
        return r < 0 ? r : add_written(replay, past, &rows, err);
    case JOURNAL_WRITTEN:
    case JOURNAL_FILES:
        r = add_gap(past, record->seq, err);
        return r < 0 ? r : add_written(replay, past, record, err);
    case JOURNAL_REFUSED:
        r = add_gap(past, record->seq, err);
        return r < 0 ? r : add_refusal(past, record, err);
    case JOURNAL_DROPPED:
        return add_drop(replay, pasts, record, err);
    case JOURNAL_CRASHED:
        past->n_crashes = past->crashed_seq == record->seq ? past->n_crashes + 1 : 1;
        past->crashed_seq = record->seq;
        return 0;
    default: /* JOURNAL_ENDED */
        past->has_ended = true;
        return 0;
    }
}

/* ---- the job ---- */

/* A job that goes on knows it already, and the loop may look at it. */
static void
note(uint64_t *field, uint64_t value)
{
    if (*field != value)
        *field = value;
}

static int
note_attempt(struct job *job, const struct journal_record *record,
             struct lighter_error *err)
{
    size_t size = record->text_size;

    if (size >= sizeof job->attempt)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "an attempt has %zu bytes", size);
    if (strncmp(job->attempt, record->text, size) == 0 && !job->attempt[size])
        return 0;
    memset(job->attempt, 0, sizeof job->attempt);
    memcpy(job->attempt, record->text, size);
    return 0;
}

static int
recall_asked(struct job *job, const struct journal_record *record,
             struct lighter_error *err)
{
    if (record->text_size)
        return policies_recall(&job->policies, record->text, record->text_size,
                               record->size != 0, err);
    policies_recall_step(&job->policies, (int64_t)record->seq);
    return 0;
}

static int
visit_job(struct replay *replay, const struct journal_record *record, uint64_t end,
          struct lighter_error *err)
{
    struct job *job = replay->job;

    switch (record->kind) {
    case JOURNAL_JOB:
        note(&job->id, record->seq);
        note(&job->published_before, record->size);
        replay->durable = end;
        return 0;
    case JOURNAL_PLACE:
        job->was_live = true;
        ending_forget(job);
        if (record->writer < JOB_WRITERS_MAX)
            replay->places[record->writer] = *record;
        return 0;
    case JOURNAL_DURABLE:
        replay->durable = record->size;
        return 0;
    case JOURNAL_RESTED:
        job->was_live = false;
        return 0;
    case JOURNAL_POLICY:
        return recall_asked(job, record, err);
    case JOURNAL_OVER:
        return ending_keep(job, record, err);
    case JOURNAL_COMPLETE:
        job->is_complete = true;
        return 0;
    case JOURNAL_ATTEMPT:
        return note_attempt(job, record, err);
    case JOURNAL_PUBLISHED:
        note(&job->id, record->seq);
        job->n_samples = record->n_samples;
        job->n_bytes = record->size;
        job->is_published = true;
        return 0;
    case JOURNAL_STAGED:
        return visit_staged(replay, record, err);
    case JOURNAL_SHARD:
    case JOURNAL_WRITTEN:
    case JOURNAL_ROWS:
    case JOURNAL_FILES:
    case JOURNAL_REFUSED:
    case JOURNAL_DROPPED:
    case JOURNAL_ENDED:
    case JOURNAL_CRASHED:
        return visit_stream(replay, record, err);
    }
    return lighter_fail(err, LIGHTER_E_PROTOCOL,
                        "a record of the unknown kind %d, of a later version of "
                        "lighterd than this, which is " PACKAGE_VERSION,
                        (int)record->kind);
}

static int
visit(void *data, const struct journal_record *record, uint64_t end,
      struct lighter_error *err)
{
    struct replay *replay = data;
    int r = visit_job(replay, record, end, err);

    replay->end = end;
    return r;
}

static void
forget(struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        rank_forget_past(job->ranks[i]);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        job->outputs[i].table.packed.name[0] = '\0';
    job->n_batches = job->n_samples = job->n_bytes = 0;
    job->is_complete = job->is_published = job->was_live = false;
    job->damaged_at = 0;
    ending_forget(job);
    policies_forget(&job->policies);
}

/* How far a rank has come, and whether it comes again. */
static void
settle_rank(struct rank *rank)
{
    uint32_t n_outputs = rank->past ? rank->job->n_outputs : 0, n_ended = 0;

    for (uint32_t i = 0; i < n_outputs; i++)
        n_ended += rank->past[i].has_ended;
    rank->seq = rank_committed(rank);
    rank->state = n_outputs && n_ended == n_outputs ? RANK_ENDED : RANK_ABSENT;
}

static void
settle(struct job *job)
{
    job->n_ended = 0;
    for (uint32_t i = 0; i < job->n_ranks; i++) {
        settle_rank(job->ranks[i]);
        job->n_ended += job->ranks[i]->state == RANK_ENDED;
    }
}

/* Of what is recorded behind the limit a drop counts, where some of its batch is below:
 * that was taken back already.
 */
struct behind {
    struct replay *replay;
    uint64_t limit;
};

static int
visit_behind(void *data, const struct journal_record *record, uint64_t end,
             struct lighter_error *err)
{
    const struct behind *behind = data;
    struct job *job = behind->replay->job;
    const struct rank *rank;
    bool counts = false;

    if (end <= behind->limit || record->kind != JOURNAL_DROPPED)
        return 0;
    rank = job_rank(job, record->rank);
    for (uint32_t i = 0; rank && rank->past && i < job->n_outputs; i++)
        counts |= stream_past_ends_with(&rank->past[i], record->seq);
    return counts ? visit_stream(behind->replay, record, err) : 0;
}

bool
replay_has_dropped(const struct replay *replay, const struct journal_record *record)
{
    const struct rank *rank = job_rank(replay->job, record->rank);

    return record->kind == JOURNAL_DROPPED && rank && rank->past &&
           stream_past_refusal(&rank->past[record->writer], record->seq);
}

/* Was the machine on all the time? Else the end of the journal may be there, and what
 * is before it not: it was written to the disk in another order.
 */
static bool
is_same_boot(const struct replay *replay)
{
    int64_t boot = journal_boot();

    for (uint32_t i = 0; i < replay->job->n_outputs; i++)
        if (replay->places[i].kind && replay->places[i].batch_idx != boot)
            return false;
    return boot != 0;
}

/* What is no record in between is damage, or a loss of power that took what was not
 * durable.
 */
static int
settle_damage(struct replay *replay, struct lighter_error *err)
{
    struct job *job = replay->job;
    uint64_t durable = job->journal.durable_behind;

    if (!is_same_boot(replay) && durable <= replay->end)
        return journal_cut(&job->journal, err);
    job->damaged_at = replay->end;
    return 0;
}

int
replay_below(struct replay *replay, uint64_t limit, struct lighter_error *err)
{
    struct behind behind = {replay, limit};
    struct job *job = replay->job;
    int r;

    forget(job);
    *replay = (struct replay){.job = job, .refused = UINT64_MAX};
    r = journal_read(&job->journal, limit, visit, replay, err);
    if (r == JOURNAL_DAMAGED)
        r = settle_damage(replay, err);
    if (r == 0 && limit != UINT64_MAX)
        r = journal_read(&job->journal, UINT64_MAX - 1, visit_behind, &behind, err);
    settle(job);
    return r;
}

static int
visit_durable(void *data, const struct journal_record *record, uint64_t end,
              struct lighter_error *err)
{
    const struct job *job = data;
    struct rank *rank = job_rank(job, record->rank);

    (void)end, (void)err;
    if (!rank || !rank->past || record->writer >= job->n_outputs)
        return 0;
    if (record->kind == JOURNAL_DROPPED)
        for (uint32_t i = 0; i < job->n_outputs; i++)
            rank->past[i].durable = record->seq;
    else if (journal_is_written(record->kind) || record->kind == JOURNAL_REFUSED)
        rank->past[record->writer].durable = record->seq;
    return 0;
}

/* How far its ranks are safe from a loss of power. */
static int
note_durable(struct replay *replay, struct lighter_error *err)
{
    struct job *job = replay->job;
    int r = journal_look(job->journal.fd, replay->durable, visit_durable, job, err);

    for (uint32_t i = 0; i < job->n_ranks; i++) {
        struct rank *rank = job->ranks[i];
        uint64_t seq = rank->past && job->n_outputs ? UINT64_MAX : 0;

        for (uint32_t j = 0; rank->past && j < job->n_outputs; j++)
            if (rank->past[j].durable < seq)
                seq = rank->past[j].durable;
        rank->durable = seq;
    }
    return r;
}

int
replay_open(struct replay *ret_replay, struct job *job, struct lighter_error *err)
{
    char name[NAME_MAX + 1];
    int r;

    state_journal_name(name, job->name, job->stage);
    r = journal_open(&job->journal, job->jobs->state->fd, name, err);
    if (r < 0)
        return r;
    ret_replay->job = job;
    r = replay_below(ret_replay, UINT64_MAX, err);
    return r < 0 ? r : note_durable(ret_replay, err);
}

int
replay_read(struct job *job, struct lighter_error *err)
{
    struct replay replay;
    int r = replay_open(&replay, job, err);

    journal_close(&job->journal);
    return r;
}
