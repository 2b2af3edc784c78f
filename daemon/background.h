/* background.h - becoming a process of the background, as a user's shell expects it.
 *
 * The first process waits until the second serves, or has failed, and ends with its
 * status: when the command returns, the socket is there.
 */
#ifndef DAEMON_BACKGROUND_H
#define DAEMON_BACKGROUND_H

#include <lighter/error.h>

/* Before any thread. Returns in the second process alone; the first one never does.
 * *ret_fd is to be handed to background_ready(). Return: 0; -errno.
 */
int background_begin(int *ret_fd, struct lighter_error *err);

/* Let the first process end with status 0. From now on standard error goes to the file
 * `log_path` (appended, 0600), the other two to nowhere. A file that does not
 * begin as a log of ours does is somebody's, and stays as it is.
 * Return: 0; -EINVAL: that file is no log of ours; -errno.
 */
int background_ready(int fd, const char *log_path, struct lighter_error *err);

#endif
