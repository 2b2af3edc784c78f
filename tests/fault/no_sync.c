/* no_sync.c - a C library that says it has brought everything to the disk.
 *
 * Without it nobody would know that the test of power cuts can fail.
 */
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

SHOWN int
fsync(int fd)
{
    (void)fd;
    return 0;
}

SHOWN int
fdatasync(int fd)
{
    (void)fd;
    return 0;
}

SHOWN int
syncfs(int fd)
{
    (void)fd;
    return 0;
}
