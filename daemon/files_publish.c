/* files_publish.c - how staged files get their final names.
 *
 * In: a staging directory whose content is what was written (files_compare.c). Out: the
 * directory itself as the target, by one rename; or its files in the target, one by
 * one, where other files are there already. A folder that the target lacks is renamed
 * as a whole. It may be cut short anywhere and begun again. Runs on a worker while
 * nothing else of the job runs.
 */
#include "daemon/files_internal.h"
#include "daemon/obstacle.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int
files_sync(struct files *files, struct lighter_error *err)
{
    if (files->staging_fd < 0)
        return 0; /* nothing was ever staged, or it was all shown */
    return storage_sync_all(files->staging_fd, err);
}

/* ---- is anything in the way? ---- */

struct survey {
    bool none_may_be; /* of what is to be shown: `overwrite` says so */
    char shown[PATH_MAX];
};

static int survey(struct survey *walk, int from, int to, size_t used,
                  struct lighter_error *err);

static int
survey_folder(struct survey *walk, int from, int to, const char *name, size_t used,
              struct lighter_error *err)
{
    int inner_from = openat(from, name, FOLDER_FLAGS),
        inner_to = openat(to, name, FOLDER_FLAGS), r;

    if (inner_from < 0 || inner_to < 0)
        r = lighter_fail_os(err, errno, "open the folder '%s'", walk->shown);
    else
        r = obstacle_to_names(inner_to, walk->shown, err);
    if (r == 0)
        r = survey(walk, inner_from, inner_to, used, err);
    if (inner_from >= 0)
        close(inner_from);
    if (inner_to >= 0)
        close(inner_to);
    return r;
}

static int
survey_entry(struct survey *walk, int from, int to, const struct dirent *entry,
             size_t used, struct lighter_error *err)
{
    bool is_folder = files_is_folder(from, entry);
    int r = is_folder ? obstacle_to_folder(to, entry->d_name, walk->shown, err)
                      : obstacle_to_file(to, entry->d_name, walk->shown, err);

    if (r == OBSTACLE_ABSENT)
        return 0;
    if (r == 0 && walk->none_may_be)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "'%s' is there, and 'overwrite' is 'error': move it away",
                            walk->shown);
    if (r == 0 && is_folder)
        r = survey_folder(walk, from, to, entry->d_name, used, err);
    return r;
}

/* walk->shown has `used` bytes: the path of the directory `to`. */
static int
survey(struct survey *walk, int from, int to, size_t used, struct lighter_error *err)
{
    DIR *dir = path_list(from);
    const struct dirent *entry;
    int r = 0, end = 0;

    if (!dir)
        return lighter_fail_os(err, errno, "read the staging directory");
    while (r == 0 && (entry = path_next(dir, &end))) {
        int size = snprintf(walk->shown + used, sizeof walk->shown - used, "/%s",
                            entry->d_name);

        r = used + (size_t)size >= sizeof walk->shown
                ? lighter_fail_os(err, ENAMETOOLONG, "'%s'", entry->d_name)
                : survey_entry(walk, from, to, entry, used + (size_t)size, err);
    }
    closedir(dir);
    return end < 0 ? lighter_fail_os(err, -end, "read the staging directory") : r;
}

/* The target may have been renamed while the job ran: that one is meant. Where it was
 * removed, whatever has its name now is the target, or nothing. `place->fd` is to be
 * closed.
 */
static void
find_target(struct files *files, const char *path, struct files_place *place)
{
    char now[PATH_MAX];
    int fd;

    files_find_place(files, place);
    if (place->fd >= 0 || files->parent_fd < 0 ||
        path_of(files->directory_fd, now) != -ENOENT)
        return;
    snprintf(place->leaf, sizeof place->leaf, "%s", strrchr(path, '/') + 1);
    place->fd = fcntl(files->parent_fd, F_DUPFD_CLOEXEC, 3);
    fd = openat(files->parent_fd, place->leaf, FOLDER_FLAGS);
    if (fd < 0)
        return;
    close(files->directory_fd);
    files->directory_fd = fd;
}

static void
leave_target(struct files_place *place)
{
    if (place->fd >= 0)
        close(place->fd);
    place->fd = -1;
}

static bool
is_empty(int fd)
{
    DIR *dir = path_list(fd);
    const struct dirent *entry = NULL;
    int end = 0;

    if (dir)
        entry = path_next(dir, &end);
    if (dir)
        closedir(dir);
    return dir && !entry && end == 0;
}

/* Can the staging directory become the target by one rename? */
static int
survey_whole(const struct files_place *place, const char *path,
             struct lighter_error *err)
{
    char parent[PATH_MAX];
    int r;

    if (place->fd < 0)
        return lighter_fail_os(err, EXDEV, "'%s' was moved to another disk", path);
    if (path_of(place->fd, parent) < 0)
        return lighter_fail_os(err, ENOENT, "the directory that '%s' is in was removed",
                               path);
    r = obstacle_to_names(place->fd, parent, err);
    if (r == 0)
        r = obstacle_to_folder(place->fd, place->leaf, path, err);
    return r < 0 ? r : 0;
}

