/* path.c - see path.h. */
#include "daemon/path.h"

#include "util/error.h"
#include "util/utf8.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* Make the missing parents of `path`; its '/' are cut and mended on the way. */
static int
make_parents(char *path, struct lighter_error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return lighter_fail_os(err, errno, "make the directory '%s'", path);
        *slash = '/';
    }
    return 0;
}

int
path_make_directory(const char *path, int *ret_fd, struct lighter_error *err)
{
    char copy[PATH_MAX];
    int fd = open(path, DIRECTORY_FLAGS), r;

    if (fd < 0 && errno == ENOENT) {
        if (strlen(path) >= sizeof copy)
            return lighter_fail_os(err, ENAMETOOLONG, "make the directory '%s'", path);
        strcpy(copy, path);
        r = make_parents(copy, err);
        if (r < 0)
            return r;
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return lighter_fail_os(err, errno, "make the directory '%s'", path);
        fd = open(path, DIRECTORY_FLAGS);
    }
    if (fd < 0)
        return lighter_fail_os(err, errno, "open the directory '%s'", path);
    *ret_fd = fd;
    return 0;
}

DIR *
path_list(int fd)
{
    int copy = openat(fd, ".", DIRECTORY_FLAGS);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    int errnum = errno;

    if (!dir && copy >= 0)
        close(copy);
    errno = errnum;
    return dir;
}

bool
path_is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

const struct dirent *
path_next(DIR *dir, int *ret_r)
{
    const struct dirent *entry;

    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry && path_is_dot(entry->d_name));
    *ret_r = entry ? 0 : -errno;
    return entry;
}

static int
refuse_name(struct lighter_error *err, const char *name, size_t size, const char *why)
{
    return lighter_fail(err, LIGHTER_E_VALUE, "the name '%.*s' %s",
                        (int)(size < 300 ? size : 300), name, why);
}

static int
check_name(const char *name, size_t size, size_t suffix_size, struct lighter_error *err)
{
    size_t start = 0, n_components = 0;

    if (size == 0)
        return lighter_fail(err, LIGHTER_E_VALUE, "an empty name");
    if (!utf8_printable(name, size))
        return lighter_fail(err, LIGHTER_E_VALUE, "a name with control characters");
    if (size + suffix_size >= PATH_MAX)
        return refuse_name(err, name, size, "is longer than a path can be");
    if (name[0] == '/')
        return refuse_name(err, name, size,
                           "is absolute; it must stay in the directory");
    for (size_t end = 0; end <= size; end++) {
        size_t length = end - start;

        if (end < size && name[end] != '/')
            continue;
        if (++n_components > PATH_COMPONENTS_MAX)
            return refuse_name(err, name, size, "has more than 64 components");
        if (length == 0)
            return refuse_name(err, name, size, "has an empty component");
        if ((length == 1 && name[start] == '.') ||
            (length == 2 && name[start] == '.' && name[start + 1] == '.'))
            return refuse_name(err, name, size, "leaves the directory or names it");
        if (length >= sizeof PATH_OURS - 1 &&
            memcmp(name + start, PATH_OURS, sizeof PATH_OURS - 1) == 0)
            return refuse_name(err, name, size,
                               "has a component that begins with '" PATH_OURS
                               "', as lighterd's own working directories do");
        if (length + (end == size ? suffix_size : 0) >= PATH_LEAF_SIZE)
            return refuse_name(err, name, size,
                               "has a component of more than 255 bytes");
        start = end + 1;
    }
    return 0;
}

int
path_enter(int fd, const char *folder, int *ret_fd, struct lighter_error *err)
{
    int inner = openat(fd, folder, DIRECTORY_FLAGS | O_NOFOLLOW);

    if (inner < 0 && errno == ENOENT) {
        if (mkdirat(fd, folder, 0777) < 0 && errno != EEXIST)
            return lighter_fail_os(err, errno, "make the folder '%s'", folder);
        inner = openat(fd, folder, DIRECTORY_FLAGS | O_NOFOLLOW);
    }
    if (inner < 0)
        return lighter_fail_os(err, errno, "open the folder '%s'", folder);
    *ret_fd = inner;
    return 0;
}

/* Bytes of `root` (size bytes) where `path` is it or lies below it, else 0. */
static size_t
match_root(const char *root, size_t size, const char *path)
{
    while (size > 1 && root[size - 1] == '/')
        size--;
    if (strncmp(path, root, size) != 0)
        return 0;
    return size == 1 || path[size] == '/' || path[size] == '\0' ? size : 0;
}

/* The root that `path` lies below, and where the rest of the path begins. */
static const char *
find_root(const char *roots, const char *path, char root[PATH_MAX])
{
    for (const char *next, *at = roots; *at; at = next) {
        size_t size = strcspn(at, ":"), matched = match_root(at, size, path);

        next = at + size + (at[size] == ':');
        if (!matched || matched >= PATH_MAX)
            continue;
        memcpy(root, at, matched);
        root[matched] = '\0';
        return path + matched;
    }
    return NULL;
}

