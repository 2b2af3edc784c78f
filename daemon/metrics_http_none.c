/* metrics_http_none.c - in place of metrics_http.c, where libmicrohttpd is not there.
 */
#include "daemon/metrics_http.h"

#include "util/error.h"

int
metrics_http_open(struct metrics_http **ret_http, struct daemon *daemon,
                  const char *address, struct lighter_error *err)
{
    (void)ret_http, (void)daemon, (void)address;
    lighter_fail(err, LIGHTER_E_PARAMS,
                 "'metrics_listen' cannot be: this lighterd was built without "
                 "libmicrohttpd; lighterctl metrics has the same");
    return -ENOSYS;
}

struct metrics_http *
metrics_http_close(struct metrics_http *http)
{
    (void)http;
    return NULL;
}
