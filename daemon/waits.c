/* waits.c - see waits.h. */
#include "daemon/waits.h"

#include "daemon/job_internal.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define FIRST_MS 10000 /* what is over sooner is not worth a word */
#define AGAIN_MS 60000
#define NAMED_MAX 3 /* ranks that a sentence names */

static const char *const names[] = {[WAIT_RANKS] = "ranks",
                                    [WAIT_SPACE] = "space",
                                    [WAIT_DISK] = "disk",
                                    [WAIT_EPOCH] = "epoch"};

static uint64_t
now_of(const struct job *job)
{
    return uv_now(job->jobs->loop);
}

/* 0: for ever. */
static uint64_t
rank_limit_ms(const struct job *job)
{
    return job->rank_wait_ms >= 0 ? (uint64_t)job->rank_wait_ms
                                  : (uint64_t)job->jobs->settings->rank_wait_s * 1000;
}

/* ---- for what? ---- */

static bool
is_there(const struct rank *rank)
{
    return rank->state == RANK_OPENING || rank->state == RANK_OPEN ||
           rank->state == RANK_CLOSING;
}

static bool
is_present(const struct rank *rank)
{
    return is_there(rank) || rank->state == RANK_ENDED;
}

/* Those that are there have all ended, or wait for the next epoch, and that is not all.
 */
static bool
lacks_ranks(const struct job *job)
{
    if (job->doom != JOB_OPEN || job->finalizing || job->discarding)
        return false;
    for (uint32_t i = 0; i < job->n_ranks; i++)
        if (is_there(job->ranks[i]))
            return false;
    return job->n_ended < job->world_size;
}

/* The first that waits for space, or NULL. While it tries again it waits still. */
static const struct stream *
full_stream(const struct job *job)
{
    for (uint32_t i = 0; i < job->n_ranks; i++)
        for (uint32_t j = 0; job->ranks[i]->streams && j < job->n_outputs; j++)
            if (job->ranks[i]->streams[j].full_since)
                return &job->ranks[i]->streams[j];
    return NULL;
}

static enum wait_reason
reason_of(const struct job *job)
{
    const struct job_output *output;

    if (job_stuck_task(job, &output))
        return WAIT_DISK;
    if (job->state != JOB_OPEN)
        return WAIT_NOTHING;
    if (full_stream(job) || job->unmarked_since)
        return WAIT_SPACE;
    return lacks_ranks(job) ? WAIT_RANKS : WAIT_NOTHING;
}

/* ---- in words ---- */

__attribute__((format(printf, 2, 3))) static void
say(struct wait_report *report, const char *format, ...)
{
    size_t used = strlen(report->message);
    va_list args;

    va_start(args, format);
    vsnprintf(report->message + used, sizeof report->message - used, format, args);
    va_end(args);
}

/* Takes the ranks of the report, and how many there are in all: "ranks 1, 2, 3 and 5
 * more of 16".
 */
static void
say_ranks(struct wait_report *report, uint32_t n_all, uint32_t world_size)
{
    say(report, "rank%s", n_all > 1 ? "s" : "");
    for (uint32_t i = 0; i < n_all && i < NAMED_MAX; i++)
        say(report, "%s %" PRIu32, i ? i + 1 == n_all ? " and" : "," : "",
            report->ranks[i]);
    if (n_all > NAMED_MAX)
        say(report, " and %" PRIu32 " more", n_all - NAMED_MAX);
    say(report, " of %" PRIu32, world_size);
}

/* Of those that have come: how many are neither missing nor lost? */
static uint32_t
count_present(const struct job *job)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < job->n_ranks; i++)
        n += is_present(job->ranks[i]);
    return n;
}

/* Looks at no more ranks than have come and are asked for: a world_size is quickly
 * said, and this is done once a second.
 */
uint32_t
job_missing_ranks(const struct job *job, uint32_t *ret_ranks, uint32_t max)
{
    uint32_t n_missing, at = 0, n = 0; /* at: in job->ranks, by number */

    if (job->state != JOB_OPEN)
        return 0;
    n_missing = job->world_size - count_present(job);
    for (uint32_t number = 0; n < max && n < n_missing; number++) {
        const struct rank *rank = NULL;

        if (at < job->n_ranks && job->ranks[at]->number == number)
            rank = job->ranks[at++];
        if (!rank || !is_present(rank))
            ret_ranks[n++] = number;
    }
    return n_missing;
}

/* Did an earlier daemon know one of them? */
static bool
were_there(const struct job *job, const struct wait_report *report)
{
    for (uint32_t i = 0; i < report->n_ranks; i++) {
        const struct rank *rank = job_rank(job, report->ranks[i]);

        if (rank && rank->past)
            return true;
    }
    return false;
}

