/* turns.c - see turns.h. */
#include "daemon/turns.h"

static bool
anybody_waits(const struct turns *turns)
{
    const struct turn *first = TAILQ_FIRST(&turns->line);

    return first && TAILQ_NEXT(first, link);
}

static void
on_second(uv_timer_t *timer)
{
    struct turns *turns = timer->data;
    struct turn *first = TAILQ_FIRST(&turns->line);

    if (!quota_has_room(turns->quota))
        return;
    if (++turns->waited_s >= turns->settings->frame_wait_s)
        first->on_late(first->data);
}

void
turns_init(struct turns *turns, uv_loop_t *loop, const struct settings *settings,
           const struct quota *quota)
{
    *turns = (struct turns){.settings = settings, .quota = quota};
    TAILQ_INIT(&turns->line);
    uv_timer_init(loop, &turns->timer);
    turns->timer.data = turns;
}

void
turns_close(struct turns *turns)
{
    uv_close((uv_handle_t *)&turns->timer, NULL);
}

void
turns_join(struct turns *turns, struct turn *turn)
{
    bool others_waited = anybody_waits(turns);

    if (turn->is_in_line)
        return;
    turn->is_in_line = true;
    TAILQ_INSERT_TAIL(&turns->line, turn, link);
    if (anybody_waits(turns) && !others_waited) {
        turns->waited_s = 0;
        uv_timer_start(&turns->timer, on_second, 1000, 1000);
    }
}

void
turns_leave(struct turns *turns, struct turn *turn)
{
    bool was_first = turns_has(turns, turn);
    struct turn *first;

    if (!turn->is_in_line)
        return;
    turn->is_in_line = false;
    TAILQ_REMOVE(&turns->line, turn, link);
    if (!anybody_waits(turns))
        uv_timer_stop(&turns->timer);
    first = TAILQ_FIRST(&turns->line);
    if (was_first && first) {
        turns->waited_s = 0;
        first->on_turn(first->data);
    }
}

bool
turns_has(const struct turns *turns, const struct turn *turn)
{
    return TAILQ_FIRST(&turns->line) == turn;
}
