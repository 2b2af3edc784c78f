/* publish.c - see publish.h. */
#include "daemon/publish.h"

#include "daemon/committed.h"
#include "daemon/job_internal.h"
#include "daemon/obstacle.h"
#include "daemon/recovery.h"
#include "daemon/verify.h"
#include "util/error.h"
#include "util/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool
is_table(const struct job_output *output)
{
    return output->writer.type->kind == LIGHTER_KIND_TABLE;
}

/* ---- where to ---- */

/* On this worker nobody else makes files there, or it is known to make others. */
static int
claim(struct job *job, uint32_t index, int fd, const char *name, struct claim **ret,
      struct lighter_error *err)
{
    const struct writer *writer = &job->outputs[index].writer;
    struct claim_of of = {.job = job,
                          .job_name = job->name,
                          .stage = job->stage,
                          .writer = index,
                          .target = writer->target};

    if (!name)
        writer_names_files(writer, &of.suffix, &of.names);
    return claims_add(&job->jobs->claims, &of, fd, name, ret, err);
}

static int
refuse_overwrite(const struct writer *writer, struct lighter_error *err)
{
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'%s' %s, and 'overwrite' is 'error': move it away, or say "
                        "'replace'",
                        writer->target,
                        writer->type->kind == LIGHTER_KIND_TABLE ? "exists"
                                                                 : "is not empty");
}

static int
open_output(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    struct stat status;
    int r = 0;

    if (is_table(output)) {
        output->exists = stat(output->writer.target, &status) == 0;
    } else {
        r = claims_check_way(&job->jobs->claims, output->writer.target, err);
        if (r == 0)
            r = files_open(&output->files, output->writer.target, &output->exists, err);
        if (r == 0)
            r = claim(job, index, output->files.directory_fd, NULL,
                      &output->files.claim, err);
    }
    if (r == 0 && output->exists && output->writer.overwrite == OVERWRITE_ERROR)
        r = refuse_overwrite(&output->writer, err);
    return r;
}

int
publish_open(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = open_output(job, i, err);
    return r;
}

int
publish_stage(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    struct files *files = &output->files;
    struct journal_record staged = {
        .kind = JOURNAL_STAGED, .rank = JOURNAL_NO_RANK, .writer = index};
    char name[PATH_LEAF_SIZE];
    int r;

    job_staging_name(job, index, name);
    free(output->warning);
    output->warning = NULL;
    r = files_stage(files, output->writer.target, name, job->id,
                    !claim_is_shared(files->claim), &output->warning, err);
    if (r < 0)
        return r;
    staged.seq = files->keeps_inodes ? files->mark.id.inode : 0;
    staged.size = files->mark.id.device;
    staged.batch_idx = files->mark.beside;
    staged.text = files->mark.name;
    staged.text_size = strlen(files->mark.name);
    return journal_append(&job->journal, &staged, err);
}

static int
prepare_table(struct job *job, struct job_output *output, struct lighter_error *err)
{
    output->table.job = job->id;
    return table_prepare(&output->table, output->writer.target, job->world_size,
                         &output->exists, err);
}

static int
open_table(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    char directory[PATH_MAX];
    int r;

    snprintf(directory, sizeof directory, "%s", output->writer.target);
    *strrchr(directory, '/') = '\0';
    r = claims_check_way(&job->jobs->claims, directory, err);
    if (r == 0)
        r = prepare_table(job, output, err);
    return r < 0 ? r
                 : claim(job, index, output->table.directory_fd, output->table.name,
                         &output->table.claim, err);
}

/* Tables first: who has a table in a directory of files is known when those are staged.
 */
int
publish_prepare(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        if (is_table(&job->outputs[i]))
            r = open_table(job, i, err);
    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        if (!is_table(&job->outputs[i]))
            r = publish_stage(job, i, err);
    return r;
}

void
publish_unstage(struct job *job)
{
    for (uint32_t i = 0; i < job->n_outputs; i++)
        if (!is_table(&job->outputs[i]))
            files_discard(&job->outputs[i].files, NULL);
}

/* `claimed`: it is to be written again. */
static int
reopen_output(struct job *job, uint32_t index, bool claimed, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    struct files *files = &output->files;
    bool unused;
    int r;

    if (is_table(output) && claimed)
        return open_table(job, index, err);
    if (is_table(output))
        return prepare_table(job, output, err);
    r = files_open(files, output->writer.target, &output->exists, err);
    if (r == 0 && claimed)
        r = claim(job, index, files->directory_fd, NULL, &files->claim, err);
    return r < 0 ? r : files_reopen(files, output->writer.target, &unused, err);
}

