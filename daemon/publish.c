/* publish.c - see publish.h. */
#include "daemon/publish.h"

#include "daemon/recovery.h"
#include "daemon/verify.h"
#include "util/error.h"

static bool
is_table(const struct job_output *output)
{
    return output->writer.type->kind == LIGHTER_KIND_TABLE;
}

static void
staging_name(const struct job *job, uint32_t index, char ret_name[PATH_LEAF_SIZE])
{
    snprintf(ret_name, PATH_LEAF_SIZE, ".lighterd.%s.%s.%u", job->name, job->stage,
             index);
}

static int
prepare_table(struct job *job, struct job_output *output, struct lighter_error *err)
{
    output->table.job = job->id;
    return table_prepare(&output->table, output->writer.target, job->world_size,
                         &output->exists, err);
}

static int
prepare_output(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    char staging[PATH_LEAF_SIZE];

    if (is_table(output))
        return prepare_table(job, output, err);
    staging_name(job, index, staging);
    return files_prepare(&output->files, output->writer.target, staging,
                         &output->exists, err);
}

static int
reopen_output(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    char staging[PATH_LEAF_SIZE];
    bool unused;

    if (is_table(output))
        return prepare_table(job, output, err);
    staging_name(job, index, staging);
    return files_reopen(&output->files, output->writer.target, staging, &unused, err);
}

int
publish_reopen(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = reopen_output(job, i, err);
    return r;
}

/* What the journal says was made for the table. */
static int
remove_staged(const struct table *table, uint32_t index,
              const struct staged_list *staged, struct lighter_error *err)
{
    struct shard_mark mark;
    int r = 0;

    for (size_t i = 0; i < staged->n && r == 0; i++) {
        const struct staged *item = &staged->items[i];

        if (item->writer != index)
            continue;
        r = shard_mark_of(&mark, table, item->rank,
                          *item->mark.name ? &item->mark : NULL, err);
        if (r == 0)
            r = shard_remove(table, &mark, err);
    }
    return r;
}

int
publish_discard(struct job *job, uint32_t index, const struct staged_list *staged,
                struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    int r = reopen_output(job, index, err);

    if (r < 0 && output->table.directory_fd >= 0)
        r = 0; /* its final name is taken; what it left has other names */
    else if (r == -ENOTDIR || r == -ELOOP)
        return 0; /* its directory has made way for something else */
    if (r == 0)
        r = is_table(output) ? remove_staged(&output->table, index, staged, err)
                             : files_discard(&output->files, err);
    table_done(&output->table);
    files_done(&output->files);
    return r;
}

int
publish_prepare(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = prepare_output(job, i, err);
    return r;
}

/* The shards of one output, of those ranks that have one. `shards` has room for one a
 * rank. Return: how many.
 */
static uint32_t
collect_shards(const struct job *job, uint32_t index, struct shard **shards)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < job->n_ranks; i++)
        if (job->ranks[i]->streams && *job->ranks[i]->streams[index].shard.mark.name)
            shards[n++] = &job->ranks[i]->streams[index].shard;
    return n;
}

/* The journal has the file before anything is written to it. */
static int
pack_output(struct job *job, uint32_t index, struct shard **shards, uint32_t n_shards,
            struct lighter_error *err)
{
    struct table *table = &job->outputs[index].table;
    struct journal_record staged = {
        .kind = JOURNAL_STAGED, .rank = JOURNAL_NO_RANK, .writer = index};
    int r = table_make_packed(table, err);

    if (r < 0)
        return r;
    staged.seq = table->packed.id.inode;
    staged.size = table->packed.id.device;
    staged.text = table->packed.name;
    staged.text_size = strlen(table->packed.name);
    r = journal_append(&job->journal, &staged, err);
    if (r == 0)
        r = table_pack(table, shards, n_shards, job->jobs->n_threads, err);
    if (r < 0)
        table_remove_packed(table, NULL); /* it takes space; it is made anew */
    return r;
}

static int
join_output(struct job *job, uint32_t index, struct shard **shards,
            struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    uint32_t n_shards = collect_shards(job, index, shards);

    if (!n_shards)
        return lighter_fail(err, LIGHTER_E_STATE, "no rank has written any of it");
    return output->table.is_gzip ? pack_output(job, index, shards, n_shards, err)
                                 : table_join(&output->table, shards, n_shards, err);
}

/* A sync that fails is final: the next one would say that all is well. */
static int
secure_output(struct job *job, uint32_t index, struct shard **shards,
              struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    int r = is_table(output) ? join_output(job, index, shards, err) : 0;

    if (r < 0)
        return r;
    r = is_table(output) ? table_sync(&output->table, shards[0], err)
                         : files_sync(&output->files, err);
    if (r < 0)
        recovery_distrust(job);
    return r;
}

/* All outputs are whole. Now that it is about to be shown, is it still so? */
static int
look_at_output(struct job *job, uint32_t index, struct shard **shards,
               struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];

    if (!is_table(output))
        return 0;
    collect_shards(job, index, shards);
    return table_check(&output->table, shards[0], err);
}

static int
show_output(struct job *job, uint32_t index, struct shard **shards,
            struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];

    if (!is_table(output))
        return files_publish(&output->files, err);
    return table_publish(&output->table, shards, collect_shards(job, index, shards), 0,
                         err);
}

/* From here on it can only go forward: what was renamed cannot be taken back. */
static int
note_complete(struct job *job, struct lighter_error *err)
{
    struct journal_record complete = {.kind = JOURNAL_COMPLETE};
    int r = journal_append(&job->journal, &complete, err);

    if (r == 0)
        r = journal_sync(&job->journal, err);
    job->is_complete = r == 0;
    return r;
}

/* All of them, also where one cannot be: what is shown later is as whole. */
static int
show_all(struct job *job, struct shard **shards, uint32_t *ret_index,
         struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs; i++) {
        int one = show_output(job, i, shards, &why);

        if (one == 0 || r < 0)
            continue;
        r = one;
        *err = why;
        *ret_index = i;
    }
    return r;
}

/* Where the first half fails nothing is shown. *ret_index: whose fault it was. */
static int
publish_outputs(struct job *job, struct shard **shards, uint32_t *ret_index,
                struct lighter_error *err)
{
    int r = 0;

    if (!job->is_complete)
        r = verify_shards(job, err);
    for (uint32_t i = 0; i < job->n_outputs && r == 0 && !job->is_complete; i++) {
        *ret_index = i;
        r = secure_output(job, i, shards, err);
    }
    for (uint32_t i = 0; i < job->n_outputs && r == 0 && !job->is_complete; i++) {
        *ret_index = i;
        r = look_at_output(job, i, shards, err);
    }
    if (r == 0 && !job->is_complete)
        r = note_complete(job, err);
    return r < 0 ? r : show_all(job, shards, ret_index, err);
}

int
publish_run(struct job *job, struct lighter_error *err)
{
    AUTO(free_bytes) struct shard **shards = calloc(job->n_ranks + 1u, sizeof *shards);
    uint32_t index = 0;
    int r;

    if (!shards)
        return fail_nomem(err);
    if (!job->n_outputs)
        return 0;
    r = publish_outputs(job, shards, &index, err);
    return r < 0 ? error_wrap(err, r, "publish '%s'", job->outputs[index].writer.target)
                 : 0;
}

void
publish_close(struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        for (uint32_t j = 0; job->ranks[i]->streams && j < job->n_outputs; j++)
            shard_close(&job->ranks[i]->streams[j].shard);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        table_done(&job->outputs[i].table);
        files_done(&job->outputs[i].files);
    }
    journal_close(&job->journal);
}