/* Takes `fd`, of a root. `rest`: what is below it. */
static int
make_rest(int fd, const char *rest, int *ret_fd, struct lighter_error *err)
{
    char leaf[PATH_LEAF_SIZE];
    size_t size;
    int inner, r;

    rest += strspn(rest, "/");
    size = strlen(rest);
    while (size && rest[size - 1] == '/')
        size--;
    if (!size) {
        *ret_fd = fd;
        return 0;
    }
    r = path_walk(fd, rest, size, "", &inner, leaf, err);
    close(fd);
    if (r < 0)
        return r;
    r = path_enter(inner, leaf, ret_fd, err);
    close(inner);
    return r;
}

static int
make_below_root(const char *root, const char *rest, int *ret_fd,
                struct lighter_error *err)
{
    int fd = open(root, DIRECTORY_FLAGS);

    if (fd < 0)
        return lighter_fail_os(err, errno, "open the output root '%s'", root);
    return make_rest(fd, rest, ret_fd, err);
}

/* Where `path` leads through its links, as far as it exists; the rest is added. Does it
 * lead anywhere else than it says?
 */
static bool
follow_links(const char *path, char ret_path[PATH_MAX])
{
    char head[PATH_MAX], found[PATH_MAX];
    size_t size = strlen(path), found_size;

    if (size >= sizeof head)
        return false;
    strcpy(head, path);
    while (!realpath(head, found)) {
        char *slash = strrchr(head, '/');

        if (errno != ENOENT || !slash || slash == head)
            return false;
        *slash = '\0';
    }
    path += strlen(head);
    found_size = strlen(found);
    if (found_size + strlen(path) >= PATH_MAX)
        return false;
    strcpy(ret_path, found);
    strcpy(ret_path + found_size, path);
    return strcmp(head, found) != 0;
}

/* The same for a path without links: roots may lie behind some. */
static const char *
find_real_root(const char *roots, const char *path, char real_root[PATH_MAX])
{
    char root[PATH_MAX];

    for (const char *next, *at = roots; *at; at = next) {
        size_t size = strcspn(at, ":"), matched = 0;

        next = at + size + (at[size] == ':');
        if (size >= sizeof root)
            continue;
        snprintf(root, sizeof root, "%.*s", (int)size, at);
        if (realpath(root, real_root))
            matched = match_root(real_root, strlen(real_root), path);
        if (matched)
            return path + matched;
    }
    return NULL;
}

int
path_of(int fd, char ret_path[PATH_MAX])
{
    char link[64];
    struct stat status;
    ssize_t size;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_nlink == 0)
        return -ENOENT;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, ret_path, PATH_MAX - 1);
    if (size < 0)
        return -errno;
    ret_path[size] = '\0';
    return ret_path[0] == '/' ? 0 : -ENOENT;
}

bool
path_is_below(const char *roots, int fd)
{
    char path[PATH_MAX], root[PATH_MAX];

    return !roots || (path_of(fd, path) == 0 && find_real_root(roots, path, root));
}

/* A link below a root may lead to another place below one: the path is resolved once,
 * and walked again without links, so that nothing can be put in their place meanwhile.
 */
static int
make_below_links(const char *roots, const char *path, const char *resolved, int *ret_fd,
                 struct lighter_error *err)
{
    char root[PATH_MAX];
    const char *rest = find_real_root(roots, resolved, root);

    if (rest)
        return make_below_root(root, rest, ret_fd, err);
    return lighter_fail_os(err, EACCES,
                           "'%s' leads to '%s', which is not below '%s' (output_roots)",
                           path, resolved, roots);
}

int
path_make_below(const char *roots, const char *path, int *ret_fd,
                struct lighter_error *err)
{
    char root[PATH_MAX], resolved[PATH_MAX];
    const char *rest;
    int r;

    if (!roots)
        return path_make_directory(path, ret_fd, err);
    rest = find_root(roots, path, root);
    if (!rest)
        return lighter_fail_os(err, EACCES, "'%s' is not below '%s' (output_roots)",
                               path, roots);
    r = make_below_root(root, rest, ret_fd, err);
    if ((r == -ELOOP || r == -ENOTDIR) && follow_links(path, resolved))
        return make_below_links(roots, path, resolved, ret_fd, err);
    return r < 0 ? error_wrap(err, r, "'%s'", path) : 0;
}

int
path_walk(int fd, const char *name, size_t size, const char *suffix, int *ret_fd,
          char ret_leaf[PATH_LEAF_SIZE], struct lighter_error *err)
{
    char folder[PATH_LEAF_SIZE];
    const char *slash;
    int at = -1, inner = -1, r = check_name(name, size, strlen(suffix), err);

    if (r < 0)
        return r;
    while ((slash = memchr(name, '/', size))) {
        size_t length = (size_t)(slash - name);

        memcpy(folder, name, length);
        folder[length] = '\0';
        r = path_enter(at < 0 ? fd : at, folder, &inner, err);
        if (at >= 0)
            close(at);
        if (r < 0)
            return r;
        at = inner;
        name += length + 1;
        size -= length + 1;
    }
    if (at < 0)
        at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (at < 0)
        return lighter_fail_os(err, errno, "duplicate a descriptor");
    snprintf(ret_leaf, PATH_LEAF_SIZE, "%.*s%s", (int)size, name, suffix);
    *ret_fd = at;
    return 0;
}
