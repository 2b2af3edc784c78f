/* metrics.c - see metrics.h. Names as prometheus.io/docs/practices/naming has them. */
#include "daemon/metrics.h"

#include "config.h"
#include "daemon/report.h"
#include "util/error.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

/* What one look at the daemon gives, before it is written down. */
struct numbers {
    const struct daemon *daemon;
    struct waiting waiting; /* all jobs */
    uint64_t n_unfinished;
    uint64_t cpu_ms, resident_bytes;
};

/* A number is a count, or milliseconds that are told as seconds. */
enum unit { COUNT, MILLISECONDS };

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

#define NUMBER(name, expression)                                                       \
    static uint64_t name(const struct numbers *numbers)                                \
    {                                                                                  \
        return (uint64_t)(expression);                                                 \
    }

NUMBER(get_start, numbers->daemon->started_wall_s)
NUMBER(get_cpu, numbers->cpu_ms)
NUMBER(get_resident, numbers->resident_bytes)
NUMBER(get_connections, numbers->daemon->n_conns)
NUMBER(get_threads, numbers->daemon->n_threads)
NUMBER(get_live, numbers->daemon->jobs.n_live)
NUMBER(get_unfinished, numbers->n_unfinished)
NUMBER(get_published, numbers->daemon->jobs.n_published)
NUMBER(get_failed, numbers->daemon->jobs.n_failed)
NUMBER(get_batches, numbers->daemon->jobs.n_batches)
NUMBER(get_samples, numbers->daemon->jobs.n_samples)
NUMBER(get_bytes, numbers->daemon->jobs.n_bytes)
NUMBER(get_refused, numbers->daemon->jobs.n_refused)
NUMBER(get_blocked, numbers->daemon->jobs.blocked_ms)
NUMBER(get_waiting, numbers->waiting.batches)
NUMBER(get_waiting_bytes, numbers->daemon->quota.used)
NUMBER(get_limit, numbers->daemon->quota.max)
NUMBER(get_oldest, age_ms(numbers->daemon, &numbers->waiting))

static const struct {
    const char *name, *type, *help;
    enum unit unit;
    uint64_t (*get)(const struct numbers *numbers);
} daemon_metrics[] = {
    {"process_start_time_seconds", "gauge", "When the daemon started, since 1970.",
     COUNT, get_start},
    {"process_cpu_seconds_total", "counter", "Processor time, user and system.",
     MILLISECONDS, get_cpu},
    {"process_resident_memory_bytes", "gauge", "Resident memory.", COUNT, get_resident},
    {"lighterd_connections", "gauge", "Clients that are connected.", COUNT,
     get_connections},
    {"lighterd_worker_threads", "gauge", "Threads that write.", COUNT, get_threads},
    {"lighterd_live_jobs", "gauge", "Jobs that are not over.", COUNT, get_live},
    {"lighterd_unfinished_jobs", "gauge",
     "Jobs that are over, not published, and can go on.", COUNT, get_unfinished},
    {"lighterd_jobs_published_total", "counter", "Jobs that were published.", COUNT,
     get_published},
    {"lighterd_jobs_failed_total", "counter",
     "Jobs that were over without being published.", COUNT, get_failed},
    {"lighterd_batches_total", "counter", "Batches that were written.", COUNT,
     get_batches},
    {"lighterd_samples_total", "counter", "Samples that were written.", COUNT,
     get_samples},
    {"lighterd_written_bytes_total", "counter", "Bytes that were written.", COUNT,
     get_bytes},
    {"lighterd_refused_batches_total", "counter",
     "Batches that a writer could not write.", COUNT, get_refused},
    {"lighterd_blocked_seconds_total", "counter",
     "How long processes have waited for the daemon, as they say.", MILLISECONDS,
     get_blocked},
    {"lighterd_waiting_batches", "gauge", "Batches that are not written yet.", COUNT,
     get_waiting},
    {"lighterd_waiting_bytes", "gauge", "Bytes of batches that are not written yet.",
     COUNT, get_waiting_bytes},
    {"lighterd_max_waiting_bytes", "gauge", "How many bytes of them there may be.",
     COUNT, get_limit},
    {"lighterd_oldest_waiting_batch_seconds", "gauge",
     "For how long the oldest batch has waited.", MILLISECONDS, get_oldest},
};

