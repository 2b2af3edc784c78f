/* error.h - what rooms do with a struct lighter_error besides filling it. */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <lighter/error.h>

#include <stdlib.h>

/* Put "<context>: " before the message. `r` is handed through: return error_wrap(...).
 */
__attribute__((format(printf, 3, 4))) int error_wrap(struct lighter_error *err, int r,
                                                     const char *format, ...);

/* Say the same. */
static inline int
error_copy(struct lighter_error *err, const struct lighter_error *from)
{
    if (err)
        *err = *from;
    return -lighter_fail_errnum(from->code);
}

/* Run `fn` on a local's address when it goes out of scope. */
#define AUTO(fn) __attribute__((cleanup(fn)))

static inline void
free_bytes(void *pointer)
{
    free(*(void **)pointer);
}

static inline int
fail_nomem(struct lighter_error *err)
{
    return lighter_fail_os(err, ENOMEM, "out of memory");
}

#endif
