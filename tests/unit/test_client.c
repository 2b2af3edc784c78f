/* test_client.c - liblighter against a peer that speaks through the daemon's codec, and
 * can say what a daemon never would.
 *
 * The peer is a thread that serves one connection with a script: it expects requests in
 * an order, and answers as the test wants it.
 */
#include "tests/unit/unit.h"

#include <lighter/client.h>

#include "util/error.h"
#include "wire/message.h"
#include "wire/params.h"
#include "wire/value.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define WRITERS "[{\"type\": \"csv\", \"options\": {\"path\": \"p.csv\"}}]"
#define FRAME_MAX_BYTES ((size_t)64 << 20)

/* ---- the peer ------------------------------------------------------------------ */

struct peer {
    char *directory, path[100];
    int listen_fd, fd;
    pthread_t thread;
    size_t chunk; /* bytes of an answer at a time */
    int64_t max_frame_bytes, max_client_bytes;
    void (*serve)(struct peer *peer);
    struct frame_reader reader;
    struct message request; /* the last one */
};

static void *
peer_main(void *argument)
{
    struct peer *peer = argument;

    peer->fd = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(peer->fd, 0);
    peer->serve(peer);
    close(peer->fd);
    return NULL;
}

static void
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

static void
peer_start(struct peer *peer, size_t chunk, void (*serve)(struct peer *peer))
{
    *peer = (struct peer){.chunk = chunk,
                          .serve = serve,
                          .max_frame_bytes = FRAME_MAX_BYTES,
                          .max_client_bytes = FRAME_MAX_BYTES};
    peer_listen(peer);
    ck_assert_int_eq(frame_reader_init(&peer->reader, FRAME_MAX_BYTES, NULL), 0);
    ck_assert_int_eq(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
}

static void
peer_finish(struct peer *peer)
{
    pthread_join(peer->thread, NULL);
    message_done(&peer->request);
    frame_reader_done(&peer->reader);
    close(peer->listen_fd);
    unit_tmpdir_remove(peer->directory);
}

/* The next request, of any method, into peer->request. */
static void
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
    ck_assert_msg(message_parse(&peer->request, &frame, &err) == 0, "%s", err.message);
}

static void
peer_expect(struct peer *peer, const char *method)
{
    peer_read(peer);
    ck_assert_msg(message_is(&peer->request, method), "expected %s, got %.*s", method,
                  (int)peer->request.method.size, peer->request.method.ptr);
}

/* The client takes each chunk before the next one is sent: none are joined. */
static void
peer_send(struct peer *peer, const void *bytes, size_t size)
{
    for (size_t at = 0, n; at < size; at += n) {
        int queued = 1;

        n = size - at < peer->chunk ? size - at : peer->chunk;
        ck_assert_int_eq(send(peer->fd, (const char *)bytes + at, n, MSG_NOSIGNAL), n);
        while (peer->chunk != SIZE_MAX && queued)
            ck_assert_int_eq(ioctl(peer->fd, SIOCOUTQ, &queued), 0);
    }
}

/* takes `out` */
static void
peer_send_out(struct peer *peer, struct message_out *out)
{
    struct frame frame;

    ck_assert_int_eq(message_finish(out, &frame, NULL), 0);
    peer_send(peer, frame.data, frame.size);
    free(frame.data);
}

static void
peer_answer(struct peer *peer, uint32_t id)
{
    struct message_out out;

    message_begin_result(&out, id);
    msgpack_pack_map(&out.packer, 0);
    peer_send_out(peer, &out);
}

static void
peer_refuse(struct peer *peer, uint32_t id, struct lighter_error err)
{
    struct message_out out;

    message_pack_error(&out, id, &err, "csv");
    peer_send_out(peer, &out);
}

static void
peer_greet(struct peer *peer)
{
    struct message_out out;

    peer_expect(peer, "hello");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 6);
    pack_key_int(&out.packer, "protocol", 1);
    pack_key_text(&out.packer, "server", "lighterd 9.9");
    pack_key_int(&out.packer, "pid", 17);
    pack_key_int(&out.packer, "max_frame_bytes", peer->max_frame_bytes);
    pack_key_int(&out.packer, "max_client_bytes", peer->max_client_bytes);
    pack_key(&out.packer, "writers");
    msgpack_pack_array(&out.packer, 0);
    peer_send_out(peer, &out);
}

static void
peer_accept_job(struct peer *peer)
{
    struct message_out out;

    peer_expect(peer, "open");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 3);
    pack_key_int(&out.packer, "handle", 3);
    pack_key_int(&out.packer, "seq", 0);
    pack_key(&out.packer, "warnings");
    msgpack_pack_array(&out.packer, 1);
    pack_text(&out.packer, "p.csv already exists");
    peer_send_out(peer, &out);
}

static void
peer_serve_answer(struct peer *peer, const char *method)
{
    peer_expect(peer, method);
    peer_answer(peer, peer->request.id);
}

static int64_t
peer_param(const struct peer *peer, const char *key)
{
    int64_t value = -1;

    ck_assert_int_eq(
        params_int(peer->request.params, key, INT64_MIN, INT64_MAX, &value, NULL), 0);
    return value;
}

/* ---- the client's side --------------------------------------------------------- */

#define EXPECT_OK(call)                                                                \
    do {                                                                               \
        struct lighter_error *err = &expect_err;                                       \
        ck_assert_msg((call) == 0, "%s", expect_err.message);                          \
        (void)err;                                                                     \
    } while (0)

static struct lighter_error expect_err;

