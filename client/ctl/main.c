/* main.c - lighterctl: look at a running lighterd, steer it, and end it. */
#include "client/ctl/verbs.h"

#include "config.h"

#include <stdio.h>
#include <string.h>

static void
print_help(void)
{
    puts("usage: lighterctl [--socket PATH] [--json] VERB ...\n"
         "\n"
         "Looks at a running lighterd, steers it, and ends it.\n"
         "\n"
         "verbs (lighterctl VERB --help has more on each):");
    for (size_t i = 0; verbs[i]; i++)
        printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    puts("\n"
         "options, before or after the verb:\n"
         "  --socket PATH      where the daemon listens; else $LIGHTERD_SOCKET, else\n"
         "                     the usual places (see lighterctl(1))\n"
         "  --json             print JSON, for scripts\n"
         "  --stage STAGE      of which stage the job is, where several have its name\n"
         "  -h, --help         this text, or a verb's\n"
         "  -V, --version      which lighterctl this is\n"
         "\n"
         "exit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon "
         "listens;\n"
         "watch has more.");
}

static enum ctl_exit
fail_unknown(const char *name)
{
    const char *nearest = verbs_nearest(name);

    if (nearest)
        complain("unknown verb '%s'; did you mean '%s'?", name, nearest);
    else
        complain("unknown verb '%s'; see lighterctl --help", name);
    return CTL_USAGE;
}

static enum ctl_exit
run_verb(const struct verb *verb, const struct options *options)
{
    if (options->n_arguments > verb->max_arguments) {
        complain("'%s' is one word too many; see lighterctl %s --help",
                 options->arguments[verb->max_arguments], verb->name);
        return CTL_USAGE;
    }
    if (options->n_arguments < verb->min_arguments) {
        complain("'%s' needs more words; see lighterctl %s --help", verb->name,
                 verb->name);
        return CTL_USAGE;
    }
    return options_check(options, verb->name, verb->takes) == CTL_DONE
               ? verb->run(options)
               : CTL_USAGE;
}

static enum ctl_exit
run(const struct options *options)
{
    const struct verb *verb = options->verb ? verbs_find(options->verb) : NULL;

    if (options->version)
        puts("lighterctl " PACKAGE_VERSION);
    else if (options->verb && !verb)
        return fail_unknown(options->verb);
    else if (options->help && verb)
        fputs(verb->help, stdout);
    else if (options->help)
        print_help();
    else if (verb)
        return run_verb(verb, options);
    else {
        complain("a verb is missing; see lighterctl --help");
        return CTL_USAGE;
    }
    return CTL_DONE;
}

int
main(int argc, char **argv)
{
    struct options options;
    enum ctl_exit done = options_parse(argc, argv, &options);

    if (done == CTL_DONE)
        done = run(&options);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("write the output: %m");
        return CTL_FAILED;
    }
    return done;
}
