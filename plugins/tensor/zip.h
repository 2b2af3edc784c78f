/* zip.h - a zip archive of a few records, stored as they are.
 *
 * In: records in memory. Out: the archive's bytes in a sink: everything but the last
 * record's data is copied, that is lent. Any thread.
 */
#ifndef TENSOR_ZIP_H
#define TENSOR_ZIP_H

#include <lighter/plugin.h>

#define ZIP_MAX_RECORDS 8

/* Where the last record's data begins in the archive, as in those of torch.save: a
 * program that maps the file finds elements of every size aligned. */
#define ZIP_ALIGNMENT 64

struct zip_record {
    const char *name; /* ASCII, shorter than 64 KiB */
    const void *data; /* may be NULL where size is 0 */
    size_t size;      /* bytes */
};

/* Add an archive of 1 to ZIP_MAX_RECORDS records to an empty sink. The last one is
 * lent: it may have any size, the others are small. The same records make the same
 * bytes: no time is in them.
 *
 * Return: 0, or negative where there is no memory.
 */
int zip_write(const struct zip_record *records, size_t n_records,
              struct lighter_sink *sink, const struct lighter_services *services,
              struct lighter_error *err);

#endif