static void
put_daemon(FILE *file, const struct numbers *numbers)
{
    put_family(file, "lighterd_build_info", "gauge", "Which lighterd this is.");
    fputs("lighterd_build_info{version=\"" PACKAGE_VERSION "\"} 1\n", file);
    for (size_t i = 0; i < sizeof daemon_metrics / sizeof *daemon_metrics; i++) {
        put_family(file, daemon_metrics[i].name, daemon_metrics[i].type,
                   daemon_metrics[i].help);
        fputs(daemon_metrics[i].name, file);
        put_value(file, daemon_metrics[i].unit, daemon_metrics[i].get(numbers));
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

#define JOB_NUMBER(name, expression)                                                   \
    static uint64_t name(const struct daemon *daemon, const struct job *job)           \
    {                                                                                  \
        (void)daemon;                                                                  \
        return (uint64_t)(expression);                                                 \
    }

JOB_NUMBER(job_ranks, job->world_size)
JOB_NUMBER(job_connected, job->n_connected)
JOB_NUMBER(job_batches, job->n_batches)
JOB_NUMBER(job_samples, job->n_samples)
JOB_NUMBER(job_bytes, job->n_bytes)
JOB_NUMBER(job_blocked, job->blocked_ms)
JOB_NUMBER(job_waiting, report_waiting(job).batches)
JOB_NUMBER(job_waiting_bytes, report_waiting(job).bytes)
JOB_NUMBER(job_oldest, age_ms(daemon, &(struct waiting){report_waiting(job).batches, 0,
                                                        report_waiting(job).since}))

static const struct {
    const char *name, *type, *help;
    enum unit unit;
    uint64_t (*get)(const struct daemon *daemon, const struct job *job);
} job_metrics[] = {
    {"lighterd_job_ranks", "gauge", "Processes that belong to the job.", COUNT,
     job_ranks},
    {"lighterd_job_connected_ranks", "gauge",
     "Processes of the job that are connected.", COUNT, job_connected},
    {"lighterd_job_batches_total", "counter", "Batches of the job that are written.",
     COUNT, job_batches},
    {"lighterd_job_samples_total", "counter", "Samples of the job that are written.",
     COUNT, job_samples},
    {"lighterd_job_written_bytes_total", "counter", "Bytes of the job's outputs.",
     COUNT, job_bytes},
    {"lighterd_job_blocked_seconds_total", "counter",
     "How long the job's processes have waited for the daemon, as they say.",
     MILLISECONDS, job_blocked},
    {"lighterd_job_waiting_batches", "gauge",
     "Batches of the job that are not written yet.", COUNT, job_waiting},
    {"lighterd_job_waiting_bytes", "gauge",
     "Bytes of batches of the job that are not written yet.", COUNT, job_waiting_bytes},
    {"lighterd_job_oldest_waiting_batch_seconds", "gauge",
     "For how long the oldest batch has waited.", MILLISECONDS, job_oldest},
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

static void
put_jobs(FILE *file, const struct daemon *daemon)
{
    const struct job *job;

    for (size_t i = 0; i < sizeof job_metrics / sizeof *job_metrics; i++) {
        put_family(file, job_metrics[i].name, job_metrics[i].type, job_metrics[i].help);
        TAILQ_FOREACH (job, &daemon->jobs.live, link) {
            if (!is_told(job))
                continue;
            fputs(job_metrics[i].name, file);
            put_job_labels(file, job);
            fputc('}', file);
            put_value(file, job_metrics[i].unit, job_metrics[i].get(daemon, job));
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
    {"lighterd_writer_refused_batches_total", "Batches that it could not write.",
     offsetof(struct job_output, n_refused)},
};

/* `output` tells two of a kind apart. */
static void
put_writer(FILE *file, size_t metric, const struct job *job, uint32_t index)
{
    const struct job_output *output = &job->outputs[index];
    const char *field = (const char *)output + writer_metrics[metric].offset;

    fputs(writer_metrics[metric].name, file);
    put_job_labels(file, job);
    fprintf(file, ",output=\"%" PRIu32 "\",", index);
    put_label(file, "writer", output->writer.type->name);
    fputc('}', file);
    put_value(file, COUNT, *(const uint64_t *)(const void *)field);
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

static void
look(const struct daemon *daemon, struct numbers *ret_numbers)
{
    struct rusage usage = {0};
    const struct job *job;

    getrusage(RUSAGE_SELF, &usage);
    *ret_numbers =
        (struct numbers){.daemon = daemon,
                         .waiting = report_all_waiting(&daemon->jobs),
                         .cpu_ms = to_ms(usage.ru_utime) + to_ms(usage.ru_stime),
                         .resident_bytes = count_resident()};
    TAILQ_FOREACH (job, &daemon->jobs.past, link)
        ret_numbers->n_unfinished += job_is_unfinished(job);
}

int
metrics_render(const struct daemon *daemon, char **ret_text, size_t *ret_size,
               struct lighter_error *err)
{
    struct numbers numbers;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    bool is_whole;

    if (!file)
        return fail_nomem(err);
    look(daemon, &numbers);
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
