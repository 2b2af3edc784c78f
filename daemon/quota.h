/* quota.h - how many bytes of batches are on their way, for one client and for all.
 *
 * Every byte that a client makes the daemon hold is charged to the client and to the
 * daemon by the batch that holds it; what is no batch yet has bounds of its own
 * (turns.h). Over the mark the client's socket is not read; nothing is refused or
 * dropped. Loop thread only.
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include <stdbool.h>
#include <stddef.h>

struct quota {
    size_t used, max;     /* bytes */
    struct quota *parent; /* charged as well; NULL for the daemon's own */
};

static inline void
quota_charge(struct quota *quota, size_t size)
{
    for (; quota; quota = quota->parent)
        quota->used += size;
}

static inline void
quota_release(struct quota *quota, size_t size)
{
    for (; quota; quota = quota->parent)
        quota->used -= size;
}

/* Is there room for more? One batch always fits: else a large one could never come. */
static inline bool
quota_has_room(const struct quota *quota)
{
    for (; quota; quota = quota->parent)
        if (quota->used >= quota->max)
            return false;
    return true;
}

#endif
