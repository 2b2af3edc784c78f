/* claims.c - see claims.h. */
#include "daemon/claims.h"

#include "daemon/own.h"
#include "daemon/path.h"
#include "util/error.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS_MAX 64 /* directories above a target that are looked at */

struct claim {
    TAILQ_ENTRY(claim) link;
    struct claims *claims;
    const void *job;
    unsigned writer;
    char *job_name, *stage, *target, *suffix, *names, *name; /* owned */
    char *path;                       /* of its directory, without links; owned */
    struct own_id levels[LEVELS_MAX]; /* the directory, the one that it is in, ... */
    size_t n_levels;
    int staging_fd; /* of files, borrowed; -1: nothing is staged yet */
};

void
claims_init(struct claims *claims)
{
    pthread_mutex_init(&claims->lock, NULL);
    TAILQ_INIT(&claims->list);
}

void
claims_done(struct claims *claims)
{
    pthread_mutex_destroy(&claims->lock);
}

/* ---- one claim ---- */

static void
release(struct claim *claim)
{
    free(claim->job_name);
    free(claim->stage);
    free(claim->target);
    free(claim->suffix);
    free(claim->names);
    free(claim->name);
    free(claim->path);
    free(claim);
}

struct claim *
claim_free(struct claim *claim)
{
    struct claims *claims = claim ? claim->claims : NULL;

    if (!claim)
        return NULL;
    pthread_mutex_lock(&claims->lock);
    TAILQ_REMOVE(&claims->list, claim, link);
    pthread_mutex_unlock(&claims->lock);
    release(claim);
    return NULL;
}

/* The directory and those above it, by identity; and its path, which has their names.
 */
static int
climb(struct claim *claim, int fd, struct lighter_error *err)
{
    char path[PATH_MAX] = "";
    int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), above, r = 0;

    path_of(fd, path); /* where that is not known it is below nothing */
    claim->path = strdup(path);
    while (at >= 0 && claim->n_levels < LEVELS_MAX && r == 0) {
        struct own_id *level = &claim->levels[claim->n_levels];

        r = own_of(at, level, err);
        if (claim->n_levels && own_same(level, level - 1))
            break; /* above "/" is "/" */
        claim->n_levels++;
        above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = above; /* one that may not be looked at is the last */
    }
    if (at >= 0)
        close(at);
    if (r == 0 && !claim->n_levels)
        return lighter_fail_os(err, errno, "look at the directory of an output");
    return r < 0 ? r : claim->path ? 0 : fail_nomem(err);
}

static bool
copy_text(char **ret_copy, const char *text)
{
    *ret_copy = text ? strdup(text) : NULL;
    return !text || *ret_copy;
}

static int
make(struct claims *claims, const struct claim_of *of, int fd, const char *name,
     struct claim **ret_claim, struct lighter_error *err)
{
    struct claim *claim = calloc(1, sizeof *claim);
    int r = 0;

    if (!claim)
        return fail_nomem(err);
    claim->claims = claims;
    claim->job = of->job;
    claim->writer = of->writer;
    claim->staging_fd = -1;
    if (!copy_text(&claim->job_name, of->job_name) ||
        !copy_text(&claim->stage, of->stage) ||
        !copy_text(&claim->target, of->target) ||
        !copy_text(&claim->suffix, of->suffix) ||
        !copy_text(&claim->names, of->names) || !copy_text(&claim->name, name))
        r = fail_nomem(err);
    if (r == 0)
        r = climb(claim, fd, err);
    if (r < 0)
        release(claim);
    else
        *ret_claim = claim;
    return r;
}

/* ---- two of them ---- */

static bool
is_table(const struct claim *claim)
{
    return !claim->suffix;
}

/* The path from the directory of `above` to the one of `below`, "" where they are the
 * same; NULL where that is not below it. Lent by `below`.
 */
static const char *
way_down(const struct claim *above, const struct claim *below)
{
    const char *at = below->path + strlen(below->path);

    for (size_t i = 0; i < below->n_levels; i++) {
        if (own_same(&below->levels[i], &above->levels[0]))
            return i ? at + 1 : at;
        do
            at = at > below->path ? at - 1 : below->path;
        while (at > below->path && *at != '/');
    }
    return NULL;
}

