/* verb_metrics.c - the daemon's counters, for Prometheus and whoever reads its format.
 */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] metrics\n"
    "\n"
    "Prints the daemon's counters in the text format of Prometheus, 0.0.4: batches,\n"
    "samples and bytes, what waits and for how long, what was refused, for how long\n"
    "processes have waited; of the daemon, of each live job, and of its writers. A\n"
    "job that is over has no series any more. The daemon serves the same by HTTP,\n"
    "where metrics_listen says so (see lighterd(8)).\n"
    "\n"
    "With --json the same text, under the key text.\n"
    "\n"
    "example:\n"
    "  $ lighterctl metrics | grep blocked_seconds_total\n"
    "  lighterd_blocked_seconds_total 0.412\n"
    "  lighterd_job_blocked_seconds_total{job=\"predictions\",stage=\"predict\"} "
    "0.412\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon listens.\n";

static enum ctl_exit
run(const struct options *options)
{
    json_t *result;
    enum ctl_exit done = ask(options, "metrics", NULL, &result);
    const char *text;

    if (done != CTL_DONE)
        return done;
    text = json_string_value(json_object_get(result, "text"));
    if (options->json) {
        output_json(stdout, result);
    } else if (text) {
        fputs(text, stdout);
    } else {
        complain("the answer of lighterd has no text");
        done = CTL_FAILED;
    }
    json_decref(result);
    return done;
}

const struct verb verb_metrics = {.name = "metrics",
                                  .summary = "its counters, as Prometheus reads them",
                                  .help = help,
                                  .run = run};
