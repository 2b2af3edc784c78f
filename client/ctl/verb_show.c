/* verb_show.c - one job: how far each rank is, and what each writer has made. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] show JOB [--stage STAGE]\n"
    "\n"
    "Shows one job, the live one of that name or else the last: in all, a line for\n"
    "each rank that has come, and one for each writer.\n"
    "\n"
    "  GIVEN, DONE, DURABLE\n"
    "           batches that the rank has handed over, that all writers are done\n"
    "           with, and that no loss of power takes back (as far as is known)\n"
    "  WAITING  bytes of batches that are not written yet\n"
    "  OLDEST   for how long the first of them has waited\n"
    "  BLOCKED  for how long the rank's process has waited because of that\n"
    "  REFUSED  batches that could not be written; why the last was stands below\n"
    "\n"
    "Of a job that is over there are no ranks. The time left (eta) is known where all\n"
    "ranks have come and said how many batches they will hand over.\n"
    "\n"
    "example:\n"
    "  $ lighterctl show predictions\n"
    "  name     predictions (predict)\n"
    "  state    open, 0 of 2 ranks have ended\n"
    "  written  9920 samples in 310 of 500 batches, 12.1 MiB\n"
    "  rate     146 samples/s, 182.4 KiB/s\n"
    "  waiting  3 batches, 384.0 KiB\n"
    "  blocked  0.4 s\n"
    "  eta      42 s\n"
    "  age      1 min 8 s\n"
    "  ...\n"
    "\n"
    "exit codes: 0 done, 1 there is no such job, 2 wrong usage, 3 no daemon listens.\n";

static char *
show_name(const json_t *job)
{
    AUTO(free_bytes) char *name = show_text(json_object_get(job, "name"));
    AUTO(free_bytes) char *stage = show_text(json_object_get(job, "stage"));

    return formatted("%s (%s)", name, stage);
}

static char *
show_state(const json_t *job)
{
    AUTO(free_bytes) char *state = show_text(json_object_get(job, "state"));
    AUTO(free_bytes) char *ended = show_text(json_object_get(job, "ranks_ended"));
    AUTO(free_bytes) char *all = show_text(json_object_get(job, "world_size"));

    return formatted("%s, %s of %s ranks have ended", state, ended, all);
}

static char *
show_written(const json_t *job)
{
    const json_t *total = json_object_get(job, "total");
    AUTO(free_bytes) char *samples = show_text(json_object_get(job, "samples"));
    AUTO(free_bytes) char *batches = show_text(json_object_get(job, "batches"));
    AUTO(free_bytes) char *all = show_text(total);
    AUTO(free_bytes) char *bytes = show_size(json_object_get(job, "bytes_written"));

    return formatted("%s samples in %s%s%s batches, %s", samples, batches,
                     json_is_integer(total) ? " of " : "",
                     json_is_integer(total) ? all : "", bytes);
}

static char *
show_pace(const json_t *job)
{
    double samples = json_number_value(json_object_get(job, "samples_per_second"));
    double bytes = json_number_value(json_object_get(job, "bytes_per_second"));
    AUTO(free_bytes) char *size = format_size(bytes > 0 ? (uint64_t)bytes : 0);

    return formatted("%.0f samples/s, %s/s", samples, size);
}

static char *
show_waiting(const json_t *job)
{
    AUTO(free_bytes) char *batches = show_text(json_object_get(job, "batches_waiting"));
    AUTO(free_bytes) char *bytes = show_size(json_object_get(job, "bytes_waiting"));

    return formatted("%s batches, %s", batches, bytes);
}

static char *
show_process(const json_t *rank)
{
    const json_t *client = json_object_get(rank, "client");
    AUTO(free_bytes) char *name = show_text(client);
    AUTO(free_bytes) char *pid = show_text(json_object_get(rank, "pid"));

    return json_is_string(client) ? formatted("%s (%s)", pid, name) : formatted("-");
}

static const struct field live_fields[] = {
    {"name", NULL, show_name, FIELD_LEFT},
    {"state", NULL, show_state, FIELD_LEFT},
    {"written", NULL, show_written, FIELD_LEFT},
    {"rate", NULL, show_pace, FIELD_LEFT},
    {"waiting", NULL, show_waiting, FIELD_LEFT},
    {"blocked", "blocked", show_duration, FIELD_LEFT},
    {"eta", "eta", show_duration, FIELD_LEFT},
    {"age", "age", show_duration, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static const struct field over_fields[] = {
    {"name", NULL, show_name, FIELD_LEFT},
    {"state", NULL, show_state, FIELD_LEFT},
    {"written", NULL, show_written, FIELD_LEFT},
    {"blocked", "blocked", show_duration, FIELD_LEFT},
    {"age", "age", show_duration, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static const struct field why_fields[] = {{"error", "error", show_text, FIELD_LEFT},
                                          {NULL, NULL, NULL, 0}};

static const struct field wait_fields[] = {{"waits", "waits", show_text, FIELD_LEFT},
                                           {NULL, NULL, NULL, 0}};

static const struct field rank_fields[] = {
    {"RANK", "rank", show_text, FIELD_RIGHT},
    {"STATE", "state", show_text, FIELD_LEFT},
    {"GIVEN", "received", show_text, FIELD_RIGHT},
    {"DONE", "committed", show_text, FIELD_RIGHT},
    {"DURABLE", "durable", show_text, FIELD_RIGHT},
    {"WAITING", "bytes_waiting", show_size, FIELD_RIGHT},
    {"OLDEST", "oldest_waiting", show_duration, FIELD_RIGHT},
    {"BLOCKED", "blocked", show_duration, FIELD_RIGHT},
    {"REFUSED", "refused", show_text, FIELD_RIGHT},
    {"PROCESS", NULL, show_process, FIELD_LEFT},
    {"last error", "error", show_text, FIELD_NOTE},
    {NULL, NULL, NULL, 0}};

static const struct field writer_fields[] = {
    {"WRITER", "type", show_text, FIELD_LEFT},
    {"SAMPLES", "samples", show_text, FIELD_RIGHT},
    {"BYTES", "bytes_written", show_size, FIELD_RIGHT},
    {"REFUSED", "refused", show_text, FIELD_RIGHT},
    {"TARGET", "target", show_text, FIELD_LEFT},
    {"last error", "error", show_text, FIELD_NOTE},
    {NULL, NULL, NULL, 0}};

static enum ctl_exit
print_part(const json_t *job, const char *key, const struct field *fields)
{
    const json_t *rows = ask_rows(job, key);

    if (!rows)
        return CTL_FAILED;
    if (json_array_size(rows) == 0)
        return CTL_DONE;
    putchar('\n');
    output_table(stdout, fields, rows);
    return CTL_DONE;
}

static enum ctl_exit
print_job(const json_t *job)
{
    bool is_live = json_is_true(json_object_get(job, "live"));
    enum ctl_exit done;

    output_block(stdout, is_live ? live_fields : over_fields, job);
    if (json_is_string(json_object_get(job, "error")))
        output_block(stdout, why_fields, job);
    if (json_is_string(json_object_get(job, "waits")))
        output_block(stdout, wait_fields, job);
    done = print_part(job, "ranks", rank_fields);
    return done == CTL_DONE ? print_part(job, "writers", writer_fields) : done;
}

static enum ctl_exit
run(const struct options *options)
{
    json_t *job;
    enum ctl_exit done = ask_job(options, "show", NULL, &job);

    if (done != CTL_DONE)
        return done;
    if (options->json)
        output_json(stdout, job);
    else
        done = print_job(job);
    json_decref(job);
    return done;
}

const struct verb verb_show = {.name = "show",
                               .summary = "one job: its ranks and its writers",
                               .help = help,
                               .min_arguments = 1,
                               .max_arguments = 1,
                               .takes = TAKES_STAGE,
                               .run = run};
