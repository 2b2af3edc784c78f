/* files.h - a directory of files that are published together.
 *
 * In: whole files, one a sample, from any number of workers at once. Until the job is
 * published they lie in a staging directory inside the target; then each is renamed
 * to its final name. So nothing partial ever has a final name, and a name that comes
 * twice in an epoch is noticed by the file system, whichever rank it comes from.
 */
#ifndef DAEMON_FILES_H
#define DAEMON_FILES_H

#include "daemon/path.h"
#include "daemon/sink.h"

#include <stdbool.h>

struct files {
    const char *roots;            /* see path_make_below(); borrowed */
    int directory_fd, staging_fd; /* -1 before files_prepare() */
    char staging[PATH_LEAF_SIZE]; /* the staging directory's name in the target */
};

void files_init(struct files *files);
void files_done(struct files *files);

/* Make the directory `path` (absolute) and an empty staging directory in it; what an
 * earlier job of that name left there is removed. *ret_exists: files are in the target.
 * Return: 0; -ENOTDIR where a file has that name; -EBUSY where that job is alive, in
 *         another daemon; -errno.
 */
int files_prepare(struct files *files, const char *path, const char *staging,
                  bool *ret_exists, struct lighter_error *err);

/* Open the directory and the staging directory that an earlier daemon left. *ret_gone:
 * there is none; the files may be published. Return: 0; -EBUSY, as above; -errno.
 */
int files_reopen(struct files *files, const char *path, const char *staging,
                 bool *ret_gone, struct lighter_error *err);

/* Make the staging directory, and lock it. Return: 0; -EBUSY, as above; -errno. */
int files_stage(struct files *files, const char *path, struct lighter_error *err);

/* Remove all staged files but those that `keep` wants. `name`: as it was stored, with
 * its suffix. Return: 0; -errno.
 */
int files_prune(struct files *files, bool (*keep)(const void *data, const char *name),
                const void *data, struct lighter_error *err);

/* Remove the staging directory, and all that is in it. Return: 0; -errno. */
int files_discard(struct files *files, struct lighter_error *err);

/* Make one file of the sink's bytes; the sink is empty afterwards. `name` (size bytes)
 * as path_walk() wants it. Any number of workers at once.
 * Return: 0; -EINVAL where the name is bad or came before in this epoch; -errno.
 */
int files_store(struct files *files, const char *name, size_t size, const char *suffix,
                struct lighter_sink *sink, struct lighter_error *err);

/* Take a stored file back. `name` with its suffix. */
void files_remove(struct files *files, const char *name);

/* The first half of publishing: all bytes to the disk. Return: 0; -errno. */
int files_sync(struct files *files, struct lighter_error *err);

/* The second half: each file gets its final name, folders are synced, the staging
 * directory is removed. What failed may be repeated; nothing is done where there is no
 * staging directory any more. Return: 0; -errno.
 */
int files_publish(struct files *files, struct lighter_error *err);

#endif
