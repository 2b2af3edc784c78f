/* job_clients.c - see job_clients.h. */
#include "tests/unit/job_clients.h"

#include "util/log.h"
#include "wire/params.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *directory;
uv_loop_t loop;
struct quota quota = {.max = 1 << 30};
struct settings settings;
struct jobs jobs;
struct lighter_error err;
struct client clients[N_CLIENTS];
struct seat seats[N_CLIENTS];
uint32_t last_id;
int n_idle;
const char *open_with = "";

static struct state state;
static struct registry registry;

/* ---- before and after ----------------------------------------------------------- */

static void
on_answer(void *data, struct frame *frame)
{
    struct client *client = data;
    struct message message;

    if (frame->data[FRAME_HEAD_SIZE] == 0x93) { /* a notification: an array of three */
        free(frame->data);
        frame->data = NULL;
        return;
    }
    pack_parse(&message, frame);
    ck_assert_uint_lt(message.id, N_IDS);
    ck_assert_msg(!client->answered[message.id], "id %u is answered twice", message.id);
    client->answers[message.id] = message;
    client->answered[message.id] = true;
}

static void
on_idle(void *data)
{
    (void)data;
    n_idle++;
}

void
settle(void)
{
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

static void
connect_clients(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        struct peer *peer = clients[i].peer = peer_new(&quota, 1 << 30);

        peer->on_answer = on_answer;
        peer->data = &clients[i];
        snprintf(peer->client, sizeof peer->client, "client%d", i);
    }
}

static void
disconnect_clients(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        ck_assert_uint_eq(clients[i].peer->refs, 1); /* nobody else keeps it */
        clients[i].peer = peer_unref(clients[i].peer);
        seats[i] = (struct seat){0};
    }
}

void
daemon_starts(void)
{
    char *path;

    ck_assert_int_gt(asprintf(&path, "%s/state", directory), 0);
    ck_assert_msg(state_open(&state, path, "/s", &err) == 0, "%s", err.message);
    free(path);
    ck_assert_int_eq(settings_init(&settings, &err), 0);
    jobs_init(&jobs, &loop, 4, &settings, &state);
    jobs.on_idle = on_idle;
    connect_clients();
    ck_assert_msg(jobs_load(&jobs, &registry, &err) == 0, "%s", err.message);
}

/* What a process that dies takes along with its memory. */
static void
free_states_of(struct rank *rank)
{
    for (uint32_t i = 0; rank->state == RANK_OPEN && i < rank->job->n_outputs; i++) {
        const struct lighter_writer *type = rank->job->outputs[i].writer.type;

        if (type->close)
            type->close(rank->streams[i].state);
    }
}

static void
free_states(void)
{
    struct job *job;

    TAILQ_FOREACH (job, &jobs.live, link)
        for (uint32_t i = 0; i < job->n_ranks; i++)
            free_states_of(job->ranks[i]);
}

void
daemon_dies(void)
{
    for (int i = 0; i < N_CLIENTS; i++)
        clients[i].peer->on_answer = NULL;
    jobs_stop(&jobs);
    settle(); /* workers must come back: their memory is ours */
    ck_assert_uint_eq(quota.used, 0);
    ck_assert(jobs.n_live || !jobs.n_files);
    free_states();
    jobs_done(&jobs);
    state_done(&state);
    settings_done(&settings);
    disconnect_clients();
}

void
daemon_starts_again(void)
{
    daemon_dies();
    daemon_starts();
}

void
clients_warm_up(void)
{
    uv_loop_init(&loop);
    uv_loop_close(&loop);
}

