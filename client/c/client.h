/* client.h - what a struct lighter_client holds, for client.c, restore.c, job.c,
 * past.c and write.c.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <lighter/client.h>

#include "client/c/past.h"
#include "client/c/session.h"

/* A job's name and stage that this connection has opened once. */
struct opened {
    struct opened *next;
    int64_t n_reconnects; /* at the last time */
    char name[];
};

/* An open job of this connection. Its handle stays the same for all daemons. */
struct client_job {
    struct client_job *next;
    struct frame params; /* of its `open`: keys and values, packed */
    uint32_t n_params, rank;
    bool resume;
    bool again;     /* the daemon has not seen the epoch before */
    int64_t handle; /* 0: it is not open yet */
    int64_t id;     /* the daemon's, of this epoch; 0: that one has none */
    bool is_published;
    struct past past; /* owned */
    int64_t seq;      /* of the batch that was sent last, or is committed */
    uint32_t n_unanswered;
    uint32_t n_failed; /* batches whose errors nobody was told of yet */
    int failed;        /* what the first of them failed with */
    struct lighter_error why;
};

struct lighter_client {
    struct session session;
    struct sockaddr_un address;
    struct lighter_hello hello;
    char *name, *server;          /* owned: what hello said, and heard: hello.server */
    double reconnect_seconds;     /* 0: a daemon that goes away is the end */
    pid_t pid;                    /* whose it is: no child of a fork's */
    bool tells_past;              /* the daemon has the method `past` */
    lighter_on_notice *on_notice; /* or NULL */
    void *notice_context;         /* borrowed */
    struct opened *opened_names;  /* owned */
    struct client_job *jobs;      /* owned */
    struct message opened;        /* owned: what the last warnings point into */
};

/* Does it belong to this process? Return: 0; -EBUSY. */
int client_check(const struct lighter_client *client, struct lighter_error *err);

/* Return: 0; -ECONNRESET, among others, where the daemon has gone away. */
int client_hello(struct lighter_client *client, struct lighter_error *err);

/* ---- restore.c ---- */

/* *ret_seconds is what the environment says, else the usual. Return: 0; -EINVAL. */
int restore_limit(double *ret_seconds, struct lighter_error *err);

/* on_lost of the client's session. */
int restore(void *context, struct lighter_error *why);

/* ---- jobs ---- */

/* NULL where there is none, and `err` says so. */
struct client_job *find_job(const struct lighter_client *client, int64_t handle,
                            struct lighter_error *err);
void jobs_free(struct client_job *jobs);

/* With a daemon that has not heard of it on this connection. Return: 0; as
 * session_call().
 */
int job_open_again(struct session *session, struct client_job *job,
                   struct lighter_error *err);

/* lighter_commit() */
int job_commit(struct session *session, struct client_job *job,
               struct lighter_error *err);

#endif
