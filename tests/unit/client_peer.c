/* client_peer.c - see client_peer.h. */
#include "tests/unit/client_peer.h"

#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FRAME_MAX_BYTES ((size_t)64 << 20)

/* ---- the peer ------------------------------------------------------------------ */

void
peer_rise(struct peer *peer)
{
    peer->fd = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(peer->fd, 0);
    ck_assert_int_eq(frame_reader_init(&peer->reader, FRAME_MAX_BYTES, NULL), 0);
}

void
peer_die(struct peer *peer)
{
    close(peer->fd);
    frame_reader_done(&peer->reader);
}

static void *
peer_main(void *argument)
{
    struct peer *peer = argument;

    peer_rise(peer);
    peer->serve(peer);
    peer_die(peer);
    return NULL;
}

void
peer_listen(struct peer *peer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    peer->directory = unit_tmpdir();
    snprintf(peer->path, sizeof peer->path, "%s/s", peer->directory);
    strcpy(address.sun_path, peer->path);
    peer->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(peer->listen_fd, (struct sockaddr *)&address, sizeof address),
                     0);
    ck_assert_int_eq(listen(peer->listen_fd, 4), 0);
}

/* Signals are for the client alone. */
static void
start_thread(struct peer *peer)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ck_assert_int_eq(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
peer_start(struct peer *peer, size_t chunk, void (*serve)(struct peer *peer))
{
    *peer = (struct peer){.chunk = chunk,
                          .serve = serve,
                          .max_frame_bytes = FRAME_MAX_BYTES,
                          .max_client_bytes = FRAME_MAX_BYTES,
                          .max_objects = CHECK_MAX_OBJECTS};
    peer_listen(peer);
    start_thread(peer);
}

void
peer_join(struct peer *peer)
{
    pthread_join(peer->thread, NULL);
}

void
peer_done(struct peer *peer)
{
    message_done(&peer->request);
    close(peer->listen_fd);
    unit_tmpdir_remove(peer->directory);
}

void
peer_finish(struct peer *peer)
{
    peer_join(peer);
    peer_done(peer);
}

void
peer_read(struct peer *peer)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame;

    message_done(&peer->request);
    while (frame_next(&peer->reader, &frame, &err) == FRAME_MORE) {
        uint8_t *room;
        size_t size;
        ssize_t n;

        ck_assert_int_eq(frame_reader_room(&peer->reader, &room, &size, &err), 0);
        n = read(peer->fd, room, size);
        ck_assert_int_gt(n, 0);
        frame_reader_fed(&peer->reader, (size_t)n);
    }
    ck_assert_msg(message_parse(&peer->request, &frame, CHECK_MAX_OBJECTS, &err) == 0,
                  "%s", err.message);
}

void
peer_expect(struct peer *peer, const char *method)
{
    peer_read(peer);
    ck_assert_msg(message_is(&peer->request, method), "expected %s, got %.*s", method,
                  (int)peer->request.method.size, peer->request.method.ptr);
}

/* The client takes each chunk before the next one is sent: none are joined. It may have
 * heard enough, and be gone.
 */
void
peer_send(struct peer *peer, const void *bytes, size_t size)
{
    for (size_t at = 0, n; at < size; at += n) {
        int queued = 1;

        n = size - at < peer->chunk ? size - at : peer->chunk;
        if (send(peer->fd, (const char *)bytes + at, n, MSG_NOSIGNAL) < 0) {
            ck_assert(errno == EPIPE || errno == ECONNRESET);
            return;
        }
        while (peer->chunk != SIZE_MAX && queued)
            ck_assert_int_eq(ioctl(peer->fd, SIOCOUTQ, &queued), 0);
    }
}

void
peer_send_out(struct peer *peer, struct message_out *out)
{
    struct frame frame;

    ck_assert_int_eq(message_finish(out, &frame, NULL), 0);
    peer_send(peer, frame.data, frame.size);
    free(frame.data);
}

void
peer_answer(struct peer *peer, uint32_t id)
{
    struct message_out out;

    message_begin_result(&out, id);
    msgpack_pack_map(&out.packer, 0);
    peer_send_out(peer, &out);
}

void
peer_refuse(struct peer *peer, uint32_t id, struct lighter_error err)
{
    struct message_out out;

    message_pack_error(&out, id, &err, "csv");
    peer_send_out(peer, &out);
}

void
peer_greet(struct peer *peer)
{
    struct message_out out;

    peer_expect(peer, "hello");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 9);
    pack_key_int(&out.packer, "protocol", 1);
    pack_key_text(&out.packer, "server", "lighterd 9.9");
    pack_key_int(&out.packer, "pid", 17);
    pack_key_int(&out.packer, "max_frame_bytes", peer->max_frame_bytes);
    pack_key_int(&out.packer, "max_client_bytes", peer->max_client_bytes);
    pack_key_int(&out.packer, "max_objects", peer->max_objects);
    pack_key_int(&out.packer, "max_memory_bytes", peer->max_memory_bytes);
    pack_key(&out.packer, "writers");
    msgpack_pack_array(&out.packer, 0);
    pack_key(&out.packer, "features");
    msgpack_pack_array(&out.packer, 2);
    pack_text(&out.packer, "only");
    pack_text(&out.packer, peer->tells_past ? "past" : "passed");
    peer_send_out(peer, &out);
}

void
peer_accept_job(struct peer *peer)
{
    struct message_out out;

    peer_expect(peer, "open");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 6);
    pack_key_int(&out.packer, "handle", PEER_HANDLE);
    pack_key_int(&out.packer, "id", peer->job_id);
    pack_key_int(&out.packer, "seq", peer->committed);
    pack_key_int(&out.packer, "samples", 10 * peer->committed);
    pack_key_bool(&out.packer, "published", peer->is_published);
    pack_key(&out.packer, "warnings");
    msgpack_pack_array(&out.packer, 1);
    pack_text(&out.packer, "p.csv already exists");
    peer_send_out(peer, &out);
}

void
peer_serve(struct peer *peer, const char *method)
{
    peer_expect(peer, method);
    peer_answer(peer, peer->request.id);
}

void
peer_greet_and_accept_job(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
}

int64_t
peer_param(const struct peer *peer, const char *key)
{
    int64_t value = -1;

    ck_assert_int_ge(
        params_int(peer->request.params, key, INT64_MIN, INT64_MAX, &value, NULL), 0);
    return value;
}

bool
peer_flag(const struct peer *peer, const char *key)
{
    bool value = false;

    ck_assert_int_ge(params_bool(peer->request.params, key, &value, NULL), 0);
    return value;
}

/* ---- the client's side --------------------------------------------------------- */

struct lighter_error oops;

struct lighter_client *
peer_connect(const struct peer *peer)
{
    struct lighter_client *client;

    ck_assert_ok(lighter_connect(&client, peer->path, "test 1", &oops));
    return client;
}

struct lighter_client *
peer_open_job(const struct peer *peer)
{
    struct lighter_job_spec spec = {.job = "p", .writers_json = PEER_WRITERS};
    struct lighter_client *client = peer_connect(peer);
    struct lighter_job job;

    ck_assert_ok(lighter_open(client, &spec, &job, &oops));
    ck_assert_int_eq(job.handle, PEER_HANDLE);
    return client;
}

struct lighter_outputs *
peer_outputs(void)
{
    struct lighter_outputs *outputs = lighter_outputs_new();

    lighter_outputs_ints(outputs, "id", 2, (const int64_t[]){1, 2});
    return outputs;
}
