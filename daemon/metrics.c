/* metrics.c - see metrics.h. Names as prometheus.io/docs/practices/naming has them. */
#include "daemon/metrics.h"

#include "config.h"
#include "daemon/report.h"
#include "util/error.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

/* What one look at the daemon gives, before it is written down. */
struct daemon_numbers {
    uint64_t start, cpu, resident;
    uint64_t connections, threads;
    uint64_t live, unfinished, published, failed;
    uint64_t batches, samples, bytes, refused, blocked;
    uint64_t waiting, waiting_bytes, limit, oldest;
};

/* And at one job. */
struct job_numbers {
    uint64_t ranks, connected;
    uint64_t batches, samples, bytes, blocked;
    uint64_t waiting, waiting_bytes, oldest;
};

/* A number is a count, or milliseconds that are told as seconds. */
enum unit { COUNT, MILLISECONDS };

struct metric {
    const char *name, *type, *help;
    enum unit unit;
    size_t offset; /* of a uint64_t, in the numbers */
};

static uint64_t
number_at(const void *numbers, size_t offset)
{
    uint64_t number;

    memcpy(&number, (const char *)numbers + offset, sizeof number);
    return number;
}

/* ---- text ---------------------------------------------------------------------- */

static void
put_family(FILE *file, const char *name, const char *type, const char *help)
{
    fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
put_value(FILE *file, enum unit unit, uint64_t value)
{
    if (unit == MILLISECONDS)
        fprintf(file, " %" PRIu64 ".%03" PRIu64 "\n", value / 1000, value % 1000);
    else
        fprintf(file, " %" PRIu64 "\n", value);
}

/* Names of jobs are UTF-8 without control characters: that is looked at by `open`. */
static void
put_label(FILE *file, const char *name, const char *value)
{
    fprintf(file, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', file);
        fputc(*value, file);
    }
    fputc('"', file);
}

/* ---- the daemon ---------------------------------------------------------------- */

static uint64_t
age_ms(const struct daemon *daemon, const struct waiting *waiting)
{
    return waiting->batches ? uv_now(&daemon->loop) - waiting->since : 0;
}

#define OF_DAEMON(field) offsetof(struct daemon_numbers, field)

static const struct metric daemon_metrics[] = {
    {"process_start_time_seconds", "gauge", "When the daemon started, since 1970.",
     COUNT, OF_DAEMON(start)},
    {"process_cpu_seconds_total", "counter", "Processor time, user and system.",
     MILLISECONDS, OF_DAEMON(cpu)},
    {"process_resident_memory_bytes", "gauge", "Resident memory.", COUNT,
     OF_DAEMON(resident)},
    {"lighterd_connections", "gauge", "Clients that are connected.", COUNT,
     OF_DAEMON(connections)},
    {"lighterd_worker_threads", "gauge", "Threads that write.", COUNT,
     OF_DAEMON(threads)},
    {"lighterd_live_jobs", "gauge", "Jobs that are not over.", COUNT, OF_DAEMON(live)},
    {"lighterd_unfinished_jobs", "gauge",
     "Jobs that are over, not published, and can go on.", COUNT, OF_DAEMON(unfinished)},
    {"lighterd_jobs_published_total", "counter", "Jobs that were published.", COUNT,
     OF_DAEMON(published)},
    {"lighterd_jobs_failed_total", "counter",
     "Jobs that were over without being published.", COUNT, OF_DAEMON(failed)},
    {"lighterd_batches_total", "counter", "Batches that were written.", COUNT,
     OF_DAEMON(batches)},
    {"lighterd_samples_total", "counter", "Samples that were written.", COUNT,
     OF_DAEMON(samples)},
    {"lighterd_written_bytes_total", "counter", "Bytes that were written.", COUNT,
     OF_DAEMON(bytes)},
    {"lighterd_refused_batches_total", "counter",
     "Batches that could not be written.", COUNT, OF_DAEMON(refused)},
    {"lighterd_blocked_seconds_total", "counter",
     "How long processes have waited for the daemon, as they say.", MILLISECONDS,
     OF_DAEMON(blocked)},
    {"lighterd_waiting_batches", "gauge", "Batches that are not written yet.", COUNT,
     OF_DAEMON(waiting)},
    {"lighterd_waiting_bytes", "gauge", "Bytes of batches that are not written yet.",
     COUNT, OF_DAEMON(waiting_bytes)},
    {"lighterd_max_waiting_bytes", "gauge", "How many bytes of them there may be.",
     COUNT, OF_DAEMON(limit)},
    {"lighterd_oldest_waiting_batch_seconds", "gauge",
     "For how long the oldest batch has waited.", MILLISECONDS, OF_DAEMON(oldest)},
};

static void
put_daemon(FILE *file, const struct daemon_numbers *numbers)
{
    put_family(file, "lighterd_build_info", "gauge", "Which lighterd this is.");
    fputs("lighterd_build_info{version=\"" PACKAGE_VERSION "\"} 1\n", file);
    for (size_t i = 0; i < sizeof daemon_metrics / sizeof *daemon_metrics; i++) {
        const struct metric *metric = &daemon_metrics[i];

        put_family(file, metric->name, metric->type, metric->help);
        fputs(metric->name, file);
        put_value(file, metric->unit, number_at(numbers, metric->offset));
    }
}

static void
put_ages(FILE *file, const struct histogram *ages)
{
    static const char name[] = "lighterd_batch_age_seconds";
    uint64_t sum = 0;

    put_family(file, name, "histogram",
               "From a batch's arrival until a writer was done with it.");
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += ages->counts[i];
        if (i < HISTOGRAM_BUCKETS - 1)
            fprintf(file, "%s_bucket{le=\"%g\"}", name,
                    (double)histogram_ends_ms[i] / 1e3);
        else
            fprintf(file, "%s_bucket{le=\"+Inf\"}", name);
        put_value(file, COUNT, sum);
    }
    fprintf(file, "%s_sum", name);
    put_value(file, MILLISECONDS, ages->sum_ms);
    fprintf(file, "%s_count", name);
    put_value(file, COUNT, sum);
}

