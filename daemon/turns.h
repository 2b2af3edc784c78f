/* turns.h - large messages come one at a time.
 *
 * What has come of a message is held until it is whole, and nobody can be charged for a
 * batch that is not there yet. So a connection may hold FRAME_FREE_SIZE of one; for
 * more they wait in line, and only the first is read on. It can always go on: it waits
 * for nothing that others of the line hold. Where others wait it has so many seconds,
 * those not counted in which the daemon has no room to read anybody; then it is late.
 *
 * All that is received and not charged is thus one message, and a little a connection.
 * Loop thread.
 */
#ifndef DAEMON_TURNS_H
#define DAEMON_TURNS_H

#include "daemon/quota.h"
#include "daemon/settings.h"

#include <sys/queue.h>
#include <uv.h>

struct turn {
    TAILQ_ENTRY(turn) link;
    bool is_in_line;
    void *data;                  /* of the callbacks */
    void (*on_turn)(void *data); /* it is the first now */
    void (*on_late)(void *data); /* it is to leave */
};

struct turns {
    const struct settings *settings; /* borrowed */
    const struct quota *quota;       /* the daemon's; borrowed */
    TAILQ_HEAD(, turn) line;
    uv_timer_t timer; /* runs while others than the first wait */
    int64_t waited_s; /* for the first, by the others */
};

void turns_init(struct turns *turns, uv_loop_t *loop, const struct settings *settings,
                const struct quota *quota);
void turns_close(struct turns *turns);

/* Neither does anything where it was done already. */
void turns_join(struct turns *turns, struct turn *turn);
void turns_leave(struct turns *turns, struct turn *turn);

/* Is it the first? */
bool turns_has(const struct turns *turns, const struct turn *turn);

#endif
