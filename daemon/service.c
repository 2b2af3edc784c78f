/* service.c - see service.h. */
#include "daemon/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_PASSED_FD 3

/* Is `variable` meant for this process, as the pid in `pid_variable` says? */
static const char *
get_own(const char *variable, const char *pid_variable)
{
    const char *pid = getenv(pid_variable);

    return pid && strtol(pid, NULL, 10) == (long)getpid() ? getenv(variable) : NULL;
}

int
service_take_socket(struct lighter_error *err)
{
    const char *text = get_own("LISTEN_FDS", "LISTEN_PID");
    long n = text ? strtol(text, NULL, 10) : 0;

    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    if (n == 0)
        return -ENOENT;
    if (n != 1)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "the service manager passed %ld sockets; one is expected",
                            n);
    return FIRST_PASSED_FD;
}

/* Its address, a path or (with '@') an abstract name. */
static bool
find_manager(struct sockaddr_un *address, socklen_t *ret_size)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t size = path ? strlen(path) : 0;

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (size < 2 || size >= sizeof address->sun_path ||
        (path[0] != '/' && path[0] != '@'))
        return false;
    memcpy(address->sun_path, path, size);
    if (path[0] == '@')
        address->sun_path[0] = '\0';
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

static void
notify(const char *lines, int flags)
{
    struct sockaddr_un address;
    socklen_t size;
    int fd;

    if (!find_manager(&address, &size))
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return; /* it will hear of us by its timeout */
    sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | flags, (struct sockaddr *)&address,
           size);
    close(fd);
}

void
service_ready(void)
{
    notify("READY=1", 0);
}

void
service_notify(const char *lines)
{
    notify(lines, MSG_DONTWAIT);
}

uint64_t
service_watchdog_ms(void)
{
    const char *text = getenv("WATCHDOG_PID") ? get_own("WATCHDOG_USEC", "WATCHDOG_PID")
                                              : getenv("WATCHDOG_USEC");

    return text ? strtoull(text, NULL, 10) / 1000 : 0;
}
