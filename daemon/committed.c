/* committed.c - see committed.h. */
#include "daemon/committed.h"

#include "util/error.h"

#include <stdlib.h>

/* The last batch of a rank for an output: another writer may refuse it yet. */
struct last_batch {
    uint32_t rank, writer;
    uint64_t seq;
    size_t first, n; /* its files in the manifest */
};

struct reading {
    struct job *job;
    struct last_batch *lasts; /* owned */
    size_t n_lasts, room;
};

static bool
makes_files(const struct job *job, uint32_t index)
{
    return index < job->n_outputs &&
           job->outputs[index].writer.type->kind == LIGHTER_KIND_FILES;
}

static bool
is_commit(const struct job *job, const struct journal_record *record)
{
    return (record->kind == JOURNAL_FILES || record->kind == JOURNAL_WRITTEN) &&
           makes_files(job, record->writer);
}

/* Room for one of this rank and output. NULL: there is no memory. */
static struct last_batch *
last_of(struct reading *reading, uint32_t rank, uint32_t writer)
{
    struct last_batch *lasts = reading->lasts;

    for (size_t i = 0; i < reading->n_lasts; i++)
        if (lasts[i].rank == rank && lasts[i].writer == writer)
            return &lasts[i];
    if (reading->n_lasts == reading->room) {
        reading->room = reading->room ? 2 * reading->room : 16;
        lasts = reallocarray(lasts, reading->room, sizeof *lasts);
        if (!lasts)
            return NULL;
        reading->lasts = lasts;
    }
    lasts[reading->n_lasts] = (struct last_batch){.rank = rank, .writer = writer};
    return &lasts[reading->n_lasts++];
}

static int
add_files(struct reading *reading, const struct journal_record *record,
          struct lighter_error *err)
{
    struct manifest *manifest = &reading->job->outputs[record->writer].committed;
    struct last_batch *last = last_of(reading, record->rank, record->writer);
    struct filenote note;
    size_t at = 0;
    int r = last ? 0 : fail_nomem(err);

    if (r < 0)
        return r;
    last->seq = record->seq;
    last->first = manifest->n;
    while (r == 0 && filenote_next(record->text, record->text_size,
                                   record->kind == JOURNAL_FILES, &at, &note))
        r = manifest_add(manifest, &note, err);
    last->n = manifest->n - last->first;
    return r;
}

/* No writer has any of the batch: those that had it have it as their last. */
static void
drop_files(struct reading *reading, const struct journal_record *record)
{
    for (size_t i = 0; i < reading->n_lasts; i++) {
        struct last_batch *last = &reading->lasts[i];

        if (last->rank != record->rank || last->seq != record->seq)
            continue;
        manifest_take_back(&reading->job->outputs[last->writer].committed, last->first,
                           last->n);
        last->n = 0;
    }
}

static int
read_record(void *data, const struct journal_record *record, uint64_t end,
            struct lighter_error *err)
{
    struct reading *reading = data;

    (void)end;
    if (is_commit(reading->job, record))
        return add_files(reading, record, err);
    if (record->kind == JOURNAL_DROPPED)
        drop_files(reading, record);
    return 0;
}

int
committed_read(struct job *job, uint64_t limit, struct lighter_error *err)
{
    struct reading reading = {.job = job};
    uint32_t n_files = 0;
    int r;

    committed_forget(job);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        n_files += makes_files(job, i);
    if (!n_files)
        return 0;
    if (limit == UINT64_MAX)
        limit--; /* what is torn is not ours to cut off here */
    r = journal_read(&job->journal, limit, read_record, &reading, err);
    free(reading.lasts);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        manifest_sort(&job->outputs[i].committed);
    return r;
}

void
committed_forget(struct job *job)
{
    for (uint32_t i = 0; i < job->n_outputs; i++)
        manifest_done(&job->outputs[i].committed);
}

/* ---- by name ---- */

struct unseen {
    const struct job *job;
    uint32_t index;
    committed_visit *visit;
    void *data;
};

static int
visit_unseen(void *data, const struct journal_record *record, uint64_t end,
             struct lighter_error *err)
{
    const struct unseen *unseen = data;
    const struct manifest *manifest = &unseen->job->outputs[unseen->index].committed;
    struct filenote note;
    size_t at = 0;
    int r = 0;

    (void)end;
    if (!is_commit(unseen->job, record) || record->writer != unseen->index)
        return 0;
    while (r == 0 && filenote_next(record->text, record->text_size,
                                   record->kind == JOURNAL_FILES, &at, &note)) {
        const struct manifest_file *file = manifest_find(manifest, note.name);

        if (file && !file->seen)
            r = unseen->visit(unseen->data, &note, err);
    }
    return r;
}

int
committed_each_unseen(struct job *job, uint32_t index, committed_visit *visit,
                      void *data, struct lighter_error *err)
{
    struct unseen unseen = {job, index, visit, data};

    if (!manifest_count_unseen(&job->outputs[index].committed))
        return 0;
    return journal_read(&job->journal, UINT64_MAX - 1, visit_unseen, &unseen, err);
}
