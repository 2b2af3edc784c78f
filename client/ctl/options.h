/* options.h - the command line of lighterctl. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>

/* Exit codes; also what verbs and the functions around them return. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,   /* the daemon refused, or something broke on the way */
    CTL_USAGE = 2,    /* the command line makes no sense */
    CTL_NO_DAEMON = 3 /* nobody listens */
};

#define OPTIONS_TIMEOUT_DEFAULT_S 30

/* Texts are borrowed from argv. */
struct options {
    const char *socket_path; /* NULL: the usual places */
    bool json, help, version;
    bool has_timeout;
    int timeout_s;
    const char *stage; /* NULL: none */
    const char *verb;  /* NULL: none */
    char **arguments;  /* of the verb */
    int n_arguments;
};

/* Options may stand before and after the verb. What is wrong is said on stderr.
 * Return: CTL_DONE; CTL_USAGE.
 */
enum ctl_exit options_parse(int argc, char **argv, struct options *ret_options);

/* One line on stderr, "lighterctl: ...", without control characters. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

#endif
