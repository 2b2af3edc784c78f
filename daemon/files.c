/* files.c - see files.h. */
#include "daemon/files.h"

#include "daemon/lock.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

void
files_init(struct files *files)
{
    *files = (struct files){.directory_fd = -1, .staging_fd = -1};
}

void
files_done(struct files *files)
{
    if (files->staging_fd >= 0)
        close(files->staging_fd);
    if (files->directory_fd >= 0)
        close(files->directory_fd);
    files->staging_fd = files->directory_fd = -1;
}

/* Is there anything but staging directories? */
static bool
has_entries(int fd)
{
    DIR *dir = path_list(fd);
    bool found = false;
    struct dirent *entry;

    if (!dir)
        return false;
    while (!found && (entry = readdir(dir)))
        found = !path_is_dot(entry->d_name) &&
                strncmp(entry->d_name, ".lighterd.", 10) != 0;
    closedir(dir);
    return found;
}

/* A lock on the staging directory: another daemon may know the job by the same name.
 * The kernel drops it with the descriptor, however that comes about.
 */
static int
lock_staging(int fd, const char *path, struct lighter_error *err)
{
    int r = lock_take(fd, path, err);

    if (r != LOCK_TAKEN)
        return r < 0 ? error_wrap(err, r, "the staging directory") : 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "a job of this name writes to '%s' already", path);
}

