/* short_write.c - a kernel that takes a few bytes at a time, as it may.
 *
 * The real calls are made, with less: what they say they have written they have.
 */
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))
#define MOST 1000 /* bytes */

/* The first part alone, and no more than MOST of it. */
static struct iovec
some_of(const struct iovec *parts, int n_parts)
{
    struct iovec some = {0};

    for (int i = 0; i < n_parts && !some.iov_len; i++)
        some = parts[i];
    if (some.iov_len > MOST)
        some.iov_len = MOST;
    return some;
}

SHOWN ssize_t
writev(int fd, const struct iovec *parts, int n_parts)
{
    struct iovec some = some_of(parts, n_parts);

    return syscall(SYS_writev, fd, &some, 1);
}

SHOWN ssize_t
pwritev(int fd, const struct iovec *parts, int n_parts, off_t place)
{
    struct iovec some = some_of(parts, n_parts);

    return syscall(SYS_pwritev, fd, &some, 1, place, 0);
}

SHOWN ssize_t
copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t size, unsigned flags)
{
    return syscall(SYS_copy_file_range, from, at, to, to_at, size < MOST ? size : MOST,
                   flags);
}

SHOWN ssize_t
sendfile(int to, int from, off_t *at, size_t size)
{
    return syscall(SYS_sendfile, to, from, at, size < MOST ? size : MOST);
}
