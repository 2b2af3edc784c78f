/* verbs.c - see verbs.h. */
#include "client/ctl/verbs.h"

#include "client/ctl/nearest.h"

#include <stddef.h>
#include <string.h>

const struct verb *const verbs[] = {
    &verb_status,   &verb_top,      &verb_jobs,    &verb_show,     &verb_watch,
    &verb_tail,     &verb_flush,    &verb_plugins, &verb_metrics,  &verb_ping,
    &verb_finalize, &verb_discard,  &verb_freeze,  &verb_unfreeze, &verb_reload,
    &verb_config,   &verb_shutdown, NULL};

const struct verb *
verbs_find(const char *name)
{
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

const char *
verbs_nearest(const char *name)
{
    struct nearest nearest;

    nearest_begin(&nearest, name);
    for (size_t i = 0; verbs[i]; i++)
        nearest_try(&nearest, verbs[i]->name);
    return nearest.name;
}
