/* listener.c - see listener.h. */
#include "daemon/listener.h"

#include "daemon/lock.h"
#include "daemon/own.h"
#include "util/error.h"
#include "util/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 128

static void
make_directory(const struct sockaddr_un *address)
{
    char directory[sizeof address->sun_path];
    char *slash;

    strcpy(directory, address->sun_path);
    slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return;
    *slash = '\0';
    mkdir(directory, 0700); /* where it fails, opening the lock says why */
}

static int
fail_taken(const struct listener *listener, struct lighter_error *err)
{
    lighter_fail(err, LIGHTER_E_STATE, "another lighterd serves '%s'",
                 listener->address.sun_path);
    return LISTENER_TAKEN;
}

static int
lock(struct listener *listener, struct lighter_error *err)
{
    char path[sizeof listener->address.sun_path + 8];
    struct stat status;
    int r;

    snprintf(path, sizeof path, "%s.lock", listener->address.sun_path);
    listener->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (listener->lock_fd < 0)
        return lighter_fail_os(err, errno, "open the lock '%s'", path);
    if (fstat(listener->lock_fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_size != 0)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' is there and is no lock of lighterd, which are "
                            "empty: move it away, or choose another socket",
                            path);
    r = lock_take(listener->lock_fd, path, err);
    return r == LOCK_TAKEN ? fail_taken(listener, err) : r;
}

/* Whoever listens there is not kept away by our lock: a lighterd on a file system that
 * has none, or another program.
 */
static bool
is_served(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_refused =
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
        (errno == ECONNREFUSED || errno == ENOENT);

    if (fd >= 0)
        close(fd);
    return !is_refused;
}

/* A daemon that was killed lets go of its lock a moment before its socket, longer where
 * the machine is busy: who has the lock waits for that.
 */
#define LEAVING_MS 2000
#define LOOK_AGAIN_MS 10

static bool
stays_served(const struct sockaddr_un *address)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};

    for (int waited_ms = 0; waited_ms < LEAVING_MS; waited_ms += LOOK_AGAIN_MS) {
        if (!is_served(address))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* Only a socket that nobody listens on: a dead daemon's. Whatever else has that name is
 * somebody's file.
 */
static int
remove_stale(const struct listener *listener, struct lighter_error *err)
{
    const char *path = listener->address.sun_path;
    struct own_id id;
    int r = own_adopt(AT_FDCWD, path, S_IFSOCK, &id, err);

    if (r == OWN_GONE)
        return 0;
    if (r == OWN_OTHER)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' is there and is no socket: lighterd does not replace "
                            "it; choose another socket, or move that away",
                            path);
    if (r == 0 && stays_served(&listener->address))
        return fail_taken(listener, err);
    if (r == 0)
        r = own_remove(AT_FDCWD, path, &id, err);
    return r < 0 ? error_wrap(err, r, "the old socket '%s'", path) : 0;
}

static int
bind_and_listen(struct listener *listener, struct lighter_error *err)
{
    const char *path = listener->address.sun_path;
    mode_t mask;
    int r = remove_stale(listener, err);

    if (r != 0)
        return r;
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return lighter_fail_os(err, errno, "make a socket");
    mask =
        umask(visitors_any(listener->visitors) ? 0111 : 0177); /* at no time another */
    r = bind(listener->fd, (const struct sockaddr *)&listener->address,
             sizeof listener->address);
    umask(mask);
    if (r < 0 && errno == EADDRINUSE) /* without a lock: it came a moment ago */
        return fail_taken(listener, err);
    if (r < 0)
        return lighter_fail_os(err, errno, "bind '%s'", path);
    if (own_adopt(AT_FDCWD, path, S_IFSOCK, &listener->id, err) != 0)
        listener->id = (struct own_id){0}; /* somebody has removed it: then it stays */
    if (listen(listener->fd, BACKLOG) < 0)
        return lighter_fail_os(err, errno, "listen on '%s'", path);
    return 0;
}

int
listener_init(struct listener *listener, const struct sockaddr_un *address,
              const struct visitors *visitors, struct lighter_error *err)
{
    int r;

    *listener = (struct listener){.address = *address,
                                  .fd = -1,
                                  .lock_fd = -1,
                                  .spare_fd = -1,
                                  .visitors = visitors};
    make_directory(address);
    r = lock(listener, err);
    if (r == 0)
        r = bind_and_listen(listener, err);
    if (r == 0)
        listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (r != 0)
        listener_done(listener);
    return r;
}

static bool
is_listening(int fd)
{
    int value = 0;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

int
listener_adopt(struct listener *listener, int fd, const struct visitors *visitors,
               struct lighter_error *err)
{
    socklen_t size = sizeof listener->address;

    *listener = (struct listener){.fd = fd,
                                  .lock_fd = -1,
                                  .spare_fd = -1,
                                  .is_passed = true,
                                  .visitors = visitors};
    if (!is_listening(fd) ||
        getsockname(fd, (struct sockaddr *)&listener->address, &size) < 0 ||
        listener->address.sun_family != AF_UNIX || !*listener->address.sun_path) {
        listener_done(listener);
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "what the service manager passed is no Unix socket with a "
                            "name that listens");
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

/* Out of descriptors: the client is let in and out at once, so that it does not wait
 * and the loop does not spin on it.
 */
static void
turn_away(struct listener *listener)
{
    int fd;

    close(listener->spare_fd);
    fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    log_warning("turned a client away: out of descriptors");
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    int fd;

    (void)status, (void)events;
    for (int i = 0; i < BACKLOG; i++) {
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            turn_away(listener);
        if (fd < 0)
            return;
        if (visitors_admit(listener->visitors, fd))
            listener->on_accept(listener->data, fd);
        else
            close(fd);
    }
}

int
listener_start(struct listener *listener, uv_loop_t *loop,
               void (*on_accept)(void *data, int fd), void *data,
               struct lighter_error *err)
{
    int r = uv_poll_init(loop, &listener->poll, listener->fd);

    if (r < 0)
        return lighter_fail_os(err, -r, "watch the socket");
    listener->watching = true;
    listener->poll.data = listener;
    listener->on_accept = on_accept;
    listener->data = data;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    return 0;
}

void
listener_stop(struct listener *listener)
{
    if (!listener->watching)
        return;
    listener->watching = false;
    /* the name first: who connects from now on is refused and not left waiting */
    if (!listener->is_passed)
        own_remove(AT_FDCWD, listener->address.sun_path, &listener->id, NULL);
    uv_close((uv_handle_t *)&listener->poll, NULL);
}

void
listener_done(struct listener *listener)
{
    if (listener->spare_fd >= 0)
        close(listener->spare_fd);
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->lock_fd >= 0)
        close(listener->lock_fd);
    listener->fd = listener->lock_fd = listener->spare_fd = -1;
}
