/* test_daemon.c - daemon.c with conn.c, session.c and control.c: a daemon in a thread.
 *
 * It serves its real socket with the real plugins; the tests speak to it with
 * liblighter, and byte by byte.
 */
#include "daemon/daemon.h"

#include "tests/unit/unit.h"

#include <lighter/client.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char *directory;
static struct settings settings;
static struct daemon served;
static pthread_t thread;
static bool is_drained;
static struct lighter_error err;

static void *
run(void *data)
{
    (void)data;
    is_drained = daemon_run(&served);
    return NULL;
}

static void
start_daemon(void)
{
    ck_assert_msg(daemon_init(&served, &settings, &err) == 0, "%s", err.message);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static void
start(void)
{
    directory = unit_tmpdir();
    ck_assert_int_eq(settings_init(&settings, &err), 0);
    free(settings.plugin_dir);
    settings.plugin_dir = strdup(getenv("PLUGIN_DIR"));
    settings.threads = 2;
    settings.state_dir = strdup(directory);
    ck_assert_int_gt(asprintf(&settings.socket, "%s/l.sock", directory), 0);
    start_daemon();
}

static void
stop_daemon(void)
{
    struct lighter_client *client;
    char *json;

    ck_assert_int_eq(lighter_connect(&client, settings.socket, "test", &err), 0);
    ck_assert_int_eq(lighter_control(client, "shutdown", NULL, &json, &err), 0);
    free(json);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    lighter_disconnect(client);
    ck_assert(is_drained);
    daemon_done(&served);
}

static void
stop(void)
{
    stop_daemon();
    settings_done(&settings);
    unit_tmpdir_remove(directory);
}

static struct lighter_client *
connect_client(void)
{
    struct lighter_client *client;

    ck_assert_msg(lighter_connect(&client, settings.socket, "test 1", &err) == 0, "%s",
                  err.message);
    return client;
}

/* ---- a job --------------------------------------------------------------------- */

static int64_t
open_table(struct lighter_client *client, const char *name)
{
    struct lighter_job job;
    char writers[256];

    snprintf(
        writers, sizeof writers,
        "[{\"type\": \"csv\", \"options\": {\"path\": \"%s\", \"keys\": [\"x\"]}}]",
        name);
    ck_assert_msg(lighter_open(client,
                               &(struct lighter_job_spec){.job = name,
                                                          .cwd = directory,
                                                          .writers_json = writers},
                               &job, &err) == 0,
                  "%s", err.message);
    return job.handle;
}

static void
write_ints(struct lighter_client *client, int64_t handle, int64_t first, size_t count)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    int64_t *values = calloc(count, sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = first + (int64_t)i;
    lighter_outputs_ints(outputs, "x", count, values);
    ck_assert_msg(lighter_write(client, handle, outputs, 0, 0, &err) == 0, "%s",
                  err.message);
    lighter_outputs_free(outputs);
    free(values);
}

START_TEST(what_was_handed_over_is_published_at_the_end)
{
    struct lighter_client *client = connect_client();
    int64_t handle = open_table(client, "t.csv");
    char *text;

    write_ints(client, handle, 1, 2);
    write_ints(client, handle, 3, 1);
    ck_assert(!unit_exists(directory, "t.csv"));
    ck_assert_int_eq(lighter_end(client, handle, true, &err), 0);

    text = unit_read_file(directory, "t.csv", NULL);
    ck_assert_str_eq(text, "x\r\n1\r\n2\r\n3\r\n");
    free(text);
    lighter_disconnect(client);
}
END_TEST

/* Through memory: each batch is other bytes, and what follows it stays in the frame. */
START_TEST(large_tensors_arrive_from_a_client_that_uses_its_buffer_again)
{
    enum { N_ROWS = 40000, N_BATCHES = 20 };
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_client *client = connect_client();
    int64_t handle = open_table(client, "t.csv");
    uint32_t *values = calloc(N_ROWS, sizeof *values), expected = 0;
    char *text, *line;

    for (uint32_t batch = 0; batch < N_BATCHES; batch++) {
        for (uint32_t i = 0; i < N_ROWS; i++)
            values[i] = batch * N_ROWS + i;
        lighter_outputs_clear(outputs);
        lighter_outputs_tensor(outputs, "x", LIGHTER_UINT32, 1,
                               (const uint64_t[]){N_ROWS}, values);
        lighter_outputs_ints(outputs, "unused", 1, (const int64_t[]){1});
        ck_assert_msg(lighter_write(client, handle, outputs, batch, 0, &err) == 0, "%s",
                      err.message);
    }
    ck_assert_int_eq(lighter_end(client, handle, true, &err), 0);

    text = unit_read_file(directory, "t.csv", NULL);
    for (line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1)
        ck_assert_uint_eq(strtoul(line, NULL, 10), expected++);
    ck_assert_uint_eq(expected, N_ROWS * N_BATCHES);

    free(text);
    free(values);
    lighter_outputs_free(outputs);
    lighter_disconnect(client);
}
END_TEST

/* A batch of 64 KiB is over the mark at once: each one waits for the one before. */
START_TEST(a_client_over_its_mark_is_slowed_and_loses_nothing)
{
    struct lighter_client *client;
    int64_t handle;
    size_t size;
    char *text;

    settings.max_client_bytes = 4096;
    client = connect_client();
    handle = open_table(client, "t.csv");
    for (int i = 0; i < 50; i++)
        write_ints(client, handle, 1000, 8192); /* all of four digits: 6 bytes a line */
    ck_assert_int_eq(lighter_end(client, handle, true, &err), 0);

    text = unit_read_file(directory, "t.csv", &size);
    ck_assert_uint_eq(size, 3 + 50 * 8192 * 6);
    free(text);
    lighter_disconnect(client);
}
END_TEST

START_TEST(a_client_that_leaves_interrupts_its_job)
{
    struct lighter_client *client = connect_client();
    int64_t handle = open_table(client, "t.csv");
    char *json = NULL;

    write_ints(client, handle, 1, 1);
    ck_assert_int_eq(lighter_commit(client, handle, &err), 0);
    lighter_disconnect(client);
    client = connect_client();
    do { /* its end is noticed when the loop comes to it */
        free(json);
        ck_assert_int_eq(lighter_control(client, "jobs", NULL, &json, &err), 0);
    } while (!strstr(json, "interrupted"));

    ck_assert_ptr_nonnull(strstr(json, "rank 0 vanished without end or abort"));
    ck_assert(!unit_exists(directory, "t.csv"));
    ck_assert(unit_exists(directory, "t.tmp_rank0.csv"));
    free(json);
    lighter_disconnect(client);
}
END_TEST

/* ---- a daemon after another ---------------------------------------------------- */

static void
next_daemon(void)
{
    stop_daemon();
    start_daemon();
}

START_TEST(a_job_goes_on_with_the_next_daemon)
{
    enum { N_ROWS = 40000 };
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_client *client = connect_client();
    int64_t handle = open_table(client, "t.csv");
    uint32_t *values = calloc(N_ROWS, sizeof *values);
    char *text, *line;
    size_t n_lines = 0;

    lighter_outputs_tensor(outputs, "x", LIGHTER_UINT32, 1, (const uint64_t[]){N_ROWS},
                           values);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(lighter_write(client, handle, outputs, i, 0, &err), 0);
        write_ints(client, handle, 7, 1);
        if (i == 1)
            ck_assert_int_eq(lighter_flush(client, handle, &err), 0);
        if (i < 3)
            next_daemon();
    }
    ck_assert_msg(lighter_end(client, handle, true, &err) == 0, "%s", err.message);

    text = unit_read_file(directory, "t.csv", NULL);
    for (line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1)
        ck_assert_int_eq(*line, ++n_lines % (N_ROWS + 1) ? '0' : '7');
    ck_assert_uint_eq(n_lines, 4 * (N_ROWS + 1));
    ck_assert_int_eq(lighter_hello(client)->n_reconnects, 3);

    free(text);
    free(values);
    lighter_outputs_free(outputs);
    lighter_disconnect(client);
}
END_TEST

