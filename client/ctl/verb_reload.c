/* verb_reload.c - have the daemon read its settings again. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] reload\n"
    "\n"
    "Has the daemon read its configuration file again, and says which settings have\n"
    "changed, and which of them only a restart changes. Limits of a client hold for\n"
    "those that connect from now on. Where something is wrong nothing changes.\n"
    "\n"
    "example:\n"
    "  $ lighterctl reload\n"
    "  changed: drain, max_daemon_bytes\n"
    "  only after a restart: threads\n"
    "\n"
    "exit codes: 0 done, 1 the configuration is wrong, 2 wrong usage, 3 no daemon\n"
    "listens.\n";

static void
print_keys(const char *what, const json_t *result, const char *key)
{
    const char *keys = json_string_value(json_object_get(result, key));

    if (keys && *keys)
        printf("%s: %s\n", what, keys);
}

static enum ctl_exit
run(const struct options *options)
{
    json_t *result;
    enum ctl_exit done = ask(options, "reload", NULL, &result);

    if (done != CTL_DONE)
        return done;
    if (options->json) {
        output_json(stdout, result);
    } else {
        print_keys("changed", result, "applied");
        print_keys("only after a restart", result, "kept");
        if (!json_string_length(json_object_get(result, "applied")) &&
            !json_string_length(json_object_get(result, "kept")))
            puts("nothing has changed");
    }
    json_decref(result);
    return CTL_DONE;
}

const struct verb verb_reload = {.name = "reload",
                                 .summary = "have it read its settings again",
                                 .help = help,
                                 .run = run};