static bool
are_related(const struct claim *a, const struct claim *b)
{
    return (!is_table(a) && way_down(a, b)) || (!is_table(b) && way_down(b, a));
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Can it be known already that they make the same file? */
static bool
collide(const struct claim *a, const struct claim *b)
{
    return own_same(&a->levels[0], &b->levels[0]) && is_table(a) == is_table(b) &&
           same_text(a->name, b->name) && same_text(a->suffix, b->suffix) &&
           same_text(a->names, b->names);
}

static int
refuse(const struct claim *claim, const struct claim *other, struct lighter_error *err)
{
    if (is_table(claim) && claim->job == other->job)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "two writers of the job make the same table: '%s' and '%s'",
                            other->target, claim->target);
    if (is_table(claim))
        return lighter_fail(
            err, LIGHTER_E_STATE, "'%s' is being written by job '%s' (%s), as '%s'",
            claim->target, other->job_name, other->stage, other->target);
    if (claim->job == other->job)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "writers %u and %u of the job make files of the same names "
                            "in one directory, "
                            "'%s': both are %s%s%s and end in '%s'; give one of them "
                            "another directory, "
                            "such as a sub-folder, or another suffix",
                            other->writer + 1, claim->writer + 1, claim->target,
                            claim->names ? "named by '" : "numbered",
                            claim->names ? claim->names : "", claim->names ? "'" : "",
                            claim->suffix);
    return lighter_fail(
        err, LIGHTER_E_STATE,
        "job '%s' (%s) makes files of the same names in '%s' at this moment: wait "
        "until it is over, or give one of them another directory or suffix",
        other->job_name, other->stage, claim->target);
}

int
claims_add(struct claims *claims, const struct claim_of *of, int fd, const char *name,
           struct claim **ret_claim, struct lighter_error *err)
{
    struct claim *claim = NULL, *other;
    int r = make(claims, of, fd, name, &claim, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&claims->lock);
    TAILQ_FOREACH (other, &claims->list, link)
        if (r == 0 && collide(claim, other))
            r = refuse(claim, other, err);
    if (r == 0)
        TAILQ_INSERT_TAIL(&claims->list, claim, link);
    pthread_mutex_unlock(&claims->lock);
    if (r < 0)
        release(claim);
    else
        *ret_claim = claim;
    return r;
}

void
claim_stage(struct claim *claim, int staging_fd)
{
    pthread_mutex_lock(&claim->claims->lock);
    claim->staging_fd = staging_fd;
    pthread_mutex_unlock(&claim->claims->lock);
}

/* The nth one that has to do with this one, or NULL. With the lock. */
static const struct claim *
related(const struct claim *claim, size_t n)
{
    const struct claim *other;

    TAILQ_FOREACH (other, &claim->claims->list, link)
        if (other != claim && are_related(claim, other) && n-- == 0)
            return other;
    return NULL;
}

bool
claim_is_shared(struct claim *claim)
{
    bool is_shared;

    pthread_mutex_lock(&claim->claims->lock);
    is_shared = related(claim, 0) != NULL;
    pthread_mutex_unlock(&claim->claims->lock);
    return is_shared;
}

/* ---- a name ---- */

/* Is `path` below `folder`? *ret_rest: what follows. */
static bool
is_below(const char *path, const char *folder, const char **ret_rest)
{
    size_t size = strlen(folder);

    if (size && (strncmp(path, folder, size) != 0 || path[size] != '/'))
        return false;
    *ret_rest = path + size + (size > 0);
    return true;
}

/* Is `name` what the table is called, a shard of it ("p.tmp_rank12.csv" of "p.csv"), or
 * below either?
 */
static bool
is_of_table(const char *name, const char *table)
{
    const char *dot = strchr(table, '.'), *rest;
    size_t stem = dot && dot != table ? (size_t)(dot - table) : strlen(table);

    return strcmp(name, table) == 0 || is_below(name, table, &rest) ||
           (strncmp(name, table, stem) == 0 && strstr(name + stem, ".tmp_rank"));
}

/* The first component of `path` that is not there, and the directory that lacks it.
 * Return: false: all are there, or it cannot be known.
 */