/* -1 is no number of a batch; the batch counts all the same, for whoever comes back. */
START_TEST(a_batch_that_cannot_be_read_is_refused_in_its_turn)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_client *client = connect_client();
    int64_t handle = open_table(client, "t.csv");
    char *text;

    write_ints(client, handle, 1, 1);
    lighter_outputs_ints(outputs, "x", 1, (const int64_t[]){2});
    ck_assert_int_eq(lighter_write(client, handle, outputs, -1, 0, &err), 0);
    ck_assert_int_eq(lighter_commit(client, handle, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "'batch_idx' expects"));
    next_daemon();
    write_ints(client, handle, 3, 1);
    ck_assert_msg(lighter_end(client, handle, true, &err) == 0, "%s", err.message);

    text = unit_read_file(directory, "t.csv", NULL);
    ck_assert_str_eq(text, "x\r\n1\r\n3\r\n");
    free(text);
    lighter_outputs_free(outputs);
    lighter_disconnect(client);
}
END_TEST

START_TEST(another_process_goes_on_where_one_was_interrupted)
{
    struct lighter_client *client = connect_client();
    struct lighter_job_spec spec = {.job = "t.csv", .cwd = directory, .resume = true};
    struct lighter_job job;
    char *text;

    spec.writers_json =
        "[{\"type\": \"csv\", \"options\": {\"path\": \"t.csv\", \"keys\": [\"x\"]}}]";
    write_ints(client, open_table(client, "t.csv"), 1, 2);
    lighter_disconnect(client);
    next_daemon();
    client = connect_client();
    ck_assert_msg(lighter_open(client, &spec, &job, &err) == 0, "%s", err.message);
    ck_assert_int_eq(job.committed_batches, 1);
    ck_assert_int_eq(job.committed_samples, 2);
    write_ints(client, job.handle, 3, 1);
    ck_assert_msg(lighter_end(client, job.handle, true, &err) == 0, "%s", err.message);

    text = unit_read_file(directory, "t.csv", NULL);
    ck_assert_str_eq(text, "x\r\n1\r\n2\r\n3\r\n");
    free(text);
    lighter_disconnect(client);
}
END_TEST

