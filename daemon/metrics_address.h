/* metrics_address.h - where metrics are served: on this machine only. Pure. */
#ifndef DAEMON_METRICS_ADDRESS_H
#define DAEMON_METRICS_ADDRESS_H

#include <lighter/error.h>

#include <sys/socket.h>

/* "127.0.0.1:PORT", "[::1]:PORT" or "unix:PATH", an absolute path.
 * Return: 0; -EINVAL.
 */
int metrics_address(const char *text, struct sockaddr_storage *ret_address,
                    socklen_t *ret_size, struct lighter_error *err);

#endif