static struct lighter_client *
connect_to(const struct peer *peer)
{
    struct lighter_client *client;

    EXPECT_OK(lighter_connect(&client, peer->path, "test 1", err));
    return client;
}

/* Connected, with one open job. */
static struct lighter_client *
open_job(const struct peer *peer, int64_t *ret_handle)
{
    struct lighter_job_spec spec = {.job = "p", .writers_json = WRITERS};
    struct lighter_client *client = connect_to(peer);
    struct lighter_job job;

    EXPECT_OK(lighter_open(client, &spec, &job, err));
    *ret_handle = job.handle;
    return client;
}

static struct lighter_outputs *
some_outputs(void)
{
    struct lighter_outputs *outputs = lighter_outputs_new();

    lighter_outputs_ints(outputs, "id", 2, (const int64_t[]){1, 2});
    return outputs;
}

#define ck_assert_contains(text, part)                                                 \
    ck_assert_msg(strstr((text), (part)) != NULL, "'%s' lacks '%s'", (text), (part))

/* ---- conversations ------------------------------------------------------------- */

static void
serve_a_run(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
    for (int i = 0; i < 3; i++)
        peer_serve_answer(peer, "write");
    peer_serve_answer(peer, "end");
}

static void
run_once(size_t chunk)
{
    struct lighter_job_spec spec = {.job = "p", .writers_json = WRITERS};
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    peer_start(&peer, chunk, serve_a_run);
    client = connect_to(&peer);
    EXPECT_OK(lighter_open(client, &spec, &job, err));
    for (int i = 0; i < 3; i++)
        EXPECT_OK(lighter_write(client, job.handle, outputs, i, 0, err));
    EXPECT_OK(lighter_end(client, job.handle, true, err));

    ck_assert_int_eq(job.handle, 3);
    ck_assert_int_eq(job.n_warnings, 1);
    ck_assert_str_eq(job.warnings[0], "p.csv already exists");
    ck_assert_str_eq(lighter_hello(client)->server, "lighterd 9.9");
    ck_assert_str_eq(lighter_hello(client)->socket_path, peer.path);
    ck_assert_int_eq(lighter_hello(client)->pid, 17);

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}

START_TEST(answers_cut_anywhere_are_understood)
{
    run_once(unit_chunks[_i]);
}
END_TEST

static void
on_alarm(int signal_number)
{
    (void)signal_number;
}

START_TEST(signals_interrupt_nothing)
{
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval often = {{0, 200}, {0, 200}}, never = {0};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    run_once(1);
    setitimer(ITIMER_REAL, &never, NULL);
}
END_TEST

static void
serve_open_alone(struct peer *peer)
{
    msgpack_object_str text;

    peer_greet(peer);
    peer_expect(peer, "open");
    params_string(peer->request.params, "stage", &text, NULL);
    ck_assert(params_str_is(text, "test"));
    params_string(peer->request.params, "cwd", &text, NULL);
    ck_assert(params_str_is(text, "/data"));
    ck_assert_int_eq(peer_param(peer, "rank"), 1);
    ck_assert_int_eq(peer_param(peer, "world_size"), 4);
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_STATE, 0, -1, "rank 1 is taken"});
}

START_TEST(a_job_is_opened_as_it_was_specified)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_job job = {.handle = 99};
    struct peer peer;
    int r;

    peer_start(&peer, SIZE_MAX, serve_open_alone);
    client = connect_to(&peer);
    r = lighter_open(client,
                     &(struct lighter_job_spec){.job = "p",
                                                .stage = "test",
                                                .rank = 1,
                                                .world_size = 4,
                                                .cwd = "/data",
                                                .writers_json = WRITERS},
                     &job, &err);

    ck_assert_int_eq(r, -EBUSY);
    ck_assert_int_eq(err.code, LIGHTER_E_STATE);
    ck_assert_str_eq(err.message, "rank 1 is taken");
    ck_assert_int_eq(job.handle, 99);

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

START_TEST(writers_that_are_no_json_array_are_refused)
{
    static const char *const bad[] = {"[{]", "{}", "[{\"a\": 1, \"a\": 2}]", ""};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    char deep[128] = {0};
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    memset(deep, '[', 31);
    memset(deep + 31, ']', 31);
    peer_start(&peer, SIZE_MAX, peer_greet);
    client = connect_to(&peer);

    for (size_t i = 0; i < 5; i++) {
        struct lighter_job_spec spec = {.job = "p",
                                        .writers_json = i < 4 ? bad[i] : deep};

        ck_assert_int_eq(lighter_open(client, &spec, &job, &err), -EINVAL);
        ck_assert_int_eq(err.code, LIGHTER_E_PARAMS);
        ck_assert_contains(err.message, "writers_json: ");
    }

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

/* ---- outputs ------------------------------------------------------------------- */

/* The message stays in peer->request for the test to look at. */
static void
serve_one_write(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
    peer_serve_answer(peer, "write");
}

/* Hand `outputs` to the peer, and see what arrives. */
static struct lighter_value
send_outputs(struct peer *peer, const struct lighter_outputs *outputs)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_value value;
    int64_t handle;

    peer_start(peer, SIZE_MAX, serve_one_write);
    client = open_job(peer, &handle);
    EXPECT_OK(lighter_write(client, handle, outputs, 7, 1, err));
    EXPECT_OK(lighter_commit(client, handle, err));
    lighter_disconnect(client);
    pthread_join(peer->thread, NULL);
    ck_assert_int_eq(peer_param(peer, "job"), 3);
    ck_assert_int_eq(peer_param(peer, "seq"), 1);
    ck_assert_int_eq(peer_param(peer, "batch_idx"), 7);
    ck_assert_int_eq(peer_param(peer, "dataloader_idx"), 1);
    ck_assert_msg(value_convert(params_find(peer->request.params, "outputs"),
                                peer->request.zone, &value, &err) == 0,
                  "%s", err.message);
    return value;
}

