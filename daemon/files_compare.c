/* files_compare.c - what is staged, held against what the journal says was written.
 *
 * In: a staging directory and the manifest of committed files. Out: each of them seen,
 * with its size and inode; and what nobody wrote, removed or refused. Runs on a worker
 * while nothing else of the job runs.
 */
#include "daemon/files_internal.h"
#include "util/error.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

struct comparing {
    const struct files *files;
    struct manifest *manifest;
    enum files_strangers strangers;
    char name[PATH_MAX]; /* of the entry at hand, from the staging directory */
};

bool
files_is_folder(int fd, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

static int
fail_changed(const char *name, const struct manifest_file *file,
             const struct stat *status, struct lighter_error *err)
{
    if (!S_ISREG(status->st_mode) || (file->inode && file->inode != status->st_ino)) {
        lighter_fail(err, LIGHTER_E_STATE,
                     "the staged file '%s' was replaced: it is not the one that "
                     "lighterd wrote",
                     name);
        return -ESTALE;
    }
    lighter_fail(err, LIGHTER_E_STATE,
                 "the staged file '%s' was changed: it has %jd bytes, but %ju were "
                 "written to it",
                 name, (intmax_t)status->st_size, (uintmax_t)file->size);
    return -ENODATA;
}

static int
see(const struct comparing *comparing, struct manifest_file *file, int fd,
    const char *leaf, struct lighter_error *err)
{
    struct stat status;

    if (fstatat(fd, leaf, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return lighter_fail_os(err, errno, "look at the staged file '%s'",
                               comparing->name);
    if (!S_ISREG(status.st_mode) || (file->inode && file->inode != status.st_ino) ||
        (file->size != FILENOTE_UNKNOWN_SIZE && file->size != (uint64_t)status.st_size))
        return fail_changed(comparing->name, file, &status, err);
    file->seen = true;
    return 0;
}

static int
meet_stranger(const struct comparing *comparing, int fd, const char *leaf,
              struct lighter_error *err)
{
    struct own_id id;
    int r;

    if (comparing->strangers == FILES_REFUSE)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "'%s' lies among the staged files, in '%s', and this job "
                            "did not write it: move it away",
                            comparing->name, comparing->files->mark.name);
    r = own_adopt(fd, leaf, S_IFREG, &id, err);
    if (r == 0)
        r = own_remove(fd, leaf, &id, err);
    return r < 0 ? r : 0; /* what is no file is not ours */
}

static int compare(struct comparing *comparing, int fd, size_t used, size_t *ret_n,
                   struct lighter_error *err);

/* One in which there is nothing to be published goes. */
static int
compare_folder(struct comparing *comparing, int fd, const char *folder, size_t used,
               size_t *n, struct lighter_error *err)
{
    int inner = openat(fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct own_id id;
    size_t n_inner = 0;
    int r;

    if (inner < 0)
        return lighter_fail_os(err, errno, "open the staged folder '%s'", folder);
    r = own_of(inner, &id, err);
    if (r == 0)
        r = compare(comparing, inner, used, &n_inner, err);
    close(inner);
    if (r == 0 && n_inner == 0) {
        r = own_remove_directory(fd, folder, &id, err);
        n_inner = r == -ENOTEMPTY; /* it has what is not ours */
        r = n_inner || r > 0 ? 0 : r;
    }
    *n += n_inner;
    return r;
}

static int
compare_entry(struct comparing *comparing, int fd, const struct dirent *entry,
              size_t used, size_t *n, struct lighter_error *err)
{
    struct manifest_file *file;

    if (files_is_folder(fd, entry)) {
        memcpy(comparing->name + used, "/", 2);
        return compare_folder(comparing, fd, entry->d_name, used + 1, n, err);
    }
    file = manifest_find(comparing->manifest, comparing->name);
    *n += file != NULL;
    return file ? see(comparing, file, fd, entry->d_name, err)
                : meet_stranger(comparing, fd, entry->d_name, err);
}

/* *ret_n: of files that are to be published. */
static int
compare(struct comparing *comparing, int fd, size_t used, size_t *ret_n,
        struct lighter_error *err)
{
    DIR *dir = path_list(fd);
    const struct dirent *entry;
    int r = 0, end = 0;

    if (!dir)
        return lighter_fail_os(err, errno, "read the staging directory");
    while (r == 0 && (entry = path_next(dir, &end))) {
        size_t size = strlen(entry->d_name);

        if (used + size + 2 > sizeof comparing->name) { /* we make no such path */
            r = lighter_fail_os(err, ENAMETOOLONG, "a file among the staged ones");
            break;
        }
        memcpy(comparing->name + used, entry->d_name, size + 1);
        r = compare_entry(comparing, fd, entry, used + size, ret_n, err);
    }
    closedir(dir);
    return end < 0 ? lighter_fail_os(err, -end, "read the staging directory") : r;
}

int
files_compare(struct files *files, struct manifest *manifest,
              enum files_strangers strangers, struct lighter_error *err)
{
    struct comparing comparing = {
        .files = files, .manifest = manifest, .strangers = strangers};
    size_t n = 0;

    return files->staging_fd < 0 ? 0
                                 : compare(&comparing, files->staging_fd, 0, &n, err);
}

int
files_prune(struct files *files, struct manifest *manifest, struct lighter_error *err)
{
    return files_compare(files, manifest, FILES_REMOVE, err);
}

int
files_check(struct files *files, struct manifest *manifest, struct lighter_error *err)
{
    return files_compare(files, manifest, FILES_REFUSE, err);
}
