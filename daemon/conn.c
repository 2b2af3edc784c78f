/* conn.c - see conn.h. */
#include "daemon/conn.h"

#include "daemon/outbox.h"
#include "daemon/receive.h"
#include "daemon/session.h"
#include "util/error.h"
#include "util/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads in one turn of the loop: then others get theirs. */
#define MAX_READS 16

/* Unsent answers: above this mark no more requests are read; at OUTBOX_MAX, which those
 * that were read before may lead to, the client is closed.
 */
#define OUT_HIGH ((size_t)256 << 10)

struct conn {
    TAILQ_ENTRY(conn) link;
    struct daemon *daemon;
    struct peer *peer; /* a reference */
    struct session session;
    struct frame_reader reader;
    bool must_claim; /* the frame that is on its way, the descriptor that waits */
    int fd;
    int pidfd; /* of the process that connected; -1: not known */
    uv_poll_t poll;
    int events; /* that are polled for now */
    bool closed, paused;
    bool hung_up;                  /* it is closed when the loop comes to it */
    TAILQ_ENTRY(conn) paused_link; /* in daemon->paused while it waits for room */
    struct turn turn;              /* to receive a large frame */
    struct outbox out;
};

static void on_ready(uv_poll_t *poll, int status, int events);

/* ---- what to wait for ---- */

static bool
wants_requests(const struct conn *conn)
{
    return quota_has_room(&conn->peer->quota) && outbox_size(&conn->out) < OUT_HIGH &&
           !session_is_reading(&conn->session) && !conn->daemon->stopping &&
           !conn->hung_up;
}

/* Also more of a request that is not whole yet? */
static bool
wants_bytes(const struct conn *conn)
{
    return wants_requests(conn) && (!conn->turn.is_in_line || conn->turn.has_turn);
}

/* After bytes have come, or a frame was taken. */
static void
update_turn(struct conn *conn)
{
    if (frame_reader_is_large(&conn->reader))
        turns_join(&conn->daemon->turns, &conn->turn, conn->reader.large.size);
    else
        turns_leave(&conn->daemon->turns, &conn->turn);
}

static void
set_paused(struct conn *conn, bool paused)
{
    if (conn->paused == paused)
        return;
    conn->paused = paused;
    if (paused)
        TAILQ_INSERT_TAIL(&conn->daemon->paused, conn, paused_link);
    else
        TAILQ_REMOVE(&conn->daemon->paused, conn, paused_link);
}

static void
update_events(struct conn *conn)
{
    int events = 0;

    if (conn->closed)
        return;
    update_turn(conn);
    set_paused(conn, !wants_requests(conn));
    if (wants_bytes(conn) || conn->hung_up)
        events |= UV_READABLE;
    if (outbox_size(&conn->out))
        events |= UV_WRITABLE;
    if (events == conn->events)
        return;
    conn->events = events;
    if (events)
        uv_poll_start(&conn->poll, events, on_ready);
    else
        uv_poll_stop(&conn->poll); /* else a peer that hung up would wake us for ever */
}

/* ---- answers ---- */

/* Must not close the connection itself: a handler of its session may be running. */
static void
hang_up(struct conn *conn, const char *why)
{
    log_warning("closed a client: %s client=%s", why, LOG_VALUE(conn->peer->client));
    conn->hung_up = true;
    shutdown(conn->fd, SHUT_RDWR); /* which polling finds */
}

static void
on_answer(void *data, struct frame *frame)
{
    struct conn *conn = data;
    int r = -ENOMEM;

    if (frame && !conn->hung_up)
        r = outbox_put(&conn->out, conn->fd, frame->data, frame->size);
    if (frame)
        free(frame->data);
    if (conn->hung_up)
        return;
    if (r == OUTBOX_FULL)
        hang_up(conn, "it does not read its answers");
    else if (r < 0)
        hang_up(conn, "no memory for its answer"); /* it would wait for it for ever */
    update_events(conn);
}

/* ---- is anybody there? ---- */

/* Asked, not told: where nothing is read for now, nothing is polled either. */
static bool
is_gone(void *data)
{
    struct conn *conn = data;
    struct pollfd fds[] = {{.fd = conn->fd}, {.fd = conn->pidfd, .events = POLLIN}};

    return poll(fds, 2, 0) > 0 && (fds[0].revents & POLLHUP || fds[1].revents & POLLIN);
}