/* After send_outputs(), which has joined the thread. */
static void
peer_forget(struct peer *peer)
{
    message_done(&peer->request);
    frame_reader_done(&peer->reader);
    close(peer->listen_fd);
    unit_tmpdir_remove(peer->directory);
}

static void
assert_string(const struct lighter_value *value, const char *text)
{
    ck_assert_int_eq(value->type, LIGHTER_STRING);
    ck_assert_int_eq(value->as.string.size, strlen(text));
    ck_assert_mem_eq(value->as.string.data, text, strlen(text));
}

START_TEST(lists_arrive_as_they_were_put_in)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    const struct lighter_value *value;
    struct lighter_value map;
    struct peer peer;

    lighter_outputs_strings(outputs, "id", 3, (const char *[]){"0001", NULL, ""});
    lighter_outputs_ints(outputs, "n", 2, (const int64_t[]){INT64_MIN, INT64_MAX});
    lighter_outputs_floats(outputs, "p", 2, (const double[]){0.1, -1e300});
    lighter_outputs_text(outputs, "split", "tr\xc3\xa4in");
    lighter_outputs_ints(outputs, "none", 0, NULL);
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 5);
    value = lighter_map_get(&map, "id");
    ck_assert_int_eq(value->count, 3);
    assert_string(&value->as.items[0], "0001");
    ck_assert_int_eq(value->as.items[1].type, LIGHTER_NIL);
    assert_string(&value->as.items[2], "");
    value = lighter_map_get(&map, "n");
    ck_assert_int_eq(value->as.items[0].as.integer, INT64_MIN);
    ck_assert_int_eq(value->as.items[1].as.integer, INT64_MAX);
    value = lighter_map_get(&map, "p");
    ck_assert_double_eq(value->as.items[0].as.real, 0.1);
    ck_assert_double_eq(value->as.items[1].as.real, -1e300);
    assert_string(lighter_map_get(&map, "split"), "tr\xc3\xa4in");
    ck_assert_int_eq(lighter_map_get(&map, "none")->count, 0);

    lighter_outputs_free(outputs);
    peer_forget(&peer);
}
END_TEST

START_TEST(tensors_arrive_as_they_were_put_in)
{
    static const uint8_t bytes[96] = {1, 2, 3, 250};
    const uint64_t shape[] = {3, 2}, empty_shape[] = {2, 0};
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_value map;
    struct peer peer;
    char key[16];

    for (uint32_t dtype = 0; dtype < LIGHTER_N_DTYPES; dtype++) {
        snprintf(key, sizeof key, "t%u", dtype);
        lighter_outputs_tensor(outputs, key, dtype, 2, shape, bytes);
    }
    lighter_outputs_tensor(outputs, "scalar", LIGHTER_FLOAT64, 0, NULL, bytes);
    lighter_outputs_tensor(outputs, "empty", LIGHTER_INT8, 2, empty_shape, NULL);
    map = send_outputs(&peer, outputs);

    for (uint32_t dtype = 0; dtype < LIGHTER_N_DTYPES; dtype++) {
        const struct lighter_tensor *tensor = &map.as.items[2 * dtype + 1].as.tensor;

        ck_assert_int_eq(map.as.items[2 * dtype + 1].type, LIGHTER_TENSOR);
        ck_assert_int_eq(tensor->dtype, dtype);
        ck_assert_int_eq(tensor->ndim, 2);
        ck_assert_mem_eq(tensor->shape, shape, sizeof shape);
        ck_assert_int_eq(tensor->size, 6 * lighter_dtype_size(dtype));
        ck_assert_mem_eq(tensor->data, bytes, tensor->size);
    }
    ck_assert_int_eq(lighter_map_get(&map, "scalar")->as.tensor.ndim, 0);
    ck_assert_int_eq(lighter_map_get(&map, "empty")->as.tensor.size, 0);

    lighter_outputs_free(outputs);
    peer_forget(&peer);
}
END_TEST

START_TEST(any_value_arrives_as_it_was_put_in)
{
    const uint64_t shape[] = {2};
    struct lighter_value pair[] = {unit_string("t"),
                                   unit_tensor(LIGHTER_INT8, 1, shape, "\x05\x06")};
    struct lighter_value items[] = {
        unit_nil(),
        unit_bool(true),
        unit_map(pair, 1),
        {.type = LIGHTER_UINT, .as.uinteger = UINT64_MAX},
        {.type = LIGHTER_BYTES, .as.string = {"\xff\0", 2}}};
    struct lighter_value list = unit_list(items, 5), map;
    struct lighter_outputs *outputs = lighter_outputs_new();
    const struct lighter_value *value;
    struct peer peer;

    lighter_outputs_value(outputs, "all", &list);
    lighter_outputs_ints(outputs, "behind", 1, (const int64_t[]){4});
    map = send_outputs(&peer, outputs);

    value = lighter_map_get(&map, "all");
    ck_assert_int_eq(value->as.items[0].type, LIGHTER_NIL);
    ck_assert(value->as.items[1].as.boolean);
    ck_assert_mem_eq(value->as.items[2].as.items[1].as.tensor.data, "\x05\x06", 2);
    ck_assert_uint_eq(value->as.items[3].as.uinteger, UINT64_MAX);
    ck_assert_int_eq(value->as.items[4].type, LIGHTER_BYTES);
    ck_assert_mem_eq(value->as.items[4].as.string.data, "\xff\0", 2);
    ck_assert_int_eq(lighter_map_get(&map, "behind")->as.items[0].as.integer, 4);

    lighter_outputs_free(outputs);
    peer_forget(&peer);
}
END_TEST

