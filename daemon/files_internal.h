/* files_internal.h - what files.c and files_publish.c have of one another. */
#ifndef DAEMON_FILES_INTERNAL_H
#define DAEMON_FILES_INTERNAL_H

#include "daemon/files.h"

/* "masks.before-4d2a...": what is added to a directory's name, with a NUL. */
#define FILES_BEFORE_SIZE sizeof ".before-0123456789abcdef"

/* Where a directory has its name. */
struct files_place {
    int fd; /* -1: it is the root of a disk, or of output_roots, and stays as it is */
    char leaf[PATH_LEAF_SIZE];
};

/* Where the target is now: it may have been renamed since it was opened. */
void files_find_place(const struct files *files, struct files_place *ret_place);

/* The directory that the staging directory lies in. */
int files_home(const struct files *files);

/* Not every file system says it in the directory. */
bool files_is_folder(int fd, const struct dirent *entry);

/* What a walk over all that is staged does with a file that is not in the manifest. */
enum files_strangers {
    FILES_REMOVE, /* it is of a batch that was not committed */
    FILES_REFUSE,
};

/* Compare what is staged with the manifest: files of it are seen. Folders without any
 * go. Return: as files_check().
 */
int files_compare(struct files *files, struct manifest *manifest,
                  enum files_strangers strangers, struct lighter_error *err);

#endif
