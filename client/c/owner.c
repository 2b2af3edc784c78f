/* owner.c - see owner.h. */
#include "client/c/owner.h"

#include "util/error.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define VARIABLE "LIGHTERD_OWNER"

int
owner_find(const char *told, uid_t *ret_uid, struct lighter_error *err)
{
    const struct passwd *user;
    unsigned long number;
    char *end;

    told = told ? told : getenv(VARIABLE);
    if (!told || !*told) {
        *ret_uid = geteuid();
        return 0;
    }
    number = strtoul(told, &end, 10);
    user = *end ? getpwnam(told) : NULL;
    if (*end && !user)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "there is no user '%.100s': 'owner' and $" VARIABLE
                            " expect the name or number of the user whose daemon it is",
                            told);
    *ret_uid = user ? user->pw_uid : (uid_t)number;
    return 0;
}

static bool
find_peer(int fd, uid_t *ret_uid)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    *ret_uid = peer.uid;
    return true;
}

/* For people. */
static void
name_user(char *text, size_t size, uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    if (user)
        snprintf(text, size, "%s (uid %u)", user->pw_name, (unsigned)uid);
    else
        snprintf(text, size, "uid %u", (unsigned)uid);
}

int
owner_check(int fd, uid_t uid, const char *path, struct lighter_error *err)
{
    char found_name[100], wanted_name[100];
    uid_t found;

    if (!find_peer(fd, &found))
        return lighter_fail_os(err, errno, "find out whose daemon listens on %s", path);
    if (found == uid || found == 0)
        return 0;
    name_user(found_name, sizeof found_name, found);
    name_user(wanted_name, sizeof wanted_name, uid);
    return lighter_fail(err, LIGHTER_E_STATE,
                        "the daemon on %s is of user %s; expected %s or root: what is "
                        "handed over would be that user's. If it may be, name the user "
                        "by $" VARIABLE,
                        path, found_name, wanted_name);
}

bool
owner_is_served(int fd)
{
    uid_t found;

    return geteuid() == 0 || (find_peer(fd, &found) && found == geteuid());
}
