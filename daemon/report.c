/* report.c - see report.h. Plugins are in report_plugins.c. */
#include "daemon/report.h"

#include "config.h"
#include "daemon/waits.h"

#include <unistd.h>

static double
seconds_since(const struct daemon *daemon, uint64_t then)
{
    return (double)(uv_now(&daemon->loop) - then) / 1e3;
}

static void
pack_key_nil(struct message_out *out, const char *key)
{
    pack_key(&out->packer, key);
    msgpack_pack_nil(&out->packer);
}

static void
pack_error(struct message_out *out, const struct lighter_error *error)
{
    pack_key_text(&out->packer, "error",
                  !error || error->code == LIGHTER_OK ? NULL : error->message);
}

/* ---- the daemon ---- */

/* Three keys. */
static void
pack_pace(struct message_out *out, const struct pace *pace)
{
    pack_key_double(&out->packer, "batches_per_second", pace->batches);
    pack_key_double(&out->packer, "samples_per_second", pace->samples);
    pack_key_double(&out->packer, "bytes_per_second", pace->bytes);
}

/* Three keys. */
static void
pack_waiting(struct message_out *out, const struct daemon *daemon,
             const struct waiting *waiting)
{
    pack_key_uint(&out->packer, "batches_waiting", waiting->batches);
    pack_key_uint(&out->packer, "bytes_waiting", waiting->bytes);
    pack_key_double(&out->packer, "oldest_waiting",
                    waiting->batches ? seconds_since(daemon, waiting->since) : 0);
}

static void
add_waiting(struct waiting *sum, struct waiting more)
{
    if (more.batches && (!sum->batches || more.since < sum->since))
        sum->since = more.since;
    sum->batches += more.batches;
    sum->bytes += more.bytes;
}

struct waiting
report_waiting(const struct job *job)
{
    struct waiting sum = {0};

    for (uint32_t i = 0; job->state == JOB_OPEN && i < job->n_ranks; i++)
        add_waiting(&sum, rank_waiting(job->ranks[i]));
    return sum;
}

struct waiting
report_all_waiting(const struct jobs *jobs)
{
    struct waiting sum = {0};
    const struct job *job;

    TAILQ_FOREACH (job, &jobs->live, link)
        add_waiting(&sum, report_waiting(job));
    return sum;
}

void
report_status(const struct daemon *daemon, struct message_out *out)
{
    const struct jobs *jobs = &daemon->jobs;
    struct waiting waiting = report_all_waiting(jobs);

    waiting.bytes = daemon->quota.used; /* those of clients that have gone, too */
    msgpack_pack_map(&out->packer, 21);
    pack_key_text(&out->packer, "version", PACKAGE_VERSION);
    pack_key_int(&out->packer, "pid", getpid());
    pack_key_double(&out->packer, "uptime", seconds_since(daemon, daemon->started_at));
    pack_key_text(&out->packer, "socket", daemon->listener.address.sun_path);
    pack_key_uint(&out->packer, "connections", daemon->n_conns);
    pack_key_uint(&out->packer, "jobs", jobs->n_live);
    pack_key_uint(&out->packer, "jobs_published", jobs->n_published);
    pack_key_uint(&out->packer, "jobs_failed", jobs->n_failed);
    pack_waiting(out, daemon, &waiting);
    pack_key_uint(&out->packer, "max_daemon_bytes", daemon->quota.max);
    pack_key_uint(&out->packer, "batches", jobs->n_batches);
    pack_key_uint(&out->packer, "samples", jobs->n_samples);
    pack_key_uint(&out->packer, "bytes_written", jobs->n_bytes);
    pack_pace(out, &jobs->pace);
    pack_key_uint(&out->packer, "refused", jobs->n_refused);
    pack_key_double(&out->packer, "blocked", (double)jobs->blocked_ms / 1e3);
    pack_key_uint(&out->packer, "threads", daemon->n_threads);
}

/* ---- jobs ---- */

