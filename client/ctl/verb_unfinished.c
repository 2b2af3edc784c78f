/* verb_unfinished.c - finalize and discard jobs that are over without being published.
 */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

static const char help_finalize[] =
    "usage: lighterctl [--socket PATH] [--json] finalize JOB [--stage STAGE]\n"
    "                  [--partial] [--damaged]\n"
    "\n"
    "Publishes what has been written of an unfinished job; nobody can resume it then.\n"
    "JOB is its name, as lighterctl jobs has it; --stage says which is meant where\n"
    "there are several of that name. Returns when the outputs are under their final\n"
    "names.\n"
    "\n"
    "Where not all of its processes have ended, batches that are missing stay\n"
    "missing: that is refused, with the ranks, unless --partial is given. Where its\n"
    "journal is damaged, as lighterctl jobs says, --damaged publishes what is\n"
    "recorded before the damage.\n"
    "\n"
    "example:\n"
    "  $ lighterctl finalize predictions --partial\n"
    "  predictions is published\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused (no such job, processes are connected\n"
    "to it, or it is not whole) or could not, 2 wrong usage, 3 no daemon listens.\n";

static const char help_discard[] =
    "usage: lighterctl [--socket PATH] [--json] discard JOB [--stage STAGE]\n"
    "\n"
    "Removes all that an unfinished job has written, and forgets the job. What was\n"
    "published before stays. JOB is its name, as lighterctl jobs has it; --stage says\n"
    "which is meant where there are several of that name.\n"
    "\n"
    "example:\n"
    "  $ lighterctl discard predictions --stage test\n"
    "  predictions is discarded\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused (no such job, or processes are\n"
    "connected to it) or could not, 2 wrong usage, 3 no daemon listens.\n";

static enum ctl_exit
run(const struct options *options, const char *method, json_t *more, const char *what)
{
    AUTO(free_bytes) char *name = NULL;
    json_t *result;
    enum ctl_exit done = ask_job(options, method, more, &result);

    if (done != CTL_DONE)
        return done;
    if (options->json) {
        output_json(stdout, result);
    } else {
        name = printable(options->arguments[0]);
        printf("%s is %s\n", name, what);
    }
    json_decref(result);
    return CTL_DONE;
}

static enum ctl_exit
run_finalize(const struct options *options)
{
    json_t *consent = json_object();

    if (options->given & TAKES_PARTIAL)
        json_object_set_new(consent, "partial", json_true());
    if (options->given & TAKES_DAMAGED)
        json_object_set_new(consent, "damaged", json_true());
    return run(options, "finalize", consent, "published"); /* takes */
}

static enum ctl_exit
run_discard(const struct options *options)
{
    return run(options, "discard", NULL, "discarded");
}

const struct verb verb_finalize = {.name = "finalize",
                                   .summary = "publish what an unfinished job has",
                                   .help = help_finalize,
                                   .min_arguments = 1,
                                   .max_arguments = 1,
                                   .takes = TAKES_STAGE | TAKES_PARTIAL | TAKES_DAMAGED,
                                   .run = run_finalize};

const struct verb verb_discard = {.name = "discard",
                                  .summary = "remove what an unfinished job has",
                                  .help = help_discard,
                                  .min_arguments = 1,
                                  .max_arguments = 1,
                                  .takes = TAKES_STAGE,
                                  .run = run_discard};