/* ---- jobs ---------------------------------------------------------------------- */

#define OF_JOB(field) offsetof(struct job_numbers, field)

static const struct metric job_metrics[] = {
    {"lighterd_job_ranks", "gauge", "Processes that belong to the job.", COUNT,
     OF_JOB(ranks)},
    {"lighterd_job_connected_ranks", "gauge",
     "Processes of the job that are connected.", COUNT, OF_JOB(connected)},
    {"lighterd_job_batches_total", "counter", "Batches of the job that are written.",
     COUNT, OF_JOB(batches)},
    {"lighterd_job_samples_total", "counter", "Samples of the job that are written.",
     COUNT, OF_JOB(samples)},
    {"lighterd_job_written_bytes_total", "counter", "Bytes of the job's outputs.",
     COUNT, OF_JOB(bytes)},
    {"lighterd_job_blocked_seconds_total", "counter",
     "How long the job's processes have waited for the daemon, as they say.",
     MILLISECONDS, OF_JOB(blocked)},
    {"lighterd_job_waiting_batches", "gauge",
     "Batches of the job that are not written yet.", COUNT, OF_JOB(waiting)},
    {"lighterd_job_waiting_bytes", "gauge",
     "Bytes of batches of the job that are not written yet.", COUNT,
     OF_JOB(waiting_bytes)},
    {"lighterd_job_oldest_waiting_batch_seconds", "gauge",
     "For how long the oldest batch has waited.", MILLISECONDS, OF_JOB(oldest)},
};

/* While it is prepared a worker reads its counters from its journal. */
static bool
is_told(const struct job *job)
{
    return job->state == JOB_OPEN || job->state == JOB_PUBLISHING;
}

static void
put_job_labels(FILE *file, const struct job *job)
{
    fputc('{', file);
    put_label(file, "job", job->name);
    fputc(',', file);
    put_label(file, "stage", job->stage);
}

static struct job_numbers
look_at_job(const struct daemon *daemon, const struct job *job)
{
    struct waiting waiting = report_waiting(job);

    return (struct job_numbers){
        .ranks = job->world_size,
        .connected = job->n_connected,
        .batches = job->n_batches,
        .samples = job->n_samples,
        .bytes = job->n_bytes,
        .blocked = job->blocked_ms,
        .waiting = waiting.batches,
        .waiting_bytes = waiting.bytes,
        .oldest = age_ms(daemon, &waiting),
    };
}

