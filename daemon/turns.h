/* turns.h - large messages come a few at a time.
 *
 * What has come of a message is held until it is whole, and nobody can be charged for a
 * batch that is not there yet. So a connection may hold FRAME_FREE_SIZE of one; for
 * more they stand in line, and only those in front are read on whose messages fit into
 * TURNS_SIZE_MAX together. The first can always go on: it waits for nothing that others
 * of the line hold. Where others wait it has so many seconds, those not counted in
 * which the daemon has no room to read anybody; then it is late.
 *
 * All that is received and not charged is thus TURNS_SIZE_MAX or one message, and a
 * little a connection. Loop thread.
 */
#ifndef DAEMON_TURNS_H
#define DAEMON_TURNS_H

#include "daemon/quota.h"
#include "daemon/settings.h"

#include <sys/queue.h>
#include <uv.h>

#define TURNS_SIZE_MAX ((size_t)16 << 20)

struct turn {
    TAILQ_ENTRY(turn) link;
    size_t size; /* of the message */
    bool is_in_line, has_turn;
    void *data;                  /* of the callbacks */
    void (*on_turn)(void *data); /* it has waited, and may go on now */
    void (*on_late)(void *data); /* it is to leave */
};

struct turns {
    const struct settings *settings; /* borrowed */
    const struct quota *quota;       /* the daemon's; borrowed */
    TAILQ_HEAD(, turn) line;
    struct turn
        *waiting;     /* the first of those that do; behind all that have the turn */
    size_t size;      /* of the messages whose turn it is */
    uv_timer_t timer; /* runs while anybody waits */
    int64_t waited_s; /* for the first, by others */
};

void turns_init(struct turns *turns, uv_loop_t *loop, const struct settings *settings,
                const struct quota *quota);
void turns_close(struct turns *turns);

/* Neither does anything where it was done already. */
void turns_join(struct turns *turns, struct turn *turn, size_t size);
void turns_leave(struct turns *turns, struct turn *turn);

#endif
