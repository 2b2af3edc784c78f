/* disk.h - which disk a path is on, as the kernel's table of mounts has it.
 *
 * The disk itself is not touched: it may be one that does not answer.
 */
#ifndef DAEMON_DISK_H
#define DAEMON_DISK_H

#include <stdint.h>

/* `path` is absolute; links on it are not followed. 0: not known. */
uint64_t disk_of(const char *path);

/* The same, in the text of another /proc/self/mountinfo. */
uint64_t disk_find(const char *mounts, const char *path);

#endif
