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

/* Tell it that clients are served; before the loop runs, for this may wait until it has
 * room for the news.
 */
void service_ready(void);

/* Tell it, in lines such as "WATCHDOG=1" or "STOPPING=1": or not, where it does not
 * keep up. The loop is not to wait for it.
 */
void service_notify(const char *lines);

/* How often it wants to hear "WATCHDOG=1", at least: ms; 0: never. */
uint64_t service_watchdog_ms(void);

#endif
