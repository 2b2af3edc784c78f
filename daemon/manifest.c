/* manifest.c - see manifest.h. */
#include "daemon/manifest.h"

#include "util/error.h"

#include <stdlib.h>
#include <xxhash.h>

void
manifest_done(struct manifest *manifest)
{
    free(manifest->files);
    *manifest = (struct manifest){0};
}

static struct manifest_file
file_of(const char *name)
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));

    return (struct manifest_file){.low = hash.low64, .high = hash.high64};
}

int
manifest_add(struct manifest *manifest, const struct filenote *note,
             struct lighter_error *err)
{
    struct manifest_file file = file_of(note->name);

    if (manifest->n == manifest->room) {
        size_t room = manifest->room ? 2 * manifest->room : 256;
        void *files = reallocarray(manifest->files, room, sizeof *manifest->files);

        if (!files)
            return fail_nomem(err);
        manifest->files = files;
        manifest->room = room;
    }
    file.size = note->size;
    file.inode = note->inode;
    manifest->files[manifest->n++] = file;
    return 0;
}

void
manifest_take_back(struct manifest *manifest, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        manifest->files[i].taken_back = true;
}

static int
by_name(const void *a, const void *b)
{
    const struct manifest_file *x = a, *y = b;

    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    return x->high < y->high ? -1 : x->high > y->high;
}

void
manifest_sort(struct manifest *manifest)
{
    size_t n_kept = 0;

    for (size_t i = 0; i < manifest->n; i++)
        if (!manifest->files[i].taken_back)
            manifest->files[n_kept++] = manifest->files[i];
    manifest->n = n_kept;
    if (n_kept)
        qsort(manifest->files, n_kept, sizeof *manifest->files, by_name);
}

struct manifest_file *
manifest_find(const struct manifest *manifest, const char *name)
{
    struct manifest_file file = file_of(name);

    return manifest->n
               ? bsearch(&file, manifest->files, manifest->n, sizeof file, by_name)
               : NULL;
}

size_t
manifest_count_unseen(const struct manifest *manifest)
{
    size_t n = 0;

    for (size_t i = 0; i < manifest->n; i++)
        n += !manifest->files[i].seen;
    return n;
}