/* What an earlier job of that name has left is removed, unless it is alive. */
static int
clear_staging(struct files *files, const char *path, struct lighter_error *err)
{
    int fd = openat(files->directory_fd, files->staging,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (fd >= 0) {
        r = lock_staging(fd, path, err);
        close(fd);
        if (r < 0)
            return r;
    }
    r = path_remove_tree(files->directory_fd, files->staging, err);
    return r < 0 ? error_wrap(err, r, "clear the staging directory in '%s'", path) : 0;
}

int
files_stage(struct files *files, const char *path, struct lighter_error *err)
{
    int r = path_enter(files->directory_fd, files->staging, &files->staging_fd, err);

    if (r < 0)
        return error_wrap(err, r, "in '%s'", path);
    return lock_staging(files->staging_fd, path, err);
}

int
files_prepare(struct files *files, const char *path, const char *staging,
              bool *ret_exists, struct lighter_error *err)
{
    int r = path_make_below(files->roots, path, &files->directory_fd, err);

    if (r < 0)
        return r;
    *ret_exists = has_entries(files->directory_fd);
    snprintf(files->staging, sizeof files->staging, "%s", staging);
    r = clear_staging(files, path, err);
    return r < 0 ? r : files_stage(files, path, err);
}

int
files_reopen(struct files *files, const char *path, const char *staging, bool *ret_gone,
             struct lighter_error *err)
{
    int r = path_make_below(files->roots, path, &files->directory_fd, err);

    if (r < 0)
        return r;
    snprintf(files->staging, sizeof files->staging, "%s", staging);
    files->staging_fd = openat(files->directory_fd, staging,
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *ret_gone = files->staging_fd < 0 && errno == ENOENT;
    if (*ret_gone)
        return 0;
    if (files->staging_fd < 0)
        return lighter_fail_os(err, errno, "open '%s' in '%s'", staging, path);
    return lock_staging(files->staging_fd, path, err);
}

/* Whom a walk over the staged files asks. */
struct pruning {
    bool (*keep)(const void *data, const char *name);
    const void *data;
    char name[PATH_MAX]; /* of the entry at hand, from the staging directory */
};

/* Not every file system says it in the directory. */
static bool
is_folder(int fd, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

static int prune(struct pruning *pruning, int fd, size_t used,
                 struct lighter_error *err);

static int
prune_folder(struct pruning *pruning, int fd, const char *folder, size_t used,
             struct lighter_error *err)
{
    int inner = openat(fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

    if (inner < 0)
        return lighter_fail_os(err, errno, "open the staged folder '%s'", folder);
    r = prune(pruning, inner, used, err);
    close(inner);
    return r;
}

static int
prune(struct pruning *pruning, int fd, size_t used, struct lighter_error *err)
{
    DIR *dir = path_list(fd);
    const struct dirent *entry;
    int r = 0, end = 0;

    if (!dir)
        return lighter_fail_os(err, errno, "read the staging directory");
    while (r == 0 && (entry = path_next(dir, &end))) {
        size_t size = strlen(entry->d_name);

        if (used + size + 2 > sizeof pruning->name)
            continue;
        memcpy(pruning->name + used, entry->d_name, size + 1);
        if (is_folder(fd, entry)) {
            memcpy(pruning->name + used + size, "/", 2);
            r = prune_folder(pruning, fd, entry->d_name, used + size + 1, err);
        } else if (!pruning->keep(pruning->data, pruning->name) &&
                   unlinkat(fd, entry->d_name, 0) < 0 && errno != ENOENT) {
            r = lighter_fail_os(err, errno, "remove '%s'", pruning->name);
        }
    }
    closedir(dir);
    return end < 0 ? lighter_fail_os(err, -end, "read the staging directory") : r;
}

int
files_prune(struct files *files, bool (*keep)(const void *data, const char *name),
            const void *data, struct lighter_error *err)
{
    struct pruning pruning = {.keep = keep, .data = data};

    return prune(&pruning, files->staging_fd, 0, err);
}

int
files_discard(struct files *files, struct lighter_error *err)
{
    return path_remove_tree(files->directory_fd, files->staging, err);
}

/* `leaf` in the folder `fd`, taken away again where it cannot be whole. */
static int
create(int fd, const char *leaf, struct lighter_sink *sink, struct lighter_error *err)
{
    int file =
        openat(fd, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    int r;

    if (file < 0 && errno == EEXIST)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "this name came before in this epoch");
    if (file < 0)
        return lighter_fail_os(err, errno, "create");
    r = storage_write(file, sink, err);
    if (close(file) < 0 && r == 0) /* where file systems report a full quota */
        r = lighter_fail_os(err, errno, "close");
    if (r < 0)
        unlinkat(fd, leaf, 0);
    return r;
}

int
files_store(struct files *files, const char *name, size_t size, const char *suffix,
            struct lighter_sink *sink, struct lighter_error *err)
{
    char leaf[PATH_LEAF_SIZE];
    int fd, r;

    r = path_walk(files->staging_fd, name, size, suffix, &fd, leaf, err);
    if (r == 0) {
        r = create(fd, leaf, sink, err);
        close(fd);
        if (r < 0)
            error_wrap(err, r, "file '%.*s%s'", (int)(size < 300 ? size : 300), name,
                       suffix);
    }
    sink_clear(sink);
    return r;
}

void
files_remove(struct files *files, const char *name)
{
    char leaf[PATH_LEAF_SIZE];
    int fd;

    if (path_walk(files->staging_fd, name, strlen(name), "", &fd, leaf, NULL) < 0)
        return;
    unlinkat(fd, leaf, 0);
    close(fd);
}

int
files_sync(struct files *files, struct lighter_error *err)
{
    return storage_sync_all(files->staging_fd, err);
}

static int publish_entries(int from, int to, struct lighter_error *err);

/* All of it has its names: none is lost any more with the power. */
static int
secure_names(int to, struct lighter_error *err)
{
    int r = storage_sync_names(to, "the directory", err);

    return r < 0 ? error_wrap(err, r, "published, durability unknown") : 0;
}

static int
publish_folder(int from, int to, const char *name, struct lighter_error *err)
{
    int inner_from, inner_to, r;

    if (unlinkat(from, name, AT_REMOVEDIR) == 0)
        return 0; /* all that was in it was taken back */
    r = path_enter(from, name, &inner_from, err);
    if (r < 0)
        return r;
    r = path_enter(to, name, &inner_to, err);
    if (r == 0) {
        r = publish_entries(inner_from, inner_to, err);
        if (r == 0)
            r = secure_names(inner_to, err);
        close(inner_to);
    }
    close(inner_from);
    if (r == 0 && unlinkat(from, name, AT_REMOVEDIR) < 0)
        return lighter_fail_os(err, errno, "remove the staging folder '%s'", name);
    return r;
}

static int
publish_entry(int from, int to, const struct dirent *entry, struct lighter_error *err)
{
    const char *name = entry->d_name;

    if (is_folder(from, entry))
        return publish_folder(from, to, name, err);
    if (renameat(from, name, to, name) < 0)
        return lighter_fail_os(err, errno, "publish '%s'", name);
    return 0;
}

/* Renames while it reads: entries may be skipped or seen twice by readdir() only where
 * they are added meanwhile, and nobody adds any.
 */
static int
publish_entries(int from, int to, struct lighter_error *err)
{
    DIR *dir = path_list(from);
    const struct dirent *entry;
    int r = 0, end = 0;

    if (!dir)
        return lighter_fail_os(err, errno, "read the staging directory");
    while (r == 0 && (entry = path_next(dir, &end)))
        r = publish_entry(from, to, entry, err);
    closedir(dir);
    return end < 0 ? lighter_fail_os(err, -end, "read the staging directory") : r;
}

/* The staging directory goes before the sync, so that it does not come back. */
int
files_publish(struct files *files, struct lighter_error *err)
{
    bool is_staged = files->staging_fd >= 0; /* else it was all shown before */
    int r =
        is_staged ? publish_entries(files->staging_fd, files->directory_fd, err) : 0;

    if (r == 0 && is_staged &&
        unlinkat(files->directory_fd, files->staging, AT_REMOVEDIR) < 0)
        r = lighter_fail_os(err, errno, "remove '%s'", files->staging);
    return r < 0 ? r : secure_names(files->directory_fd, err);
}
