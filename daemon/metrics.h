/* metrics.h - the daemon's counters in the text format of Prometheus (0.0.4).
 *
 * In: the daemon's own state, on the loop thread. Out: a text, for `lighterctl metrics`
 * and for the HTTP listener alike. A job has its series while it is live, and no
 * longer: so there are never more than jobs and writers. Ranks have none of their own.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/daemon.h"

/* *ret_text is owned. Return: 0; -ENOMEM. */
int metrics_render(const struct daemon *daemon, char **ret_text, size_t *ret_size,
                   struct lighter_error *err);

#endif
