/* nearest.h - which of several names was perhaps meant. */
#ifndef CTL_NEAREST_H
#define CTL_NEAREST_H

#include <stddef.h>

/* A search: tell it the names one by one. */
struct nearest {
    const char *wanted;
    const char *name; /* the nearest so far; borrowed. NULL: none is near */
    size_t slips;     /* letters missing, added, wrong, or swapped with the next */
};

void nearest_begin(struct nearest *nearest, const char *wanted);
void nearest_try(struct nearest *nearest, const char *name);

#endif
