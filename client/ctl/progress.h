/* progress.h - how far a job is, in one line. Pure. */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <jansson.h>

/* Of one that waits what for, and then how far it is; else
 * "predictions: open, 310 of 500 batches, 9920 samples, 12.1 MiB, 146/s, eta 42 s".
 * Returns owned.
 */
char *progress_line(const json_t *job);

/* The same with a bar in front, where the total is known, and at most `columns` wide.
 * Returns owned.
 */
char *progress_bar(const json_t *job, int columns);

/* The part of all batches that is written, 0 to 1; negative: it is not known. */
double progress_part(const json_t *job);

#endif
