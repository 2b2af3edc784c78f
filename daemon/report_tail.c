/* report_tail.c - where the ranks of a job write, for who reads along.
 *
 * In: an open job. Out: the result of `tail` (doc/protocol.md, section 6): paths, and
 * up to where what is there is committed. What is behind that may be taken back.
 */
#include "daemon/report.h"

#include <limits.h>

#define NAMES_MAX 256 /* of the last batch of a rank */

/* Its shard and names are the loop's: no worker makes or ends them now. */
static bool
is_readable(const struct job *job, const struct rank *rank, uint32_t index)
{
    return job->state == JOB_OPEN && rank->streams && rank->streams[index].opened;
}

/* The path of what lies beside the table `target`. */
static void
pack_beside(struct message_out *out, const char *target, const char *name)
{
    const char *slash = strrchr(target, '/');
    char path[PATH_MAX + NAME_MAX + 2];

    snprintf(path, sizeof path, "%.*s/%s", slash ? (int)(slash - target) : 0, target,
             name);
    pack_key_text(&out->packer, "path", path);
}

static void
pack_shard(struct message_out *out, const struct stream *stream)
{
    msgpack_pack_map(&out->packer, 4);
    pack_key_uint(&out->packer, "rank", stream->setup.rank);
    pack_beside(out, stream->setup.table->place, stream->shard.mark.name);
    pack_key_uint(&out->packer, "header", stream->shard.header_size);
    pack_key_uint(&out->packer, "size", stream->n_bytes);
}

/* The last NAMES_MAX names of the last batch. */
static void
pack_names(struct message_out *out, const struct stream *stream)
{
    struct filenote note;
    uint32_t n = 0, n_left_out;
    size_t at = 0;

    while (filenote_next(stream->last_names, stream->last_used, true, &at, &note))
        n++;
    n_left_out = n > NAMES_MAX ? n - NAMES_MAX : 0;
    pack_key(&out->packer, "names");
    msgpack_pack_array(&out->packer, n - n_left_out);
    at = 0;
    while (filenote_next(stream->last_names, stream->last_used, true, &at, &note))
        if (n_left_out)
            n_left_out--;
        else
            pack_text(&out->packer, note.name);
}

static void
pack_files(struct message_out *out, const struct job_output *output,
           const struct stream *stream)
{
    const struct files_mark *mark = &output->files.mark;
    char path[PATH_MAX + NAME_MAX + 2];

    snprintf(path, sizeof path, "%s/%s", output->writer.target, mark->name);
    msgpack_pack_map(&out->packer, 4);
    pack_key_uint(&out->packer, "rank", stream->setup.rank);
    if (mark->beside)
        pack_beside(out, output->writer.target, mark->name);
    else
        pack_key_text(&out->packer, "path", path);
    pack_key_uint(&out->packer, "files", stream->n_samples);
    pack_names(out, stream);
}

static void
pack_parts(struct message_out *out, const struct job *job, uint32_t index)
{
    const struct job_output *output = &job->outputs[index];
    uint32_t n_ranks = job->state == JOB_OPEN ? job->n_ranks : 0, n = 0;

    for (uint32_t i = 0; i < n_ranks; i++)
        n += is_readable(job, job->ranks[i], index);
    pack_key(&out->packer, "parts");
    msgpack_pack_array(&out->packer, n);
    for (uint32_t i = 0; i < n_ranks; i++) {
        if (!is_readable(job, job->ranks[i], index))
            continue;
        if (output->writer.type->kind == LIGHTER_KIND_TABLE)
            pack_shard(out, &job->ranks[i]->streams[index]);
        else
            pack_files(out, output, &job->ranks[i]->streams[index]);
    }
}

void
report_tail(const struct job *job, struct message_out *out)
{
    msgpack_pack_map(&out->packer, 6);
    pack_key_uint(&out->packer, "id", job_id(job));
    pack_key_text(&out->packer, "name", job->name);
    pack_key_text(&out->packer, "state", job_state_name(job));
    pack_key_bool(&out->packer, "live", job->state <= JOB_PUBLISHING);
    pack_key_text(&out->packer, "error",
                  job->error.code == LIGHTER_OK ? NULL : job->error.message);
    pack_key(&out->packer, "writers");
    msgpack_pack_array(&out->packer, job->n_outputs);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        const struct job_output *output = &job->outputs[i];
        bool is_table = output->writer.type->kind == LIGHTER_KIND_TABLE;

        msgpack_pack_map(&out->packer, 4);
        pack_key_text(&out->packer, "kind", is_table ? "table" : "files");
        pack_key_text(&out->packer, "target", output->writer.target);
        pack_key_uint(&out->packer, "samples", output->n_samples);
        pack_parts(out, job, i);
    }
}