int
publish_reopen(struct job *job, struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++)
        r = reopen_output(job, i, true, err);
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
    int r = reopen_output(job, index, false, err);

    if (r == -ESTALE || (r < 0 && output->table.directory_fd >= 0))
        r = 0; /* its name is taken; what it left has another, or is gone */
    else if (r == -ENOTDIR || r == -ELOOP)
        return 0; /* its directory has made way for something else */
    if (r == 0)
        r = is_table(output) ? remove_staged(&output->table, index, staged, err)
                             : files_discard(&output->files, err);
    table_done(&output->table);
    files_done(&output->files);
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

/* ---- is it whole, and can it be shown? ---- */

static int
fail_lost(void *data, const struct filenote *note, struct lighter_error *err)
{
    (void)data;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "the staged file '%s' is gone: nothing is shown", note->name);
}

/* Of a job whose publishing was cut short: what is not staged any more was shown. */
static int
look_for_shown(void *data, const struct filenote *note, struct lighter_error *err)
{
    const struct files *files = data;
    struct stat status;

    if (fstatat(files->directory_fd, note->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!note->inode || note->inode == status.st_ino))
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "the file '%s' is neither staged any more nor published",
                        note->name);
}

static int
check_files(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    bool again = job->is_complete;
    int r = files_check(&output->files, &output->committed, err);

    if (r == 0)
        r = committed_each_unseen(job, index, again ? look_for_shown : fail_lost,
                                  &output->files, err);
    return r < 0 ? r : files_survey(&output->files, output->writer.target, again, err);
}

static int
check_table(struct job *job, uint32_t index, struct shard **shards,
            struct lighter_error *err)
{
    const struct job_output *output = &job->outputs[index];
    const struct table *table = &output->table;
    int r = obstacle_to_names(table->directory_fd, "the directory", err);

    collect_shards(job, index, shards);
    if (r == 0 && !job->is_complete)
        r = table_check(table, shards[0], err);
    if (r == 0)
        r = obstacle_to_file(table->directory_fd, table->name, output->writer.target,
                             err);
    if (r == 0 && output->writer.overwrite == OVERWRITE_ERROR && !job->is_complete)
        return lighter_fail(
            err, LIGHTER_E_STATE,
            "it is there now, and 'overwrite' is 'error': move it away");
    return r < 0 ? r : 0;
}

/* Before anything is shown: is all of it what was written, and is nothing in the way?
 */
static int
check_all(struct job *job, struct shard **shards, uint32_t *ret_index,
          struct lighter_error *err)
{
    int r = committed_read(job, UINT64_MAX, err);

    for (uint32_t i = 0; i < job->n_outputs && r == 0; i++) {
        *ret_index = i;
        r = is_table(&job->outputs[i]) ? check_table(job, i, shards, err)
                                       : check_files(job, i, err);
    }
    return r;
}

/* ---- showing ---- */

static int
show_files(struct job *job, uint32_t index, struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];

    return files_publish(&output->files, output->writer.target, &output->committed,
                         job->id, &output->shown, err);
}

static int
show_table(struct job *job, uint32_t index, struct shard **shards,
           struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    bool is_new = output->writer.overwrite == OVERWRITE_ERROR;
    int r = table_publish(&output->table, shards, collect_shards(job, index, shards),
                          is_new ? RENAME_NOREPLACE : 0, err);

    if (r < 0)
        return r;
    free(output->shown.path); /* of an attempt before */
    return table_tell_where(&output->table, output->writer.target, &output->shown.path,
                            err);
}

static int
show_output(struct job *job, uint32_t index, struct shard **shards,
            struct lighter_error *err)
{
    struct job_output *output = &job->outputs[index];
    int r = is_table(output) ? show_table(job, index, shards, err)
                             : show_files(job, index, err);

    if (r == 0 && output->shown.path)
        log_warning("published elsewhere job=%s stage=%s path=%s target=%s "
                    "reason=\"it was renamed while the job ran\"",
                    LOG_VALUE(job->name), job->stage, LOG_VALUE(output->shown.path),
                    LOG_VALUE(output->writer.target));
    return r;
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
    if (r == 0)
        r = check_all(job, shards, ret_index, err);
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
    committed_forget(job);
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
