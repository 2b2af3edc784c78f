/* training.c - a job whose policies decide about parameters: its ranks ask at every
 * step, and people ask for something else.
 *
 * Out: answers that hold until a step; when people have asked, the ranks are told to
 * come before that. What people ask for, and from which step on it holds, is in the
 * journal before anybody is told, so that the next daemon goes by it. While it is on
 * its way there, by a worker, whatever else comes waits. Loop thread; functions called
 * run_* on a worker. policy.c decides.
 */
#include "daemon/job_internal.h"
#include "util/error.h"
#include "util/log.h"
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

/* ---- what waits for the journal ---- */

/* A step, or, where there are patterns, what somebody asks for. */
struct training_wait {
    STAILQ_ENTRY(training_wait) link;
    struct reply reply;
    struct lighter_step step;
    char *text; /* of a JOURNAL_POLICY; owned. NULL: it is a step */
    size_t text_size;
    size_t n_matched;
};

/* A record on its way, and what is done when it is there. */
struct training_note {
    struct pool_task task;
    struct job *job;
    struct journal_record record;
    struct training_wait *wait; /* owned */
    int result;
    struct lighter_error error;
};

static void
wait_free(struct training_wait *wait)
{
    reply_done(&wait->reply);
    free(wait->text);
    free(wait);
}

static void
run_note(uv_work_t *work)
{
    struct training_note *note = work->data;

    note->result = journal_append(&note->job->journal, &note->record, &note->error);
}

static void look_at(struct job *job, struct training_wait *wait);

/* One after the other, until one is on its way to the journal again. */
static void
look_at_waiting(struct job *job)
{
    struct training_wait *wait;

    while (!job->note && (wait = STAILQ_FIRST(&job->notes_wait))) {
        STAILQ_REMOVE_HEAD(&job->notes_wait, link);
        look_at(job, wait);
    }
}

static void finish_ask(struct job *job, struct training_note *note);
static void finish_step(struct job *job, struct training_note *note);

static void
after_note(uv_work_t *work, int status)
{
    struct training_note *note = work->data;
    struct job *job = note->job;

    (void)status;
    job->note = NULL;
    if (note->wait->text)
        finish_ask(job, note);
    else
        finish_step(job, note);
    wait_free(note->wait);
    free(note);
    look_at_waiting(job);
    if (job->state == JOB_PUBLISHING && !job->note)
        job_finish(job); /* it has waited for this */
}

/* Takes `wait`, on success. */
static int
begin_note(struct job *job, struct journal_record record, struct training_wait *wait,
           struct lighter_error *err)
{
    struct training_note *note = calloc(1, sizeof *note);

    if (!note)
        return fail_nomem(err);
    *note = (struct training_note){.job = job, .record = record, .wait = wait};
    note->task.work.data = note;
    job->note = note;
    pool_submit(&job->jobs->pool, &note->task, 0, run_note, after_note);
    return 0;
}

/* ---- steps ---- */

static int
decide(struct job *job, const struct lighter_step *step, struct reply *reply,
       struct lighter_error *err)
{
    int64_t until_step, until_epoch;
    const uint8_t *actions;
    int r = policies_decide(&job->policies, step, job->world_size > 1 ? STEPS_APART : 0,
                            &actions, &until_step, &until_epoch, err);

    if (r == 0)
        answer_step(reply, &job->policies, actions, until_step, until_epoch);
    return r;
}

/* Is this the step by which it is known from which on people have their way? */
static bool
settles_step(const struct policies *policies)
{
    return policies->asked && policies->from_step < 0;
}

/* Where it cannot be noted it holds as long as this daemon lives. */
static void
finish_step(struct job *job, struct training_note *note)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    if (note->result < 0)
        log_warning("may forget what was asked for job=%s reason=%s",
                    LOG_VALUE(job->name), LOG_VALUE(note->error.message));
    policies_recall_step(&job->policies, (int64_t)note->record.seq);
    if (decide(job, &note->wait->step, &note->wait->reply, &err) < 0)
        reply_error(&note->wait->reply, &err, NULL);
}

/* Takes `wait`, on success. */
static int
note_step(struct job *job, struct training_wait *wait, struct lighter_error *err)
{
    int64_t n_apart = job->world_size > 1 ? STEPS_APART : 0;
    struct journal_record record = {
        .kind = JOURNAL_POLICY, .seq = (uint64_t)(wait->step.global_step + n_apart)};

    return begin_note(job, record, wait, err);
}

