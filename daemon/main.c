/* main.c - parse, set up, run. All else is in liblighterd.la, which the tests link. */
#include "config.h"

#include "daemon/background.h"
#include "daemon/crash.h"
#include "daemon/daemon.h"
#include "daemon/pipeline.h"
#include "util/log.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_TAKEN = 3 };

static int
complain(const struct lighter_error *err, int status)
{
    fprintf(stderr, "lighterd: %s\n", err->message);
    return status;
}

static void
print_problem(void *data, const char *line)
{
    (void)data;
    fprintf(stderr, "lighterd: %s\n", line);
}

/* What the plugins and the system have to say of settings that are sound. */
static int
check_settings(const struct settings *settings, const struct registry *registry,
               struct problems *problems, struct lighter_error *err)
{
    struct visitors visitors = {0};
    int r = pipelines_check(settings->pipelines, registry, problems, err);

    problems_at(problems, "%s", "");
    if (r == 0)
        r = problems_add(problems,
                         visitors_init(&visitors, settings->allow_users,
                                       settings->allow_groups, err),
                         err);
    visitors_done(&visitors);
    for (size_t i = 0; i < registry->n_refusals && r == 0; i++) {
        r = lighter_fail(err, LIGHTER_E_PARAMS, "refused the plugin %s: %s",
                         registry->refusals[i].path, registry->refusals[i].reason);
        r = problems_add(problems, r, err);
    }
    return r;
}

static int
check_config(const struct settings *settings, struct problems *problems)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct registry registry = {0};
    int r = registry_load(&registry, settings->plugin_dir, &err);

    if (r == 0)
        r = check_settings(settings, &registry, problems, &err);
    if (r == 0 && !problems->n)
        printf("the configuration is sound; writers %zu, encoders %zu, policies %zu in "
               "%s\n",
               registry.lists[REGISTRY_WRITER].count,
               registry.lists[REGISTRY_ENCODER].count,
               registry.lists[REGISTRY_POLICY].count, settings->plugin_dir);
    registry_done(&registry);
    if (r < 0)
        return complain(&err, EXIT_USAGE);
    return problems->n ? EXIT_USAGE : EXIT_SUCCESS;
}

static int
detach(const struct daemon *daemon, int ready_fd, struct lighter_error *err)
{
    char path[sizeof daemon->listener.address.sun_path + 8];

    snprintf(path, sizeof path, "%s.log", daemon->listener.address.sun_path);
    return background_ready(ready_fd, path, err);
}

static int
serve(struct settings *settings)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    static struct daemon daemon;
    int ready_fd = -1, r;

    if (!settings->foreground && background_begin(&ready_fd, &err) < 0)
        return complain(&err, EXIT_FAILURE);
    r = daemon_init(&daemon, settings, &err);
    if (r != 0)
        return complain(&err, r == LISTENER_TAKEN ? EXIT_TAKEN : EXIT_FAILURE);
    if (!settings->foreground && detach(&daemon, ready_fd, &err) < 0) {
        listener_stop(&daemon.listener); /* its name must not stay */
        return complain(&err, EXIT_FAILURE);
    }
    if (!daemon_run(&daemon))
        _exit(EXIT_FAILURE); /* exit() would wait for workers that do not come back */
    daemon_done(&daemon);
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct problems problems = {.report = print_problem};
    struct settings settings;
    int r;

    crash_init();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is EFBIG, for its batch alone */
    r = settings_init(&settings, &err);
    if (r == 0)
        r = settings_parse(&settings, argc, argv, &problems, &err);
    if (r < 0)
        r = complain(&err, EXIT_USAGE);
    else if (r == SETTINGS_EXIT)
        r = EXIT_SUCCESS;
    else {
        log_set_level((enum log_level)log_level_from_name(settings.log_level));
        if (settings.check_config)
            r = check_config(&settings, &problems);
        else
            r = problems.n ? EXIT_USAGE : serve(&settings);
    }
    settings_done(&settings);
    return r;
}
