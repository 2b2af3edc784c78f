/* pace.h - how fast counters grow: the mean since the beginning, at first; later that
 * of about the last ten seconds.
 *
 * Told the counters once a second. Pure; one thread.
 */
#ifndef DAEMON_PACE_H
#define DAEMON_PACE_H

#include <stdint.h>

struct pace_counts {
    uint64_t batches, samples, bytes;
};

struct pace {
    struct pace_counts counts; /* at the last look */
    uint64_t looked_at;        /* ms */
    unsigned n_looks;
    double batches, samples, bytes; /* a second; 0 before the first look */
};

void pace_begin(struct pace *pace, const struct pace_counts *counts, uint64_t now_ms);
void pace_look(struct pace *pace, const struct pace_counts *counts, uint64_t now_ms);

/* Seconds until `n_batches` more have come. Negative: that cannot be said. */
double pace_seconds_for(const struct pace *pace, uint64_t n_batches);

#endif
