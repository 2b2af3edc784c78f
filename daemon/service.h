/* service.h - what a service manager gives and is told, by environment variables.
 *
 * The protocols of sd_listen_fds(3) and sd_notify(3), as systemd documents them for
 * those who do not link its library. Without a service manager nothing of this does
 * anything.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include <lighter/error.h>

#include <stdint.h>

/* The listening socket that was passed to this process. Asked once: children are not to
 * think that it is theirs. Return: the descriptor, owned; -ENOENT where none was
 * passed; -EINVAL where several were.
 */
int service_take_socket(struct lighter_error *err);

/* Tell it, in lines such as "READY=1" or "STOPPING=1". */
void service_notify(const char *lines);

/* How often it wants to hear "WATCHDOG=1", at least: ms; 0: never. */
uint64_t service_watchdog_ms(void);

#endif