static void
put_jobs(FILE *file, const struct daemon *daemon)
{
    const struct job *job;

    for (size_t i = 0; i < sizeof job_metrics / sizeof *job_metrics; i++) {
        const struct metric *metric = &job_metrics[i];

        put_family(file, metric->name, metric->type, metric->help);
        TAILQ_FOREACH (job, &daemon->jobs.live, link) {
            struct job_numbers numbers;

            if (!is_told(job))
                continue;
            numbers = look_at_job(daemon, job);
            fputs(metric->name, file);
            put_job_labels(file, job);
            fputc('}', file);
            put_value(file, metric->unit, number_at(&numbers, metric->offset));
        }
    }
}

/* ---- writers of jobs ----------------------------------------------------------- */

static const struct {
    const char *name, *help;
    size_t offset; /* of a uint64_t in struct job_output */
} writer_metrics[] = {
    {"lighterd_writer_samples_total", "Samples that the writer has written.",
     offsetof(struct job_output, n_samples)},
    {"lighterd_writer_written_bytes_total", "Bytes that it has written.",
     offsetof(struct job_output, n_bytes)},
    {"lighterd_writer_refused_batches_total", "Batches that it refused.",
     offsetof(struct job_output, n_refused)},
};

/* `output` tells two of a kind apart. */
static void
put_writer(FILE *file, size_t metric, const struct job *job, uint32_t index)
{
    const struct job_output *output = &job->outputs[index];

    fputs(writer_metrics[metric].name, file);
    put_job_labels(file, job);
    fprintf(file, ",output=\"%" PRIu32 "\",", index);
    put_label(file, "writer", output->writer.type->name);
    fputc('}', file);
    put_value(file, COUNT, number_at(output, writer_metrics[metric].offset));
}

static void
put_writers(FILE *file, const struct daemon *daemon)
{
    const struct job *job;

    for (size_t i = 0; i < sizeof writer_metrics / sizeof *writer_metrics; i++) {
        put_family(file, writer_metrics[i].name, "counter", writer_metrics[i].help);
        TAILQ_FOREACH (job, &daemon->jobs.live, link)
            for (uint32_t j = 0; is_told(job) && j < job->n_outputs; j++)
                put_writer(file, i, job, j);
    }
}

/* ---- all of it ----------------------------------------------------------------- */

static uint64_t
to_ms(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_usec / 1000;
}

/* The kernel makes this file up: no disk is waited for. 0 where there is no /proc. */
static uint64_t
count_resident(void)
{
    uint64_t total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct daemon_numbers
look(const struct daemon *daemon)
{
    const struct jobs *jobs = &daemon->jobs;
    struct waiting waiting = report_all_waiting(jobs);
    struct daemon_numbers numbers = {
        .start = (uint64_t)daemon->started_wall_s,
        .resident = count_resident(),
        .connections = daemon->n_conns,
        .threads = daemon->n_threads,
        .live = jobs->n_live,
        .published = jobs->n_published,
        .failed = jobs->n_failed,
        .batches = jobs->n_batches,
        .samples = jobs->n_samples,
        .bytes = jobs->n_bytes,
        .refused = jobs->n_refused,
        .blocked = jobs->blocked_ms,
        .waiting = waiting.batches,
        .waiting_bytes = daemon->quota.used,
        .limit = daemon->quota.max,
        .oldest = age_ms(daemon, &waiting),
    };
    struct rusage usage = {0};
    const struct job *job;

    getrusage(RUSAGE_SELF, &usage);
    numbers.cpu = to_ms(usage.ru_utime) + to_ms(usage.ru_stime);
    TAILQ_FOREACH (job, &jobs->past, link)
        numbers.unfinished += job_is_unfinished(job);
    return numbers;
}

int
metrics_render(const struct daemon *daemon, char **ret_text, size_t *ret_size,
               struct lighter_error *err)
{
    struct daemon_numbers numbers = look(daemon);
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    bool is_whole;

    if (!file)
        return fail_nomem(err);
    put_daemon(file, &numbers);
    put_ages(file, &daemon->jobs.ages);
    put_jobs(file, daemon);
    put_writers(file, daemon);
    is_whole = !ferror(file);
    if (fclose(file) != 0 || !is_whole) {
        free(text);
        return fail_nomem(err);
    }
    *ret_text = text;
    *ret_size = size;
    return 0;
}