/* Three times IOV_MAX parts, and keys that make the map's head a long one. */
START_TEST(any_number_of_tensors_arrives)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    const uint64_t shape[] = {1};
    struct lighter_value map;
    uint16_t numbers[1500];
    struct peer peer;
    char key[16];

    for (int i = 0; i < 1500; i++) {
        numbers[i] = (uint16_t)i;
        snprintf(key, sizeof key, "t%d", i);
        lighter_outputs_tensor(outputs, key, LIGHTER_UINT16, 1, shape, &numbers[i]);
    }
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 1500);
    for (int i = 0; i < 1500; i++)
        ck_assert_mem_eq(map.as.items[2 * i + 1].as.tensor.data, &numbers[i], 2);

    lighter_outputs_free(outputs);
    peer_forget(&peer);
}
END_TEST

START_TEST(cleared_outputs_are_as_new)
{
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_value map;
    struct peer peer;

    lighter_outputs_text(outputs, "id", "a second time");
    lighter_outputs_clear(outputs);
    lighter_outputs_text(outputs, "id", "a first time");
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 1);
    assert_string(lighter_map_get(&map, "id"), "a first time");

    lighter_outputs_free(outputs);
    peer_forget(&peer);
}
END_TEST

struct bad_outputs {
    void (*put)(struct lighter_outputs *outputs);
    int r;
    const char *message;
};

static void
put_twice(struct lighter_outputs *outputs)
{
    lighter_outputs_text(outputs, "a", "1");
    lighter_outputs_text(outputs, "b", "2");
    lighter_outputs_text(outputs, "a", "3");
    lighter_outputs_text(outputs, "b", "4");
}

static void
put_unknown_dtype(struct lighter_outputs *outputs)
{
    lighter_outputs_tensor(outputs, "t", 99, 0, NULL, "");
}

static void
put_many_dimensions(struct lighter_outputs *outputs)
{
    lighter_outputs_tensor(outputs, "t", LIGHTER_INT8, 65, NULL, "");
}

static void
put_overflow(struct lighter_outputs *outputs)
{
    const uint64_t shape[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};

    lighter_outputs_tensor(outputs, "t", LIGHTER_INT8, 2, shape, "");
}

static void
put_many_values(struct lighter_outputs *outputs)
{
    lighter_outputs_ints(outputs, "n", (size_t)1 << 22, NULL);
}

static void
put_nested(struct lighter_outputs *outputs, int depth)
{
    struct lighter_value lists[32] = {{.type = LIGHTER_LIST}};

    for (int i = 1; i < depth; i++)
        lists[i] = unit_list(&lists[i - 1], 1);
    lighter_outputs_value(outputs, "deep", &lists[depth - 1]);
}

static void
put_too_deep(struct lighter_outputs *outputs)
{
    put_nested(outputs, 30);
}

static void
put_unknown_type(struct lighter_outputs *outputs)
{
    lighter_outputs_value(outputs, "v", &(struct lighter_value){.type = 77});
}

static const struct bad_outputs bad_outputs[] = {
    {put_twice, -EINVAL, "batch 4: 'a': a key that is in the outputs already"},
    {put_unknown_dtype, -EDOM, "batch 4: 't': a tensor of the unknown dtype 99"},
    {put_many_dimensions, -EINVAL, "batch 4: 't': a tensor of 65 dimensions"},
    {put_overflow, -EDQUOT, "batch 4: 't': a value of 18446744073709551615 bytes"},
    {put_many_values, -EDQUOT, "batch 4: 'n': more than 4194240 values"},
    {put_too_deep, -EINVAL, "batch 4: 'deep': more than 29 lists and maps"},
    {put_unknown_type, -EDOM, "batch 4: 'v': a value of the unknown type 77"},
};

static void
serve_open(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
}

START_TEST(what_went_wrong_with_outputs_is_said_by_write)
{
    const struct bad_outputs *bad = &bad_outputs[_i];
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;

    peer_start(&peer, SIZE_MAX, serve_open);
    client = open_job(&peer, &handle);
    bad->put(outputs);

    ck_assert_int_eq(lighter_write(client, handle, outputs, 4, 0, &err), bad->r);
    ck_assert_contains(err.message, bad->message);

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

START_TEST(values_may_be_nested_as_deep_as_the_header_says)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_value map;
    struct peer peer;

    put_nested(outputs, 29);
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 1);

    lighter_outputs_free(outputs);
    peer_forget(&peer);
}
END_TEST

/* ---- the pipeline -------------------------------------------------------------- */

static void
serve_out_of_order(struct peer *peer)
{
    uint32_t ids[3];

    serve_open(peer);
    for (int i = 0; i < 3; i++) {
        peer_expect(peer, "write");
        ids[i] = peer->request.id;
        ck_assert_int_eq(peer_param(peer, "seq"), i + 1);
    }
    peer_answer(peer, ids[2]);
    peer_answer(peer, ids[0]);
    peer_answer(peer, ids[1]);
    peer_serve_answer(peer, "end");
}

