/* pace.c - see pace.h. */
#include "daemon/pace.h"

#define LOOKS 10      /* that the mean goes back, about */
#define LOOK_MIN_MS 1 /* the timer may be late, and then come twice */

void
pace_begin(struct pace *pace, const struct pace_counts *counts, uint64_t now_ms)
{
    *pace = (struct pace){.counts = *counts, .looked_at = now_ms};
}

static void
move(double *mean, uint64_t more, double seconds, unsigned n_looks)
{
    *mean += ((double)more / seconds - *mean) / n_looks;
}

void
pace_look(struct pace *pace, const struct pace_counts *counts, uint64_t now_ms)
{
    double seconds = (double)(now_ms - pace->looked_at) / 1e3;

    if (now_ms < pace->looked_at + LOOK_MIN_MS)
        return;
    if (pace->n_looks < LOOKS)
        pace->n_looks++;
    move(&pace->batches, counts->batches - pace->counts.batches, seconds,
         pace->n_looks);
    move(&pace->samples, counts->samples - pace->counts.samples, seconds,
         pace->n_looks);
    move(&pace->bytes, counts->bytes - pace->counts.bytes, seconds, pace->n_looks);
    pace->counts = *counts;
    pace->looked_at = now_ms;
}

double
pace_seconds_for(const struct pace *pace, uint64_t n_batches)
{
    if (n_batches == 0)
        return 0;
    return pace->batches > 1e-9 ? (double)n_batches / pace->batches : -1;
}
