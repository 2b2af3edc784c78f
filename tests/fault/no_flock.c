/* no_flock.c - a file system without locks: Lustre without -o flock, some NFS. */
#include <errno.h>
#include <stdlib.h>

#define SHOWN __attribute__((visibility("default")))

SHOWN int flock(int fd, int operation);

SHOWN int
flock(int fd, int operation)
{
    const char *number = getenv("NO_FLOCK");

    (void)fd, (void)operation;
    errno = number ? atoi(number) : ENOLCK;
    return -1;
}
