/* verb_freeze.c - freeze and unfreeze parameters of a training that runs. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <inttypes.h>
#include <limits.h>

#define HELP(verb, what)                                                               \
    "usage: lighterctl [--socket PATH] [--json] " verb " JOB PATTERN...\n"             \
    "\n"                                                                               \
    "Makes a running training " what " the parameters whose names match a PATTERN\n"   \
    "(with * ? and [], as a shell's) from its next step on, whatever its freezers\n"   \
    "say. JOB is the job's name, as lighterctl jobs has it. Where a training has\n"    \
    "several ranks, all of them change at the same step.\n"                            \
    "\n"                                                                               \
    "example:\n"                                                                       \
    "  $ lighterctl " verb " fit-549f9ef9 'encoder.*' head.bias\n"                     \
    "  5 parameters\n"                                                                 \
    "\n"                                                                               \
    "exit codes: 0 done, 1 the daemon refused (no such job, or a PATTERN that "        \
    "matches\n"                                                                        \
    "nothing), 2 wrong usage, 3 no daemon listens.\n"

/* Returns owned; NULL: one is not UTF-8. */
static json_t *
make_patterns(const struct options *options)
{
    json_t *patterns = json_array();

    for (int i = 1; i < options->n_arguments; i++)
        if (json_array_append_new(patterns, json_string(options->arguments[i])) < 0) {
            json_decref(patterns);
            return NULL;
        }
    return json_pack("{s:o}", "patterns", patterns);
}

static enum ctl_exit
run(const struct options *options, const char *method)
{
    json_t *patterns = make_patterns(options), *result;
    enum ctl_exit done;

    if (!patterns) {
        complain("a pattern is not UTF-8");
        return CTL_USAGE;
    }
    done = ask_job(options, method, patterns, &result);
    if (done != CTL_DONE)
        return done;
    if (options->json)
        output_json(stdout, result);
    else
        printf("%" PRId64 " parameters\n",
               (int64_t)json_integer_value(json_object_get(result, "matched")));
    json_decref(result);
    return CTL_DONE;
}

static enum ctl_exit
run_freeze(const struct options *options)
{
    return run(options, "freeze");
}

static enum ctl_exit
run_unfreeze(const struct options *options)
{
    return run(options, "unfreeze");
}

const struct verb verb_freeze = {.name = "freeze",
                                 .summary = "freeze parameters of a running training",
                                 .help = HELP("freeze", "freeze"),
                                 .min_arguments = 2,
                                 .max_arguments = INT_MAX,
                                 .run = run_freeze};

const struct verb verb_unfreeze = {.name = "unfreeze",
                                   .summary = "train them again",
                                   .help = HELP("unfreeze", "train"),
                                   .min_arguments = 2,
                                   .max_arguments = INT_MAX,
                                   .run = run_unfreeze};
