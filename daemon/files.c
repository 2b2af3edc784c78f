/* files.c - see files.h. Making, finding and removing what is staged. */
#include "daemon/files.h"

#include "daemon/files_internal.h"
#include "daemon/lock.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void
files_init(struct files *files)
{
    *files = (struct files){.directory_fd = -1, .parent_fd = -1, .staging_fd = -1};
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void
files_done(struct files *files)
{
    files->claim = claim_free(files->claim);
    close_fd(&files->staging_fd);
    close_fd(&files->parent_fd);
    close_fd(&files->directory_fd);
}

/* ---- the target ---- */

/* Is there anything? `ours`: do our own working directories count? */
static bool
has_entries(int fd, bool ours)
{
    DIR *dir = path_list(fd);
    const struct dirent *entry;
    bool found = false;
    int end;

    if (!dir)
        return true; /* who knows */
    while (!found && (entry = path_next(dir, &end)))
        found = ours || strncmp(entry->d_name, PATH_OURS, sizeof PATH_OURS - 1) != 0;
    closedir(dir);
    return found;
}

/* Some FUSE file systems make a new one whenever they have forgotten a file. */
static bool
keeps_inodes(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 && status.f_type != FUSE_SUPER_MAGIC;
}

static bool
same_mount(int a, int b)
{
    struct statx x, y;

    return statx(a, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) == 0 &&
           statx(b, "", AT_EMPTY_PATH, STATX_MNT_ID, &y) == 0 &&
           x.stx_mnt_id == y.stx_mnt_id && x.stx_dev_major == y.stx_dev_major &&
           x.stx_dev_minor == y.stx_dev_minor;
}

void
files_find_place(const struct files *files, struct files_place *ret_place)
{
    char path[PATH_MAX], *leaf;
    struct own_id id;

    ret_place->fd = -1;
    if (path_of(files->directory_fd, path) < 0 || strcmp(path, "/") == 0)
        return;
    leaf = strrchr(path, '/') + 1;
    if (strlen(leaf) >= sizeof ret_place->leaf)
        return;
    strcpy(ret_place->leaf, leaf);
    ret_place->fd = openat(files->directory_fd, "..", FOLDER_FLAGS);
    if (ret_place->fd < 0)
        return;
    if (own_of(files->directory_fd, &id, NULL) < 0 ||
        own_look(ret_place->fd, leaf, &id, NULL, NULL) != 0 ||
        !same_mount(files->directory_fd, ret_place->fd) ||
        !path_is_below(files->roots, ret_place->fd))
        close_fd(&ret_place->fd);
}

int
files_open(struct files *files, const char *path, bool *ret_exists,
           struct lighter_error *err)
{
    int r = path_make_below(files->roots, path, &files->directory_fd, err);

    if (r < 0)
        return r;
    *ret_exists = has_entries(files->directory_fd, false);
    files->keeps_inodes = keeps_inodes(files->directory_fd);
    return 0;
}

/* ---- the staging directory ---- */

int
files_home(const struct files *files)
{
    return files->mark.beside ? files->parent_fd : files->directory_fd;
}

/* Another daemon may know the job by the same name. */
static int
lock_staging(int fd, const char *path, struct lighter_error *err)
{
    int r = lock_take(fd, path, err);

    if (r != LOCK_TAKEN)
        return r < 0 ? error_wrap(err, r, "the staging directory") : 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "a job of this name writes to '%s' already", path);
}

/* What has the name already is not ours: it stays. */
static int
make_staging(struct files *files, const char *name, uint64_t id, char **ret_warning,
             struct lighter_error *err)
{
    struct files_mark *mark = &files->mark;
    int r;

    snprintf(mark->name, sizeof mark->name, "%s", name);
    r = own_make_directory(files_home(files), mark->name, 0777, &files->staging_fd,
                           err);
    if (r == -EEXIST) {
        if (asprintf(
                ret_warning,
                "'%s' was there already and is not of this job: it stays as it is; "
                "remove it where it is of no use",
                name) < 0)
            *ret_warning = NULL;
        snprintf(mark->name, sizeof mark->name, "%s.%" PRIx64, name, id);
        r = own_make_directory(files_home(files), mark->name, 0777, &files->staging_fd,
                               err);
    }
    if (r == 0)
        r = own_of(files->staging_fd, &mark->id, err);
    if (r < 0)
        mark->name[0] = '\0';
    return r;
}

