/* verbs.h - what lighterctl can do: one file each, verb_NAME.c. */
#ifndef CTL_VERBS_H
#define CTL_VERBS_H

#include "client/ctl/options.h"

struct verb {
    const char *name;
    const char *summary; /* a line of lighterctl --help */
    const char *help;    /* lighterctl NAME --help: all of it */
    int min_arguments, max_arguments;
    unsigned takes; /* options, beside those that all take: enum option_bit */
    enum ctl_exit (*run)(const struct options *options);
};

extern const struct verb verb_config, verb_discard, verb_finalize, verb_flush,
    verb_freeze, verb_jobs, verb_metrics, verb_ping, verb_plugins, verb_reload,
    verb_show, verb_shutdown, verb_status, verb_tail, verb_top, verb_unfreeze,
    verb_watch;

/* All of them, in the order of the help; ends with NULL. */
extern const struct verb *const verbs[];

/* NULL where there is none of that name. */
const struct verb *verbs_find(const char *name);

/* The name that was perhaps meant, NULL where none is near. */
const char *verbs_nearest(const char *name);

#endif
