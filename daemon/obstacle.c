/* obstacle.c - see obstacle.h. */
#include "daemon/obstacle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

#define FIXED (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)

static int
look(int fd, const char *name, int flags, struct statx *ret_status,
     struct lighter_error *err)
{
    if (statx(fd, name, AT_SYMLINK_NOFOLLOW | flags, STATX_BASIC_STATS, ret_status) ==
        0)
        return 0;
    if (errno == ENOENT)
        return OBSTACLE_ABSENT;
    return lighter_fail_os(err, errno, "look at '%s'", name);
}

static bool
has(const struct statx *status, uint64_t attribute)
{
    return (status->stx_attributes & attribute) != 0;
}

int
obstacle_to_names(int fd, const char *path, struct lighter_error *err)
{
    struct statx status;
    int r = look(fd, "", AT_EMPTY_PATH, &status, err);

    if (r < 0)
        return r;
    if (r == OBSTACLE_ABSENT || status.stx_nlink == 0)
        return lighter_fail_os(err, ENOENT, "'%s' was removed", path);
    if (has(&status, FIXED))
        return lighter_fail_os(err, EPERM, "'%s' must not be changed (chattr)", path);
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return lighter_fail_os(err, errno, "'%s' cannot be written to", path);
    return 0;
}

/* In a directory like /tmp only the owner may replace what is there. */
static bool
is_kept_by_another(int fd, const struct statx *status)
{
    struct stat directory;
    uid_t user = geteuid();

    return user != 0 && fstat(fd, &directory) == 0 && (directory.st_mode & S_ISVTX) &&
           directory.st_uid != user && status->stx_uid != user;
}

int
obstacle_to_file(int fd, const char *name, const char *shown, struct lighter_error *err)
{
    struct statx status;
    int r = look(fd, name, 0, &status, err);

    if (r != 0)
        return r;
    if (has(&status, STATX_ATTR_MOUNT_ROOT))
        return lighter_fail_os(err, EBUSY,
                               "'%s' is a mount, and a file of that name is "
                               "to be there: unmount it",
                               shown);
    if (S_ISDIR(status.stx_mode))
        return lighter_fail_os(err, EISDIR,
                               "'%s' is a folder, and a file of that name "
                               "is to be there: move it away",
                               shown);
    if (has(&status, FIXED))
        return lighter_fail_os(err, EPERM, "'%s' must not be replaced (chattr)", shown);
    if (is_kept_by_another(fd, &status))
        return lighter_fail_os(err, EPERM,
                               "'%s' belongs to another user, who alone may replace it",
                               shown);
    return 0;
}

int
obstacle_to_folder(int fd, const char *name, const char *shown,
                   struct lighter_error *err)
{
    struct statx status;
    struct stat directory;
    int r = look(fd, name, 0, &status, err);

    if (r != 0)
        return r;
    if (S_ISLNK(status.stx_mode))
        return lighter_fail_os(err, ELOOP,
                               "'%s' is a link, and a folder of files is to "
                               "be there: move it away",
                               shown);
    if (!S_ISDIR(status.stx_mode))
        return lighter_fail_os(err, ENOTDIR,
                               "'%s' is a file, and a folder of that name "
                               "is to be there: move it away",
                               shown);
    if (has(&status, STATX_ATTR_MOUNT_ROOT))
        return lighter_fail_os(err, EBUSY,
                               "'%s' is another disk, mounted there: files "
                               "cannot be renamed into it; unmount it",
                               shown);
    if (fstat(fd, &directory) < 0)
        return lighter_fail_os(err, errno, "look at a directory");
    if (major(directory.st_dev) != status.stx_dev_major ||
        minor(directory.st_dev) != status.stx_dev_minor)
        return lighter_fail_os(err, EXDEV,
                               "'%s' is on another disk: files cannot be "
                               "renamed into it",
                               shown);
    return 0;
}