static int
survey_each(struct files *files, const char *path, bool none_may_be,
            struct lighter_error *err)
{
    struct survey walk = {.none_may_be = none_may_be};
    size_t used = (size_t)snprintf(walk.shown, sizeof walk.shown, "%s", path);
    int r = obstacle_to_names(files->directory_fd, path, err);

    return r < 0 ? r : survey(&walk, files->staging_fd, files->directory_fd, used, err);
}

int
files_survey(struct files *files, const char *path, bool again,
             struct lighter_error *err)
{
    bool none_may_be = files->overwrite == OVERWRITE_ERROR && !again, is_done;
    struct files_place place;
    int r = 0;

    if (files->staging_fd < 0)
        return 0;
    find_target(files, path, &place);
    if (files->mark.beside)
        r = survey_whole(&place, path, err);
    leave_target(&place);
    is_done = files->mark.beside &&
              (files->overwrite == OVERWRITE_EXCHANGE || is_empty(files->directory_fd));
    if (r < 0 || is_done)
        return r;
    if (none_may_be && files->mark.beside)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "'%s' is not empty any more, and 'overwrite' is 'error': "
                            "move away what is there",
                            path);
    return survey_each(files, path, none_may_be, err);
}

/* ---- one by one ---- */

/* Whom a walk that shows asks. */
struct showing {
    const struct files *files;
    const struct manifest *manifest;
    char name[PATH_MAX]; /* of the entry at hand, from the staging directory */
};

static int show_entries(struct showing *showing, int from, int to, size_t used,
                        struct lighter_error *err);

/* All of it has its names: none is lost any more with the power. */
static int
secure_names(int fd, struct lighter_error *err)
{
    int r = storage_sync_names(fd, "the directory", err);

    return r < 0 ? error_wrap(err, r, "published, durability unknown") : 0;
}

/* Into the one that is there. Takes both descriptors. */
static int
merge_folder(struct showing *showing, int from, int to, size_t used,
             struct lighter_error *err)
{
    int r = to < 0 ? lighter_fail_os(err, errno, "open the folder '%s'", showing->name)
                   : show_entries(showing, from, to, used, err);

    if (r == 0)
        r = secure_names(to, err);
    if (to >= 0)
        close(to);
    close(from);
    return r;
}

/* A folder that is not there is renamed whole; so is one over an empty one. */
static int
show_folder(struct showing *showing, int from, int to, const char *name, size_t used,
            struct lighter_error *err)
{
    int inner = openat(from, name, FOLDER_FLAGS), r;
    struct own_id id;

    if (inner < 0)
        return lighter_fail_os(err, errno, "open the staged folder '%s'",
                               showing->name);
    r = own_of(inner, &id, err);
    if (r == 0)
        r = own_rename(from, name, to, name, 0, &id, OWN_ANY_SIZE, err);
    if (r != -ENOTEMPTY && r != -EEXIST) {
        close(inner);
        return r < 0 ? error_wrap(err, r, "publish '%s'", showing->name) : 0;
    }
    memcpy(showing->name + used, "/", 2);
    r = merge_folder(showing, inner, openat(to, name, FOLDER_FLAGS), used + 1, err);
    if (r == 0)
        r = own_remove_directory(from, name, &id, err);
    return r < 0 ? r : 0;
}

static int
show_file(const struct showing *showing, int from, int to, const char *name,
          struct lighter_error *err)
{
    const struct manifest_file *file = manifest_find(showing->manifest, showing->name);
    unsigned flags =
        showing->files->overwrite == OVERWRITE_ERROR ? RENAME_NOREPLACE : 0;
    struct own_id id = {showing->files->mark.id.device, file ? file->inode : 0};
    int r = 0;

    if (!file)
        return lighter_fail(err, LIGHTER_E_STATE,
                            "'%s' lies among the staged files, and this job did not "
                            "write it",
                            showing->name);
    if (!id.inode)
        r = own_adopt(from, name, S_IFREG, &id, err);
    if (r == 0)
        r = own_rename(from, name, to, name, flags, &id, file->size, err);
    return r < 0 ? error_wrap(err, r, "publish '%s'", showing->name) : 0;
}

/* Renames while it reads: entries may be skipped or seen twice by readdir() only where
 * they are added meanwhile, and nobody adds any.
 */
static int
show_entries(struct showing *showing, int from, int to, size_t used,
             struct lighter_error *err)
{
    DIR *dir = path_list(from);
    const struct dirent *entry;
    int r = 0, end = 0;

    if (!dir)
        return lighter_fail_os(err, errno, "read the staging directory");
    while (r == 0 && (entry = path_next(dir, &end))) {
        size_t size = strlen(entry->d_name);

        if (used + size + 2 > sizeof showing->name) {
            r = lighter_fail_os(err, ENAMETOOLONG, "'%s'", entry->d_name);
            break;
        }
        memcpy(showing->name + used, entry->d_name, size + 1);
        r = files_is_folder(from, entry)
                ? show_folder(showing, from, to, entry->d_name, used + size, err)
                : show_file(showing, from, to, entry->d_name, err);
    }
    closedir(dir);
    return end < 0 ? lighter_fail_os(err, -end, "read the staging directory") : r;
}