void
clients_begin(void)
{
    directory = unit_tmpdir();
    log_set_level(LOG_LEVEL_ERROR);
    ck_assert_msg(getenv("PLUGIN_DIR") != NULL, "PLUGIN_DIR is set by `make check`");
    ck_assert_int_eq(registry_load(&registry, getenv("PLUGIN_DIR"), &err), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    daemon_starts();
}

void
clients_end(void)
{
    settle();
    daemon_dies();
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    for (int i = 0; i < N_CLIENTS; i++)
        for (int id = 0; id < N_IDS; id++)
            message_done(&clients[i].answers[id]);
    registry_done(&registry);
    unit_tmpdir_remove(directory);
}

/* ---- what a client does -------------------------------------------------------- */

int
open_as(struct client *client, struct seat *seat, const char *name, uint32_t rank,
        uint32_t world_size, const char *writers)
{
    struct reply reply = reply_new(client->peer, ++last_id);
    struct job_spec spec;
    struct message message;
    char *params;
    int r;

    ck_assert_int_gt(asprintf(&params,
                              "{'job': '%s', 'rank': %u, 'world_size': %u, 'cwd': '%s',"
                              " 'writers': [%s]%s}",
                              name, rank, world_size, directory, writers, open_with),
                     0);
    pack_request(&message, last_id, "open", params);
    free(params);
    r = job_spec_init(&spec, &registry, &message, &err);
    ck_assert_msg(r == 0, "%s", err.message);
    message_done(&message);
    *seat = (struct seat){.handle = last_id, .max_files = UINT32_MAX};
    r = jobs_open(&jobs, &spec, seat, &reply, &err);
    ck_assert_int_eq(reply_owed(&reply), r < 0);
    ck_assert_ptr_null(spec.writers); /* taken, also on error */
    reply_done(&reply);
    return r;
}

uint32_t
begin_open(struct client *client, struct seat *seat, uint32_t rank, uint32_t world_size,
           const char *writers)
{
    ck_assert_msg(open_as(client, seat, "job", rank, world_size, writers) == 0, "%s",
                  err.message);
    return last_id;
}

int
try_write(struct client *client, struct seat *seat, uint64_t seq, const char *outputs)
{
    struct reply reply = reply_new(client->peer, ++last_id);
    struct message message;
    char *params;
    int r;

    ck_assert_int_gt(asprintf(&params, "{'seq': %llu, 'outputs': %s}",
                              (unsigned long long)seq, outputs),
                     0);
    pack_request(&message, last_id, "write", params);
    free(params);
    r = seat_write(seat, &message, NULL, &reply, &err);
    ck_assert_int_eq(reply_owed(&reply), r < 0);
    ck_assert_ptr_null(message.zone); /* taken, also on error */
    reply_done(&reply);
    return r;
}

uint32_t
begin_write(struct client *client, struct seat *seat, uint64_t seq, const char *outputs)
{
    ck_assert_msg(try_write(client, seat, seq, outputs) == 0, "%s", err.message);
    return last_id;
}

uint32_t
begin_end(struct client *client, struct seat *seat, bool wait)
{
    struct reply reply = reply_new(client->peer, ++last_id);

    ck_assert_msg(seat_end(seat, wait, -1, &reply, &err) == 0, "%s", err.message);
    ck_assert(!reply_owed(&reply));
    return last_id;
}

/* ---- what it is answered -------------------------------------------------------- */

const msgpack_object *
result_of(const struct client *client, uint32_t id)
{
    ck_assert_msg(client->answered[id], "request %u has no answer", id);
    if (client->answers[id].error)
        ck_abort_msg("request %u: %s", id,
                     pack_text_of(client->answers[id].error, "message"));
    return client->answers[id].result;
}

void
expect_error(const struct client *client, uint32_t id, const char *code,
             const char *message)
{
    const char *text;

    ck_assert_msg(client->answered[id], "request %u has no answer", id);
    ck_assert_msg(client->answers[id].error != NULL, "request %u went well", id);
    ck_assert_str_eq(pack_text_of(client->answers[id].error, "code"), code);
    text = pack_text_of(client->answers[id].error, "message");
    ck_assert_msg(strstr(text, message) != NULL, "%s", text);
}

int64_t
number_of(const struct client *client, uint32_t id, const char *key)
{
    int64_t number;

    ck_assert_msg(params_int(result_of(client, id), key, 0, INT64_MAX, &number, NULL) ==
                      0,
                  "request %u has no number '%s'", id, key);
    return number;
}

bool
flag_of(const struct client *client, uint32_t id, const char *key)
{
    bool flag;

    ck_assert_msg(params_bool(result_of(client, id), key, &flag, NULL) == 0,
                  "request %u has no flag '%s'", id, key);
    return flag;
}

void
expect_published(const struct client *client, uint32_t id, bool expected)
{
    ck_assert_int_eq(flag_of(client, id, "published"), expected);
}

const char *
warning_of(const struct client *client, uint32_t id, uint32_t index)
{
    static char text[2048];
    msgpack_object_array warnings;

    ck_assert_int_eq(params_array(result_of(client, id), "warnings", &warnings, NULL),
                     0);
    if (index >= warnings.size)
        return NULL;
    snprintf(text, sizeof text, "%.*s", (int)warnings.ptr[index].via.str.size,
             warnings.ptr[index].via.str.ptr);
    return text;
}

void
open_rank(struct client *client, struct seat *seat, uint32_t rank, uint32_t world_size,
          const char *writers)
{
    uint32_t id = begin_open(client, seat, rank, world_size, writers);

    settle();
    ck_assert_int_eq(number_of(client, id, "seq"), 0);
    ck_assert_int_eq(number_of(client, id, "handle"), seat->handle);
}

void
write_batch(struct client *client, struct seat *seat, uint64_t seq, const char *outputs)
{
    uint32_t id = begin_write(client, seat, seq, outputs);

    settle();
    result_of(client, id);
}

void
end_rank(struct client *client, struct seat *seat)
{
    uint32_t id = begin_end(client, seat, true);

    settle();
    expect_published(client, id, true);
    ck_assert_ptr_null(seat->job);
}

/* ---- what is on the disk --------------------------------------------------------- */

void
expect_file(const char *name, const char *expected)
{
    char *text = unit_read_file(directory, name, NULL);

    ck_assert_str_eq(text, expected);
    free(text);
}

void
write_file(const char *name, const char *text)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

void
append_to(const char *name, const char *text)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

void
limit_file_size(rlim_t size)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

const char *
last_state(void)
{
    return job_state_name(TAILQ_LAST(&jobs.past, job_list));
}

/* ---- clients that come back ------------------------------------------------------ */

uint32_t
begin_with(const char *params, struct client *client, struct seat *seat, uint32_t rank,
           uint32_t world_size, const char *writers)
{
    uint32_t id;

    open_with = params;
    id = begin_open(client, seat, rank, world_size, writers);
    open_with = "";
    return id;
}

/* Opens, and is the job's id: what the client keeps for the day of its return. */
int64_t
open_job(struct client *client, struct seat *seat, uint32_t rank, uint32_t world_size,
         const char *writers)
{
    open_rank(client, seat, rank, world_size, writers);
    return number_of(client, last_id, "id");
}

const char *
resume_params(int64_t id, uint64_t answered)
{
    static char params[128];

    snprintf(params, sizeof params,
             ", 'resume': true, 'id': %" PRId64 ", 'answered': %" PRIu64, id, answered);
    return params;
}

/* Return: the request, which may be answered or not. */
uint32_t
come_back(struct client *client, struct seat *seat, uint32_t rank, uint32_t world_size,
          const char *writers, int64_t id, uint64_t answered)
{
    uint32_t request = begin_with(resume_params(id, answered), client, seat, rank,
                                  world_size, writers);

    settle();
    return request;
}

/* ... and all is well. */
void
resume(struct client *client, struct seat *seat, uint32_t rank, uint32_t world_size,
       const char *writers, int64_t id, uint64_t answered, uint64_t committed)
{
    uint32_t request = come_back(client, seat, rank, world_size, writers, id, answered);

    ck_assert_int_eq(number_of(client, request, "id"), id);
    ck_assert_int_eq(number_of(client, request, "seq"), (int64_t)committed);
    ck_assert(!flag_of(client, request, "ended"));
    ck_assert(!flag_of(client, request, "published"));
}

uint32_t
begin_flush(struct client *client, struct seat *seat)
{
    struct reply reply = reply_new(client->peer, ++last_id);

    ck_assert_msg(seat_flush(seat, &reply, &err) == 0, "%s", err.message);
    return last_id;
}

struct job *
last_job(void)
{
    return TAILQ_LAST(&jobs.past, job_list);
}