/* What has been written, as far as it is known: a worker may be at its journal. */
static void
pack_counts(struct message_out *out, const struct job *job)
{
    bool is_known = job->state != JOB_PREPARING;

    pack_key_uint(&out->packer, "ranks_ended", is_known ? job->n_ended : 0);
    pack_key_uint(&out->packer, "batches", is_known ? job->n_batches : 0);
    pack_key_uint(&out->packer, "samples", is_known ? job->n_samples : 0);
    pack_key_uint(&out->packer, "bytes_written", is_known ? job->n_bytes : 0);
}

/* Batches of all ranks together, and how many of them are still to be written. Return:
 * is it known? A rank may not have come yet, or not have said it.
 */
static bool
count_total(const struct job *job, uint64_t *ret_total, uint64_t *ret_left)
{
    *ret_total = *ret_left = 0;
    if (job->state != JOB_OPEN || job->n_ranks < job->world_size)
        return false;
    for (uint32_t i = 0; i < job->n_ranks; i++) {
        const struct rank *rank = job->ranks[i];
        uint64_t committed = rank_committed(rank);

        if (rank->state == RANK_ENDED) {
            *ret_total += committed;
            continue;
        }
        if (!rank->total)
            return false;
        *ret_total += rank->total;
        *ret_left += rank->total > committed ? rank->total - committed : 0;
    }
    return true;
}

/* Two keys. */
static void
pack_total(struct message_out *out, const struct job *job)
{
    uint64_t total, left;
    double seconds = -1;

    if (count_total(job, &total, &left)) {
        pack_key_uint(&out->packer, "total", total);
        seconds = pace_seconds_for(&job->pace, left);
    } else {
        pack_key_nil(out, "total");
    }
    if (seconds >= 0)
        pack_key_double(&out->packer, "eta", seconds);
    else
        pack_key_nil(out, "eta");
}

static bool
is_over(const struct job *job)
{
    return job->state > JOB_PUBLISHING;
}

/* Three keys. */
static void
pack_wait(struct message_out *out, const struct job *job)
{
    uint32_t ranks[WAIT_RANKS_MAX],
        n_missing = job_missing_ranks(job, ranks, WAIT_RANKS_MAX);
    struct wait_report report;

    job_describe_wait(job, &report);
    pack_key_text(&out->packer, "waits", report.reason ? report.message : NULL);
    pack_key(&out->packer, "waiting");
    wait_pack(out, &report);
    pack_key(&out->packer, "missing");
    msgpack_pack_array(&out->packer,
                       n_missing < WAIT_RANKS_MAX ? n_missing : WAIT_RANKS_MAX);
    for (uint32_t i = 0; i < n_missing && i < WAIT_RANKS_MAX; i++)
        msgpack_pack_uint32(&out->packer, ranks[i]);
}

#define JOB_KEYS 28

/* JOB_KEYS keys. Ranks are looked at only while the job is open: else they are a
 * worker's, or not there.
 */
static void
pack_job_fields(struct message_out *out, const struct daemon *daemon,
                const struct job *job)
{
    struct waiting waiting = report_waiting(job);

    pack_key_text(&out->packer, "name", job->name);
    pack_key_text(&out->packer, "stage", job->stage);
    pack_key_uint(&out->packer, "id", job_id(job));
    pack_key_text(&out->packer, "state", job_state_name(job));
    pack_key_bool(&out->packer, "live", !is_over(job));
    pack_key_uint(&out->packer, "world_size", job->world_size);
    pack_key_uint(&out->packer, "ranks_open", job->n_connected);
    pack_counts(out, job);
    pack_pace(out, is_over(job) ? &(struct pace){0} : &job->pace);
    pack_waiting(out, daemon, &waiting);
    pack_total(out, job);
    pack_key_double(&out->packer, "blocked", (double)job->blocked_ms / 1e3);
    pack_key_bool(&out->packer, "unfinished", is_over(job) && job_is_unfinished(job));
    pack_key_bool(&out->packer, "damaged",
                  is_over(job) && (job->damaged_at || job->is_unreadable));
    pack_key_double(&out->packer, "age", seconds_since(daemon, job->opened_at));
    pack_error(out, &job->error);
    pack_wait(out, job);
    pack_key(&out->packer, "targets");
    msgpack_pack_array(&out->packer, job->n_outputs);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        pack_text(&out->packer, job->outputs[i].writer.target);
}