/* The staging directory goes before the sync, so that it does not come back. */
static int
show_each(struct files *files, const struct manifest *manifest,
          struct lighter_error *err)
{
    struct showing showing = {.files = files, .manifest = manifest};
    int r = show_entries(&showing, files->staging_fd, files->directory_fd, 0, err);

    if (r == 0)
        r = own_remove_directory(files_home(files), files->mark.name, &files->mark.id,
                                 err);
    if (r >= 0 && files->mark.beside)
        r = secure_names(files->parent_fd, err);
    return r < 0 ? r : secure_names(files->directory_fd, err);
}

/* ---- the directory as a whole ---- */

/* As the target: where that is empty, or was removed, with `flags` 0. */
static int
rename_whole(const struct files *files, const struct files_place *place, unsigned flags,
             struct lighter_error *err)
{
    return own_rename(files->parent_fd, files->mark.name, place->fd, place->leaf, flags,
                      &files->mark.id, OWN_ANY_SIZE, err);
}

/* What was there has the staging directory's name now: it gets one of its own. */
static int
keep_before(const struct files *files, const struct files_place *place, uint64_t id,
            char **ret_before, struct lighter_error *err)
{
    char name[PATH_LEAF_SIZE + FILES_BEFORE_SIZE], parent[PATH_MAX];
    int home = files->parent_fd >= 0 ? files->parent_fd : place->fd, r;
    struct own_id before;

    snprintf(name, sizeof name, "%s.before-%" PRIx64, place->leaf, id);
    r = own_adopt(home, files->mark.name, S_IFDIR, &before, err);
    if (r == 0)
        r = own_rename(home, files->mark.name, place->fd, name, RENAME_NOREPLACE,
                       &before, OWN_ANY_SIZE, err);
    else if (r == OWN_GONE) /* that was done before, or there was nothing */
        r = own_adopt(place->fd, name, S_IFDIR, &before, err);
    if (r != 0)
        return r < 0 ? error_wrap(err, r, "keep what was in '%s'", place->leaf) : 0;
    if (path_of(place->fd, parent) < 0 ||
        asprintf(ret_before, "%s/%s", parent, name) < 0) {
        *ret_before = NULL;
        return fail_nomem(err);
    }
    return 0;
}

/* What could be seen beforehand of what is there was: files_survey(). */
static int
show(struct files *files, const struct files_place *place,
     const struct manifest *manifest, uint64_t id, char **ret_before,
     struct lighter_error *err)
{
    int r = files->mark.beside ? rename_whole(files, place, 0, err) : -ENOTEMPTY;

    if (r == 0)
        return secure_names(place->fd, err);
    if (r != -ENOTEMPTY && r != -EEXIST)
        return r;
    if (files->overwrite == OVERWRITE_EXCHANGE) {
        r = rename_whole(files, place, RENAME_EXCHANGE, err);
        if (r == 0)
            r = keep_before(files, place, id, ret_before, err);
        return r < 0 ? r : secure_names(place->fd, err);
    }
    return show_each(files, manifest, err);
}

/* It was all shown, and perhaps not all that follows was done. */
static int
show_again(struct files *files, const struct files_place *place, uint64_t id,
           char **ret_before, struct lighter_error *err)
{
    int r = 0;

    if (files->overwrite == OVERWRITE_EXCHANGE && place->fd >= 0)
        r = keep_before(files, place, id, ret_before, err);
    if (r == 0 && files->mark.beside && place->fd >= 0)
        r = secure_names(place->fd, err);
    return r < 0 ? r : secure_names(files->directory_fd, err);
}

/* Does the path that was asked for still lead there? Else where it is now. */
static int
tell_where(const struct files *files, const char *path, char **ret_path,
           struct lighter_error *err)
{
    char now[PATH_MAX];
    struct stat status;
    struct own_id there, shown;
    bool is_whole = files->mark.beside && files->staging_fd >= 0 &&
                    path_of(files->staging_fd, now) == 0;
    int fd = is_whole ? files->staging_fd : files->directory_fd, r;

    r = own_of(fd, &shown, err);
    if (r < 0)
        return r;
    if (stat(path, &status) == 0) {
        there = own_of_status(&status);
        if (own_same(&there, &shown))
            return 0;
    }
    if (path_of(fd, now) < 0)
        return 0; /* it is gone already: what was asked for is the best name */
    *ret_path = strdup(now);
    return *ret_path ? 0 : fail_nomem(err);
}

int
files_publish(struct files *files, const char *path, const struct manifest *manifest,
              uint64_t id, struct files_shown *ret_shown, struct lighter_error *err)
{
    struct files_shown shown = {0};
    struct files_place place;
    int r;

    find_target(files, path, &place);
    r = files->staging_fd < 0 ? show_again(files, &place, id, &shown.before, err)
                              : show(files, &place, manifest, id, &shown.before, err);
    leave_target(&place);
    if (r == 0)
        r = tell_where(files, path, &shown.path, err);
    if (r == 0) {
        *ret_shown = shown;
        return 0;
    }
    free(shown.before);
    return r;
}