static void
describe_ranks(const struct job *job, struct wait_report *report)
{
    uint32_t n = job_missing_ranks(job, report->ranks, WAIT_RANKS_MAX);
    uint64_t limit_ms = rank_limit_ms(job);

    report->n_ranks = n < WAIT_RANKS_MAX ? n : WAIT_RANKS_MAX;
    say(report, "job '%s' waits for ", job->name);
    say_ranks(report, n, job->world_size);
    say(report, ", which ha%s not %s (%.0f s); ", n > 1 ? "ve" : "s",
        were_there(job, report) ? "come back" : "opened the job", report->seconds);
    if (limit_ms)
        say(report, "it is given up after %g s (rank_wait)", (double)limit_ms / 1e3);
    else
        say(report, "it is not given up (rank_wait 0)");
    say(report, ": start %s, or end with Ctrl-C", n > 1 ? "them" : "that rank");
}

static void
describe_space(const struct job *job, struct wait_report *report)
{
    const struct stream *stream = full_stream(job);
    const struct storage_space *space =
        stream ? &stream->full_of.space : &job->unmarked_space;
    const struct lighter_error *error =
        stream ? &stream->full_error : &job->unmarked_error;

    report->path = !stream || stream->full_of.in_journal ? job->jobs->state->path
                                                         : stream->setup.writer->target;
    report->free_bytes = space->free_bytes;
    say(report, "job '%s' waits for space (%.0f s): %.400s", job->name, report->seconds,
        error->message);
    if (space->lacks_inodes)
        say(report, "; no inode is free there");
    else if (space->free_bytes >= 0)
        say(report, "; %" PRId64 " bytes are free there", space->free_bytes);
    say(report, ": make room; after %" PRId64 " s its batches fail (full_wait)",
        job->jobs->settings->full_wait_s);
}

static void
describe_disk(const struct job *job, struct wait_report *report)
{
    const struct job_output *output;
    const struct pool_task *task = job_stuck_task(job, &output);

    if (!task)
        return;
    report->path = atomic_load(&task->in_journal) || !job->n_outputs
                       ? job->jobs->state->path
                       : output->writer.target;
    say(report,
        "job '%s' waits for the disk of %.512s, which has not answered for %.0f s: "
        "nothing is lost, and it goes on when the disk does",
        job->name, report->path, report->seconds);
}

/* Ranks of the job before are still there, and it is their turn. */
static void
name_ranks_there(const struct job *job, struct wait_report *report)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < job->n_ranks; i++)
        if (is_there(job->ranks[i]) && n++ < WAIT_RANKS_MAX)
            report->ranks[report->n_ranks++] = job->ranks[i]->number;
    say_ranks(report, n, job->world_size);
    say(report, " of the one before it under this name, which ha%s not ended yet",
        n > 1 ? "ve" : "s");
}

static void
describe_epoch(const struct job *job, struct wait_report *report)
{
    say(report, "job '%s' waits for ", job->name);
    if (job->state == JOB_OPEN)
        name_ranks_there(job, report);
    else if (job->state == JOB_PREPARING)
        say(report, "its journal and outputs, which are being looked at");
    else
        say(report, "the one before it under this name, which is being published");
    say(report, " (%.0f s)", report->seconds);
}

static void
describe(const struct job *job, enum wait_reason reason, uint64_t since,
         struct wait_report *ret_report)
{
    *ret_report = (struct wait_report){.reason = reason,
                                       .seconds = (double)(now_of(job) - since) / 1e3,
                                       .free_bytes = -1};
    switch (reason) {
    case WAIT_NOTHING:
        break;
    case WAIT_RANKS:
        describe_ranks(job, ret_report);
        break;
    case WAIT_SPACE:
        describe_space(job, ret_report);
        break;
    case WAIT_DISK:
        describe_disk(job, ret_report);
        break;
    case WAIT_EPOCH:
        describe_epoch(job, ret_report);
        break;
    }
}

void
job_describe_wait(const struct job *job, struct wait_report *ret_report)
{
    enum wait_reason reason = reason_of(job);
    bool is_known = reason == job->wait.reason;

    describe(job, reason, is_known ? job->wait.since : now_of(job), ret_report);
}

/* ---- for programs ---- */

/* Six keys. */
static void
pack_fields(struct message_out *out, const struct wait_report *report)
{
    pack_key_text(&out->packer, "reason",
                  report->reason ? names[report->reason] : NULL);
    pack_key_text(&out->packer, "message", report->message);
    pack_key(&out->packer, "ranks");
    msgpack_pack_array(&out->packer, report->n_ranks);
    for (uint32_t i = 0; i < report->n_ranks; i++)
        msgpack_pack_uint32(&out->packer, report->ranks[i]);
    pack_key_double(&out->packer, "seconds", report->seconds);
    pack_key_text(&out->packer, "path", report->path);
    if (report->free_bytes >= 0) {
        pack_key_int(&out->packer, "free_bytes", report->free_bytes);
    } else {
        pack_key(&out->packer, "free_bytes");
        msgpack_pack_nil(&out->packer);
    }
}

