/* verb_shutdown.c - end the daemon, and wait until it has gone.
 *
 * The end of our own connection says that it has. Where the daemon made its socket
 * itself we also wait until that answers no more: the next daemon can then start. A
 * socket of the service manager answers for ever, and knocking there would start one.
 */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] shutdown [--drain SECONDS]\n"
    "                  [--timeout SECONDS]\n"
    "\n"
    "Asks the daemon to end, and waits until it no longer answers. The daemon first\n"
    "writes what it has been given. What it cannot write in time is not lost: the\n"
    "clients have it still, and go on with the next daemon.\n"
    "\n"
    "  --drain SECONDS\n"
    "           how long that may take; else the daemon's own setting, drain, says it\n"
    "  --timeout SECONDS\n"
    "           how long to wait here: 30 by default, and --drain more with that; the\n"
    "           daemon goes on ending after that\n"
    "\n"
    "example:\n"
    "  $ lighterctl shutdown --drain 120\n"
    "  lighterd 4711 has ended\n"
    "\n"
    "exit codes: 0 it has ended, 1 it refused or still answers, 2 wrong usage,\n"
    "3 no daemon listens.\n";

#define KNOCK_INTERVAL_MS 20

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Nothing was asked: what can be read is the connection's end. */
static bool
wait_disconnected(int fd, int64_t end_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int64_t left_ms = end_ms - now_ms();

    return poll(&poll_fd, 1, left_ms > 0 ? (int)left_ms : 0) > 0;
}

/* SO_PEERCRED names who called listen(). */
static bool
has_own_socket(const struct lighter_client *client)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;

    getsockopt(lighter_fd(client), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid == lighter_hello(client)->pid;
}

/* Also where the queue of those who knock is full. */
static bool
is_answered(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_refused;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    is_refused = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 &&
                 (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTDIR);
    if (fd >= 0)
        close(fd);
    return !is_refused;
}

static bool
wait_silent(const char *socket_path, int64_t end_ms)
{
    const struct timespec interval = {.tv_nsec = KNOCK_INTERVAL_MS * 1000000L};

    while (is_answered(socket_path)) {
        if (now_ms() >= end_ms)
            return false;
        nanosleep(&interval, NULL);
    }
    return true;
}

/* Not less than what the daemon was just given. */
static int
choose_timeout(const struct options *options)
{
    bool is_drained = options->given & TAKES_DRAIN && !(options->given & TAKES_TIMEOUT);

    return options->timeout_s + (is_drained ? options->drain_s : 0);
}

static enum ctl_exit
wait_ended(const struct lighter_client *client, const struct options *options)
{
    const struct lighter_hello *hello = lighter_hello(client);
    int timeout_s = choose_timeout(options);
    int64_t end_ms = now_ms() + (int64_t)timeout_s * 1000;
    json_t *json;

    if (!wait_disconnected(lighter_fd(client), end_ms) ||
        (has_own_socket(client) && !wait_silent(hello->socket_path, end_ms))) {
        complain("lighterd %" PRId64 " still answers on %s after %d s; it goes on "
                 "ending",
                 hello->pid, hello->socket_path, timeout_s);
        return CTL_FAILED;
    }
    if (!options->json) {
        printf("lighterd %" PRId64 " has ended\n", hello->pid);
        return CTL_DONE;
    }
    json = json_pack("{s:I}", "pid", (json_int_t)hello->pid);
    output_json(stdout, json);
    json_decref(json);
    return CTL_DONE;
}

static enum ctl_exit
run(const struct options *options)
{
    struct lighter_client *client;
    enum ctl_exit done = ask_connect(options, &client);
    AUTO(free_bytes) char *params = NULL;
    json_t *result;

    if (done != CTL_DONE)
        return done;
    if (options->given & TAKES_DRAIN)
        params = formatted("{\"drain\": %d}", options->drain_s);
    done = ask_on(client, "shutdown", params, &result);
    if (done == CTL_DONE) {
        json_decref(result);
        done = wait_ended(client, options);
    }
    lighter_disconnect(client);
    return done;
}

const struct verb verb_shutdown = {.name = "shutdown",
                                   .summary = "end the daemon, and wait until it has",
                                   .help = help,
                                   .takes = TAKES_TIMEOUT | TAKES_DRAIN,
                                   .run = run};
