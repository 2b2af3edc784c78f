/* metrics_http.c - see metrics_http.h. */
#include "daemon/metrics_http.h"

#include "daemon/metrics.h"
#include "daemon/metrics_address.h"
#include "daemon/own.h"
#include "util/error.h"
#include "util/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16u  /* one more, and the oldest goes */
#define CONNECTIONS_SPARE 8u /* that may be accepted before it has gone */
#define CONNECTION_BYTES ((size_t)16 << 10)
#define PATIENCE_S 5u
#define TICK_MS 20u

/* Somebody who asks. */
struct caller {
    TAILQ_ENTRY(caller) link;
    int fd; /* the server's */
};

struct metrics_http {
    struct daemon *daemon;
    struct MHD_Daemon *server;
    uv_poll_t ready;              /* its epoll descriptor */
    uv_timer_t timer;             /* what it does if nothing comes */
    unsigned n_open;              /* handles of the loop */
    TAILQ_HEAD(, caller) callers; /* by age, the oldest first; owned */
    unsigned n_callers;
    bool by_name; /* it is reached by a host's name, as a web page would */
    char path[sizeof((struct sockaddr_un *)0)->sun_path]; /* to be removed; or "" */
    struct own_id id;                                     /* of the socket there */
};

/* ---- answers ------------------------------------------------------------------- */

/* Takes the text. */
static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned status, char *text, size_t size,
       const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
answer_word(struct MHD_Connection *connection, unsigned status, const char *word)
{
    char *text = strdup(word);

    return text ? answer(connection, status, text, strlen(text), "text/plain") : MHD_NO;
}

static enum MHD_Result
answer_metrics(struct metrics_http *http, struct MHD_Connection *connection)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    size_t size;
    char *text;

    if (metrics_render(http->daemon, &text, &size, &err) < 0)
        return answer_word(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, err.message);
    return answer(connection, MHD_HTTP_OK, text, size,
                  "text/plain; version=0.0.4; charset=utf-8");
}

/* The name that a request was sent to, without the port. */
static bool
is_host(const char *host, const char *name)
{
    size_t size = strlen(name);

    return strncasecmp(host, name, size) == 0 &&
           (host[size] == '\0' || host[size] == ':');
}

/* A web page can have a name of its own lead to this machine (DNS rebinding), but it
 * cannot choose the Host that its browser then sends.
 */
static bool
is_for_us(const struct metrics_http *http, struct MHD_Connection *connection)
{
    const char *host =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    return !http->by_name || !host || is_host(host, "127.0.0.1") ||
           is_host(host, "localhost") || is_host(host, "[::1]");
}

static enum MHD_Result
on_request(void *data, struct MHD_Connection *connection, const char *url,
           const char *method, const char *version, const char *upload,
           size_t *upload_size, void **request)
{
    (void)version, (void)upload, (void)upload_size, (void)request;
    if (!is_for_us(data, connection))
        return answer_word(connection, MHD_HTTP_MISDIRECTED_REQUEST,
                           "the Host expected is 127.0.0.1, [::1] or localhost\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
        strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_word(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
    if (strcmp(url, "/metrics") != 0)
        return answer_word(connection, MHD_HTTP_NOT_FOUND, "try /metrics\n");
    return answer_metrics(data, connection);
}

/* ---- who asks ------------------------------------------------------------------ */

/* However slowly others read or write, the next one is answered: of too many the oldest
 * goes. Its descriptor is the server's to close.
 */
static void
make_room(struct metrics_http *http)
{
    struct caller *oldest = TAILQ_FIRST(&http->callers);

    if (http->n_callers <= CONNECTIONS_MAX)
        return;
    shutdown(oldest->fd, SHUT_RDWR);
    TAILQ_REMOVE(&http->callers, oldest, link); /* it must not be chosen twice */
    TAILQ_INSERT_TAIL(&http->callers, oldest, link);
}

static void
on_caller(void *data, struct MHD_Connection *connection, void **context,
          enum MHD_ConnectionNotificationCode what)
{
    struct metrics_http *http = data;
    struct caller *caller = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = caller = calloc(1, sizeof *caller);
        if (!caller)
            return; /* it is served, and never the oldest */
        caller->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
                ->connect_fd;
        TAILQ_INSERT_TAIL(&http->callers, caller, link);
        http->n_callers++;
        make_room(http);
    } else if (caller) {
        TAILQ_REMOVE(&http->callers, caller, link);
        http->n_callers--;
        free(caller);
    }
}

/* ---- the loop ------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);

static unsigned
count_connections(struct metrics_http *http)
{
    return MHD_get_daemon_info(http->server, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
        ->num_connections;
}

/* That it may listen again after it was full is told neither by its descriptor nor by
 * its timeout. So while somebody is connected, or has just left, it is run now and
 * then.
 */
static void
serve(struct metrics_http *http)
{
    bool is_used = count_connections(http) > 0;
    MHD_UNSIGNED_LONG_LONG wait_ms;

    MHD_run(http->server);
    if (MHD_get_timeout(http->server, &wait_ms) != MHD_YES || wait_ms > TICK_MS)
        wait_ms = TICK_MS;
    if (is_used || count_connections(http) > 0)
        uv_timer_start(&http->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&http->timer);
}

static void
on_timer(uv_timer_t *timer)
{
    serve(timer->data);
}

static void
on_ready(uv_poll_t *ready, int status, int events)
{
    (void)status, (void)events;
    serve(ready->data);
}

/* ---- the socket ---------------------------------------------------------------- */

/* A socket that nobody listens on any more was left by a daemon that died. */
static void
remove_stale(const struct sockaddr_storage *address, socklen_t size)
{
    const char *path = ((const struct sockaddr_un *)address)->sun_path;
    struct own_id id;
    int fd;

    if (own_adopt(AT_FDCWD, path, S_IFSOCK, &id, NULL) != 0)
        return; /* bind() says what is wrong */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)address, size) < 0 &&
        errno == ECONNREFUSED)
        own_remove(AT_FDCWD, path, &id, NULL);
    if (fd >= 0)
        close(fd);
}

