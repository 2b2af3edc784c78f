/* verb_flush.c - wait until what jobs have written outlasts a loss of power. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <string.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] flush [JOB] [--stage STAGE]\n"
    "\n"
    "Brings to the disk what a job has written, or, without JOB, what all live jobs\n"
    "have, and waits for it: not even a loss of power takes it back then. The daemon\n"
    "does the same by itself from time to time (see sync_interval in lighterd(8)).\n"
    "\n"
    "example:\n"
    "  $ lighterctl flush\n"
    "  predictions is durable\n"
    "  masks is durable\n"
    "\n"
    "exit codes: 0 done, 1 there is no such live job, or the disk has lost something,\n"
    "2 wrong usage, 3 no daemon listens.\n";

struct flush {
    struct lighter_client *client;
    const struct options *options;
    json_t *durable; /* a list of names and stages; owned */
};

static void
note(struct flush *flush, const char *name, const char *stage)
{
    AUTO(free_bytes) char *shown = printable(name);

    json_array_append_new(flush->durable,
                          json_pack("{s:s, s:s*}", "name", name, "stage", stage));
    if (!flush->options->json)
        printf("%s is durable\n", shown);
    fflush(stdout);
}

static enum ctl_exit
flush_named(struct flush *flush)
{
    json_t *result;
    enum ctl_exit done =
        ask_about_job(flush->client, flush->options, "sync", 0, NULL, &result);

    if (done != CTL_DONE)
        return done;
    json_decref(result);
    note(flush, flush->options->arguments[0], flush->options->stage);
    return CTL_DONE;
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static bool
is_published(struct flush *flush, const char *params)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    bool is_published;
    json_t *job;

    if (ask_try(flush->client, "show", params, &job, &err) != CTL_DONE)
        return false;
    is_published = strcmp(text_of(job, "state"), "published") == 0;
    json_decref(job);
    return is_published;
}

/* One that has been published meanwhile has more than was asked for. */
static enum ctl_exit
flush_one(struct flush *flush, const json_t *job)
{
    const char *name = text_of(job, "name"), *stage = text_of(job, "stage");
    json_t *which = json_pack("{s:s, s:s, s:O}", "job", name, "stage", stage, "id",
                              json_object_get(job, "id")),
           *result;
    AUTO(free_bytes) char *params = must(json_dumps(which, JSON_COMPACT));
    struct lighter_error err = LIGHTER_ERROR_INIT;

    json_decref(which);
    if (ask_try(flush->client, "sync", params, &result, &err) == CTL_DONE) {
        json_decref(result);
        note(flush, name, stage);
    } else if (!is_published(flush, params)) {
        complain("%s", err.message);
        return CTL_FAILED;
    }
    return CTL_DONE;
}

static enum ctl_exit
flush_each(struct flush *flush, const json_t *jobs)
{
    enum ctl_exit done = CTL_DONE;
    const json_t *job;
    size_t i;

    json_array_foreach (jobs, i, job) {
        bool is_live = json_is_true(json_object_get(job, "live"));

        if (is_live && flush_one(flush, job) != CTL_DONE)
            done = CTL_FAILED;
    }
    return done;
}

static enum ctl_exit
flush_all(struct flush *flush)
{
    json_t *result;
    enum ctl_exit done = ask_on(flush->client, "jobs", NULL, &result);

    if (done != CTL_DONE)
        return done;
    done = flush_each(flush, json_object_get(result, "jobs"));
    json_decref(result);
    if (done == CTL_DONE && !json_array_size(flush->durable) && !flush->options->json)
        puts("no live jobs");
    return done;
}

static enum ctl_exit
run(const struct options *options)
{
    struct flush flush = {.options = options};
    enum ctl_exit done = ask_connect(options, &flush.client);
    json_t *json;

    if (done != CTL_DONE)
        return done;
    flush.durable = json_array();
    done = options->n_arguments ? flush_named(&flush) : flush_all(&flush);
    json = json_pack("{s:o}", "durable", flush.durable);
    if (options->json && done == CTL_DONE)
        output_json(stdout, json);
    json_decref(json);
    lighter_disconnect(flush.client);
    return done;
}

const struct verb verb_flush = {.name = "flush",
                                .summary = "bring what is written to the disk",
                                .help = help,
                                .max_arguments = 1,
                                .takes = TAKES_STAGE,
                                .run = run};
