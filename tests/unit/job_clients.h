/* job_clients.h - clients of jobs, without sockets: what sessions do is done by hand.
 *
 * Three clients open ranks, write, end, abort and vanish, on a real loop, with the real
 * plugins, in a directory of the test's own. The daemon of which the jobs are can die,
 * and another come up in the same directories.
 */
#ifndef TESTS_JOB_CLIENTS_H
#define TESTS_JOB_CLIENTS_H

#include "daemon/job.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <sys/resource.h>

#define N_IDS 256
#define N_CLIENTS 3

/* A connection: its peer, and the last answer of each id. */
struct client {
    struct peer *peer;
    struct message answers[N_IDS]; /* owned */
    bool answered[N_IDS];
};

extern char *directory;
extern uv_loop_t loop;
extern struct quota quota;
extern struct settings settings;
extern struct jobs jobs;
extern struct lighter_error err;
extern struct client clients[N_CLIENTS];
extern struct seat seats[N_CLIENTS];
extern uint32_t last_id; /* of a request */
extern int n_idle;       /* calls of on_idle() */
#define ANN &clients[0]
#define BOB &clients[1]
#define EVE &clients[2]

/* Around each test; warm up once, before the first: libuv keeps descriptors. */
void clients_warm_up(void);
void clients_begin(void);
void clients_end(void);

/* Run the loop until nothing is under way. */
void settle(void);

/* It dies without a last word: nothing that is answered from now on is heard, and who
 * is seated is not missed. Then clients are new to the next daemon, which looks at what
 * the one before has left.
 */
void daemon_dies(void);
void daemon_starts(void);
void daemon_starts_again(void); /* both */

/* ---- what a client does ---- */

#define CSV "{'type': 'csv', 'options': {'path': 'p.csv', 'keys': ['x']}}"
#define CSV_OF(path) "{'type': 'csv', 'options': {'path': '" path "', 'keys': ['x']}}"
#define FILES                                                                          \
    "{'type': 'file', 'options': {'directory': 'd', 'value_key': 't',"                 \
    " 'writer_fn': 'tensor', 'name_key': 'x'}}"
#define TENSOR_1 "{'nd': true, 'type': '|u1', 'shape': [1], 'data': 'bin:1'}"
#define TENSOR_2 "{'nd': true, 'type': '|u1', 'shape': [2], 'data': 'bin:12'}"

/* More params of each `open` from now on: ", 'stage': 'test'". */
extern const char *open_with;

/* All that `open` gives, and the id of the request in last_id. */
int open_as(struct client *client, struct seat *seat, const char *name, uint32_t rank,
            uint32_t world_size, const char *writers);

/* Begin a request that is not refused at once; the answer may come later. Return: its
 * id. The job is called "job".
 */
uint32_t begin_open(struct client *client, struct seat *seat, uint32_t rank,
                    uint32_t world_size, const char *writers);
uint32_t begin_write(struct client *client, struct seat *seat, uint64_t seq,
                     const char *outputs);
uint32_t begin_end(struct client *client, struct seat *seat, bool wait);
int try_write(struct client *client, struct seat *seat, uint64_t seq,
              const char *outputs);

/* The same, with a good answer. */
void open_rank(struct client *client, struct seat *seat, uint32_t rank,
               uint32_t world_size, const char *writers);
void write_batch(struct client *client, struct seat *seat, uint64_t seq,
                 const char *outputs);
void end_rank(struct client *client, struct seat *seat); /* and it is published */

/* ---- what it is answered ---- */

const msgpack_object *result_of(const struct client *client, uint32_t id);
int64_t number_of(const struct client *client, uint32_t id, const char *key);
bool flag_of(const struct client *client, uint32_t id, const char *key);
void expect_error(const struct client *client, uint32_t id, const char *code,
                  const char *message);
void expect_published(const struct client *client, uint32_t id, bool expected);

/* A sentence of `open`, lent until the next call; NULL where there are not so many. */
const char *warning_of(const struct client *client, uint32_t id, uint32_t index);

/* ---- clients that come back ---- */

/* begin_open() with more params. */
uint32_t begin_with(const char *params, struct client *client, struct seat *seat,
                    uint32_t rank, uint32_t world_size, const char *writers);

/* open_rank(). Return: the job's id, which the client keeps for its return. */
int64_t open_job(struct client *client, struct seat *seat, uint32_t rank,
                 uint32_t world_size, const char *writers);

/* For begin_with(); lent until the next call. */
const char *resume_params(int64_t id, uint64_t answered);

/* Open with them, until nothing is under way. Return: the request's id; it may be
 * answered or not.
 */
uint32_t come_back(struct client *client, struct seat *seat, uint32_t rank,
                   uint32_t world_size, const char *writers, int64_t id,
                   uint64_t answered);

/* ... and all is well. `committed`: the seq that it is told. */
void resume(struct client *client, struct seat *seat, uint32_t rank,
            uint32_t world_size, const char *writers, int64_t id, uint64_t answered,
            uint64_t committed);

uint32_t begin_flush(struct client *client, struct seat *seat);

/* The one that was over last. */
struct job *last_job(void);

/* ---- what is on the disk ---- */

void expect_file(const char *name, const char *expected);
void write_file(const char *name, const char *text); /* a new one */
void append_to(const char *name, const char *text);
void limit_file_size(rlim_t size);

/* Of the job that was over last. */
const char *last_state(void);

#endif
