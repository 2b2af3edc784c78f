/* options.c - see options.h. */
#include "client/ctl/options.h"

#include "client/ctl/nearest.h"
#include "client/ctl/output.h"

#include "util/error.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SECONDS 86400
#define MAX_LINES 1000000

enum {
    OPTION_SOCKET = 256,
    OPTION_JSON,
    OPTION_TIMEOUT,
    OPTION_STAGE,
    OPTION_WAIT,
    OPTION_ONCE,
    OPTION_DRAIN,
    OPTION_PARTIAL,
    OPTION_DAMAGED
};

static const struct option long_options[] = {
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"json", no_argument, NULL, OPTION_JSON},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"stage", required_argument, NULL, OPTION_STAGE},
    {"wait", no_argument, NULL, OPTION_WAIT},
    {"lines", required_argument, NULL, 'n'},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"drain", required_argument, NULL, OPTION_DRAIN},
    {"partial", no_argument, NULL, OPTION_PARTIAL},
    {"damaged", no_argument, NULL, OPTION_DAMAGED},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0}};

static const char *const stages[] = {"predict", "validate", "test", "fit", NULL};

void
complain(const char *format, ...)
{
    char line[2048], *shown;
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    shown = printable(line);
    fprintf(stderr, "lighterctl: %s\n", shown);
    free(shown);
}

/* `what` is for the complaint: "--timeout expects whole seconds". */
static enum ctl_exit
parse_number(const char *what, const char *text, int max, int *ret_number)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < 0 || number > max) {
        complain("%s from 0 to %d, got '%s'", what, max, text);
        return CTL_USAGE;
    }
    *ret_number = (int)number;
    return CTL_DONE;
}

static enum ctl_exit
check_stage(const char *stage)
{
    struct nearest nearest;

    nearest_begin(&nearest, stage);
    for (size_t i = 0; stages[i]; i++) {
        if (strcmp(stages[i], stage) == 0)
            return CTL_DONE;
        nearest_try(&nearest, stages[i]);
    }
    if (nearest.name)
        complain("no stage '%s'; did you mean '%s'?", stage, nearest.name);
    else
        complain("--stage expects predict, validate, test or fit, got '%s'", stage);
    return CTL_USAGE;
}

/* An option that only some verbs take. */
static enum ctl_exit
take_special(int option, struct options *options)
{
    switch (option) {
    case OPTION_TIMEOUT:
        options->given |= TAKES_TIMEOUT;
        return parse_number("--timeout expects whole seconds", optarg, MAX_SECONDS,
                            &options->timeout_s);
    case OPTION_STAGE:
        options->given |= TAKES_STAGE;
        options->stage = optarg;
        return check_stage(optarg);
    case OPTION_WAIT:
        options->given |= TAKES_WAIT;
        return CTL_DONE;
    case 'n':
        options->given |= TAKES_LINES;
        return parse_number("--lines expects a number", optarg, MAX_LINES,
                            &options->n_lines);
    case OPTION_ONCE:
        options->given |= TAKES_ONCE;
        return CTL_DONE;
    case OPTION_PARTIAL:
        options->given |= TAKES_PARTIAL;
        return CTL_DONE;
    case OPTION_DAMAGED:
        options->given |= TAKES_DAMAGED;
        return CTL_DONE;
    default:
        options->given |= TAKES_DRAIN;
        return parse_number("--drain expects whole seconds", optarg, MAX_SECONDS,
                            &options->drain_s);
    }
}

/* `word` as it was typed; there is no such option. */
static void
complain_unknown(const char *word)
{
    AUTO(free_bytes) char *name = formatted("%s", word + strspn(word, "-"));
    struct nearest nearest;

    name[strcspn(name, "=")] = '\0';
    nearest_begin(&nearest, name);
    for (const struct option *each = long_options; each->name; each++)
        nearest_try(&nearest, each->name);
    if (nearest.name)
        complain("no option '%s'; did you mean '--%s'?", word, nearest.name);
    else
        complain("no option '%s'; see lighterctl --help", word);
}

static enum ctl_exit
take_option(int option, struct options *options, char **argv)
{
    switch (option) {
    case OPTION_SOCKET:
        options->socket_path = optarg;
        return CTL_DONE;
    case OPTION_JSON:
        options->json = true;
        return CTL_DONE;
    case 'h':
        options->help = true;
        return CTL_DONE;
    case 'V':
        options->version = true;
        return CTL_DONE;
    case ':':
        complain("'%s' needs a value; see lighterctl --help", argv[optind - 1]);
        return CTL_USAGE;
    case '?':
        if (optopt && optopt < OPTION_SOCKET) /* one letter, maybe among others */
            complain("no option '-%c'; see lighterctl --help", optopt);
        else
            complain_unknown(argv[optind - 1]);
        return CTL_USAGE;
    default:
        return take_special(option, options);
    }
}

enum ctl_exit
options_check(const struct options *options, const char *verb, unsigned takes)
{
    static const char *const names[] = {"--timeout", "--stage",  "--wait",
                                        "--lines",   "--once",   "--drain",
                                        "--partial", "--damaged"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (options->given & ~takes & 1u << i) {
            complain("'%s' takes no %s; see lighterctl %s --help", verb, names[i],
                     verb);
            return CTL_USAGE;
        }
    return CTL_DONE;
}

enum ctl_exit
options_parse(int argc, char **argv, struct options *ret_options)
{
    int option;

    *ret_options = (struct options){.timeout_s = OPTIONS_TIMEOUT_DEFAULT_S,
                                    .n_lines = OPTIONS_LINES_DEFAULT};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":hVn:", long_options, NULL)) != -1)
        if (take_option(option, ret_options, argv) != CTL_DONE)
            return CTL_USAGE;
    if (optind < argc)
        ret_options->verb = argv[optind++];
    ret_options->arguments = argv + optind;
    ret_options->n_arguments = argc - optind;
    return CTL_DONE;
}