static void
forget_staging(struct files *files)
{
    close_fd(&files->staging_fd);
    if (*files->mark.name)
        own_remove_directory(files_home(files), files->mark.name, &files->mark.id,
                             NULL);
    files->mark = (struct files_mark){0};
    close_fd(&files->parent_fd);
}

/* May the one directory take the other's place, with nobody the wiser? Its mode is
 * given to it; owner, group and attributes must be the same by themselves.
 */
static bool
make_alike(int staging, int target)
{
    struct stat ours, theirs;

    return fstat(staging, &ours) == 0 && fstat(target, &theirs) == 0 &&
           ours.st_uid == theirs.st_uid && ours.st_gid == theirs.st_gid &&
           flistxattr(staging, NULL, 0) == flistxattr(target, NULL, 0) &&
           (ours.st_mode == theirs.st_mode ||
            fchmod(staging, theirs.st_mode & 07777) == 0);
}

/* Can two directories be exchanged here? Tried with two of our own. */
static bool
can_exchange(int staging)
{
    struct own_id ids[2] = {0};
    int fds[2] = {-1, -1};
    bool can = own_make_directory(staging, "a", 0700, &fds[0], NULL) == 0 &&
               own_make_directory(staging, "b", 0700, &fds[1], NULL) == 0 &&
               own_of(fds[0], &ids[0], NULL) == 0 &&
               own_of(fds[1], &ids[1], NULL) == 0 &&
               own_rename(staging, "a", staging, "b", RENAME_EXCHANGE, &ids[0],
                          OWN_ANY_SIZE, NULL) == 0;

    own_remove_directory(staging, "a", &ids[can], NULL);
    own_remove_directory(staging, "b", &ids[!can], NULL);
    close_fd(&fds[0]);
    close_fd(&fds[1]);
    return can;
}

/* Return: false: it must lie inside. */
static bool
stage_beside(struct files *files, const char *name, uint64_t id, char **ret_warning)
{
    bool exchange = files->overwrite == OVERWRITE_EXCHANGE;
    struct files_place place;

    files_find_place(files, &place);
    files->parent_fd = place.fd; /* takes */
    files->mark.beside = true;
    if (place.fd >= 0 && (!exchange || files->keeps_inodes) &&
        (!exchange || strlen(place.leaf) + FILES_BEFORE_SIZE <= PATH_LEAF_SIZE) &&
        make_staging(files, name, id, ret_warning, NULL) == 0 &&
        make_alike(files->staging_fd, files->directory_fd) &&
        (!exchange || can_exchange(files->staging_fd)))
        return true;
    forget_staging(files);
    free(*ret_warning);
    *ret_warning = NULL;
    return false;
}

static int
refuse_exchange(const char *path, bool alone, struct lighter_error *err)
{
    return lighter_fail(
        err, LIGHTER_E_PARAMS,
        "'overwrite' is 'exchange', and the directory '%s' cannot be exchanged as a "
        "whole: %s; use 'replace' or 'error', or another directory",
        path,
        alone ? "it is the root of a disk or of output_roots, it belongs to somebody "
                "else or has attributes of its own, the directory that it is in is not "
                "writable, its name is too long, or its file system cannot do that"
              : "another writer writes there too");
}

int
files_stage(struct files *files, const char *path, const char *name, uint64_t id,
            bool alone, char **ret_warning, struct lighter_error *err)
{
    bool exchange = files->overwrite == OVERWRITE_EXCHANGE,
         is_beside = alone && (exchange || !has_entries(files->directory_fd, true)) &&
                     stage_beside(files, name, id, ret_warning);
    int r = 0;

    if (!is_beside && exchange)
        return refuse_exchange(path, alone, err);
    if (!is_beside)
        r = make_staging(files, name, id, ret_warning, err);
    if (r == 0)
        r = lock_staging(files->staging_fd, path, err);
    if (r < 0)
        forget_staging(files);
    else if (files->claim)
        claim_stage(files->claim, files->staging_fd);
    return r < 0 ? error_wrap(err, r, "in '%s'", path) : 0;
}

/* Was the staging directory renamed to the target? Then that has its inode. */
static bool
is_shown(const struct files *files)
{
    struct own_id id;

    return files->mark.beside && files->mark.id.inode &&
           own_of(files->directory_fd, &id, NULL) == 0 &&
           id.inode == files->mark.id.inode;
}

