/* options.c - see options.h. */
#include "client/ctl/options.h"

#include "client/ctl/output.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_TIMEOUT_S 86400

enum { OPTION_SOCKET = 256, OPTION_JSON, OPTION_TIMEOUT, OPTION_STAGE };

static const struct option long_options[] = {
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"json", no_argument, NULL, OPTION_JSON},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"stage", required_argument, NULL, OPTION_STAGE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0}};

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

static enum ctl_exit
parse_timeout(const char *text, struct options *options)
{
    char *end;
    long seconds;

    errno = 0;
    seconds = strtol(text, &end, 10);
    if (errno || end == text || *end || seconds < 0 || seconds > MAX_TIMEOUT_S) {
        complain("--timeout expects whole seconds from 0 to %d, got '%s'",
                 MAX_TIMEOUT_S, text);
        return CTL_USAGE;
    }
    options->has_timeout = true;
    options->timeout_s = (int)seconds;
    return CTL_DONE;
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
    case OPTION_TIMEOUT:
        return parse_timeout(optarg, options);
    case OPTION_STAGE:
        options->stage = optarg;
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
    default:
        if (optopt && optopt < OPTION_SOCKET) /* one letter, maybe among others */
            complain("no option '-%c'; see lighterctl --help", optopt);
        else
            complain("no option '%s'; see lighterctl --help", argv[optind - 1]);
        return CTL_USAGE;
    }
}

enum ctl_exit
options_parse(int argc, char **argv, struct options *ret_options)
{
    int option;

    *ret_options = (struct options){.timeout_s = OPTIONS_TIMEOUT_DEFAULT_S};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":hV", long_options, NULL)) != -1)
        if (take_option(option, ret_options, argv) != CTL_DONE)
            return CTL_USAGE;
    if (optind < argc)
        ret_options->verb = argv[optind++];
    ret_options->arguments = argv + optind;
    ret_options->n_arguments = argc - optind;
    return CTL_DONE;
}
