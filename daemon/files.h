/* files.h - a directory of files that are published together.
 *
 * In: whole files, one a sample, from any number of workers at once. Until the job is
 * published they lie in a staging directory; files_publish.c then gives them their
 * final names. So nothing partial ever has a final name, and a name that comes twice in
 * an epoch is noticed by the file system, whichever rank it comes from.
 *
 * Where the target is empty, nobody else writes there, and the directory that it is in
 * lets us, the staging directory lies beside the target and becomes it by one rename.
 * Else it lies inside, and each file is renamed.
 */
#ifndef DAEMON_FILES_H
#define DAEMON_FILES_H

#include "daemon/claims.h"
#include "daemon/manifest.h"
#include "daemon/overwrite.h"
#include "daemon/own.h"
#include "daemon/path.h"
#include "daemon/sink.h"

#include <stdbool.h>

/* The staging directory as the journal knows it. */
struct files_mark {
    char name[PATH_LEAF_SIZE]; /* "" before there is one */
    struct own_id id; /* inode 0: it is by 0.1.0, which did not say; or its file
                       * system does not keep inodes */
    bool beside;      /* the target, not in it */
};

struct files {
    const char *roots;        /* see path_make_below(); borrowed */
    enum overwrite overwrite; /* what becomes of what is there */
    int directory_fd;         /* the target; -1 before files_open() */
    int parent_fd;            /* where the staging directory lies beside it; else -1 */
    int staging_fd;           /* -1: there is none, or not yet */
    struct files_mark mark;   /* stays when the rest is closed */
    bool keeps_inodes;        /* the file system does: a file is known by its own */
    struct claim *claim;      /* owned, or NULL */
};

void files_init(struct files *files);
void files_done(struct files *files);

/* Make the directory `path` (absolute), with its parents, and hold it. *ret_exists:
 * there is something in it. Return: 0; -ENOTDIR where a file has that name; -errno.
 */
int files_open(struct files *files, const char *path, bool *ret_exists,
               struct lighter_error *err);

/* Make the staging directory, empty, and lock it. `name`: what it is called where
 * nothing has that name; else that stays, `id` is added, and *ret_warning, the
 * caller's, says so. `alone`: nobody else writes to the target, nor above or below it.
 * Return: 0; -EINVAL where `overwrite` is not possible here; -errno.
 */
int files_stage(struct files *files, const char *path, const char *name, uint64_t id,
                bool alone, char **ret_warning, struct lighter_error *err);

/* After files_open(): the staging directory of the mark, which an earlier daemon left.
 * *ret_gone: there is none; the files may be published.
 * Return: 0; -EBUSY where that job is alive, in another daemon; -ESTALE where another
 *         directory has that name; -errno.
 */
int files_reopen(struct files *files, const char *path, bool *ret_gone,
                 struct lighter_error *err);

/* Remove all staged files but those of the manifest, which are seen then.
 * Return: 0; -ESTALE, -ENODATA where one of those is not what was written; -errno.
 */
int files_prune(struct files *files, struct manifest *manifest,
                struct lighter_error *err);

/* Remove the staging directory, and all that is in it. Return: 0, also where another
 * directory has that name, which stays; -errno.
 */
int files_discard(struct files *files, struct lighter_error *err);

/* Make one file of the sink's bytes; the sink is empty afterwards. `name` (size bytes)
 * as path_walk() wants it. *ret_inode: as a note of it has it. Any number of workers at
 * once. Return: 0; -EINVAL where the name is bad, came before in this epoch or is
 *               another live output's; -errno.
 */
int files_store(struct files *files, const char *name, size_t size, const char *suffix,
                struct lighter_sink *sink, uint64_t *ret_inode,
                struct lighter_error *err);

/* Take a stored file back. */
void files_remove(struct files *files, const struct filenote *note);

/* ---- files_publish.c ---- */

/* The first half of publishing: all bytes to the disk. Return: 0; -errno. */
int files_sync(struct files *files, struct lighter_error *err);

/* Is what is staged what was written, to the file, and nothing else? Folders that are
 * empty go. Files of the manifest that are there are seen.
 * Return: 0; -ESTALE, -ENODATA: one is not; -EBUSY: there is one that nobody wrote;
 *         -errno.
 */
int files_check(struct files *files, struct manifest *manifest,
                struct lighter_error *err);

/* Would something be in the way? Looked for beforehand, so that nothing is shown if so.
 * `again`: some of it may have been shown already. Return: 0; -errno, `err` names it.
 */
int files_survey(struct files *files, const char *path, bool again,
                 struct lighter_error *err);

/* Where the files are now. */
struct files_shown {
    char *path;   /* NULL: where they were to be; owned */
    char *before; /* of the directory that was exchanged, or NULL; owned */
};

/* The second half: the staging directory becomes the target, or each file gets its
 * final name; the directories are synced. What failed may be repeated; nothing is done
 * where it was all done before. `id`: of the job. Return: 0; -errno.
 */
int files_publish(struct files *files, const char *path,
                  const struct manifest *manifest, uint64_t id,
                  struct files_shown *ret_shown, struct lighter_error *err);

#endif