void
report_jobs(const struct daemon *daemon, struct message_out *out)
{
    const struct jobs *jobs = &daemon->jobs;
    const struct job *job;

    msgpack_pack_map(&out->packer, 1);
    pack_key(&out->packer, "jobs");
    msgpack_pack_array(&out->packer, jobs->n_past + jobs->n_live);
    TAILQ_FOREACH (job, &jobs->past, link) {
        msgpack_pack_map(&out->packer, JOB_KEYS);
        pack_job_fields(out, daemon, job);
    }
    TAILQ_FOREACH (job, &jobs->live, link) {
        msgpack_pack_map(&out->packer, JOB_KEYS);
        pack_job_fields(out, daemon, job);
    }
}

/* ---- one job ---- */

static const char *
rank_state_name(const struct rank *rank)
{
    static const char *const names[] = {"absent",  "opening", "connected",
                                        "closing", "ended",   "lost"};

    return names[rank->state];
}

/* One that never came, and that nothing is known of, is only a number. */
static bool
is_known(const struct rank *rank)
{
    return rank->state != RANK_ABSENT || rank->past;
}

static void
pack_rank(struct message_out *out, const struct daemon *daemon, const struct rank *rank)
{
    uint64_t committed = rank_committed(rank), n_refused;
    const struct lighter_error *error = rank_last_error(rank, &n_refused);
    struct waiting waiting = rank_waiting(rank);

    msgpack_pack_map(&out->packer, 15);
    pack_key_uint(&out->packer, "rank", rank->number);
    pack_key_text(&out->packer, "state", rank_state_name(rank));
    pack_key_text(&out->packer, "client", rank->peer ? rank->peer->client : NULL);
    pack_key_int(&out->packer, "pid", rank->peer ? rank->peer->pid : 0);
    pack_key_uint(&out->packer, "received",
                  rank->seq > committed ? rank->seq : committed);
    pack_key_uint(&out->packer, "committed", committed);
    pack_key_uint(&out->packer, "durable", rank->durable);
    if (rank->total)
        pack_key_uint(&out->packer, "total", rank->total);
    else
        pack_key_nil(out, "total");
    pack_key_uint(&out->packer, "samples", rank_samples(rank));
    pack_waiting(out, daemon, &waiting);
    pack_key_uint(&out->packer, "refused", n_refused);
    pack_key_double(&out->packer, "blocked", (double)rank->blocked_ms / 1e3);
    pack_error(out, error);
}

static void
pack_ranks(struct message_out *out, const struct daemon *daemon, const struct job *job)
{
    uint32_t n_ranks = job->state == JOB_OPEN ? job->n_ranks : 0, n_known = 0;

    for (uint32_t i = 0; i < n_ranks; i++)
        n_known += is_known(job->ranks[i]);
    pack_key(&out->packer, "ranks");
    msgpack_pack_array(&out->packer, n_known);
    for (uint32_t i = 0; i < n_ranks; i++)
        if (is_known(job->ranks[i]))
            pack_rank(out, daemon, job->ranks[i]);
}

static void
pack_writer(struct message_out *out, const struct job_output *output)
{
    const struct lighter_writer *type = output->writer.type;

    msgpack_pack_map(&out->packer, 7);
    pack_key_text(&out->packer, "type", type->name);
    pack_key_text(&out->packer, "kind",
                  type->kind == LIGHTER_KIND_TABLE ? "table" : "files");
    pack_key_text(&out->packer, "target", output->writer.target);
    pack_key_uint(&out->packer, "samples", output->n_samples);
    pack_key_uint(&out->packer, "bytes_written", output->n_bytes);
    pack_key_uint(&out->packer, "refused", output->n_refused);
    pack_error(out, &output->last_error);
}

void
report_job(const struct daemon *daemon, const struct job *job, struct message_out *out)
{
    msgpack_pack_map(&out->packer, JOB_KEYS + 2);
    pack_job_fields(out, daemon, job);
    pack_ranks(out, daemon, job);
    pack_key(&out->packer, "writers");
    msgpack_pack_array(&out->packer, job->n_outputs);
    for (uint32_t i = 0; i < job->n_outputs; i++)
        pack_writer(out, &job->outputs[i]);
}
