/* visitors.c - see visitors.h. */
#include "daemon/visitors.h"

#include "util/error.h"
#include "util/log.h"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

static int
find_user(const char *name, id_t *ret_id, struct lighter_error *err)
{
    const struct passwd *user = getpwnam(name);

    if (!user)
        return lighter_fail(err, LIGHTER_E_PARAMS, "there is no user '%.64s'", name);
    *ret_id = user->pw_uid;
    return 0;
}

static int
find_group(const char *name, id_t *ret_id, struct lighter_error *err)
{
    const struct group *group = getgrnam(name);

    if (!group)
        return lighter_fail(err, LIGHTER_E_PARAMS, "there is no group '%.64s'", name);
    *ret_id = group->gr_gid;
    return 0;
}

/* uid_t, gid_t and id_t are one type here: the lists are filled by one function. */
_Static_assert(sizeof(uid_t) == sizeof(id_t) && sizeof(gid_t) == sizeof(id_t),
               "ids have one size");

static int
find_all(const char *names, int (*find)(const char *, id_t *, struct lighter_error *),
         id_t **ret_ids, size_t *ret_n, struct lighter_error *err)
{
    AUTO(free_bytes) char *copy = strdup(names ? names : "");
    char *rest, *name;
    int r = 0;

    if (!copy)
        return fail_nomem(err);
    *ret_ids = calloc(strlen(copy) + 1, sizeof **ret_ids); /* more than names */
    if (!*ret_ids)
        return fail_nomem(err);
    for (name = strtok_r(copy, ", ", &rest); name && r == 0;
         name = strtok_r(NULL, ", ", &rest))
        r = find(name, &(*ret_ids)[(*ret_n)++], err);
    return r;
}

int
visitors_init(struct visitors *visitors, const char *users, const char *groups,
              struct lighter_error *err)
{
    int r;

    *visitors = (struct visitors){0};
    r = find_all(users, find_user, &visitors->uids, &visitors->n_uids, err);
    if (r == 0)
        r = find_all(groups, find_group, &visitors->gids, &visitors->n_gids, err);
    if (r < 0)
        visitors_done(visitors);
    return r;
}

void
visitors_done(struct visitors *visitors)
{
    free(visitors->uids);
    free(visitors->gids);
    *visitors = (struct visitors){0};
}

bool
visitors_any(const struct visitors *visitors)
{
    return visitors->n_uids || visitors->n_gids;
}

static bool
has_group(const struct visitors *visitors, gid_t gid)
{
    for (size_t i = 0; i < visitors->n_gids; i++)
        if (visitors->gids[i] == gid)
            return true;
    return false;
}

/* The groups that the peer had when it connected, besides its first. */
static bool
has_other_group(const struct visitors *visitors, int fd)
{
    gid_t gids[1024];
    socklen_t size = sizeof gids;

    if (!visitors->n_gids || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) < 0)
        return false;
    for (size_t i = 0; i < size / sizeof *gids; i++)
        if (has_group(visitors, gids[i]))
            return true;
    return false;
}

bool
visitors_admit(const struct visitors *visitors, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    if (peer.uid == geteuid() || peer.uid == 0)
        return true;
    for (size_t i = 0; i < visitors->n_uids; i++)
        if (visitors->uids[i] == peer.uid)
            return true;
    if (has_group(visitors, peer.gid) || has_other_group(visitors, fd))
        return true;
    log_warning("refused a client uid=%u pid=%d", (unsigned)peer.uid, (int)peer.pid);
    return false;
}
