/* options.h - the command line of lighterctl. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>

/* Exit codes; also what verbs and the functions around them return. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,    /* the daemon refused, or something broke on the way */
    CTL_USAGE = 2,     /* the command line makes no sense */
    CTL_NO_DAEMON = 3, /* nobody listens */

    /* what became of a job that was watched */
    CTL_JOB_FAILED = 4,
    CTL_JOB_INTERRUPTED = 5,
    CTL_JOB_ABORTED = 6,
    CTL_JOB_GONE = 7
};

/* Options that not every verb takes. */
enum option_bit {
    TAKES_TIMEOUT = 1 << 0,
    TAKES_STAGE = 1 << 1,
    TAKES_WAIT = 1 << 2,
    TAKES_LINES = 1 << 3,
    TAKES_ONCE = 1 << 4,
    TAKES_DRAIN = 1 << 5,
    TAKES_PARTIAL = 1 << 6,
    TAKES_DAMAGED = 1 << 7,
};

#define OPTIONS_TIMEOUT_DEFAULT_S 30
#define OPTIONS_LINES_DEFAULT 10

/* Texts are borrowed from argv. */
struct options {
    const char *socket_path; /* NULL: the usual places */
    bool json, help, version;
    unsigned given; /* enum option_bit: which of the following */
    int timeout_s;
    const char *stage; /* NULL: none */
    int n_lines;
    int drain_s;
    const char *verb; /* NULL: none */
    char **arguments; /* of the verb */
    int n_arguments;
};

/* Options may stand before and after the verb. What is wrong is said on stderr.
 * Return: CTL_DONE; CTL_USAGE.
 */
enum ctl_exit options_parse(int argc, char **argv, struct options *ret_options);

/* Does the verb of that name, which `takes` these, take all that were given? What it
 * does not is said on stderr. Return: CTL_DONE; CTL_USAGE.
 */
enum ctl_exit options_check(const struct options *options, const char *verb,
                            unsigned takes);

/* One line on stderr, "lighterctl: ...", without control characters. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

#endif
