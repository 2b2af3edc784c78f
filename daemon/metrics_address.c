/* metrics_address.c - see metrics_address.h. */
#include "daemon/metrics_address.h"

#include "util/error.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static bool
parse_port(const char *text, in_port_t *ret_port)
{
    unsigned long port = 0;

    if (!*text || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return false;
    port = strtoul(text, NULL, 10);
    *ret_port = htons((uint16_t)port);
    return port <= UINT16_MAX;
}

static bool
parse_unix(const char *path, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_un *address = (struct sockaddr_un *)ret_address;

    if (*path != '/' || strlen(path) >= sizeof address->sun_path)
        return false;
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, path);
    *ret_size = sizeof *address;
    return true;
}

static bool
parse_internet(const char *text, struct sockaddr_storage *ret_address,
               socklen_t *ret_size)
{
    struct sockaddr_in *four = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret_address;

    if (strncmp(text, "127.0.0.1:", 10) == 0) {
        four->sin_family = AF_INET;
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *ret_size = sizeof *four;
        return parse_port(text + 10, &four->sin_port);
    }
    if (strncmp(text, "[::1]:", 6) != 0)
        return false;
    six->sin6_family = AF_INET6;
    six->sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    *ret_size = sizeof *six;
    return parse_port(text + 6, &six->sin6_port);
}

int
metrics_address(const char *text, struct sockaddr_storage *ret_address,
                socklen_t *ret_size, struct lighter_error *err)
{
    struct sockaddr_storage address = {0};
    bool is_sound = strncmp(text, "unix:", 5) == 0
                        ? parse_unix(text + 5, &address, ret_size)
                        : parse_internet(text, &address, ret_size);

    if (!is_sound)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'metrics_listen' expects 127.0.0.1:PORT, [::1]:PORT or "
                            "unix:/PATH, got '%.200s'",
                            text);
    *ret_address = address;
    return 0;
}
