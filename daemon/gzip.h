/* gzip.h - bytes of some files, compressed into one.
 *
 * In: extents of open files. Out: a gzip file of members of 1 MiB of text each, which
 * every reader of gzip takes for one text. The members are made side by side, each by
 * one thread, and written in their order: a thread holds one at a time, so that memory
 * is bounded by their number.
 */
#ifndef DAEMON_GZIP_H
#define DAEMON_GZIP_H

#include <lighter/error.h>

#include <stdint.h>

#define GZIP_MEMBER ((uint64_t)1 << 20)

struct gzip_extent {
    int fd;
    uint64_t offset, size; /* bytes */
};

/* Write what the extents have, in order, at the beginning of `fd`; that of no bytes is
 * one empty member. The caller is one of the threads: where others cannot be had it
 * goes on alone. *ret_size: bytes written.
 * Return: 0; -EIO where an extent has lost bytes; -errno.
 */
int gzip_write(int fd, const struct gzip_extent *extents, uint32_t n_extents,
               unsigned n_threads, uint64_t *ret_size, struct lighter_error *err);

#endif
