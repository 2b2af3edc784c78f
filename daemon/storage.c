/* storage.c - see storage.h. */
#include "daemon/storage.h"

#include "daemon/path.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Skip what a short write has written. */
static void
advance(struct iovec **parts, size_t *n_parts, size_t written)
{
    while (*n_parts && written >= (*parts)->iov_len) {
        written -= (*parts)->iov_len;
        (*parts)++;
        (*n_parts)--;
    }
    if (*n_parts) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + written;
        (*parts)->iov_len -= written;
    }
}

int
storage_write(int fd, struct lighter_sink *sink, struct lighter_error *err)
{
    size_t n_parts;
    struct iovec *parts = sink_parts(sink, &n_parts);
    int r = 0;

    advance(&parts, &n_parts, 0); /* parts of no bytes */
    while (n_parts) {
        ssize_t written = writev(fd, parts, n_parts < IOV_MAX ? (int)n_parts : IOV_MAX);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            r = lighter_fail_os(err, written < 0 ? errno : EIO, "write");
            break;
        }
        advance(&parts, &n_parts, (size_t)written);
    }
    sink_clear(sink);
    return r;
}

int
storage_sync(int fd, const char *name, struct lighter_error *err)
{
    while (fsync(fd) < 0)
        if (errno != EINTR)
            return lighter_fail_os(err, errno, "sync '%s'", name);
    return 0;
}

/* After a shutdown of XFS, because its log could not be written, fsync() of a directory
 * says that all is well; reading it does not.
 */
int
storage_sync_names(int fd, const char *name, struct lighter_error *err)
{
    int r = storage_sync(fd, name, err), end;
    DIR *dir;

    if (r < 0)
        return r;
    dir = path_list(fd);
    if (!dir)
        return lighter_fail_os(err, errno, "sync '%s'", name);
    path_next(dir, &end);
    closedir(dir);
    return end < 0 ? lighter_fail_os(err, -end, "sync '%s'", name) : 0;
}

int
storage_sync_data(int fd, const char *name, struct lighter_error *err)
{
    while (fdatasync(fd) < 0)
        if (errno != EINTR)
            return lighter_fail_os(err, errno, "sync %s", name);
    return 0;
}

int
storage_sync_all(int fd, struct lighter_error *err)
{
    while (syncfs(fd) < 0)
        if (errno != EINTR)
            return lighter_fail_os(err, errno, "sync the staged files");
    return 0;
}

/* copy_file_range(2) refuses some file systems and pairs of them; sendfile(2) does not.
 */
static ssize_t
append_some(int to, int from, off_t *offset)
{
    const size_t most = (size_t)1 << 30;
    ssize_t n = copy_file_range(from, offset, to, NULL, most, 0);

    if (n >= 0 || errno == EINTR || errno == ENOSPC || errno == EIO || errno == EDQUOT)
        return n;
    return sendfile(to, from, offset, most);
}

int
storage_append(int to, int from, uint64_t offset, uint64_t *ret_size,
               struct lighter_error *err)
{
    off_t at = (off_t)offset;
    ssize_t n;

    do {
        n = append_some(to, from, &at);
        if (n < 0 && errno != EINTR)
            return lighter_fail_os(err, errno, "append a shard");
    } while (n != 0);
    *ret_size = (uint64_t)at - offset;
    return 0;
}

struct storage_space
storage_space(int fd)
{
    struct statvfs status;

    if (fstatvfs(fd, &status) < 0)
        return (struct storage_space){.free_bytes = -1};
    return (struct storage_space){.free_bytes =
                                      (int64_t)(status.f_bavail * status.f_frsize),
                                  .lacks_inodes = status.f_files && !status.f_favail};
}
