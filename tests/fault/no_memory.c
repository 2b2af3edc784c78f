/* no_memory.c - a C library that has no more memory, at an allocation of choice.
 *
 * $NO_MEMORY names a file of two numbers in the machine's order: the first counts down
 * at each allocation once it is above 0, and that which makes it 0 fails; where the
 * second is not 0, so do all that follow, for so many allocations. The file is mapped:
 * who runs the daemon writes the numbers when it likes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

struct plan {
    atomic_llong countdown, more, n_failed;
};

static struct plan none;
static struct plan *plan = &none;

static void __attribute__((constructor))
read_plan(void)
{
    const char *path = getenv("NO_MEMORY");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED
                          : mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE,
                                 MAP_SHARED, fd, 0);

    if (mapped != MAP_FAILED)
        plan = mapped;
    if (fd >= 0)
        close(fd);
}

static bool
must_fail(void)
{
    long long left = atomic_load(&plan->countdown);

    while (left > 0 && !atomic_compare_exchange_weak(&plan->countdown, &left, left - 1))
        ;
    if (left > 1 || left == 0)
        return false;
    if (left < 0 && atomic_fetch_add(&plan->countdown, 1) >= 0)
        return false;
    if (left == 1)
        atomic_store(&plan->countdown, -atomic_load(&plan->more));
    atomic_fetch_add(&plan->n_failed, 1);
    errno = ENOMEM;
    return true;
}

SHOWN void *
malloc(size_t size)
{
    return must_fail() ? NULL : __libc_malloc(size);
}

SHOWN void *
calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __libc_calloc(n, size);
}

SHOWN void *
realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __libc_realloc(old, size);
}

SHOWN void *
reallocarray(void *old, size_t n, size_t size)
{
    size_t all;

    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, all);
}

SHOWN void *
aligned_alloc(size_t alignment, size_t size)
{
    return must_fail() ? NULL : __libc_memalign(alignment, size);
}

SHOWN int
posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    *ret_memory = must_fail() ? NULL : __libc_memalign(alignment, size);
    return *ret_memory ? 0 : ENOMEM;
}

SHOWN char *
strdup(const char *text)
{
    char *copy = malloc(strlen(text) + 1);

    return copy ? strcpy(copy, text) : NULL;
}
