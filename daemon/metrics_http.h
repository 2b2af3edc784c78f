/* metrics_http.h - the metrics over HTTP: GET /metrics.
 *
 * On the loop thread: libmicrohttpd tells what it waits for, and runs when that comes;
 * it makes no thread. Clients are bounded in number, memory and time.
 */
#ifndef DAEMON_METRICS_HTTP_H
#define DAEMON_METRICS_HTTP_H

#include "daemon/daemon.h"

struct metrics_http;

/* Listen at `address` (metrics_address.h). Return: 0; -EINVAL; -EADDRINUSE, -errno;
 * -ENOSYS: this lighterd was built without it.
 */
int metrics_http_open(struct metrics_http **ret_http, struct daemon *daemon,
                      const char *address, struct lighter_error *err);

/* Takes NULL. The loop must run until it has let go of it. Returns NULL. */
struct metrics_http *metrics_http_close(struct metrics_http *http);

#endif
