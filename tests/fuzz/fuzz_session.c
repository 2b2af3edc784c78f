/* fuzz_session.c - whole sessions: clients of a real daemon, in a loop of this thread.
 *
 * An input is what the clients of one daemon do, and each input has a daemon and
 * directories of its own. It is cut at the byte c1, which MessagePack does not use:
 * what follows is a deed (below) and its bytes. The daemon may write below ROOT only,
 * which is a descriptor, so that inputs can name it. Then it must be as it was: it
 * serves the next client, owes nobody anything, and the next daemon can discard what
 * was left.
 */
#include "tests/fuzz/fuzz.h"
#include "daemon/daemon.h"
#include "daemon/path.h"
#include "util/log.h"
#include "wire/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_CLIENTS 4
#define ROOT_FD 100
#define ROOT "/proc/self/fd/100"
#define SHARED_SIZE 4096

const char fuzz_name[] = "session";

/* A deed's byte: who does it in the lowest two bits, and then what. */
enum deed {
    SEND,     /* a frame with these bytes as its body */
    SEND_RAW, /* these bytes */
    SHARE,    /* a frame, and a memfd beside it */
    LISTEN,   /* read the answers of all, when all is done */
    LEAVE,
    RESTART, /* the next daemon comes up: who is connected is no longer */
    N_DEEDS
};

static char base[64];
static struct settings settings;
static struct daemon served;
static int clients[N_CLIENTS]; /* -1: not connected */

/* ---- the daemon ---- */

static void
start_daemon(void)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    FUZZ_EXPECT(daemon_init(&served, &settings, &err) == 0);
}

/* Until no worker has anything to do and nobody anything to say. */
static void
settle(void)
{
    for (int n_quiet = 0; n_quiet < 3; n_quiet++) {
        bool works =
            served.loop.active_reqs.count > 0 || served.jobs.pool.n_outstanding > 0;

        uv_run(&served.loop, works ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        if (works)
            n_quiet = 0;
    }
}

static void
close_clients(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        if (clients[i] >= 0)
            close(clients[i]);
        clients[i] = -1;
    }
}

static void
stop_daemon(void)
{
    close_clients();
    settle();
    FUZZ_EXPECT(served.stopping || served.n_conns == 0);
    daemon_stop(&served, DRAIN_SET);
    uv_run(&served.loop, UV_RUN_DEFAULT);
    FUZZ_EXPECT(served.quota.used == 0 && served.n_conns == 0);
    uv_close((uv_handle_t *)&served.drain, NULL);
    FUZZ_EXPECT(uv_run(&served.loop, UV_RUN_DEFAULT) == 0);
    daemon_done(&served);
}

/* ---- its clients ---- */

static int
connect_client(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    FUZZ_EXPECT(fd >= 0);
    if (connect(fd, (struct sockaddr *)&served.listener.address,
                sizeof served.listener.address) < 0) {
        FUZZ_EXPECT(served.stopping);
        close(fd);
        return -1;
    }
    return fd;
}

/* Bytes that find no room are lost: then the daemon has half a frame. */
static void
send_bytes(int client, const void *data, size_t size, int descriptor)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
                          .cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(void *)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (descriptor >= 0) {
        memcpy(CMSG_DATA(&control.head), &descriptor, sizeof descriptor);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    if (clients[client] < 0)
        clients[client] = connect_client();
    if (clients[client] >= 0 && size &&
        sendmsg(clients[client], &message, MSG_NOSIGNAL) < 0)
        uv_run(&served.loop, UV_RUN_NOWAIT);
}

static void
send_frame(int client, const uint8_t *body, size_t size, int descriptor)
{
    uint8_t *frame = malloc(FRAME_HEAD_SIZE + size);

    FUZZ_EXPECT(frame);
    frame_head(frame, (uint32_t)size);
    if (size)
        memcpy(frame + FRAME_HEAD_SIZE, body, size);
    send_bytes(client, frame, FRAME_HEAD_SIZE + size, descriptor);
    free(frame);
}

static void
share(int client, const uint8_t *body, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    FUZZ_EXPECT(fd >= 0 && ftruncate(fd, SHARED_SIZE) == 0);
    send_frame(client, body, size, fd);
    close(fd);
}

/* All that is there; every answer is one sound object, and the last one may be cut. */
static size_t
read_answers(int fd)
{
    struct frame_reader reader;
    struct frame frame;
    size_t n_answers = 0, size;
    uint8_t *room;
    ssize_t n;

    FUZZ_EXPECT(frame_reader_init(&reader, UINT32_MAX, NULL) == 0);
    do {
        FUZZ_EXPECT(frame_reader_room(&reader, &room, &size, NULL) == 0);
        n = recv(fd, room, size, 0);
        if (n > 0)
            frame_reader_fed(&reader, (size_t)n);
        for (; frame_next(&reader, &frame, NULL) == 0; n_answers++) {
            FUZZ_EXPECT(check_object(frame.data, frame.size, CHECK_MAX_OBJECTS, NULL,
                                     NULL) == 0);
            free(frame.data);
        }
    } while (n > 0);
    frame_reader_done(&reader);
    return n_answers;
}

static void
listen_to_answers(void)
{
    settle();
    for (int i = 0; i < N_CLIENTS; i++)
        if (clients[i] >= 0)
            read_answers(clients[i]);
}

/* ---- what is left of it ---- */

