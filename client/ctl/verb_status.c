/* verb_status.c - how the daemon is. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] status\n"
    "\n"
    "Shows the daemon's version and process, how long it has run, who is connected,\n"
    "how many jobs there are and were, what waits to be written and how many bytes\n"
    "may, how fast it is written (of about the last ten seconds), what has been since\n"
    "the start, and for how long processes have waited for it altogether (blocked).\n"
    "\n"
    "example:\n"
    "  $ lighterctl status\n"
    "  version      0.1.0\n"
    "  pid          4711\n"
    "  socket       /run/user/1000/lighterd/lighterd.sock\n"
    "  uptime       3 h 12 min\n"
    "  connections  2\n"
    "  jobs         1 live, 12 published, 0 failed\n"
    "  waiting      12 batches, 3.5 MiB of at most 1.0 GiB\n"
    "  throughput   1250 samples/s, 4.6 MiB/s\n"
    "  written      583360 samples in 18230 batches, 2.1 GiB\n"
    "  refused      0\n"
    "  blocked      0.0 s\n"
    "  threads      16\n"
    "\n"
    "  $ lighterctl --json status | jq .bytes_waiting\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon listens.\n";

static char *
show_jobs(const json_t *status)
{
    AUTO(free_bytes) char *live = show_text(json_object_get(status, "jobs"));
    AUTO(free_bytes)
    char *published = show_text(json_object_get(status, "jobs_published"));
    AUTO(free_bytes) char *failed = show_text(json_object_get(status, "jobs_failed"));

    return formatted("%s live, %s published, %s failed", live, published, failed);
}

static char *
show_waiting(const json_t *status)
{
    AUTO(free_bytes)
    char *batches = show_text(json_object_get(status, "batches_waiting"));
    AUTO(free_bytes) char *now = show_size(json_object_get(status, "bytes_waiting"));
    AUTO(free_bytes)
    char *most = show_size(json_object_get(status, "max_daemon_bytes"));

    return formatted("%s batches, %s of at most %s", batches, now, most);
}

static char *
show_throughput(const json_t *status)
{
    double samples = json_number_value(json_object_get(status, "samples_per_second"));
    double bytes = json_number_value(json_object_get(status, "bytes_per_second"));
    AUTO(free_bytes) char *size = format_size(bytes > 0 ? (uint64_t)bytes : 0);

    return formatted("%.0f samples/s, %s/s", samples, size);
}

static char *
show_written(const json_t *status)
{
    AUTO(free_bytes) char *samples = show_text(json_object_get(status, "samples"));
    AUTO(free_bytes) char *batches = show_text(json_object_get(status, "batches"));
    AUTO(free_bytes) char *bytes = show_size(json_object_get(status, "bytes_written"));

    return formatted("%s samples in %s batches, %s", samples, batches, bytes);
}

static const struct field fields[] = {
    {"version", "version", show_text, FIELD_LEFT},
    {"pid", "pid", show_text, FIELD_LEFT},
    {"socket", "socket", show_text, FIELD_LEFT},
    {"uptime", "uptime", show_duration, FIELD_LEFT},
    {"connections", "connections", show_text, FIELD_LEFT},
    {"jobs", NULL, show_jobs, FIELD_LEFT},
    {"waiting", NULL, show_waiting, FIELD_LEFT},
    {"throughput", NULL, show_throughput, FIELD_LEFT},
    {"written", NULL, show_written, FIELD_LEFT},
    {"refused", "refused", show_text, FIELD_LEFT},
    {"blocked", "blocked", show_duration, FIELD_LEFT},
    {"threads", "threads", show_text, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static enum ctl_exit
run(const struct options *options)
{
    json_t *status;
    enum ctl_exit done = ask(options, "status", NULL, &status);

    if (done != CTL_DONE)
        return done;
    if (options->json)
        output_json(stdout, status);
    else
        output_block(stdout, fields, status);
    json_decref(status);
    return CTL_DONE;
}

const struct verb verb_status = {.name = "status",
                                 .summary = "how the daemon is, in a few lines",
                                 .help = help,
                                 .run = run};
