/* verbs.c - see verbs.h. */
#include "client/ctl/verbs.h"

#include <stddef.h>
#include <string.h>

#define MAX_SLIPS 2 /* letters missing, added, wrong, or swapped with the next */
#define NAME_MAX_SIZE 16

const struct verb *const verbs[] = {&verb_status, &verb_jobs,     &verb_plugins,
                                    &verb_ping,   &verb_finalize, &verb_discard,
                                    &verb_freeze, &verb_unfreeze, &verb_reload,
                                    &verb_config, &verb_shutdown, NULL};

const struct verb *
verbs_find(const char *name)
{
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Slips between two names of at most NAME_MAX_SIZE bytes (optimal string alignment). */
static size_t
count_slips(const char *a, const char *b)
{
    size_t slips[NAME_MAX_SIZE + 1][NAME_MAX_SIZE + 1];
    size_t a_size = strlen(a), b_size = strlen(b);

    for (size_t i = 0; i <= a_size; i++)
        for (size_t j = 0; j <= b_size; j++) {
            if (i == 0 || j == 0) {
                slips[i][j] = i + j;
                continue;
            }
            slips[i][j] = smaller(slips[i - 1][j], slips[i][j - 1]) + 1;
            slips[i][j] =
                smaller(slips[i][j], slips[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                slips[i][j] = smaller(slips[i][j], slips[i - 2][j - 2] + 1);
        }
    return slips[a_size][b_size];
}

const char *
verbs_nearest(const char *name)
{
    size_t size = strlen(name), fewest = MAX_SLIPS + 1;
    const char *nearest = NULL;

    if (size < 2 || size > NAME_MAX_SIZE)
        return NULL;
    for (size_t i = 0; verbs[i]; i++) {
        size_t slips = count_slips(name, verbs[i]->name);

        if (strncmp(verbs[i]->name, name, size) == 0) /* the rest was not typed */
            slips = 0;
        if (slips < fewest) {
            fewest = slips;
            nearest = verbs[i]->name;
        }
    }
    return nearest;
}