static void
evict(void *data)
{
    struct conn *conn = data;

    hang_up(conn, "its process has ended, and another one comes for its place");
    session_done(&conn->session);
    update_events(conn);
}

/* A number alone may be another process's by the time that it is asked for. One of
 * another PID namespace has none.
 */
static int
open_peer(int fd)
{
    struct ucred creds = {0};
    socklen_t size = sizeof creds;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &size) < 0 || creds.pid <= 0)
        return -1;
    return (int)syscall(SYS_pidfd_open, creds.pid, 0u); /* Linux 5.3; CLOEXEC */
}

static void
on_room(void *data)
{
    conn_resume_paused(data);
}

/* ---- requests ---- */

static void
refuse(struct conn *conn, const struct lighter_error *err)
{
    struct reply reply = reply_new(conn->peer, 0);

    reply_error(&reply, err, NULL);
}

/* A descriptor comes with the first byte of the frame that claims it: of one that was
 * here, or else of the one that has begun and is handled next. Is it neither?
 */
static int
check_claim(struct conn *conn, bool is_last_chance)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;

    if (conn->session.descriptor < 0 || !is_last_chance)
        return 0;
    lighter_fail(&err, LIGHTER_E_PROTOCOL,
                 "a descriptor came without the request 'memory'");
    refuse(conn, &err);
    return -EPROTO;
}

static int
after_last_frame(struct conn *conn)
{
    conn->must_claim = conn->session.descriptor >= 0;
    return check_claim(conn, !frame_reader_waits(&conn->reader));
}

static int
after_frame(struct conn *conn)
{
    bool was_last_chance = conn->must_claim;

    conn->must_claim = false;
    return check_claim(conn, was_last_chance);
}

static int
handle_frame(struct conn *conn, struct frame *frame)
{
    uint64_t max_objects = check_max_objects(conn->reader.max_bytes);
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct message message;
    int r = session_take_large(&conn->session, frame); /* takes, or it is parsed */

    if (r != SESSION_PARSE)
        return r;
    r = message_parse(&message, frame, max_objects, &err); /* takes */
    if (r < 0) {
        refuse(conn, &err);
        return r;
    }
    return session_handle(&conn->session, &message); /* takes */
}

/* All whole frames that are here, as long as there is room for what they bring.
 * Return: 0; < 0: the connection must end, and the peer was told why.
 */
static int
handle_frames(struct conn *conn)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame;
    int r;

    if (conn->session.broken)
        return -EPROTO;
    while (wants_requests(conn)) {
        r = frame_next(&conn->reader, &frame, &err);
        if (r == FRAME_MORE)
            return after_last_frame(conn);
        if (r < 0) {
            refuse(conn, &err);
            return r;
        }
        r = handle_frame(conn, &frame); /* takes */
        if (r == 0)
            r = after_frame(conn);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Return: 1: bytes came, and more may be there; 0: none are there now, or what came was
 * less than there was room for and ended with a frame, so that asking again would
 * mostly be in vain: poll tells; < 0: the connection must end.
 */
static int
read_some(struct conn *conn)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    uint8_t *room;
    size_t size;
    ssize_t n;
    int r = frame_reader_room(&conn->reader, &room, &size, &err);

    if (r < 0) {
        refuse(conn, &err);
        return r;
    }
    n = receive(conn->fd, room, size, &conn->session.descriptor, &err);
    if (n == -EPROTO)
        refuse(conn, &err);
    if (n < 0)
        return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
    if (n == 0)
        return -ECONNRESET; /* the peer is done */
    frame_reader_fed(&conn->reader, (size_t)n);
    r = handle_frames(conn);
    if (r < 0)
        return r;
    update_turn(conn);
    return (size_t)n == size || frame_reader_waits(&conn->reader);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    int r = conn->hung_up ? -ECONNRESET : status;

    if (r == 0 && events & UV_WRITABLE)
        r = outbox_send(&conn->out, conn->fd);
    if (r == 0)
        r = handle_frames(conn); /* those that waited while answers were too many */
    for (int i = 0; r >= 0 && i < MAX_READS && wants_bytes(conn); i++) {
        r = read_some(conn);
        if (r == 0)
            break;
    }
    if (r < 0)
        conn_close(conn);
    else
        update_events(conn);
}