static void
discard_unfinished(void)
{
    struct job *job, *next;

    for (job = TAILQ_FIRST(&served.jobs.past); job; job = next) {
        struct lighter_error err = LIGHTER_ERROR_INIT;
        struct reply nobody = {0};

        next = TAILQ_NEXT(job, link);
        if (job_is_unfinished(job))
            jobs_discard(&served.jobs, job->name, job->stage, &nobody, &err);
    }
    settle();
    FUZZ_EXPECT(served.jobs.n_live == 0);
}

static void
expect_service(void)
{
    static const uint8_t hello[] = {0x94, 0,   1,   0xa5, 'h', 'e', 'l', 'l', 'o', 0x81,
                                    0xa8, 'p', 'r', 'o',  't', 'o', 'c', 'o', 'l', 1};

    close_clients();
    settle();
    send_frame(0, hello, sizeof hello, -1);
    settle();
    FUZZ_EXPECT(served.stopping || read_answers(clients[0]) == 1);
}

/* Anything in it? */
static bool
has_entries(int fd)
{
    DIR *dir = path_list(fd);
    int end;
    bool found = path_next(dir, &end);

    closedir(dir);
    return found;
}

/* A file, or a directory with all that is in it. */
static void
remove_all(int fd, const char *name)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct own_id id;

    if (own_adopt(fd, name, S_IFREG, &id, &err) == 0)
        FUZZ_EXPECT(own_remove(fd, name, &id, &err) == 0);
    else if (own_adopt(fd, name, S_IFDIR, &id, &err) == 0)
        FUZZ_EXPECT(own_remove_tree(fd, name, &id, &err) == 0);
}

static void
empty_root(void)
{
    const struct dirent *entry;
    DIR *dir = path_list(ROOT_FD);
    int end;

    while ((entry = path_next(dir, &end)))
        remove_all(ROOT_FD, entry->d_name);
    closedir(dir);
}

/* Jobs that are not finished are the next daemon's; nothing may be left of them. */
static void
clean_up(void)
{
    if (has_entries(served.state.fd)) {
        stop_daemon();
        start_daemon();
        settle();
        discard_unfinished();
    }
    stop_daemon();
    empty_root();
    remove_all(AT_FDCWD, settings.state_dir);
}

/* ---- all of it ---- */

static void
remove_base(void)
{
    remove_all(AT_FDCWD, base);
}

static void
make_root(void)
{
    const char *temporary = getenv("TMPDIR");
    struct lighter_error err = LIGHTER_ERROR_INIT;
    char root[sizeof base + 8];
    int fd;

    snprintf(base, sizeof base, "%.40s/fuzz-XXXXXX", temporary ? temporary : "/tmp");
    FUZZ_EXPECT(mkdtemp(base) && atexit(remove_base) == 0);
    snprintf(root, sizeof root, "%s/root", base);
    FUZZ_EXPECT(path_make_directory(root, &fd, &err) == 0);
    FUZZ_EXPECT(dup2(fd, ROOT_FD) == ROOT_FD && close(fd) == 0);
}

/* As from a command line, which `reload` reads again. */
static void
make_settings(void)
{
    static char socket[128], state[128], plugins[4096];
    static char *arguments[] = {"lighterd",
                                socket,
                                state,
                                plugins,
                                "--output-roots",
                                ROOT,
                                "--threads=2",
                                "--log-level",
                                "error",
                                "--sync-bytes=0",
                                "--full-wait=0",
                                "--sync-interval=0",
                                "--max-client-bytes=1048576",
                                NULL};
    const char *directory = getenv("PLUGIN_DIR");
    struct lighter_error err = LIGHTER_ERROR_INIT;

    snprintf(socket, sizeof socket, "--socket=%s/l.sock", base);
    snprintf(state, sizeof state, "--state-dir=%s/state", base);
    snprintf(plugins, sizeof plugins, "--plugin-dir=%s",
             directory ? directory : FUZZ_PLUGIN_DIR);
    FUZZ_EXPECT(settings_init(&settings, &err) == 0);
    FUZZ_EXPECT(settings_parse(&settings, sizeof arguments / sizeof *arguments - 1,
                               arguments, NULL, &err) == 0);
}

static void
set_up(void)
{
    make_root();
    make_settings();
    signal(SIGPIPE, SIG_IGN);
    memset(clients, -1, sizeof clients);
    start_daemon(); /* libuv and the plugins open what they keep */
    FUZZ_EXPECT(served.registry.lists[REGISTRY_WRITER].count > 0);
    clean_up();
}

static void
act(uint8_t byte, const uint8_t *data, size_t size)
{
    int client = byte % N_CLIENTS;

    switch ((enum deed)(byte / N_CLIENTS % N_DEEDS)) {
    case SEND:
        send_frame(client, data, size, -1);
        break;
    case SEND_RAW:
        send_bytes(client, data, size, -1);
        break;
    case SHARE:
        share(client, data, size);
        break;
    case LISTEN:
        listen_to_answers();
        break;
    case LEAVE:
        if (clients[client] >= 0)
            close(clients[client]);
        clients[client] = -1;
        break;
    case RESTART:
        stop_daemon();
        start_daemon();
        break;
    default:
        break;
    }
}

static int
first_free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size, *next;
    int free_before;

    if (!*base)
        set_up();
    log_set_level((enum log_level) -
                  1); /* nothing: a line an input would be too much */
    free_before = first_free_descriptor();
    start_daemon();
    for (; data < end; data = next) {
        const uint8_t *cut = memchr(data + 1, 0xc1, (size_t)(end - data) - 1);

        act(*data, data + 1, (size_t)((cut ? cut : end) - data) - 1);
        next = cut ? cut + 1 : end;
    }
    listen_to_answers();
    expect_service();
    clean_up();
    FUZZ_EXPECT(first_free_descriptor() == free_before);
    return 0;
}