/* ---- what tools ask ------------------------------------------------------------ */

static void
expect_answer(const char *method, const char *params, const char *part)
{
    struct lighter_client *client = connect_client();
    char *json;

    ck_assert_msg(lighter_control(client, method, params, &json, &err) == 0, "%s",
                  err.message);
    ck_assert_msg(strstr(json, part) != NULL, "%s", json);
    free(json);
    lighter_disconnect(client);
}

START_TEST(tools_are_answered)
{
    char pid[32];

    snprintf(pid, sizeof pid, "%d", getpid());
    expect_answer("ping", NULL, pid);
    expect_answer("status", NULL, settings.socket);
    expect_answer("jobs", NULL, "\"jobs\"");
    expect_answer("plugins", "{\"name\": \"csv\"}", "\"keys\"");
}
END_TEST

START_TEST(a_method_that_is_not_there_is_an_error_and_the_connection_goes_on)
{
    struct lighter_client *client = connect_client();
    char *json;

    ck_assert_int_lt(lighter_control(client, "dance", NULL, &json, &err), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_METHOD);
    ck_assert_int_lt(
        lighter_control(client, "plugins", "{\"name\": \"none\"}", &json, &err), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_int_eq(lighter_control(client, "ping", NULL, &json, &err), 0);
    free(json);
    lighter_disconnect(client);
}
END_TEST

/* ---- byte by byte -------------------------------------------------------------- */

static int
connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", settings.socket);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void
pack_hello(struct message_out *out, struct frame *ret_frame)
{
    message_begin_request(out, 1, "hello");
    msgpack_pack_map(&out->packer, 1);
    pack_key_int(&out->packer, "protocol", 1);
    ck_assert_int_eq(message_finish(out, ret_frame, &err), 0);
}

START_TEST(a_request_is_heard_however_it_is_cut)
{
    struct message_out out;
    struct frame hello;
    uint8_t answer[4096];
    int fd = connect_raw();

    pack_hello(&out, &hello);
    for (size_t at = 0, size; at < hello.size; at += size) {
        size = hello.size - at < unit_chunks[_i] ? hello.size - at : unit_chunks[_i];
        ck_assert_int_eq(send(fd, hello.data + at, size, MSG_NOSIGNAL), size);
    }
    ck_assert_int_gt(recv(fd, answer, sizeof answer, 0), FRAME_HEAD_SIZE);
    ck_assert_uint_eq(answer[FRAME_HEAD_SIZE], 0x94);     /* an array of four: */
    ck_assert_uint_eq(answer[FRAME_HEAD_SIZE + 1], 1);    /* a response */
    ck_assert_uint_eq(answer[FRAME_HEAD_SIZE + 3], 0xc0); /* without an error */
    free(hello.data);
    close(fd);
}
END_TEST

/* The end of the connection; what came before it is thrown away. */
static void
expect_closed(int fd)
{
    uint8_t bytes[4096];

    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
    close(fd);
    expect_answer("ping", NULL, "pid"); /* and nobody else has noticed */
}

START_TEST(bytes_that_are_no_frame_end_the_connection)
{
    static const uint8_t bad[][9] = {
        {0, 0, 0, 0},                         /* a frame of no bytes */
        {0xff, 0xff, 0xff, 0xff},             /* too long */
        {0, 0, 0, 1, 0xc1},                   /* reserved */
        {0, 0, 0, 5, 0xdd, 0x10, 0, 0, 0},    /* 268 million objects, it says */
        {0, 0, 0, 5, 0x94, 0, 1, 0xa1, 0x78}, /* cut off */
    };
    int fd = connect_raw();

    ck_assert_int_eq(send(fd, bad[_i], sizeof bad[_i], MSG_NOSIGNAL), sizeof bad[_i]);
    expect_closed(fd);
}
END_TEST

START_TEST(the_first_method_must_be_hello)
{
    struct message_out out;
    struct frame frame;
    int fd = connect_raw();

    message_begin_request(&out, 1, "ping");
    msgpack_pack_map(&out.packer, 0);
    ck_assert_int_eq(message_finish(&out, &frame, &err), 0);
    ck_assert_int_eq(send(fd, frame.data, frame.size, MSG_NOSIGNAL), frame.size);
    free(frame.data);
    expect_closed(fd);
}
END_TEST

/* libuv keeps a pipe for signals from its first loop on; it is no leak of a test's. */
static void
let_libuv_open_what_it_keeps(void)
{
    uv_loop_t loop;

    uv_loop_init(&loop);
    uv_loop_close(&loop);
}

int
main(void)
{
    Suite *suite = suite_create("daemon");
    TCase *jobs = unit_case(suite, "jobs"), *tools = unit_case(suite, "tools");
    TCase *bytes = unit_case(suite, "bytes");

    let_libuv_open_what_it_keeps();
    tcase_add_checked_fixture(jobs, start, stop);
    tcase_add_test(jobs, what_was_handed_over_is_published_at_the_end);
    tcase_add_test(jobs, large_tensors_arrive_from_a_client_that_uses_its_buffer_again);
    tcase_add_test(jobs, a_client_over_its_mark_is_slowed_and_loses_nothing);
    tcase_add_test(jobs, a_client_that_leaves_interrupts_its_job);
    tcase_add_test(jobs, a_job_goes_on_with_the_next_daemon);
    tcase_add_test(jobs, a_batch_that_cannot_be_read_is_refused_in_its_turn);
    tcase_add_test(jobs, another_process_goes_on_where_one_was_interrupted);
    tcase_add_checked_fixture(tools, start, stop);
    tcase_add_test(tools, tools_are_answered);
    tcase_add_test(tools,
                   a_method_that_is_not_there_is_an_error_and_the_connection_goes_on);
    tcase_add_checked_fixture(bytes, start, stop);
    tcase_add_loop_test(bytes, a_request_is_heard_however_it_is_cut, 0, UNIT_N_CHUNKS);
    tcase_add_loop_test(bytes, bytes_that_are_no_frame_end_the_connection, 0, 5);
    tcase_add_test(bytes, the_first_method_must_be_hello);
    return unit_main(suite);
}
