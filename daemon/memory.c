/* memory.c - see memory.h. */
#include "daemon/memory.h"

#include "util/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int
refuse(struct lighter_error *err, const char *what)
{
    return lighter_fail(err, LIGHTER_E_PARAMS, "the descriptor of 'memory' %s", what);
}

/* Huge pages run out when they are touched, and that is a SIGBUS. */
static int
check_pages(int fd, struct lighter_error *err)
{
    struct statfs status;

    if (fstatfs(fd, &status) < 0)
        return lighter_fail_os(err, errno, "look at the descriptor of 'memory'");
    return status.f_type == HUGETLBFS_MAGIC ? refuse(err, "has huge pages") : 0;
}

/* Whoever holds the memfd could else cut it short under our hands. */
static int
seal(int fd, struct lighter_error *err)
{
    int seals = fcntl(fd, F_GET_SEALS), r;

    if (seals < 0)
        return refuse(err, "is no memfd");
    r = check_pages(fd, err);
    if (r < 0 || (seals & SEALS) == SEALS)
        return r;
    if (seals & F_SEAL_SEAL)
        return refuse(err, "does not allow to be sealed: MFD_ALLOW_SEALING is missing");
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return refuse(err, errno == EPERM ? "cannot be sealed: it is read-only"
                                          : "cannot be sealed");
    return 0;
}

/* After the seals: what is true now stays true. */
static int
check_size(int fd, uint64_t size, uint64_t max_size, struct lighter_error *err)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return lighter_fail_os(err, errno, "look at the descriptor of 'memory'");
    if ((uint64_t)status.st_size != size)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "the descriptor of 'memory' has %" PRIu64
                            " bytes, and 'size' says %" PRIu64,
                            (uint64_t)status.st_size, size);
    if (size > max_size)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "a memory of %" PRIu64
                            " bytes; max_memory_bytes is %" PRIu64,
                            size, max_size);
    return 0;
}

static int
map(struct memory *memory, int fd, struct lighter_error *err)
{
    void *data = mmap(NULL, memory->size, PROT_READ, MAP_SHARED, fd, 0);

    if (data == MAP_FAILED)
        return lighter_fail_os(err, errno, "map %zu bytes of client memory",
                               memory->size);
    memory->data = data;
    return 0;
}

static int
open_sealed(struct memory **ret_memory, uv_loop_t *loop, int fd, uint64_t size,
            struct lighter_error *err)
{
    struct memory *memory = calloc(1, sizeof *memory);
    int r;

    if (!memory)
        return fail_nomem(err);
    memory->refs = 1;
    memory->size = size;
    memory->loop = loop;
    memory->work.data = memory;
    r = map(memory, fd, err);
    if (r < 0) {
        free(memory);
        return r;
    }
    *ret_memory = memory;
    return 0;
}

int
memory_open(struct memory **ret_memory, uv_loop_t *loop, int fd, uint64_t size,
            uint64_t max_size, struct lighter_error *err)
{
    int r = seal(fd, err);

    if (r == 0)
        r = check_size(fd, size, max_size, err);
    if (r == 0)
        r = open_sealed(ret_memory, loop, fd, size, err);
    close(fd);
    return r;
}

struct memory *
memory_ref(struct memory *memory)
{
    if (memory)
        memory->refs++;
    return memory;
}

static void
run_unmap(uv_work_t *work)
{
    struct memory *memory = work->data;

    munmap((void *)memory->data, memory->size);
}

static void
after_unmap(uv_work_t *work, int status)
{
    (void)status;
    free(work->data);
}

/* Where the client has gone its pages go as well: seen, 75 ms for 1 GiB. */
struct memory *
memory_unref(struct memory *memory)
{
    if (memory && --memory->refs == 0 &&
        uv_queue_work(memory->loop, &memory->work, run_unmap, after_unmap) < 0)
        abort(); /* fails only for a NULL callback: a bug of ours */
    return NULL;
}
