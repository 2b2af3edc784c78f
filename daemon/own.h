/* own.h - may this be renamed, removed, cut or replaced? Only what is ours.
 *
 * In: a name in a directory, and what the caller knows of its own file: the identity
 * that it had when we made or opened it. Out: the act, or what lies there instead, and
 * then nothing was done. No other file of the daemon calls unlink(), rename(),
 * ftruncate(), rmdir() and their kin, or opens with O_TRUNC: tools/check-own sees to
 * it.
 *
 * What this cannot exclude: between the look at a name and the act on it another
 * process of the same user may put something else there, and Linux has no call that
 * removes or renames a file only where it is a certain one. Such a process must hit the
 * few microseconds between two system calls; after a rename we look again, and say so
 * where it did. An inode's number may be used again once its file is gone: who must
 * tell that apart keeps the descriptor open, which keeps the inode, or compares more
 * than that. Nothing here follows a link that stands in the last component. Any thread.
 */
#ifndef DAEMON_OWN_H
#define DAEMON_OWN_H

#include <lighter/error.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Which file it is, whatever it is called. All zero: not known, and nobody's. */
struct own_id {
    uint64_t device, inode;
};

/* Outcomes. Nothing was done. */
enum {
    OWN_GONE = 1,  /* nothing has that name */
    OWN_OTHER = 2, /* something has, and it is not ours */
};

/* Any size is right. */
#define OWN_ANY_SIZE UINT64_MAX

/* The identity of what is open. Return: 0; -errno. */
int own_of(int fd, struct own_id *ret_id, struct lighter_error *err);
struct own_id own_of_status(const struct stat *status);
bool own_same(const struct own_id *a, const struct own_id *b);

/* What lies there? *ret_status, where it is not NULL, tells on 0 and OWN_OTHER.
 * Return: 0: `id`; OWN_GONE; OWN_OTHER; -errno, where it cannot be known.
 */
int own_look(int directory, const char *name, const struct own_id *id,
             struct stat *ret_status, struct lighter_error *err);

/* The identity of what lies there, taken for ours because of its place: in a directory
 * that nobody else writes, such as the state directory that is locked; or a socket that
 * we have just bound, or that nobody listens on. `type`: S_IFREG, S_IFDIR, S_IFSOCK.
 * Return: 0; OWN_GONE; OWN_OTHER: it is not of that type; -errno.
 */
int own_adopt(int directory, const char *name, mode_t type, struct own_id *ret_id,
              struct lighter_error *err);

/* A new file, to be read and written: never one that is there. `err` does not name it.
 * Return: 0, and the caller owns *ret_fd; -EEXIST; -errno.
 */
int own_create(int directory, const char *name, mode_t mode, int *ret_fd,
               struct lighter_error *err);

/* The same for a directory, open to be read. Return: 0; -EEXIST; -errno. */
int own_make_directory(int directory, const char *name, mode_t mode, int *ret_fd,
                       struct lighter_error *err);

/* Remove the file or the socket, or the empty directory.
 * Return: 0; OWN_GONE; OWN_OTHER; -ENOTEMPTY; -errno.
 */
int own_remove(int directory, const char *name, const struct own_id *id,
               struct lighter_error *err);
int own_remove_directory(int directory, const char *name, const struct own_id *id,
                         struct lighter_error *err);

/* Remove the directory and all that is in it: who may write into a directory of ours
 * gave us what he put there. Links are removed, not followed.
 * Return: 0; OWN_GONE; OWN_OTHER; -errno, and some of it may be gone.
 */
int own_remove_tree(int directory, const char *name, const struct own_id *id,
                    struct lighter_error *err);

/* Give what is ours, and has `size` bytes, a new name, where it replaces a file or
 * an empty directory. `flags`: of renameat2(), such as RENAME_NOREPLACE; else 0.
 * Return: 0; -ENOENT; -ESTALE: another file lies there; -ENODATA: its size is another;
 *         -errno. `err` says what was expected and what came.
 */
int own_rename(int from, const char *name, int to, const char *new_name, unsigned flags,
               const struct own_id *id, uint64_t size, struct lighter_error *err);

/* Bytes beyond `size` go. Return: 0; -ESTALE: what is open is not `id`; -errno. */
int own_cut(int fd, const struct own_id *id, uint64_t size, struct lighter_error *err);

#endif
