/* memory.c - see memory.h. */
#include "client/c/memory.h"

#include "util/error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIN_SIZE ((size_t)64 << 20)
#define N_BATCHES ((size_t)8) /* that it has room for, where it may be so large */
#define PAGE                                                                           \
    ((size_t)4096) /* slots are multiples of it; a larger page does no harm            \
                    */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static size_t
round_up(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

size_t
memory_room(size_t max_size)
{
    return max_size / PAGE * PAGE;
}

size_t
memory_size_for(size_t batch_size, size_t max_size)
{
    size_t size =
        batch_size > max_size / N_BATCHES ? max_size : round_up(N_BATCHES * batch_size);

    if (size < MIN_SIZE)
        size = MIN_SIZE;
    return size < max_size ? size : max_size;
}

static int
map(struct client_memory *memory, int fd, size_t size, struct lighter_error *err)
{
    void *bytes;

    if (ftruncate(fd, (off_t)size) < 0)
        return lighter_fail_os(err, errno, "give memory a size of %zu bytes", size);
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return lighter_fail_os(err, errno, "map %zu bytes of memory", size);
    *memory = (struct client_memory){.bytes = bytes, .fd = fd, .size = size};
    return 0;
}

int
memory_open(struct client_memory *memory, size_t size, struct lighter_error *err)
{
    int fd = memfd_create("liblighter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r;

    *memory = (struct client_memory){0};
    if (fd < 0)
        return lighter_fail_os(err, errno, "make memory to share");
    r = map(memory, fd, size, err);
    if (r < 0)
        close(fd);
    return r;
}

void
memory_close(struct client_memory *memory)
{
    if (memory->bytes) {
        munmap(memory->bytes, memory->size);
        close(memory->fd);
    }
    free(memory->used);
    *memory = (struct client_memory){0};
}

/* Have the pages below `end` there, all at once: one by one, when they are touched,
 * they cost more; and where there are no more of them, that would be the process's end.
 */
static int
populate(struct client_memory *memory, size_t end, struct lighter_error *err)
{
    uint8_t *from = memory->bytes + memory->populated;

    if (end <= memory->populated)
        return 0;
    if (madvise(from, end - memory->populated, MADV_POPULATE_WRITE) < 0 &&
        errno != EINVAL) /* that is an older kernel */
        return lighter_fail_os(err, errno, "get pages of memory");
    memory->populated = end;
    return 0;
}

/* Where in `used` the first gap of so many bytes is, or all ends; its start. */
static size_t
find_gap(const struct client_memory *memory, size_t size, size_t *ret_start)
{
    size_t i, start = 0;

    for (i = 0; i < memory->n_used; i++) {
        if (memory->used[i].start - start >= size)
            break;
        start = memory->used[i].start + memory->used[i].size;
    }
    *ret_start = start;
    return i;
}

static bool
grow(struct client_memory *memory)
{
    size_t room = 2 * memory->used_room + 8;
    struct slot *used;

    if (memory->n_used < memory->used_room)
        return true;
    used = reallocarray(memory->used, room, sizeof *used);
    if (!used)
        return false;
    memory->used = used;
    memory->used_room = room;
    return true;
}

int
memory_take(struct client_memory *memory, size_t size, struct slot *ret_slot,
            struct lighter_error *err)
{
    size_t start, i;
    int r;

    size = round_up(size);
    i = find_gap(memory, size, &start);
    if (size > memory->size - start)
        return MEMORY_FULL;
    if (!grow(memory))
        return fail_nomem(err);
    r = populate(memory, start + size, err);
    if (r < 0)
        return r;
    memmove(&memory->used[i + 1], &memory->used[i],
            (memory->n_used - i) * sizeof *memory->used);
    memory->used[i] = *ret_slot = (struct slot){start, size};
    memory->n_used++;
    return 0;
}

void
memory_give_back(struct client_memory *memory, struct slot slot)
{
    size_t i = 0;

    while (memory->used[i].start != slot.start)
        i++;
    memory->n_used--;
    memmove(&memory->used[i], &memory->used[i + 1],
            (memory->n_used - i) * sizeof *memory->used);
}
