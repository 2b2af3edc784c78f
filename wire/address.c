/* address.c - see address.h. */
#include "wire/address.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_SOCKET "/run/lighterd/lighterd.sock"

__attribute__((format(printf, 3, 4))) static int
set_path(struct sockaddr_un *address, struct lighter_error *err, const char *format,
         ...)
{
    va_list args;
    int size;

    address->sun_family = AF_UNIX;
    va_start(args, format);
    size = vsnprintf(address->sun_path, sizeof address->sun_path, format, args);
    va_end(args);
    if (size <= 0)
        return lighter_fail(err, LIGHTER_E_PARAMS, "the socket's path is empty");
    if ((size_t)size >= sizeof address->sun_path) {
        lighter_fail_os(err, ENAMETOOLONG,
                        "a socket's path of %d bytes; at most %zu fit ('%s...')", size,
                        sizeof address->sun_path - 1, address->sun_path);
        return -ENAMETOOLONG;
    }
    return 0;
}

/* Anyone can make a directory in /tmp: one that is there must be ours alone. */
static int
use_tmp(struct sockaddr_un *address, struct lighter_error *err)
{
    struct stat status;
    char directory[64];

    snprintf(directory, sizeof directory, "/tmp/lighterd-%u", (unsigned)geteuid());
    mkdir(directory, 0700); /* first, so that nobody can make it after the look */
    if (lstat(directory, &status) < 0)
        return lighter_fail_os(err, errno, "look at %s", directory);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 0777) != 0700)
        return lighter_fail_os(
            err, EPERM, "%s is not a directory of mode 0700 that belongs to this user",
            directory);
    return set_path(address, err, "%s/lighterd.sock", directory);
}

int
address_find(const char *wanted, struct sockaddr_un *ret_address,
             struct lighter_error *err)
{
    const char *named = getenv("LIGHTERD_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    *ret_address = (struct sockaddr_un){0};
    if (wanted)
        return set_path(ret_address, err, "%s", wanted);
    if (named && *named)
        return set_path(ret_address, err, "%s", named);
    if (runtime && *runtime)
        return set_path(ret_address, err, "%s/lighterd/lighterd.sock", runtime);
    if (geteuid() == 0 || access(SYSTEM_SOCKET, F_OK) == 0)
        return set_path(ret_address, err, "%s", SYSTEM_SOCKET);
    return use_tmp(ret_address, err);
}
