/* memory.h - memory that a client made and shares: where its tensors may lie.
 *
 * In: a descriptor from the client, who is not trusted. Out: its bytes, mapped to be
 * read. It cannot shrink while it is mapped, so that reading it never faults; but its
 * bytes may change at any time, and nothing that steers a loop may be read from it
 * twice. Shared by the connection and the batches on their way: when the last one lets
 * go it is unmapped, by a worker. Loop thread; the bytes: any thread.
 */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

#include <lighter/error.h>

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct memory {
    unsigned refs;
    const uint8_t *data;
    size_t size; /* bytes */
    uv_loop_t *loop;
    uv_work_t work; /* the end */
};

/* Takes the descriptor, always. It must be a memfd that is sealed against shrinking,
 * growing and more seals, or can be: then it is. One reference, the caller's; the loop
 * must run after the last one is gone.
 *
 * Return: 0; -EINVAL where it is another thing, or its size is not `size`; -EDQUOT
 *         where that is above `max_size`; -errno where it cannot be mapped; -ENOMEM.
 */
int memory_open(struct memory **ret_memory, uv_loop_t *loop, int fd, uint64_t size,
                uint64_t max_size, struct lighter_error *err);

struct memory *memory_ref(struct memory *memory);   /* takes NULL as well */
struct memory *memory_unref(struct memory *memory); /* returns NULL */

#endif
