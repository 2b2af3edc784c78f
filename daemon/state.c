/* state.c - see state.h. */
#include "daemon/state.h"

#include "daemon/lock.h"
#include "daemon/own.h"
#include "daemon/path.h"
#include "util/error.h"
#include "util/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char suffix[] = ".journal";

/* ---- where it is ---- */

/* The socket's path as one component, and no two as the same: '/' becomes '%'; '%' and
 * '+' get a '+' before them.
 */
static void
escape(char *to, size_t room, const char *path)
{
    size_t used = 0;

    for (; *path && used + 3 < room; path++) {
        if (*path == '%' || *path == '+')
            to[used++] = '+';
        to[used++] = *path == '/' ? '%' : *path;
    }
    to[used] = '\0';
}

/* `format` has one %s, for `base`. Return: false where it is not set, or no path. */
static bool
base_from(char base[PATH_MAX], const char *variable, const char *below)
{
    const char *value = getenv(variable);

    return value && value[0] == '/' &&
           (size_t)snprintf(base, PATH_MAX, "%s%s", value, below) < PATH_MAX;
}

static bool
find_base(char base[PATH_MAX])
{
    return base_from(base, "STATE_DIRECTORY", "") ||
           base_from(base, "XDG_STATE_HOME", "/lighterd") ||
           base_from(base, "HOME", "/.local/state/lighterd");
}

static int
open_below(struct state *state, const char *base, const char *socket,
           struct lighter_error *err)
{
    char host[HOST_NAME_MAX + 1] = "", folder[NAME_MAX + 1];
    int size;

    gethostname(host, sizeof host - 1);
    escape(folder, sizeof folder, socket);
    size = snprintf(state->path, sizeof state->path, "%s/%s/%s", base,
                    *host ? host : "localhost", folder);
    if ((size_t)size >= sizeof state->path)
        return lighter_fail_os(err, ENAMETOOLONG, "the state directory below '%s'",
                               base);
    return path_make_directory(state->path, &state->fd, err);
}

/* Beside the socket: it may be gone with the next boot, but the daemon runs. */
static int
open_beside(struct state *state, const char *socket, struct lighter_error *err)
{
    if ((size_t)snprintf(state->path, sizeof state->path, "%s.state", socket) >=
        sizeof state->path)
        return lighter_fail_os(err, ENAMETOOLONG, "'%s.state'", socket);
    return path_make_directory(state->path, &state->fd, err);
}

static int
find_and_open(struct state *state, const char *directory, const char *socket,
              struct lighter_error *err)
{
    char base[PATH_MAX];

    if (directory)
        return open_below(state, directory, socket, err);
    if (find_base(base)) {
        if (open_below(state, base, socket, err) == 0)
            return 0;
        log_warning("no state directory: %s; what is unfinished may not outlive the "
                    "machine's next boot",
                    err->message);
    }
    return open_beside(state, socket, err);
}

static int
lock(const struct state *state, struct lighter_error *err)
{
    int r = lock_take(state->fd, state->path, err);

    if (r != LOCK_TAKEN)
        return r;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "another lighterd has the state directory '%s'", state->path);
}

int
state_open(struct state *state, const char *directory, const char *socket,
           struct lighter_error *err)
{
    char absolute[PATH_MAX];
    int r;