static int
wait_for_journal(struct job *job, const struct lighter_step *step, struct reply *reply,
                 struct lighter_error *err)
{
    struct training_wait *wait = calloc(1, sizeof *wait);

    if (!wait)
        return fail_nomem(err);
    wait->step = *step;
    wait->reply = reply_take(reply);
    STAILQ_INSERT_TAIL(&job->notes_wait, wait, link);
    look_at_waiting(job);
    return 0;
}

int
seat_step(struct seat *seat, const struct lighter_step *step, struct reply *reply,
          struct lighter_error *err)
{
    struct rank *rank;
    struct job *job;
    int r = seat_rank(seat, &rank, err);

    if (r < 0)
        return r;
    job = rank->job;
    if (!job->policies.n_items)
        return lighter_fail(err, LIGHTER_E_STATE, "job '%s' has no policies",
                            job->name);
    if (job->note || settles_step(&job->policies))
        return wait_for_journal(job, step, reply, err);
    return decide(job, step, reply, err);
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

static void
finish_ask(struct job *job, struct training_note *note)
{
    struct training_wait *wait = note->wait;
    struct message_out out;
    int r = note->result;

    if (r == 0 && job->state != JOB_OPEN)
        r = lighter_fail(&note->error, LIGHTER_E_STATE, "job '%s' is over", job->name);
    if (r == 0)
        r = policies_recall(&job->policies, wait->text, wait->text_size,
                            job->policies.in_force, &note->error);
    if (r < 0) {
        reply_error(&wait->reply, &note->error, NULL);
        return;
    }
    tell_ranks(job);
    reply_begin(&wait->reply, &out);
    msgpack_pack_map(&out.packer, 1);
    pack_key_uint(&out.packer, "matched", wait->n_matched);
    reply_send(&wait->reply, &out);
}

/* Takes `wait`, on success. */
static int
note_ask(struct job *job, struct training_wait *wait, struct lighter_error *err)
{
    struct journal_record record = {.kind = JOURNAL_POLICY,
                                    .size = job->policies.in_force,
                                    .text = wait->text,
                                    .text_size = wait->text_size};

    return begin_note(job, record, wait, err);
}

static void
look_at(struct job *job, struct training_wait *wait)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    int r;

    if (job->state != JOB_OPEN)
        r = lighter_fail(&err, LIGHTER_E_STATE, "job '%s' is over", job->name);
    else if (wait->text)
        r = note_ask(job, wait, &err);
    else if (settles_step(&job->policies))
        r = note_step(job, wait, &err);
    else
        r = decide(job, &wait->step, &wait->reply, &err);
    if (job->note)
        return; /* it has it */
    if (r < 0)
        reply_error(&wait->reply, &err, NULL);
    wait_free(wait);
}

/* *ret_text: as of a JOURNAL_POLICY; owned. NULL: -ENOMEM. */
static char *
make_text(const struct lighter_strings *patterns, enum lighter_action action,
          size_t *ret_size)
{
    size_t size = 1;
    char *text, *at;

    for (size_t i = 0; i < patterns->count; i++)
        size += strlen(patterns->items[i]) + 1;
    text = malloc(size);
    if (!text)
        return NULL;
    text[0] = (char)action;
    at = text + 1;
    for (size_t i = 0; i < patterns->count; i++)
        at = stpcpy(at, patterns->items[i]) + 1;
    *ret_size = size;
    return text;
}

int
jobs_ask(struct jobs *jobs, const char *name, const struct lighter_strings *patterns,
         enum lighter_action action, struct reply *reply, struct lighter_error *err)
{
    struct job *job = find_policies(jobs, name);
    struct training_wait *wait;
    size_t n_matched = 0;

    if (!job)
        return lighter_fail(err, LIGHTER_E_STATE, "no live job '%s' has policies",
                            name);
    for (size_t i = 0; i < patterns->count; i++) {
        size_t n = policies_count(&job->policies, patterns->items[i]);

        if (!n)
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "no parameter of job '%s' matches '%.200s'", name,
                                patterns->items[i]);
        n_matched += n;
    }
    wait = calloc(1, sizeof *wait);
    if (!wait)
        return fail_nomem(err);
    wait->text = make_text(patterns, action, &wait->text_size);
    wait->n_matched = n_matched;
    if (!wait->text) {
        wait_free(wait);
        return fail_nomem(err);
    }
    wait->reply = reply_take(reply);
    STAILQ_INSERT_TAIL(&job->notes_wait, wait, link);
    look_at_waiting(job);
    return 0;
}