START_TEST(answers_may_come_in_any_order)
{
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;

    peer_start(&peer, unit_chunks[_i], serve_out_of_order);
    client = open_job(&peer, &handle);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(lighter_write(client, handle, outputs, i, 0, err));
    EXPECT_OK(lighter_end(client, handle, true, err));

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_failures(struct peer *peer)
{
    struct lighter_error full = {LIGHTER_E_OS, ENOSPC, 5, "/data: no space"};

    serve_open(peer);
    for (int i = 0; i < 3; i++) {
        peer_expect(peer, "write");
        if (i == 1)
            peer_answer(peer, peer->request.id);
        else
            peer_refuse(peer, peer->request.id, full);
    }
    peer_expect(peer, "write");
    ck_assert_int_eq(peer_param(peer, "seq"), 4);
    peer_answer(peer, peer->request.id);
    peer_serve_answer(peer, "end");
}

START_TEST(the_next_call_says_which_batch_failed)
{
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;

    peer_start(&peer, SIZE_MAX, serve_failures);
    client = open_job(&peer, &handle);
    for (int i = 0; i < 3; i++) {
        int r = lighter_write(client, handle, outputs, 10 + i, 2, &err);

        if (r == -ENOSPC) /* the answer to the first one was quick */
            r = lighter_write(client, handle, outputs, 10 + i, 2, NULL);
        ck_assert_int_eq(r, 0);
    }
    if (err.code == 0) {
        ck_assert_int_eq(lighter_end(client, handle, true, &err), -ENOSPC);
        ck_assert_contains(err.message, " (and 1 more batches failed)");
    } else
        ck_assert_int_eq(lighter_commit(client, handle, NULL), -ENOSPC);

    ck_assert_contains(err.message, "batch 10 of dataloader 2: /data: no space");
    ck_assert_int_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_eq(err.errnum, ENOSPC);
    ck_assert_int_eq(err.sample, 5);

    EXPECT_OK(lighter_write(client, handle, outputs, 13, 2, err));
    EXPECT_OK(lighter_end(client, handle, true, err));
    ck_assert_int_eq(lighter_end(client, handle, true, &err), -EINVAL);
    ck_assert_str_eq(err.message, "no open job has the handle 3");

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_with_little_room(struct peer *peer)
{
    struct pollfd poll_fd = {.fd = peer->fd, .events = POLLIN};

    peer->max_client_bytes = 100;
    serve_open(peer);
    for (int i = 0; i < 3; i++) {
        peer_expect(peer, "write");
        ck_assert_int_eq(poll(&poll_fd, 1, 30), 0);
        peer_answer(peer, peer->request.id);
    }
}

START_TEST(no_more_is_on_its_way_than_the_daemon_allows)
{
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;

    peer_start(&peer, SIZE_MAX, serve_with_little_room);
    client = open_job(&peer, &handle);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(lighter_write(client, handle, outputs, i, 0, err));
    EXPECT_OK(lighter_commit(client, handle, err));

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_small_frames(struct peer *peer)
{
    peer->max_frame_bytes = 200;
    serve_open(peer);
    peer_expect(peer, "write");
    ck_assert_int_eq(peer_param(peer, "seq"), 1);
    peer_answer(peer, peer->request.id);
}

START_TEST(a_batch_that_is_too_large_is_refused_before_it_is_sent)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    const uint64_t shape[] = {200};
    struct lighter_client *client;
    uint8_t bytes[200] = {0};
    struct peer peer;
    int64_t handle;

    peer_start(&peer, SIZE_MAX, serve_small_frames);
    client = open_job(&peer, &handle);
    lighter_outputs_tensor(outputs, "t", LIGHTER_UINT8, 1, shape, bytes);

    ck_assert_int_eq(lighter_write(client, handle, outputs, 0, 0, &err), -EDQUOT);
    ck_assert_int_eq(err.code, LIGHTER_E_LIMIT);
    ck_assert_contains(err.message, "max_frame_bytes");
    lighter_outputs_clear(outputs);
    EXPECT_OK(lighter_write(client, handle, outputs, 0, 0, err));
    EXPECT_OK(lighter_commit(client, handle, err));

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

#define N_SMALL 3000

static void
answer_padded(struct peer *peer, uint32_t id)
{
    static const char padding[2048];
    struct message_out out;

    message_begin_result(&out, id);
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "padding");
    msgpack_pack_bin_with_body(&out.packer, padding, sizeof padding);
    peer_send_out(peer, &out);
}

/* It sends more than a socket holds before it reads on. */
static void
serve_stubbornly(struct peer *peer)
{
    uint32_t ids[1000];

    serve_open(peer);
    for (int i = 0; i < 1000; i++) {
        peer_expect(peer, "write");
        ids[i] = peer->request.id;
    }
    for (int i = 0; i < 1000; i++)
        answer_padded(peer, ids[i]);
    peer_serve_answer(peer, "write");
    for (int i = 0; i < N_SMALL; i++)
        peer_serve_answer(peer, "write");
}

START_TEST(neither_side_waits_for_the_other_to_read)
{
    const uint64_t shape[] = {16 << 20};
    struct lighter_outputs *small = some_outputs(), *large = lighter_outputs_new();
    uint8_t *bytes = calloc(1, shape[0]);
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;

    peer_start(&peer, SIZE_MAX, serve_stubbornly);
    client = open_job(&peer, &handle);
    lighter_outputs_tensor(large, "t", LIGHTER_UINT8, 1, shape, bytes);
    for (int i = 0; i < 1000; i++)
        EXPECT_OK(lighter_write(client, handle, small, i, 0, err));
    EXPECT_OK(lighter_write(client, handle, large, 1000, 0, err));
    for (int i = 0; i < N_SMALL; i++)
        EXPECT_OK(lighter_write(client, handle, small, i, 0, err));
    EXPECT_OK(lighter_commit(client, handle, err));

    lighter_disconnect(client);
    lighter_outputs_free(small);
    lighter_outputs_free(large);
    free(bytes);
    peer_finish(&peer);
}
END_TEST

static void
serve_abort(struct peer *peer)
{
    msgpack_object_str reason;
    uint32_t write_id;

    serve_open(peer);
    peer_expect(peer, "write");
    write_id = peer->request.id;
    peer_expect(peer, "abort");
    params_string(peer->request.params, "reason", &reason, NULL);
    ck_assert(params_str_is(reason, "out of memory"));
    peer_answer(peer, peer->request.id);
    peer_refuse(peer, write_id,
                (struct lighter_error){LIGHTER_E_STATE, 0, -1, "aborted"});
    peer_serve_answer(peer, "ping");
}

START_TEST(a_batch_of_an_aborted_job_is_answered_to_nobody)
{
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_abort);
    client = open_job(&peer, &handle);
    EXPECT_OK(lighter_write(client, handle, outputs, 0, 0, err));
    EXPECT_OK(lighter_abort(client, handle, "out of memory", err));
    EXPECT_OK(lighter_control(client, "ping", NULL, &json, err));

    ck_assert_str_eq(json, "{}");
    ck_assert_int_eq(lighter_abort(client, handle, NULL, NULL), -EINVAL);

    free(json);
    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

/* ---- a daemon that is none ----------------------------------------------------- */

START_TEST(nobody_who_listens_is_an_error_of_its_own)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer = {0};

    peer_listen(&peer);
    close(peer.listen_fd);
    ck_assert_int_eq(lighter_connect(&client, peer.path, NULL, &err), -ECONNREFUSED);
    ck_assert_int_eq(err.errnum, ECONNREFUSED);
    ck_assert_contains(err.message, peer.path);
    unlink(peer.path);
    ck_assert_int_eq(lighter_connect(&client, peer.path, NULL, &err), -ECONNREFUSED);
    ck_assert_int_eq(err.errnum, ENOENT);
    ck_assert_contains(err.message, "start one: `lighterd`");

    unit_tmpdir_remove(peer.directory);
}
END_TEST

static void
serve_eof(struct peer *peer)
{
    peer_expect(peer, "hello");
}

static void
serve_half_an_answer(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_send(peer, "\0\0\0\x20\x94\x01", 6);
}

static void
serve_garbage(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_send(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void
serve_no_message(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_send(peer, "\0\0\0\x02\x91\xc1", 6);
}

static void
serve_unknown_id(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_answer(peer, peer->request.id + 1);
}

static void
serve_request(struct peer *peer)
{
    struct message_out out;

    peer_expect(peer, "hello");
    message_begin_request(&out, peer->request.id, "hello");
    msgpack_pack_map(&out.packer, 0);
    peer_send_out(peer, &out);
}

static void
serve_last_words(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_refuse(peer, 0,
                (struct lighter_error){LIGHTER_E_PROTOCOL, 0, -1, "a frame of 9 GiB"});
}

static void
serve_other_version(struct peer *peer)
{
    peer_expect(peer, "hello");
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_PARAMS, 0, -1, "it speaks 2"});
}

static void
serve_empty_hello(struct peer *peer)
{
    peer_serve_answer(peer, "hello");
}

static const struct {
    void (*serve)(struct peer *peer);
    int r;
    uint32_t code;
    const char *message;
} strangers[] = {
    {serve_eof, -ECONNRESET, LIGHTER_E_OS, "closed the connection without an answer"},
    {serve_half_an_answer, -ECONNRESET, LIGHTER_E_OS, "closed the connection without"},
    {serve_garbage, -EPROTO, LIGHTER_E_PROTOCOL, "an answer of lighterd: a frame of"},
    {serve_no_message, -EPROTO, LIGHTER_E_PROTOCOL, "bad MessagePack at byte"},
    {serve_unknown_id, -EPROTO, LIGHTER_E_PROTOCOL, "a request 2 that was not sent"},
    {serve_request, -EPROTO, LIGHTER_E_PROTOCOL, "sent a request, not an answer"},
    {serve_last_words, -EPROTO, LIGHTER_E_PROTOCOL, "a frame of 9 GiB"},
    {serve_other_version, -EINVAL, LIGHTER_E_PARAMS, "it speaks 2"},
    {serve_empty_hello, -EPROTO, LIGHTER_E_PROTOCOL,
     "the answer of lighterd to 'hello': 'protocol' is missing"},
};
#define N_STRANGERS (int)(sizeof strangers / sizeof *strangers)

START_TEST(a_stranger_is_told_from_a_daemon)
{
    for (int i = 0; i < UNIT_N_CHUNKS; i++) {
        struct lighter_error err = LIGHTER_ERROR_INIT;
        struct lighter_client *client;
        struct peer peer;
        int r;

        peer_start(&peer, unit_chunks[i], strangers[_i].serve);
        r = lighter_connect(&client, peer.path, NULL, &err);

        ck_assert_int_eq(r, strangers[_i].r);
        ck_assert_int_eq(err.code, strangers[_i].code);
        ck_assert_contains(err.message, strangers[_i].message);

        peer_finish(&peer);
    }
}
END_TEST

static void
serve_half_a_job(struct peer *peer)
{
    serve_open(peer);
    peer_expect(peer, "write");
    peer_send(peer, "\0\0\0\x20\x94\x01", 6);
}

START_TEST(a_connection_that_broke_stays_broken)
{
    struct lighter_outputs *outputs = some_outputs();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_half_a_job);
    client = open_job(&peer, &handle);
    EXPECT_OK(lighter_write(client, handle, outputs, 0, 0, err));

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(lighter_end(client, handle, true, &err), -ECONNRESET);
        ck_assert_str_eq(err.message,
                         "lighterd closed the connection in the middle of an answer");
    }
    ck_assert_int_eq(lighter_write(client, handle, outputs, 1, 0, NULL), -ECONNRESET);
    ck_assert_int_eq(lighter_control(client, "ping", NULL, &json, NULL), -ECONNRESET);
    ck_assert_int_eq(lighter_abort(client, handle, NULL, NULL), -ECONNRESET);

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

