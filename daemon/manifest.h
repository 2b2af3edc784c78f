/* manifest.h - the files that an output has committed: a set, by their names' digests.
 *
 * In: notes of files, as a journal has them. Out: is this name one of them, and what
 * was written under it? 40 bytes a file, whatever its name. Pure; any thread, one at a
 * time.
 */
#ifndef DAEMON_MANIFEST_H
#define DAEMON_MANIFEST_H

#include "daemon/filenote.h"

#include <lighter/error.h>

struct manifest_file {
    uint64_t low, high; /* of the name */
    uint64_t size, inode;
    bool taken_back, seen;
};

struct manifest {
    struct manifest_file *files; /* owned */
    size_t n, room;
};

void manifest_done(struct manifest *manifest); /* it may be filled again */

/* Return: 0; -ENOMEM. */
int manifest_add(struct manifest *manifest, const struct filenote *note,
                 struct lighter_error *err);

/* Those from the `first`th on, `n` of them, were taken back: before it is sorted. */
void manifest_take_back(struct manifest *manifest, size_t first, size_t n);

/* All were added. */
void manifest_sort(struct manifest *manifest);

/* NULL: it is none of them. */
struct manifest_file *manifest_find(const struct manifest *manifest, const char *name);

/* How many have not been seen. */
size_t manifest_count_unseen(const struct manifest *manifest);

#endif