static int
refuse_other(const struct files *files, const char *path, const struct own_id *came,
             struct lighter_error *err)
{
    lighter_fail(err, LIGHTER_E_STATE,
                 "'%s', of '%s', is not the staging directory of this job: inode %ju "
                 "was expected, and inode %ju is there",
                 files->mark.name, path, (uintmax_t)files->mark.id.inode,
                 (uintmax_t)came->inode);
    return -ESTALE;
}

static int
reopen_staging(struct files *files, const char *path, bool *ret_gone,
               struct lighter_error *err)
{
    struct files_mark *mark = &files->mark;
    struct own_id id;
    int fd = openat(files_home(files), mark->name, FOLDER_FLAGS), r;

    *ret_gone = fd < 0 && errno == ENOENT;
    if (*ret_gone)
        return 0;
    if (fd < 0)
        return lighter_fail_os(err, errno, "open '%s', of '%s'", mark->name, path);
    r = own_of(fd, &id, err);
    if (r == 0 && mark->id.inode && files->keeps_inodes && id.inode != mark->id.inode)
        r = refuse_other(files, path, &id, err);
    if (r == 0)
        r = lock_staging(fd, path, err);
    if (r < 0) {
        close(fd);
        return r;
    }
    mark->id = id; /* a device's number may have changed with the mount */
    files->staging_fd = fd;
    if (files->claim)
        claim_stage(files->claim, fd);
    return 0;
}

int
files_reopen(struct files *files, const char *path, bool *ret_gone,
             struct lighter_error *err)
{
    struct files_place place;

    *ret_gone = true;
    if (!*files->mark.name || is_shown(files))
        return 0;
    if (files->mark.beside) {
        files_find_place(files, &place);
        files->parent_fd = place.fd; /* takes */
        if (place.fd < 0)
            return 0;
    }
    return reopen_staging(files, path, ret_gone, err);
}

int
files_discard(struct files *files, struct lighter_error *err)
{
    int r = 0;

    if (files->staging_fd >= 0)
        r = own_remove_tree(files_home(files), files->mark.name, &files->mark.id, err);
    return r < 0 ? r : 0;
}

/* ---- files ---- */

/* `leaf` in the folder `fd`, taken away again where it cannot be whole, or has a name
 * that is another's too.
 */
static int
create(struct files *files, int fd, const char *leaf, const char *name,
       struct lighter_sink *sink, struct own_id *ret_id, struct lighter_error *err)
{
    int file, r = own_create(fd, leaf, 0666, &file, err);

    if (r == -EEXIST)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "this name came before in this epoch");
    if (r < 0)
        return r;
    r = own_of(file, ret_id, err);
    if (r == 0)
        r = storage_write(file, sink, err);
    if (close(file) < 0 && r == 0) /* where file systems report a full quota */
        r = lighter_fail_os(err, errno, "close");
    if (r == 0 && files->claim)
        r = claim_check_name(files->claim, name, err);
    if (r < 0)
        own_remove(fd, leaf, ret_id, NULL);
    return r;
}

int
files_store(struct files *files, const char *name, size_t size, const char *suffix,
            struct lighter_sink *sink, uint64_t *ret_inode, struct lighter_error *err)
{
    char leaf[PATH_LEAF_SIZE], whole[PATH_MAX];
    struct own_id id = {0};
    int fd, r;

    r = path_walk(files->staging_fd, name, size, suffix, &fd, leaf, err);
    if (r == 0) {
        snprintf(whole, sizeof whole, "%.*s%s", (int)size, name, suffix);
        r = create(files, fd, leaf, whole, sink, &id, err);
        close(fd);
        if (r < 0)
            error_wrap(err, r, "file '%.300s'", whole);
    }
    if (r == 0)
        *ret_inode = files->keeps_inodes ? id.inode : 0;
    sink_clear(sink);
    return r;
}

void
files_remove(struct files *files, const struct filenote *note)
{
    struct own_id id = {files->mark.id.device, note->inode};
    char leaf[PATH_LEAF_SIZE];
    int fd;

    if (path_walk(files->staging_fd, note->name, strlen(note->name), "", &fd, leaf,
                  NULL) < 0)
        return;
    if (note->inode || own_adopt(fd, leaf, S_IFREG, &id, NULL) == 0)
        own_remove(fd, leaf, &id, NULL);
    close(fd);
}
