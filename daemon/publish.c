/* publish.c - see publish.h. */
#include "daemon/publish.h"

#include "util/error.h"

static bool
is_table(const struct job_output *output)
{
    return output->writer.type->kind == LIGHTER_KIND_TABLE;
}

static int
prepare_output(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    char staging[PATH_LEAF_SIZE];

    if (is_table(output))
        return table_prepare(&output->table, output->writer.target, &output->exists,
                             err);
    snprintf(staging, sizeof staging, ".lighterd.%s.%s.%u", job->name, job->stage,
             index);
    return files_prepare(&output->files, output->writer.target, staging,
                         &output->exists, err);
}

int
publish_prepare(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = prepare_output(job, i, err);
    return r;
}

/* `shards` has room for one a rank. */
static void
collect_shards(const struct job *job, uint32_t index, struct shard **shards)
{
    for (uint32_t i = 0; i < job->world_size; i++)
        shards[i] = &job->ranks[i].streams[index].shard;
}

static int
secure_output(struct job *job, uint32_t index, struct shard **shards,
              struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];

    if (!is_table(output))
        return files_sync(&output->files, err);
    collect_shards(job, index, shards);
    return table_join(&output->table, shards, job->world_size, err);
}

static int
show_output(struct job *job, uint32_t index, struct shard **shards,
            struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];

    if (!is_table(output))
        return files_publish(&output->files, err);
    collect_shards(job, index, shards);
    return table_publish(&output->table, shards, job->world_size, err);
}

int
publish_run(struct job *job, struct lighter_error *err)
{
    AUTO(free_bytes) struct shard **shards = calloc(job->world_size, sizeof *shards);
    uint32_t i = 0;
    int r = 0;

    if (!shards)
        return fail_nomem(err);
    for (i = 0; i < job->n_outputs && r == 0; i++)
        r = secure_output(job, i, shards, err);
    for (i = r < 0 ? i : 0; i < job->n_outputs && r == 0; i++)
        r = show_output(job, i, shards, err);
    if (r < 0)
        error_wrap(err, r, "publish '%s'", job->outputs[i - 1].writer.target);
    return r;
}

void
publish_close(struct job *job)
{
    for (uint32_t i = 0; i < job->world_size; i++)
        for (uint32_t j = 0; job->ranks[i].streams && j < job->n_outputs; j++)
            shard_close(&job->ranks[i].streams[j].shard);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        table_done(&job->outputs[i].table);
        files_done(&job->outputs[i].files);
    }
}