static void
serve_refusal_while_it_sends(struct peer *peer)
{
    struct lighter_error err = {LIGHTER_E_PROTOCOL, 0, -1, "a frame that is too long"};

    serve_open(peer);
    usleep(20000);
    peer_refuse(peer, 0, err);
}

START_TEST(the_last_words_of_the_daemon_are_heard_while_sending)
{
    const uint64_t shape[] = {16 << 20};
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    uint8_t *bytes = calloc(1, shape[0]);
    struct lighter_client *client;
    struct peer peer;
    int64_t handle;

    peer_start(&peer, SIZE_MAX, serve_refusal_while_it_sends);
    client = open_job(&peer, &handle);
    lighter_outputs_tensor(outputs, "t", LIGHTER_UINT8, 1, shape, bytes);

    ck_assert_int_eq(lighter_write(client, handle, outputs, 0, 0, &err), -EPROTO);
    ck_assert_str_eq(err.message, "a frame that is too long");

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    free(bytes);
    peer_finish(&peer);
}
END_TEST

/* An answer to `open` that is packed by the test. */
static void
pack_bad_open(msgpack_packer *packer, int which)
{
    msgpack_pack_map(packer, 3);
    if (which == 0)
        pack_key_text(packer, "handle", "three");
    else
        pack_key_int(packer, "handle", which == 1 ? -1 : 3);
    pack_key_int(packer, "seq", which == 2 ? -5 : 0);
    pack_key(packer, "warnings");
    if (which == 3)
        pack_text(packer, "one");
    else {
        msgpack_pack_array(packer, which == 4);
        if (which == 4)
            msgpack_pack_int(packer, 7);
    }
}

