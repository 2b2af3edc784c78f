/* session.h - what one client says, and which ranks it is.
 *
 * In: whole messages, from conn. Out: answers, through the peer; seats in jobs. Loop
 * thread. A session ends with its connection, and then its open ranks have vanished.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include "daemon/daemon.h"

/* Of one connection: jobs; bytes of the messages that opened them, and objects in them.
 */
#define SESSION_SEATS_MAX 256
#define SESSION_OPENS_MAX ((size_t)16 << 20)
#define SESSION_OBJECTS_MAX ((uint64_t)1 << 19)

struct opening;
struct session_seat;

struct session {
    struct daemon *daemon;
    struct peer *peer; /* borrowed from the connection */
    bool greeted;      /* hello was said */
    STAILQ_HEAD(, session_seat) seats;
    unsigned n_seats;
    int64_t last_handle;
    struct opening *opening; /* a worker reads it, and nothing else is handled */
    bool broken;             /* what it read is no message: the connection must end */
    int descriptor;          /* came, and waits for its `memory`; -1: none. Owned */
    struct memory *memory;   /* a reference, or NULL */
};

void session_init(struct session *session, struct daemon *daemon, struct peer *peer);
void session_done(struct session *session);

/* Is one of its requests being read aside? Then the next is not handled yet. */
bool session_is_reading(const struct session *session);

/* A frame that was not parsed yet: where it is a large `open` it is taken, to be read
 * on a worker. What is wrong with it is answered here. Return: 0; SESSION_PARSE: it is
 * not, and still the caller's; -EPROTO: answered, and the connection must end.
 */
enum { SESSION_PARSE = 1 };
int session_take_large(struct session *session, struct frame *frame);

/* Takes the message. What is wrong with it is answered here.
 * Return: 0; -EPROTO: answered, and the connection must end.
 */
int session_handle(struct session *session, struct message *message);

#endif
