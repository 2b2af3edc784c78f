/* histogram.c - see histogram.h. */
#include "daemon/histogram.h"

/* From what is no wait at all to the pause that a full disk makes. */
const uint64_t histogram_ends_ms[HISTOGRAM_BUCKETS - 1] = {
    1, 5, 10, 50, 100, 500, 1000, 5000, 10000, 60000, 300000};

void
histogram_add(struct histogram *histogram, uint64_t ms)
{
    size_t bucket = 0;

    while (bucket < HISTOGRAM_BUCKETS - 1 && ms > histogram_ends_ms[bucket])
        bucket++;
    histogram->counts[bucket]++;
    histogram->sum_ms += ms;
}
