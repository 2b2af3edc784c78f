/* storage.h - how bytes get to a descriptor, and a descriptor's bytes to the disk. */
#ifndef DAEMON_STORAGE_H
#define DAEMON_STORAGE_H

#include "daemon/sink.h"

#include <lighter/error.h>

#include <stdbool.h>
#include <stdint.h>

/* Write all of a sink at the descriptor's position. The sink is empty afterwards.
 * Return: 0; -errno, and some of the bytes may be written. Workers only.
 */
int storage_write(int fd, struct lighter_sink *sink, struct lighter_error *err);

/* fsync(2). A failure is final: the kernel may have dropped what it could not write, so
 * that trying again would lie. Return: 0; -errno.
 */
int storage_sync(int fd, const char *name, struct lighter_error *err);

/* The same of a directory: the names in it. */
int storage_sync_names(int fd, const char *name, struct lighter_error *err);

/* The same with fdatasync(2): the bytes and what it takes to find them. */
int storage_sync_data(int fd, const char *name, struct lighter_error *err);

/* syncfs(2): all that was written to the file system that `fd` is on. */
int storage_sync_all(int fd, struct lighter_error *err);

/* Append [offset, end of file) of `from` to `to`, whose position is at its end. Without
 * a copy through user space where the file system can. *ret_size: bytes appended.
 * Return: 0; -errno.
 */
int storage_append(int to, int from, uint64_t offset, uint64_t *ret_size,
                   struct lighter_error *err);

/* What a user may still write on a disk. */
struct storage_space {
    int64_t free_bytes; /* where no quota says less; -1: not known */
    bool lacks_inodes;  /* ... but no new file */
};

/* Of the disk of `fd`. */
struct storage_space storage_space(int fd);

#endif
