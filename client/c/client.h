/* client.h - what a struct lighter_client holds, for client.c and job.c.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <lighter/client.h>

#include "client/c/session.h"

/* An open job of this connection. */
struct client_job {
    struct client_job *next;
    int64_t handle;
    int64_t seq; /* of the batch that was sent last */
    uint32_t n_unanswered;
    uint32_t n_failed; /* batches whose errors nobody was told of yet */
    int failed;        /* what the first of them failed with */
    struct lighter_error why;
};

struct lighter_client {
    struct session session;
    struct sockaddr_un address;
    struct lighter_hello hello;
    char *server;            /* owned: hello.server */
    struct client_job *jobs; /* owned */
    struct message opened;   /* owned: what the last warnings point into */
};

void jobs_free(struct client_job *jobs);

#endif
