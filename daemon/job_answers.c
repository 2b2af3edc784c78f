/* job_answers.c - what the ranks of a job are told: that it is open, what became of it,
 * or why nothing will.
 *
 * In: the reply that a rank is owed, and its job. Out: the answer; with its last one a
 * rank loses its seat. Loop thread.
 */
#include "daemon/job_internal.h"
#include "daemon/waits.h"

#include <linux/limits.h>

/* ---- it is open ---- */

/* Two keys. */
static void
pack_end_fields(struct message_out *out, const struct job *job, bool published)
{
    bool is_this_one = job->state == JOB_PUBLISHED;

    pack_key_bool(&out->packer, "published", published);
    pack_key(&out->packer, "paths");
    msgpack_pack_array(&out->packer, is_this_one ? job->n_outputs : 0);
    for (uint32_t i = 0; is_this_one && i < job->n_outputs; i++) {
        const struct job_output *output = &job->outputs[i];

        pack_text(&out->packer,
                  output->shown.path ? output->shown.path : output->writer.target);
    }
}

/* Directories that were exchanged, and are kept. */
static uint32_t
count_before(const struct job *job)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < job->n_outputs; i++)
        n += job->outputs[i].shown.before != NULL;
    return n;
}

static void
pack_before(struct message_out *out, const struct job *job)
{
    pack_key(&out->packer, "before");
    msgpack_pack_array(&out->packer, job->n_outputs);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        pack_text(&out->packer, job->outputs[i].shown.before);
}

/* Its shard has not the name that it should have. */
static bool
is_beside(const struct rank *rank, uint32_t output)
{
    return rank && rank->streams && rank->streams[output].shard.beside;
}

static uint32_t
count_beside(const struct rank *rank)
{
    uint32_t n = 0;

    for (uint32_t i = 0; rank && i < rank->job->n_outputs; i++)
        n += is_beside(rank, i);
    return n;
}

/* What another has left, by name: it is not ours to remove. */
static void
pack_beside(struct message_out *out, const struct rank *rank, uint32_t output)
{
    const struct job_output *made = &rank->job->outputs[output];
    const char *target = made->table.place ? made->table.place : made->writer.target;
    char text[PATH_MAX + 512], name[PATH_LEAF_SIZE];

    if (shard_name(name, &made->table, rank->number, NULL) < 0)
        *name = '\0';
    snprintf(text, sizeof text,
             "%.*s/%s was left there by another job or daemon, and stays as it is: the "
             "shard of this job is %s. Remove it where nobody needs it.",
             (int)(strrchr(target, '/') - target), target, name,
             rank->streams[output].shard.mark.name);
    pack_text(&out->packer, text);
}

static void
pack_warnings(struct message_out *out, const struct job *job, const struct rank *rank)
{
    uint32_t n = (job->warning != NULL) + count_beside(rank);
    char text[PATH_MAX + 128];

    for (uint32_t i = 0; i < job->n_outputs; i++)
        n += job->outputs[i].exists + (job->outputs[i].warning != NULL);
    pack_key(&out->packer, "warnings");
    msgpack_pack_array(&out->packer, n);
    if (job->warning)
        pack_text(&out->packer, job->warning);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        if (is_beside(rank, i))
            pack_beside(out, rank, i);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        if (job->outputs[i].warning)
            pack_text(&out->packer, job->outputs[i].warning);
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        if (!job->outputs[i].exists)
            continue;
        snprintf(text, sizeof text,
                 "%s already exists, existing predictions will be overwritten.",
                 job->outputs[i].writer.target);
        pack_text(&out->packer, text);
    }
}

void
job_answer_open(const struct job *job, const struct rank *rank, int64_t handle,
                struct reply *reply)
{
    bool has_pipeline = job->asked.size;
    struct message_out out;

    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, has_pipeline ? 9 : 8);
    pack_key_int(&out.packer, "handle", handle);
    pack_key_uint(&out.packer, "id", job->id);
    pack_key_uint(&out.packer, "seq", rank ? rank_committed(rank) : 0);
    pack_key_uint(&out.packer, "samples", rank ? rank_samples(rank) : 0);
    pack_key_bool(&out.packer, "ended", !rank || rank->state == RANK_ENDED);
    pack_end_fields(&out, job, !rank);
    pack_warnings(&out, job, rank);
    if (has_pipeline) {
        pack_key(&out.packer, "writers");
        msgpack_sbuffer_write(&out.buffer, (const char *)job->asked.data,
                              job->asked.size);
    }
    reply_send(reply, &out);
}

/* ---- the last word ---- */

/* Before the last word. */
static void
wait_over(struct rank *rank)
{
    if (rank->seat)
        seat_wait_over(rank->seat, rank->peer);
}

static void
detach(struct rank *rank)
{
    if (rank->seat)
        rank->seat->job = NULL;
    rank->seat = NULL;
}

void
rank_answer_error(struct rank *rank, const struct lighter_error *error)
{
    wait_over(rank);
    reply_error(&rank->reply, error, NULL);
    detach(rank);
}

void
job_is_unheard(struct job *job)
{
    job->unheard_until = uv_now(job->jobs->loop) + JOBS_UNHEARD_MS;
}

static void
answer_end(struct rank *rank)
{
    const struct job *job = rank->job;
    bool published = job->state == JOB_PUBLISHED,
         has_before = published && count_before(job);
    struct message_out out;

    wait_over(rank);
    if (reply_owed(&rank->reply)) {
        if (!rank->seat) /* its connection is gone: it comes again, and asks */
            job_is_unheard(rank->job);
        reply_begin(&rank->reply, &out);
        msgpack_pack_map(&out.packer, 2 + has_before);
        pack_end_fields(&out, job, published);
        if (has_before)
            pack_before(&out, job);
        reply_send(&rank->reply, &out);
    }
    detach(rank);
}

void
rank_answer_ended(struct rank *rank)
{
    struct job *job = rank->job;

    if (job->doom != JOB_OPEN)
        rank_answer_error(rank, &job->error);
    else if (!rank->wait)
        answer_end(rank);
}

void
rank_answer_lost(struct rank *rank)
{
    if (rank->stream_result < 0) {
        rank_answer_error(rank, &rank->stream_error);
        return;
    }
    wait_over(rank);
    reply_empty(&rank->reply);
    detach(rank);
}

void
job_answer_published(struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        answer_end(job->ranks[i]);
}

void
job_answer_waiting(struct job *job, const struct lighter_error *error)
{
    for (uint32_t i = 0; i < job->n_ranks; i++) {
        struct rank *rank = job->ranks[i];

        /* who is attached has not asked yet */
        if (rank->state == RANK_ENDED && !rank->attached)
            rank_answer_error(rank, error);
    }
}