static bool
find_missing(const char *path, struct own_id *ret_directory,
             char ret_name[PATH_LEAF_SIZE])
{
    int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), below = at;
    bool is_missing = false;
    size_t size;

    for (; at >= 0 && below >= 0; path += size) {
        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (!size || size >= PATH_LEAF_SIZE)
            break;
        memcpy(ret_name, path, size);
        ret_name[size] = '\0';
        below = openat(at, ret_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (below >= 0) {
            close(at);
            at = below;
        }
    }
    if (at >= 0 && below < 0 && errno == ENOENT)
        is_missing = own_of(at, ret_directory, NULL) == 0;
    if (at >= 0)
        close(at);
    return is_missing;
}

int
claims_check_way(struct claims *claims, const char *path, struct lighter_error *err)
{
    char name[PATH_LEAF_SIZE];
    const struct claim *other;
    struct own_id directory;
    int r = 0;

    if (!find_missing(path, &directory, name))
        return 0;
    pthread_mutex_lock(&claims->lock);
    TAILQ_FOREACH (other, &claims->list, link)
        if (r == 0 && is_table(other) && own_same(&other->levels[0], &directory) &&
            is_of_table(name, other->name))
            r = lighter_fail(err, LIGHTER_E_STATE,
                             "'%s' cannot be a directory, or in one: job '%s' (%s) "
                             "writes the table '%s' at this moment; choose another "
                             "path, or wait until it is over",
                             path, other->job_name, other->stage, other->target);
    pthread_mutex_unlock(&claims->lock);
    return r;
}

/* A name that others may have too: where that is to be looked for, and who they are. */
struct question {
    int fd;              /* a copy of the staging directory of files; or -1 */
    char path[PATH_MAX]; /* the name there */
    bool is_taken;       /* it needs no look */
    char owner[300];
};

static void
ask_table(const struct claim *claim, const struct claim *table, const char *name,
          struct question *question)
{
    const char *way = way_down(claim, table), *rest;

    if (way && is_below(name, way, &rest))
        question->is_taken = is_of_table(rest, table->name);
    else if (way) /* a file where a folder of the table's path is? */
        question->is_taken = strcmp(name, way) == 0 || is_below(way, name, &rest);
}

static void
ask_files(const struct claim *claim, const struct claim *other, const char *name,
          struct question *question)
{
    const char *down = way_down(claim, other), *up = way_down(other, claim),
               *rest = name;

    if (down && *down) { /* the other one has a folder of ours */
        question->is_taken =
            strcmp(name, down) == 0 || (*name && is_below(down, name, &rest));
        if (question->is_taken || !is_below(name, down, &rest))
            return;
    }
    if ((size_t)snprintf(question->path, sizeof question->path, "%s%s%s",
                         up && *up ? up : "", up && *up ? "/" : "",
                         rest) >= sizeof question->path)
        return; /* such a path cannot be there */
    if (other->staging_fd >= 0)
        question->fd = fcntl(other->staging_fd, F_DUPFD_CLOEXEC, 3);
}

/* Return: false: there is no nth one. */
static bool
ask(struct claim *claim, size_t n, const char *name, struct question *question)
{
    const struct claim *other;

    *question = (struct question){.fd = -1};
    pthread_mutex_lock(&claim->claims->lock);
    other = related(claim, n);
    if (other && is_table(other))
        ask_table(claim, other, name, question);
    else if (other)
        ask_files(claim, other, name, question);
    if (other)
        snprintf(question->owner, sizeof question->owner, "%s of '%.100s'%s%.60s%s",
                 is_table(other) ? "the table" : "another writer", other->target,
                 other->job == claim->job ? "" : " (job '",
                 other->job == claim->job ? "" : other->job_name,
                 other->job == claim->job ? "" : "')");
    pthread_mutex_unlock(&claim->claims->lock);
    return other != NULL;
}

/* Something of that name is there, or a file where its folder would be. */
static bool
is_there(const struct question *question)
{
    struct stat status;

    return question->is_taken ||
           (question->fd >= 0 &&
            (fstatat(question->fd, question->path, &status, AT_SYMLINK_NOFOLLOW) == 0 ||
             errno == ENOTDIR));
}

int
claim_check_name(struct claim *claim, const char *name, struct lighter_error *err)
{
    struct question question;
    bool is_taken = false;

    for (size_t i = 0; !is_taken && ask(claim, i, name, &question); i++) {
        is_taken = is_there(&question);
        if (question.fd >= 0)
            close(question.fd);
    }
    if (!is_taken)
        return 0;
    return lighter_fail(err, LIGHTER_E_VALUE,
                        "%s makes a file of this name in the same directory",
                        question.owner);
}