/* Its owner and group may connect, on a Unix socket. */
static int
bind_to(int fd, const struct sockaddr_storage *address, socklen_t size)
{
    mode_t before = umask(0117);
    int r = bind(fd, (const struct sockaddr *)address, size) < 0 ? -errno : 0;

    umask(before);
    return r;
}

static int
open_socket(const char *text, const struct sockaddr_storage *address, socklen_t size,
            int *ret_fd, struct lighter_error *err)
{
    int one = 1, r = 0,
        fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return lighter_fail_os(err, errno, "make a socket for '%s'", text);
    if (address->ss_family == AF_UNIX)
        remove_stale(address, size);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    r = bind_to(fd, address, size);
    if (r == 0 && listen(fd, (int)CONNECTIONS_MAX) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return lighter_fail_os(err, -r, "listen for metrics on '%s'", text);
    }
    *ret_fd = fd;
    return 0;
}

/* To remove that socket, and no other that has its name by then. */
static void
keep_path(struct metrics_http *http, const char *path)
{
    if (own_adopt(AT_FDCWD, path, S_IFSOCK, &http->id, NULL) == 0)
        strcpy(http->path, path);
}

/* The port too, where the system has chosen it. */
static void
tell(const char *text, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    in_port_t port = 0;

    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        if (address.ss_family == AF_INET)
            port = ((struct sockaddr_in *)&address)->sin_port;
        else if (address.ss_family == AF_INET6)
            port = ((struct sockaddr_in6 *)&address)->sin6_port;
    }
    log_info("metrics listen=%s port=%u", LOG_VALUE(text), ntohs(port));
}

/* ---- open and close ------------------------------------------------------------ */

static int
start_server(struct metrics_http *http, int fd, struct lighter_error *err)
{
    const union MHD_DaemonInfo *info;

    http->server = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX + CONNECTIONS_SPARE,
        MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_caller, http,
        MHD_OPTION_END);
    if (!http->server) {
        close(fd);
        return lighter_fail_os(err, ENOMEM, "libmicrohttpd does not start");
    }
    info = MHD_get_daemon_info(http->server, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_init(&http->daemon->loop, &http->ready, info->epoll_fd);
    uv_timer_init(&http->daemon->loop, &http->timer);
    http->ready.data = http->timer.data = http;
    http->n_open = 2;
    uv_poll_start(&http->ready, UV_READABLE, on_ready);
    return 0;
}

int
metrics_http_open(struct metrics_http **ret_http, struct daemon *daemon,
                  const char *text, struct lighter_error *err)
{
    AUTO(free_bytes) struct metrics_http *http = calloc(1, sizeof *http);
    struct sockaddr_storage address;
    socklen_t size;
    int fd = -1, r;

    if (!http)
        return fail_nomem(err);
    http->daemon = daemon;
    TAILQ_INIT(&http->callers);
    r = metrics_address(text, &address, &size, err);
    if (r == 0)
        r = open_socket(text, &address, size, &fd, err);
    if (r < 0)
        return r;
    if (address.ss_family == AF_UNIX)
        keep_path(http, ((struct sockaddr_un *)&address)->sun_path);
    http->by_name = address.ss_family != AF_UNIX;
    tell(text, fd);
    r = start_server(http, fd, err); /* takes fd */
    if (r < 0)
        return r;
    *ret_http = http;
    http = NULL;
    return 0;
}

/* The server goes last: the loop looks at its descriptor until then. */
static void
on_closed(uv_handle_t *handle)
{
    struct metrics_http *http = handle->data;

    if (--http->n_open)
        return;
    MHD_stop_daemon(http->server);
    free(http);
}

struct metrics_http *
metrics_http_close(struct metrics_http *http)
{
    if (!http)
        return NULL;
    if (*http->path)
        own_remove(AT_FDCWD, http->path, &http->id, NULL);
    uv_close((uv_handle_t *)&http->ready, on_closed);
    uv_close((uv_handle_t *)&http->timer, on_closed);
    return NULL;
}