static void
serve_bad_opens(struct peer *peer)
{
    struct message_out out;

    peer_greet(peer);
    for (int i = 0; i < 7; i++) {
        peer_expect(peer, "open");
        message_begin_result(&out, peer->request.id);
        pack_bad_open(&out.packer, i);
        peer_send_out(peer, &out);
    }
}

START_TEST(an_open_with_a_bad_answer_is_refused)
{
    struct lighter_job_spec spec = {.job = "p", .writers_json = WRITERS};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_job job;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, serve_bad_opens);
    client = connect_to(&peer);

    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(lighter_open(client, &spec, &job, &err), -EPROTO);
        ck_assert_int_eq(err.code, LIGHTER_E_PROTOCOL);
        ck_assert_contains(err.message, "the answer of lighterd to 'open': ");
    }
    EXPECT_OK(lighter_open(client, &spec, &job, err));
    ck_assert_int_eq(lighter_open(client, &spec, &job, &err), -EPROTO);
    ck_assert_contains(err.message, "the handle 3 a second time");

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

/* ---- errors -------------------------------------------------------------------- */

/* Maps in the place of an error, from sound to absurd. */
static void
pack_odd_error(msgpack_packer *packer, int which)
{
    char text[1200];

    memset(text, 'x', sizeof text);
    memcpy(text + LIGHTER_ERROR_TEXT_MAX - 2, "\xc3\xa4", 2); /* across the limit */
    msgpack_pack_map(packer, which == 0 ? 0 : 3);
    if (which == 0)
        return;
    pack_key_text(packer, "code", which == 1 ? "tomorrow" : "os");
    pack_key(packer, "message");
    msgpack_pack_str_with_body(packer, text, which == 2 ? sizeof text : 3);
    pack_key(packer, "details");
    if (which == 3)
        pack_text(packer, "none");
    else {
        msgpack_pack_map(packer, 2);
        pack_key_int(packer, "errno", INT64_MAX);
        pack_key_text(packer, "sample", "first");
    }
}

static void
serve_odd_errors(struct peer *peer)
{
    peer_greet(peer);
    for (int i = 0; i < 4; i++) {
        struct message_out out;

        peer_expect(peer, "ping");
        message_begin_result(&out, peer->request.id);
        out.buffer.size--; /* the error stands where nil is */
        pack_odd_error(&out.packer, i);
        msgpack_pack_nil(&out.packer);
        peer_send_out(peer, &out);
    }
}

START_TEST(an_odd_error_is_an_error)
{
    static const int results[] = {-ENOTRECOVERABLE, -ENOTRECOVERABLE, -EIO, -EIO};
    struct lighter_client *client;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_odd_errors);
    client = connect_to(&peer);

    for (int i = 0; i < 4; i++) {
        struct lighter_error err = LIGHTER_ERROR_INIT;

        ck_assert_int_eq(lighter_control(client, "ping", NULL, &json, &err),
                         results[i]);
        ck_assert_int_eq(err.errnum, 0);
        ck_assert_int_eq(err.sample, -1);
        if (i == 0)
            ck_assert_str_eq(err.message, "lighterd gave no reason");
        else if (i == 2)
            ck_assert_int_eq(strlen(err.message), LIGHTER_ERROR_TEXT_MAX - 2);
        else
            ck_assert_str_eq(err.message, "xxx");
    }

    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

