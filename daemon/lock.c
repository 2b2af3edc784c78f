/* lock.c - see lock.h. */
#include "daemon/lock.h"

#include "util/error.h"
#include "util/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>

/* What flock(2) says where there are none, and no server that could keep them. */
static bool
has_no_locks(int errnum)
{
    return errnum == ENOLCK || errnum == ENOSYS || errnum == EOPNOTSUPP ||
           errnum == EINVAL;
}

int
lock_take(int fd, const char *name, struct lighter_error *err)
{
    static atomic_flag is_said = ATOMIC_FLAG_INIT;
    int r;

    do
        r = flock(fd, LOCK_EX | LOCK_NB);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return LOCK_TAKEN;
    if (!has_no_locks(errno))
        return lighter_fail_os(err, errno, "lock '%s'", name);
    if (!atomic_flag_test_and_set(&is_said))
        log_warning("goes on without locks path=%s reason=\"flock: %s; see to it "
                    "that no two daemons have the same socket or state directory\"",
                    LOG_VALUE(name), strerror(errno));
    return 0;
}
