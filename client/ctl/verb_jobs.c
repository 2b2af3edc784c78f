/* verb_jobs.c - the jobs that are live, and the last that are over. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] jobs\n"
    "\n"
    "Lists the jobs that are live and the last ones that are over, oldest first. A\n"
    "job is one epoch of one stage under a name.\n"
    "\n"
    "  STATE    preparing, open (batches come), publishing, published (outputs are\n"
    "           under their final names), failed, aborted (its process said so), or\n"
    "           interrupted (its process vanished)\n"
    "  RANKS    processes that have ended their part, of all that belong to the job\n"
    "  SAMPLES, BYTES\n"
    "           what has been written\n"
    "  RATE     samples a second, of about the last ten seconds\n"
    "  AGE      since the first process opened the job\n"
    "\n"
    "Why a job is over without being published stands below it, or what it\n"
    "waits for; and whether it is unfinished: what it has written is\n"
    "there, and it can go on. lighterctl show has more of one job, --json of all.\n"
    "\n"
    "example:\n"
    "  $ lighterctl jobs\n"
    "  NAME         STAGE    STATE   RANKS  SAMPLES     BYTES   RATE        AGE\n"
    "  predictions  predict  open      0/2     9920  12.1 MiB  146/s  1 min 8 s\n"
    "  masks        predict  failed    1/1     2560   1.3 GiB      -  2 h 3 min\n"
    "    error: /data/masks: No space left on device\n"
    "    unfinished: open it with resume, or lighterctl finalize or discard it\n"
    "\n"
    "  $ lighterctl --json jobs | jq -r '.jobs[] | select(.state == \"failed\").name'\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon listens.\n";

static char *
show_ranks(const json_t *job)
{
    AUTO(free_bytes) char *ended = show_text(json_object_get(job, "ranks_ended"));
    AUTO(free_bytes) char *all = show_text(json_object_get(job, "world_size"));

    return formatted("%s/%s", ended, all);
}

static char *
show_unfinished(const json_t *value)
{
    (void)value;
    return formatted("open it with resume, or lighterctl finalize or discard it");
}

static const struct field fields[] = {
    {"NAME", "name", show_text, FIELD_LEFT},
    {"STAGE", "stage", show_text, FIELD_LEFT},
    {"STATE", "state", show_text, FIELD_LEFT},
    {"RANKS", NULL, show_ranks, FIELD_RIGHT},
    {"SAMPLES", "samples", show_text, FIELD_RIGHT},
    {"BYTES", "bytes_written", show_size, FIELD_RIGHT},
    {"RATE", "samples_per_second", show_rate, FIELD_RIGHT},
    {"AGE", "age", show_duration, FIELD_RIGHT},
    {"error", "error", show_text, FIELD_NOTE},
    {"waits", "waits", show_text, FIELD_NOTE},
    {"unfinished", "unfinished", show_unfinished, FIELD_NOTE},
    {NULL, NULL, NULL, 0}};

static enum ctl_exit
print_jobs(const json_t *result)
{
    const json_t *jobs = ask_rows(result, "jobs");

    if (!jobs)
        return CTL_FAILED;
    if (json_array_size(jobs) == 0)
        puts("no jobs");
    else
        output_table(stdout, fields, jobs);
    return CTL_DONE;
}

static enum ctl_exit
run(const struct options *options)
{
    json_t *result;
    enum ctl_exit done = ask(options, "jobs", NULL, &result);

    if (done != CTL_DONE)
        return done;
    if (options->json)
        output_json(stdout, result);
    else
        done = print_jobs(result);
    json_decref(result);
    return done;
}

const struct verb verb_jobs = {.name = "jobs",
                               .summary =
                                   "the jobs that are live, and the last that are over",
                               .help = help,
                               .run = run};
