/* client_peer.h - a peer for liblighter that speaks through the daemon's codec, and can
 * say what a daemon never would.
 *
 * It is a thread that serves one connection with a script of the test's: it expects
 * requests in an order, and answers as the test wants it. A script may let the daemon
 * die, and go on as the next one.
 */
#ifndef TESTS_CLIENT_PEER_H
#define TESTS_CLIENT_PEER_H

#include "tests/unit/unit.h"

#include "wire/message.h"
#include "wire/params.h"

#include <lighter/client.h>
#include <pthread.h>

#define PEER_WRITERS "[{\"type\": \"csv\", \"options\": {\"path\": \"p.csv\"}}]"
#define PEER_HANDLE 3

struct peer {
    char *directory, path[100];
    int listen_fd, fd;
    pthread_t thread;
    size_t chunk; /* bytes of an answer at a time */
    int64_t max_frame_bytes, max_objects, max_client_bytes, max_memory_bytes;
    int64_t job_id, committed; /* of the job: what `open` is told */
    bool is_published;
    bool tells_past; /* as a feature */
    void (*serve)(struct peer *peer);
    struct frame_reader reader;
    struct message request; /* the last one; here until peer_finish() */
};

/* A socket in a fresh directory. */
void peer_listen(struct peer *peer);

/* Listen, and run `serve` for the first who connects, in a thread of its own. */
void peer_start(struct peer *peer, size_t chunk, void (*serve)(struct peer *peer));
void peer_join(struct peer *peer);

/* Free what is left, after peer_join(). */
void peer_done(struct peer *peer);
void peer_finish(struct peer *peer); /* both */

/* For scripts. */
void peer_read(struct peer *peer); /* the next request, of any method */
void peer_expect(struct peer *peer, const char *method);
void peer_send(struct peer *peer, const void *bytes, size_t size);
void peer_send_out(struct peer *peer, struct message_out *out); /* takes */
void peer_answer(struct peer *peer, uint32_t id);               /* {} */
void peer_refuse(struct peer *peer, uint32_t id, struct lighter_error err);
void peer_serve(struct peer *peer, const char *method); /* expect, answer */
void peer_greet(struct peer *peer);                     /* hello */
void peer_accept_job(struct peer *peer);                /* open, with a warning */
void peer_greet_and_accept_job(struct peer *peer);
void peer_die(struct peer *peer);  /* it can connect, and nobody answers */
void peer_rise(struct peer *peer); /* the next daemon is there */
int64_t peer_param(const struct peer *peer,
                   const char *key); /* of the request; or -1 */
bool peer_flag(const struct peer *peer, const char *key);

/* For the client's side. `oops` is what ck_assert_ok() prints. */
extern struct lighter_error oops;
#define ck_assert_ok(call) ck_assert_msg((call) == 0, "%s", oops.message)
#define ck_assert_contains(text, part)                                                 \
    ck_assert_msg(strstr((text), (part)) != NULL, "'%s' lacks '%s'", (text), (part))

struct lighter_client *peer_connect(const struct peer *peer);
struct lighter_client *peer_open_job(const struct peer *peer); /* PEER_HANDLE */
struct lighter_outputs *peer_outputs(void);                    /* {"id": [1, 2]} */

#endif