    *state = (struct state){.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (socket[0] != '/' && realpath(".", absolute)) {
        strncat(absolute, "/", sizeof absolute - strlen(absolute) - 1);
        strncat(absolute, socket, sizeof absolute - strlen(absolute) - 1);
        socket = absolute;
    }
    r = find_and_open(state, directory, socket, err);
    if (r < 0)
        return r;
    r = lock(state, err);
    if (r < 0) {
        close(state->fd);
        state->fd = -1;
    }
    return r;
}

static bool
is_removed(const struct state *state)
{
    struct stat status;

    return fstat(state->fd, &status) == 0 && status.st_nlink == 0;
}

/* Who has the descriptor's number goes on with the new one. */
static int
make_anew(struct state *state, struct lighter_error *err)
{
    struct state anew = *state;
    int r = path_make_directory(state->path, &anew.fd, err);

    if (r < 0)
        return error_wrap(err, r, "the state directory '%s' was removed", state->path);
    r = lock(&anew, err);
    if (r == 0 && dup3(anew.fd, state->fd, O_CLOEXEC) < 0)
        r = lighter_fail_os(err, errno, "open the state directory '%s'", state->path);
    close(anew.fd);
    if (r == 0)
        log_warning("made anew, for it was removed directory=%s",
                    LOG_VALUE(state->path));
    return r;
}

int
state_ensure(struct state *state, struct lighter_error *err)
{
    int r;

    pthread_mutex_lock(&state->lock);
    r = is_removed(state) ? make_anew(state, err) : 0;
    pthread_mutex_unlock(&state->lock);
    return r;
}

void
state_done(struct state *state)
{
    struct own_id id;

    if (state->fd < 0)
        return;
    if (own_of(state->fd, &id, NULL) == 0)
        own_remove_directory(AT_FDCWD, state->path, &id, NULL); /* where it is empty */
    close(state->fd);
    state->fd = -1;
}

/* ---- what is in it ---- */

void
state_journal_name(char ret_name[NAME_MAX + 1], const char *job, const char *stage)
{
    snprintf(ret_name, NAME_MAX + 1, "%s.%s%s", job, stage, suffix);
}

static bool
is_journal(const char *name)
{
    size_t size = strlen(name);

    return size > sizeof suffix - 1 &&
           strcmp(name + size - (sizeof suffix - 1), suffix) == 0;
}

bool
state_split_name(const char *name, char *ret_job, size_t job_room, char *ret_stage,
                 size_t stage_room)
{
    size_t size = is_journal(name) ? strlen(name) - (sizeof suffix - 1) : 0;
    const char *dot = size ? memrchr(name, '.', size) : NULL;
    size_t job_size = dot ? (size_t)(dot - name) : 0,
           stage_size = dot ? size - job_size - 1 : 0;

    if (!job_size || !stage_size || job_size >= job_room || stage_size >= stage_room)
        return false;
    memcpy(ret_job, name, job_size);
    ret_job[job_size] = '\0';
    memcpy(ret_stage, dot + 1, stage_size);
    ret_stage[stage_size] = '\0';
    return true;
}

struct found {
    struct timespec changed;
    char name[NAME_MAX + 1];
};

static int
by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const struct found *)a)->changed,
                          *y = &((const struct found *)b)->changed;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static int
add(struct found **list, size_t *n, const char *name, const struct stat *status,
    struct lighter_error *err)
{
    struct found *more = reallocarray(*list, *n + 1, sizeof *more);

    if (!more)
        return fail_nomem(err);
    *list = more;
    more[*n].changed = status->st_mtim;
    strcpy(more[(*n)++].name, name);
    return 0;
}

/* *ret_list: owned, also where this fails. */
static int
list_journals(const struct state *state, DIR *dir, struct found **ret_list,
              size_t *ret_n, struct lighter_error *err)
{
    const struct dirent *entry;
    struct stat status;
    int r = 0, end = 0;

    while (r == 0 && (entry = path_next(dir, &end)))
        if (is_journal(entry->d_name) &&
            fstatat(state->fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            r = add(ret_list, ret_n, entry->d_name, &status, err);
    return end < 0 ? lighter_fail_os(err, -end, "read the state directory '%s'",
                                     state->path)
                   : r;
}

int
state_each(const struct state *state,
           int (*visit)(void *data, const char *name, struct lighter_error *err),
           void *data, struct lighter_error *err)
{
    AUTO(free_bytes) struct found *list = NULL;
    DIR *dir = path_list(state->fd);
    size_t n = 0;
    int r;

    if (!dir)
        return lighter_fail_os(err, errno, "read the state directory '%s'",
                               state->path);
    r = list_journals(state, dir, &list, &n, err);
    closedir(dir);
    if (n)
        qsort(list, n, sizeof *list, by_age);
    for (size_t i = 0; i < n && r == 0; i++)
        r = visit(data, list[i].name, err);
    return r;
}
