/* training.c - a job whose policies decide about parameters: its ranks ask at every
 * step, and people ask for something else.
 *
 * Out: answers that hold until a step; when people have asked, the ranks are told to
 * come before that. Loop thread. policy.c decides.
 */
#include "daemon/job_internal.h"
#include "util/error.h"
#include "wire/params.h"

/* How far ranks may be apart: they meet in every backward pass, and are told of a
 * change within a step.
 */
#define STEPS_APART 2

static void
pack_limit(struct message_out *out, const char *key, int64_t limit)
{
    if (limit != INT64_MAX) {
        pack_key_int(&out->packer, key, limit);
        return;
    }
    pack_key(&out->packer, key);
    msgpack_pack_nil(&out->packer);
}

static void
answer_step(struct reply *reply, const struct policies *policies,
            const uint8_t *actions, int64_t until_step, int64_t until_epoch)
{
    struct message_out out;

    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 3);
    pack_key(&out.packer, "actions");
    msgpack_pack_bin_with_body(&out.packer, actions, policies->parameters.count);
    pack_limit(&out, "until_step", until_step);
    pack_limit(&out, "until_epoch", until_epoch);
    reply_send(reply, &out);
}

int
seat_step(struct seat *seat, const struct lighter_step *step, struct reply *reply,
          struct lighter_error *err)
{
    int64_t until_step, until_epoch;
    const uint8_t *actions;
    struct rank *rank;
    struct job *job;
    int r = seat_rank(seat, &rank, err);

    if (r < 0)
        return r;
    job = rank->job;
    if (!job->policies.n_items)
        return lighter_fail(err, LIGHTER_E_STATE, "job '%s' has no policies",
                            job->name);
    r = policies_decide(&job->policies, step, job->world_size > 1 ? STEPS_APART : 0,
                        &actions, &until_step, &until_epoch, err);
    if (r < 0)
        return r;
    answer_step(reply, &job->policies, actions, until_step, until_epoch);
    return 0;
}

/* ---- what people ask ---- */

static struct job *
find_policies(struct jobs *jobs, const char *name)
{
    struct job *job;

    TAILQ_FOREACH (job, &jobs->live, link)
        if (job->state == JOB_OPEN && job->policies.n_items &&
            strcmp(job->name, name) == 0)
            return job;
    return NULL;
}

static void
tell_rank(const struct rank *rank)
{
    struct message_out out;

    message_begin_notification(&out, "changed");
    msgpack_pack_map(&out.packer, 1);
    pack_key_int(&out.packer, "job", rank->seat->handle);
    peer_notify(rank->peer, &out); /* takes */
}

/* Open ranks shall ask at their next step. */
static void
tell_ranks(struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        if (job->ranks[i]->state == RANK_OPEN)
            tell_rank(job->ranks[i]);
}

int
jobs_ask(struct jobs *jobs, const char *name, const struct lighter_strings *patterns,
         enum lighter_action action, size_t *ret_n_matched, struct lighter_error *err)
{
    struct job *job = find_policies(jobs, name);
    size_t n_matched = 0, n;
    int r = 0;

    if (!job)
        return lighter_fail(err, LIGHTER_E_STATE, "no live job '%s' has policies",
                            name);
    for (size_t i = 0; i < patterns->count; i++)
        if (!policies_count(&job->policies, patterns->items[i]))
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "no parameter of job '%s' matches '%.200s'", name,
                                patterns->items[i]);
    for (size_t i = 0; i < patterns->count && r == 0; i++) {
        r = policies_ask(&job->policies, patterns->items[i], action, &n, err);
        n_matched += r == 0 ? n : 0;
    }
    tell_ranks(job);
    if (r == 0)
        *ret_n_matched = n_matched;
    return r;
}
