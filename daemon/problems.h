/* problems.h - what is wrong with a configuration: all of it, or only the first.
 *
 * In: errors, as they are found, by whoever reads or checks it. Out: a line for each,
 * for people; or, where nobody takes lines, the first error, which ends the reading.
 * One thread at a time.
 */
#ifndef DAEMON_PROBLEMS_H
#define DAEMON_PROBLEMS_H

#include <lighter/error.h>

struct problems {
    void (*report)(void *data, const char *line); /* NULL: nobody takes lines */
    void *data;
    unsigned n;      /* reported */
    char where[512]; /* what stands before each: "FILE:LINE: pipeline 'x'" */
};

/* What is found from now on is found there. */
__attribute__((format(printf, 2, 3))) void problems_at(struct problems *problems,
                                                       const char *format, ...);

/* `r` and `err` are what a step gave. Return: 0 where r is, or where it was reported:
 * go on; else `r`, and `err` says where: stop. Memory that is missing is not reported.
 */
int problems_add(struct problems *problems, int r, struct lighter_error *err);

#endif
