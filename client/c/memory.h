/* memory.h - memory that this client shares with the daemon, and which parts are in
 * use.
 *
 * In: the bytes of large tensors. Out: each copied once, to where the daemon reads it
 * (doc/protocol.md, "memory"). A batch has one slot, from before its frame is sent
 * until it is answered; the lowest place that is free comes first, so that the pages in
 * use stay few, and in the caches. The session owns it.
 */
#ifndef CLIENT_MEMORY_H
#define CLIENT_MEMORY_H

#include <lighter/error.h>

#include <stddef.h>
#include <stdint.h>

/* Bytes of a tensor; below, it goes through the socket, copied into its frame before.
 * Measured, what the fastest tenth of writes takes by socket and by memory, in
 * microseconds: 4 KiB 4.5 and 4.1, 16 KiB 4.9 and 4.1, 32 KiB 5.9 and 4.4, 64 KiB 7.5
 * and 4.9, 96 KiB 8.8 and 7.3, 127 KiB 25 and (128 KiB) 6.5.
 */
#define MEMORY_WORTH ((size_t)32 << 10)

#define MEMORY_ALIGNMENT 64u /* of tensors: a cache line, and the widest registers */

enum { MEMORY_FULL = 1 };

struct slot {
    size_t start, size; /* bytes; size 0: none */
};

struct client_memory {
    uint8_t *bytes; /* NULL: there is none */
    int fd;         /* owned: the next daemon gets it too */
    size_t size, populated;
    struct slot *used; /* owned; by start */
    size_t n_used, used_room;
};

/* Bytes of whole pages among so many: slots have no others. */
size_t memory_room(size_t max_size);

/* How much to share, where the first batch that wants some has so many bytes. */
size_t memory_size_for(size_t batch_size, size_t max_size);

/* Return: 0; -errno, and `memory` is as memory_close() leaves it. */
int memory_open(struct client_memory *memory, size_t size, struct lighter_error *err);
void memory_close(struct client_memory *memory);

/* Return: 0; MEMORY_FULL: not now, or it is larger than all; -errno: there are no more
 * pages.
 */
int memory_take(struct client_memory *memory, size_t size, struct slot *ret_slot,
                struct lighter_error *err);
void memory_give_back(struct client_memory *memory, struct slot slot);

#endif
