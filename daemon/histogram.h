/* histogram.h - how often something took how long, in the buckets of a metric.
 *
 * Pure; one thread.
 */
#ifndef DAEMON_HISTOGRAM_H
#define DAEMON_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 12

/* Upper ends of the buckets but the last, which has none. In ms, ascending. */
extern const uint64_t histogram_ends_ms[HISTOGRAM_BUCKETS - 1];

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS]; /* each of its own bucket alone */
    uint64_t sum_ms;
};

void histogram_add(struct histogram *histogram, uint64_t ms);

#endif
