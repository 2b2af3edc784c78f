/* settings_argv.c - the command line of lighterd, and its --help. */
#include "config.h"

#include "daemon/settings_table.h"
#include "util/error.h"

#include <getopt.h>

enum {
    OPTION_CONFIG = 1000,
    OPTION_CHECK,
    OPTION_FOREGROUND,
    OPTION_HELP,
    OPTION_VERSION
};

#define MAX_OPTIONS (SETTINGS_MAX + 6)

static void
list_options(struct option options[MAX_OPTIONS])
{
    static const struct option others[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"check-config", no_argument, NULL, OPTION_CHECK},
        {"foreground", no_argument, NULL, OPTION_FOREGROUND},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0}};

    for (size_t i = 0; i < n_settings; i++)
        options[i] =
            (struct option){settings_table[i].option, required_argument, NULL, (int)i};
    memcpy(options + n_settings, others, sizeof others);
}

static void
print_option(const char *name, const char *metavar, const char *help)
{
    char head[64];

    snprintf(head, sizeof head, "--%s%s%s", name, *metavar ? " " : "", metavar);
    for (const char *line = help; line; head[0] = '\0') {
        const char *end = strchr(line, '\n');

        printf("  %-22s %.*s\n", head, end ? (int)(end - line) : (int)strlen(line),
               line);
        line = end ? end + 1 : NULL;
    }
}

static void
print_help(void)
{
    puts("Usage: lighterd [OPTION]...\n"
         "\n"
         "Writes what models predict: takes batches from training processes over a "
         "Unix\n"
         "socket and publishes whole CSV tables, tensors and images at an epoch's "
         "end.\n"
         "Without options it goes into the background and serves this user.\n");
    print_option("config", "FILE",
                 "read settings from a JSON file; see\nlighterd.json(5)");
    for (size_t i = 0; i < n_settings; i++)
        print_option(settings_table[i].option, settings_table[i].metavar,
                     settings_table[i].help);
    print_option("foreground", "", "stay in the foreground and log to standard error");
    print_option("check-config", "",
                 "read settings and plugins, say what is wrong, end");
    print_option("help", "", "this text");
    print_option("version", "", "the version");
    puts("\n"
         "Exit status: 0 done; 1 failed; 2 wrong usage or configuration; 3 another\n"
         "lighterd serves this socket.\n"
         "\n"
         "Example: lighterd --foreground --socket /tmp/l.sock\n"
         "See lighterctl(1) for looking at it and stopping it, lighterd(8) for more.");
}

static int
store_argument(struct settings *settings, const struct setting *setting,
               const char *text, struct lighter_error *err)
{
    char *end;
    int64_t value;

    if (setting->type == SETTING_TEXT)
        return setting_store_text(settings, setting, text, SETTINGS_COMMAND_LINE, err);
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects a whole number, got '%.64s'", setting->key,
                            text);
    return setting_store_number(settings, setting, value, SETTINGS_COMMAND_LINE, err);
}

static int
store_option(struct settings *settings, int option, struct lighter_error *err)
{
    switch (option) {
    case OPTION_CONFIG:
        return 0; /* read before */
    case OPTION_CHECK:
        settings->check_config = true;
        return 0;
    case OPTION_FOREGROUND:
        settings->foreground = true;
        return 0;
    case OPTION_HELP:
        print_help();
        return SETTINGS_EXIT;
    case OPTION_VERSION:
        puts("lighterd " PACKAGE_VERSION);
        return SETTINGS_EXIT;
    case '?': /* getopt has said what */
        return lighter_fail(err, LIGHTER_E_PARAMS, "see lighterd --help");
    default:
        return store_argument(settings, &settings_table[option], optarg, err);
    }
}

/* By its absolute name: the background has another working directory. */
static int
read_config(struct settings *settings, const char *path, struct problems *problems,
            struct lighter_error *err)
{
    int r = settings_read(settings, path, problems, err);

    if (r < 0)
        return r;
    free(settings->config);
    settings->config = realpath(path, NULL);
    return settings->config ? 0 : lighter_fail_os(err, errno, "find '%s'", path);
}

/* The command line wins over the file wherever --config stands in it. */
static int
read_config_option(struct settings *settings, int argc, char **argv,
                   struct problems *problems, struct lighter_error *err)
{
    struct option options[MAX_OPTIONS];
    int option, r = 0;

    list_options(options);
    opterr = 0;
    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        if (option == OPTION_CONFIG)
            r = read_config(settings, optarg, problems, err);
    opterr = 1;
    optind = 1;
    return r;
}

int
settings_read_arguments(struct settings *settings, int argc, char **argv,
                        struct lighter_error *err)
{
    struct option options[MAX_OPTIONS];
    int option, r = 0;

    list_options(options);
    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        r = store_option(settings, option, err);
    if (r == 0 && optind < argc)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "unexpected argument '%.64s'; see lighterd --help",
                            argv[optind]);
    return r;
}

int
settings_parse(struct settings *settings, int argc, char **argv,
               struct problems *problems, struct lighter_error *err)
{
    int r;

    settings->argc = argc;
    settings->argv = argv;
    r = read_config_option(settings, argc, argv, problems, err);
    if (r == 0)
        r = settings_read_arguments(settings, argc, argv, err);
    if (r == 0 && (settings->allow_users || settings->allow_groups) &&
        !settings->output_roots)
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'allow_users' and 'allow_groups' need 'output_roots': others "
            "could write wherever this user may");
    return r;
}