/* Frames that waited in the reader are handled without waiting for more bytes. */
static void
resume(struct conn *conn)
{
    if (conn->closed || !wants_requests(conn))
        return;
    if (handle_frames(conn) < 0)
        conn_close(conn);
    else
        update_events(conn);
}

void
conn_resume_paused(struct daemon *daemon)
{
    struct conn *conn, *next;

    for (conn = TAILQ_FIRST(&daemon->paused); conn; conn = next) {
        next = TAILQ_NEXT(conn, paused_link);
        resume(conn);
    }
}

/* ---- the turn to receive a large frame ---- */

static void
on_turn(void *data)
{
    update_events(data);
}

static void
on_late(void *data)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct conn *conn = data;

    lighter_fail(&err, LIGHTER_E_LIMIT,
                 "a message of %zu bytes kept others waiting for more than "
                 "frame_wait = %d s and is not whole",
                 conn->reader.large.size, (int)conn->daemon->settings->frame_wait_s);
    log_warning("closed a client: %s client=%s", err.message,
                LOG_VALUE(conn->peer->client));
    refuse(conn, &err);
    conn_close(conn);
}

/* ---- its life ---- */

static void
conn_free(struct conn *conn)
{
    outbox_done(&conn->out);
    frame_reader_done(&conn->reader);
    peer_unref(conn->peer);
    close(conn->fd);
    if (conn->pidfd >= 0)
        close(conn->pidfd);
    free(conn);
}

static void
on_poll_closed(uv_handle_t *handle)
{
    conn_free(handle->data);
}

static int
init(struct conn *conn, struct daemon *daemon, struct lighter_error *err)
{
    int r;

    conn->daemon = daemon;
    conn->peer = peer_new(&daemon->quota, (size_t)daemon->settings->max_client_bytes);
    if (!conn->peer)
        return fail_nomem(err);
    r = frame_reader_init(&conn->reader, (size_t)daemon->settings->max_frame_bytes,
                          err);
    if (r < 0)
        return r;
    r = uv_poll_init(&daemon->loop, &conn->poll, conn->fd);
    return r < 0 ? lighter_fail_os(err, -r, "watch a connection") : 0;
}

int
conn_open(struct daemon *daemon, int fd, struct lighter_error *err)
{
    struct conn *conn = calloc(1, sizeof *conn);
    int r;

    if (!conn) {
        close(fd);
        return fail_nomem(err);
    }
    conn->fd = fd;
    conn->pidfd = open_peer(fd);
    r = init(conn, daemon, err);
    if (r < 0) {
        conn_free(conn);
        return r;
    }
    conn->poll.data = conn;
    conn->turn = (struct turn){.data = conn, .on_turn = on_turn, .on_late = on_late};
    conn->peer->data = conn;
    conn->peer->on_answer = on_answer;
    conn->peer->is_gone = is_gone;
    conn->peer->evict = evict;
    conn->peer->on_room = on_room;
    conn->peer->room_data = daemon; /* outlives every peer: others wait for the room */
    session_init(&conn->session, daemon, conn->peer);
    TAILQ_INSERT_TAIL(&daemon->conns, conn, link);
    daemon->n_conns++;
    update_events(conn);
    daemon_check_idle(daemon);
    return 0;
}

void
conn_close(struct conn *conn)
{
    struct daemon *daemon = conn->daemon;

    if (conn->closed)
        return;
    set_paused(conn, false);
    conn->closed = true;
    turns_leave(&daemon->turns, &conn->turn);
    outbox_send(&conn->out, conn->fd); /* as far as the peer takes them */
    conn->peer->on_answer = NULL;
    session_done(&conn->session);
    TAILQ_REMOVE(&daemon->conns, conn, link);
    daemon->n_conns--;
    uv_close((uv_handle_t *)&conn->poll, on_poll_closed);
    daemon_check_idle(daemon);
}

void
conn_close_all(struct daemon *daemon)
{
    struct conn *conn;

    while ((conn = TAILQ_FIRST(&daemon->conns)))
        conn_close(conn);
}