/* ---- control ------------------------------------------------------------------- */

static void
serve_echo(struct peer *peer)
{
    struct message_out out;

    peer_greet(peer);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_object(&out.packer, *peer->request.params);
    peer_send_out(peer, &out);
}

START_TEST(json_goes_to_the_wire_and_comes_back)
{
    const char *json = "{\"a\":[1,-2,3.5,\"\xc3\xa4\",true,false,null,[],{},\"\"],"
                       "\"big\":9223372036854775807,\"small\":-9223372036854775808}";
    struct lighter_client *client;
    struct peer peer;
    char *answer;

    peer_start(&peer, SIZE_MAX, serve_echo);
    client = connect_to(&peer);
    EXPECT_OK(lighter_control(client, "status", json, &answer, err));

    ck_assert_str_eq(answer, json);

    free(answer);
    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

static void
serve_beyond_json(struct peer *peer)
{
    struct message_out out;

    peer_greet(peer);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 3);
    pack_key_double(&out.packer, "nan", (double)NAN);
    pack_key_uint(&out.packer, "huge", UINT64_MAX);
    pack_key(&out.packer, "path\xff");
    msgpack_pack_str_with_body(&out.packer, "/\xe4/\xc3\xa4", 5);
    peer_send_out(peer, &out);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "data");
    msgpack_pack_bin_with_body(&out.packer, "x", 1);
    peer_send_out(peer, &out);
    peer_expect(peer, "status");
    message_begin_result(&out, peer->request.id);
    msgpack_pack_map(&out.packer, 1);
    msgpack_pack_int(&out.packer, 1);
    msgpack_pack_int(&out.packer, 1);
    peer_send_out(peer, &out);
}

START_TEST(what_json_cannot_say_is_bent_or_refused)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;
    char *json;

    peer_start(&peer, SIZE_MAX, serve_beyond_json);
    client = connect_to(&peer);
    EXPECT_OK(lighter_control(client, "status", NULL, &json, err));

    ck_assert_str_eq(json, "{\"huge\":1.8446744073709552e19,\"nan\":null,"
                           "\"path\xef\xbf\xbd\":\"/\xef\xbf\xbd/\xc3\xa4\"}");
    ck_assert_int_eq(lighter_control(client, "status", NULL, &json, &err), -EPROTO);
    ck_assert_contains(err.message, "bytes, which JSON cannot hold");
    ck_assert_int_eq(lighter_control(client, "status", NULL, &json, &err), -EPROTO);
    ck_assert_contains(err.message, "a map's key is an int");
    ck_assert_int_eq(lighter_control(client, "status", "[]", &json, &err), -EINVAL);
    ck_assert_str_eq(err.message, "params_json: expected a JSON object");

    free(json);
    lighter_disconnect(client);
    peer_finish(&peer);
}
END_TEST

static void
add_output_tests(TCase *tcase)
{
    tcase_add_test(tcase, lists_arrive_as_they_were_put_in);
    tcase_add_test(tcase, tensors_arrive_as_they_were_put_in);
    tcase_add_test(tcase, any_value_arrives_as_it_was_put_in);
    tcase_add_test(tcase, any_number_of_tensors_arrives);
    tcase_add_test(tcase, cleared_outputs_are_as_new);
    tcase_add_loop_test(tcase, what_went_wrong_with_outputs_is_said_by_write, 0,
                        (int)(sizeof bad_outputs / sizeof *bad_outputs));
    tcase_add_test(tcase, values_may_be_nested_as_deep_as_the_header_says);
}

static void
add_pipeline_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, answers_cut_anywhere_are_understood, 0, UNIT_N_CHUNKS);
    tcase_add_test(tcase, signals_interrupt_nothing);
    tcase_add_test(tcase, a_job_is_opened_as_it_was_specified);
    tcase_add_test(tcase, writers_that_are_no_json_array_are_refused);
    tcase_add_loop_test(tcase, answers_may_come_in_any_order, 0, UNIT_N_CHUNKS);
    tcase_add_test(tcase, the_next_call_says_which_batch_failed);
    tcase_add_test(tcase, no_more_is_on_its_way_than_the_daemon_allows);
    tcase_add_test(tcase, a_batch_that_is_too_large_is_refused_before_it_is_sent);
    tcase_add_test(tcase, neither_side_waits_for_the_other_to_read);
    tcase_add_test(tcase, a_batch_of_an_aborted_job_is_answered_to_nobody);
}

static void
add_stranger_tests(TCase *tcase)
{
    tcase_add_test(tcase, nobody_who_listens_is_an_error_of_its_own);
    tcase_add_loop_test(tcase, a_stranger_is_told_from_a_daemon, 0, N_STRANGERS);
    tcase_add_test(tcase, a_connection_that_broke_stays_broken);
    tcase_add_test(tcase, the_last_words_of_the_daemon_are_heard_while_sending);
    tcase_add_test(tcase, an_open_with_a_bad_answer_is_refused);
    tcase_add_test(tcase, an_odd_error_is_an_error);
}

int
main(void)
{
    Suite *suite = suite_create("client");
    TCase *control;

    add_output_tests(unit_case(suite, "outputs"));
    add_pipeline_tests(unit_case(suite, "pipeline"));
    add_stranger_tests(unit_case(suite, "strangers"));
    control = unit_case(suite, "control");
    tcase_add_test(control, json_goes_to_the_wire_and_comes_back);
    tcase_add_test(control, what_json_cannot_say_is_bent_or_refused);
    return unit_main(suite);
}