void
wait_pack(struct message_out *out, const struct wait_report *report)
{
    if (report->reason == WAIT_NOTHING) {
        msgpack_pack_nil(&out->packer);
        return;
    }
    msgpack_pack_map(&out->packer, 6);
    pack_fields(out, report);
}

/* ---- who is told ---- */

static void
send_report(const struct seat *seat, struct peer *peer,
            const struct wait_report *report)
{
    struct message_out out;

    if (!peer->notices)
        return;
    message_begin_notification(&out, "waiting");
    msgpack_pack_map(&out.packer, 7);
    pack_key_int(&out.packer, "job", seat->handle);
    pack_fields(&out, report);
    peer_notify(peer, &out); /* takes */
}

void
seat_wait_over(struct seat *seat, struct peer *peer)
{
    struct wait_report over = {.free_bytes = -1};

    if (seat->told == WAIT_NOTHING)
        return;
    snprintf(over.message, sizeof over.message, "it goes on");
    send_report(seat, peer, &over);
    seat->told = WAIT_NOTHING;
    seat->told_at = 0;
}

/* Is it time, where the last word was at `told_at` (0: never)? A full disk is told of
 * at once: who makes room soon enough loses nothing.
 */
static bool
is_due(const struct job *job, const struct wait_report *report, uint64_t told_at)
{
    if (told_at)
        return now_of(job) - told_at >= AGAIN_MS;
    return report->reason == WAIT_SPACE || report->seconds * 1e3 >= FIRST_MS;
}

static void
tell_seat(const struct job *job, struct seat *seat, struct peer *peer,
          const struct wait_report *report)
{
    if (report->reason == WAIT_NOTHING) {
        seat_wait_over(seat, peer);
        return;
    }
    if (!is_due(job, report, seat->told == report->reason ? seat->told_at : 0))
        return;
    send_report(seat, peer, report);
    seat->told = report->reason;
    seat->told_at = now_of(job);
}

/* While it is prepared its ranks are a worker's. */
static void
tell_ranks(struct job *job, const struct wait_report *report)
{
    for (uint32_t i = 0; job->state != JOB_PREPARING && i < job->n_ranks; i++)
        if (job->ranks[i]->seat)
            tell_seat(job, job->ranks[i]->seat, job->ranks[i]->peer, report);
}

static void
tell_parked(void *data, struct seat *seat, struct peer *peer)
{
    struct wait_report report;
    struct job *job = data;
    enum wait_reason reason = job->wait.reason;

    describe(job, reason ? reason : WAIT_EPOCH,
             reason ? job->wait.since : seat->parked_at, &report);
    tell_seat(job, seat, peer, &report);
}

static void
tell_log(struct job *job, const struct wait_report *report)
{
    if (report->reason == WAIT_NOTHING || !is_due(job, report, job->wait.logged_at))
        return;
    log_warning("waits job=%s stage=%s for=%s reason=%s", LOG_VALUE(job->name),
                job->stage, names[report->reason], LOG_VALUE(report->message));
    job->wait.logged_at = now_of(job);
}

static void
note_reason(struct job *job, enum wait_reason reason)
{
    if (reason == job->wait.reason)
        return;
    if (job->wait.logged_at)
        log_info("waits no more job=%s stage=%s for=%s", LOG_VALUE(job->name),
                 job->stage, names[job->wait.reason]);
    job->wait = (struct job_wait){.reason = reason, .since = now_of(job)};
    if (reason == WAIT_DISK) /* that was seen late */
        job->wait.since -= POOL_STUCK_MS;
}

/* ---- enough ---- */

static void
give_up(struct job *job, struct wait_report *report)
{
    uint32_t n = job_missing_ranks(job, report->ranks, WAIT_RANKS_MAX);

    report->message[0] = '\0';
    say_ranks(report, n, job->world_size);
    job_doom(job, JOB_INTERRUPTED,
             "%s did not come (%g s, rank_wait): run it again with resume, or "
             "lighterctl finalize --partial or discard it",
             report->message, (double)rank_limit_ms(job) / 1e3);
    parked_refuse_all(job);
    job_settle(job); /* who is back and has not said its end again is waited for */
}

void
job_watch_wait(struct job *job)
{
    struct wait_report report;
    uint64_t limit_ms = rank_limit_ms(job);

    note_reason(job, reason_of(job));
    describe(job, job->wait.reason, job->wait.since, &report);
    tell_log(job, &report);
    tell_ranks(job, &report);
    parked_each(job, tell_parked, job);
    if (report.reason == WAIT_RANKS && limit_ms &&
        now_of(job) - job->wait.since >= limit_ms)
        give_up(job, &report);
}
