/* path.h - names from outside to places on the disk, without leaving a directory.
 *
 * The directory that a job names is the user's own choice and may lie behind links.
 * Below it nothing is trusted: every component is opened with O_NOFOLLOW and all work
 * is done relative to held descriptors. Runs on workers.
 */
#ifndef DAEMON_PATH_H
#define DAEMON_PATH_H

#include <lighter/error.h>

#include <dirent.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Room for a component and its NUL. */
#define PATH_LEAF_SIZE 256

/* How the names of our own working directories begin: no name from outside does. */
#define PATH_OURS ".lighterd."

/* Of a name. Who walks a tree holds a descriptor a level. */
#define PATH_COMPONENTS_MAX 64

/* Open the directory `path` (absolute), made with its parents where it is not there.
 * Return: 0, and the caller owns *ret_fd; -errno, such as -ENOTDIR where it is a file.
 */
int path_make_directory(const char *path, int *ret_fd, struct lighter_error *err);

/* The same, but only below one of `roots` (absolute, with ':' between them; NULL: as
 * above). A root may lie behind links; below it a link is followed once, where it leads
 * below a root as well, and there is no "..".
 * Return: 0, and the caller owns *ret_fd; -EACCES; -errno.
 */
int path_make_below(const char *roots, const char *path, int *ret_fd,
                    struct lighter_error *err);

/* Where the directory `fd` is now, without links. Return: 0; -ENOENT: it was removed;
 * -errno.
 */
int path_of(int fd, char ret_path[PATH_MAX]);

/* Is the directory `fd` one of `roots`, or below one? NULL: all are. */
bool path_is_below(const char *roots, int fd);

/* Open the sub-folder `folder` (one component) of `fd`, made where it is not there.
 * Return: 0, and the caller owns *ret_fd; -ENOTDIR, -ELOOP where it is a link; -errno.
 */
int path_enter(int fd, const char *folder, int *ret_fd, struct lighter_error *err);

/* Read the directory `fd`, which stays the caller's, from its beginning. The stream is
 * the caller's: closedir(). Return: NULL with errno.
 */
DIR *path_list(int fd);
bool path_is_dot(const char *name); /* "." or ".." */

/* The next entry but "." and ".."; lent until the next call. NULL at the end, with
 * *ret_r 0, or -errno where it cannot be read.
 */
const struct dirent *path_next(DIR *dir, int *ret_r);

/* Walk `name` (size bytes, relative, '/' between components) below `fd`, making
 * sub-folders. *ret_fd is the last component's directory, owned by the caller (a
 * duplicate where the name has no folder); `ret_leaf` the component with `suffix`.
 * Refused by name: empty ones, absolute ones, empty components, "." and "..", control
 * characters, components that begin with PATH_OURS, that have more than 255 bytes or
 * are more than PATH_COMPONENTS_MAX, folders that are links.
 * Return: 0; -EINVAL; -errno.
 */
int path_walk(int fd, const char *name, size_t size, const char *suffix, int *ret_fd,
              char ret_leaf[PATH_LEAF_SIZE], struct lighter_error *err);

#endif
