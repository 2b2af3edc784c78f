/* obstacle.h - what would be in the way of a rename, looked for before there is any.
 *
 * In: a place where something of ours is to get its final name. Out: an error that
 * names what is there, what was expected and what to do. What cannot be seen beforehand
 * is a disk that has no room for a name; and what comes between the look and the act.
 * Any thread.
 */
#ifndef DAEMON_OBSTACLE_H
#define DAEMON_OBSTACLE_H

#include <lighter/error.h>

#include <stdbool.h>

/* An outcome: nothing has that name. */
#define OBSTACLE_ABSENT 1

/* Can names in the directory `fd` be made and replaced? `path` is what people call it.
 * Return: 0; -EACCES, -EROFS, -EPERM; -ENOENT: it was removed; -errno.
 */
int obstacle_to_names(int fd, const char *path, struct lighter_error *err);

/* Can a file of ours get the name? `shown`: the name as people know it.
 * Return: 0; OBSTACLE_ABSENT; -EISDIR, -EBUSY, -EPERM; -errno.
 */
int obstacle_to_file(int fd, const char *name, const char *shown,
                     struct lighter_error *err);

/* Can files of ours go into the folder of that name?
 * Return: 0; OBSTACLE_ABSENT; -ENOTDIR, -ELOOP, -EBUSY; -errno.
 */
int obstacle_to_folder(int fd, const char *name, const char *shown,
                       struct lighter_error *err);

#endif
