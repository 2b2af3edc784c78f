/* own.c - see own.h. */
#include "daemon/own.h"

#include "daemon/path.h"
#include "util/error.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- which file is it? ---- */

struct own_id
own_of_status(const struct stat *status)
{
    return (struct own_id){.device = status->st_dev, .inode = status->st_ino};
}

int
own_of(int fd, struct own_id *ret_id, struct lighter_error *err)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return lighter_fail_os(err, errno, "look at an open file");
    *ret_id = own_of_status(&status);
    return 0;
}

bool
own_same(const struct own_id *a, const struct own_id *b)
{
    return a->inode == b->inode && a->device == b->device && a->inode != 0;
}

/* OWN_GONE is not an error for those who ask, so it is not in `err`. */
static int
look(int directory, const char *name, struct stat *status, struct lighter_error *err)
{
    if (fstatat(directory, name, status, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (errno == ENOENT)
        return OWN_GONE;
    return lighter_fail_os(err, errno, "look at '%s'", name);
}

int
own_look(int directory, const char *name, const struct own_id *id,
         struct stat *ret_status, struct lighter_error *err)
{
    struct stat status;
    struct own_id there;
    int r = look(directory, name, &status, err);

    if (r != 0)
        return r;
    if (ret_status)
        *ret_status = status;
    there = own_of_status(&status);
    return own_same(&there, id) ? 0 : OWN_OTHER;
}

int
own_adopt(int directory, const char *name, mode_t type, struct own_id *ret_id,
          struct lighter_error *err)
{
    struct stat status;
    int r = look(directory, name, &status, err);

    if (r != 0)
        return r;
    if ((status.st_mode & S_IFMT) != type)
        return OWN_OTHER;
    *ret_id = own_of_status(&status);
    return 0;
}

/* ---- making ---- */

int
own_create(int directory, const char *name, mode_t mode, int *ret_fd,
           struct lighter_error *err)
{
    int fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    mode);

    if (fd < 0)
        return lighter_fail_os(err, errno, "create");
    *ret_fd = fd;
    return 0;
}

int
own_make_directory(int directory, const char *name, mode_t mode, int *ret_fd,
                   struct lighter_error *err)
{
    int fd;

    if (mkdirat(directory, name, mode) < 0)
        return lighter_fail_os(err, errno, "make the directory '%s'", name);
    fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return lighter_fail_os(err, errno, "open the directory '%s'", name);
    *ret_fd = fd;
    return 0;
}

/* ---- removing ---- */

static int
remove_if_own(int directory, const char *name, const struct own_id *id, int flags,
              struct lighter_error *err)
{
    int r = own_look(directory, name, id, NULL, err);

    if (r != 0)
        return r;
    if (unlinkat(directory, name, flags) == 0)
        return 0;
    return errno == ENOENT ? OWN_GONE
                           : lighter_fail_os(err, errno, "remove '%s'", name);
}

int
own_remove(int directory, const char *name, const struct own_id *id,
           struct lighter_error *err)
{
    return remove_if_own(directory, name, id, 0, err);
}

int
own_remove_directory(int directory, const char *name, const struct own_id *id,
                     struct lighter_error *err)
{
    return remove_if_own(directory, name, id, AT_REMOVEDIR, err);
}

static int remove_entry(int directory, const char *name, struct lighter_error *err);

/* Takes `fd`. */
static int
empty(int fd, struct lighter_error *err)
{
    DIR *dir = path_list(fd);
    const struct dirent *entry;
    int r = 0, end = 0;

    if (!dir)
        r = lighter_fail_os(err, errno, "read a directory");
    while (dir && r == 0 && (entry = path_next(dir, &end)))
        r = remove_entry(fd, entry->d_name, err);
    if (dir)
        closedir(dir);
    close(fd);
    return end < 0 ? lighter_fail_os(err, -end, "read a directory") : r;
}

static int
open_directory(int directory, const char *name, int *ret_fd, struct lighter_error *err)
{
    *ret_fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? lighter_fail_os(err, errno, "open '%s'", name) : 0;
}

/* Something in a directory of ours. */
static int
remove_entry(int directory, const char *name, struct lighter_error *err)
{
    int fd, r;

    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return lighter_fail_os(err, errno, "remove '%s'", name);
    r = open_directory(directory, name, &fd, err);
    if (r == 0)
        r = empty(fd, err);
    if (r == 0 && unlinkat(directory, name, AT_REMOVEDIR) < 0)
        r = lighter_fail_os(err, errno, "remove the directory '%s'", name);
    return r;
}

/* What is emptied is looked at through its descriptor: that one cannot be replaced. */
int
own_remove_tree(int directory, const char *name, const struct own_id *id,
                struct lighter_error *err)
{
    struct own_id there;
    int fd, r = own_look(directory, name, id, NULL, err);

    if (r == 0)
        r = open_directory(directory, name, &fd, err);
    if (r != 0)
        return r;
    r = own_of(fd, &there, err);
    if (r < 0 || !own_same(&there, id)) {
        close(fd);
        return r < 0 ? r : OWN_OTHER;
    }
    r = empty(fd, err); /* takes */
    return r < 0 ? r : own_remove_directory(directory, name, id, err);
}

/* ---- renaming, cutting ---- */

static int
fail_other(const char *name, const struct own_id *expected, const struct stat *came,
           struct lighter_error *err)
{
    lighter_fail(
        err, LIGHTER_E_STATE,
        "'%s' is not the file that lighterd wrote: inode %ju of device %ju was "
        "expected, and inode %ju of device %ju is there",
        name, (uintmax_t)expected->inode, (uintmax_t)expected->device,
        (uintmax_t)came->st_ino, (uintmax_t)came->st_dev);
    return -ESTALE;
}

static int
check_source(int from, const char *name, const struct own_id *id, uint64_t size,
             struct lighter_error *err)
{
    struct stat status;
    int r = own_look(from, name, id, &status, err);

    if (r == OWN_GONE)
        return lighter_fail_os(err, ENOENT, "'%s'", name);
    if (r == OWN_OTHER)
        return fail_other(name, id, &status, err);
    if (r < 0 || size == OWN_ANY_SIZE || size == (uint64_t)status.st_size)
        return r;
    lighter_fail(err, LIGHTER_E_STATE, "'%s' has %jd bytes, but %ju were written to it",
                 name, (intmax_t)status.st_size, (uintmax_t)size);
    return -ENODATA;
}

int
own_rename(int from, const char *name, int to, const char *new_name, unsigned flags,
           const struct own_id *id, uint64_t size, struct lighter_error *err)
{
    struct stat status;
    int r = check_source(from, name, id, size, err);

    if (r < 0)
        return r;
    r = flags ? renameat2(from, name, to, new_name, flags)
              : renameat(from, name, to, new_name);
    if (r < 0)
        return lighter_fail_os(err, errno, "rename '%s' to '%s'", name, new_name);
    r = own_look(to, new_name, id, &status, err);
    if (r == OWN_OTHER) /* it came between the look and the act */
        return fail_other(new_name, id, &status, err);
    return r == OWN_GONE ? lighter_fail_os(err, ENOENT, "'%s'", new_name) : r;
}

int
own_cut(int fd, const struct own_id *id, uint64_t size, struct lighter_error *err)
{
    struct stat status;
    struct own_id there;

    if (fstat(fd, &status) < 0)
        return lighter_fail_os(err, errno, "look at an open file");
    there = own_of_status(&status);
    if (!own_same(&there, id))
        return fail_other("an open file", id, &status, err);
    if (ftruncate(fd, (off_t)size) < 0)
        return lighter_fail_os(err, errno, "cut a file");
    return 0;
}
