/* session.h - what one client says, and which ranks it is.
 *
 * In: whole messages, from conn. Out: answers, through the peer; seats in jobs. Loop
 * thread. A session ends with its connection, and then its open ranks have vanished.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include "daemon/daemon.h"

/* Of one connection: jobs, and bytes of the messages that opened them. */
#define SESSION_SEATS_MAX 256
#define SESSION_OPENS_MAX ((size_t)16 << 20)

struct session_seat;

struct session {
    struct daemon *daemon;
    struct peer *peer; /* borrowed from the connection */
    bool greeted;      /* hello was said */
    STAILQ_HEAD(, session_seat) seats;
    unsigned n_seats;
    int64_t last_handle;
    int descriptor;        /* came, and waits for its `memory`; -1: none. Owned */
    struct memory *memory; /* a reference, or NULL */
};

void session_init(struct session *session, struct daemon *daemon, struct peer *peer);
void session_done(struct session *session);

/* Takes the message. What is wrong with it is answered here.
 * Return: 0; -EPROTO: answered, and the connection must end.
 */
int session_handle(struct session *session, struct message *message);

#endif
