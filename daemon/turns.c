/* turns.c - see turns.h. */
#include "daemon/turns.h"

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

/* The first can always go on, however large its message is. */
static bool
fits(const struct turns *turns, const struct turn *turn)
{
    return !turns->size || turns->size + turn->size <= TURNS_SIZE_MAX;
}

static void
give(struct turns *turns, struct turn *turn)
{
    turn->has_turn = true;
    turns->size += turn->size;
}

/* The turn is theirs who waited, as far as it goes round. */
static void
give_on(struct turns *turns)
{
    struct turn *turn;

    while ((turn = turns->waiting) && fits(turns, turn)) {
        turns->waiting = TAILQ_NEXT(turn, link);
        give(turns, turn);
        turn->on_turn(turn->data);
    }
    if (!turns->waiting)
        uv_timer_stop(&turns->timer);
}

void
turns_join(struct turns *turns, struct turn *turn, size_t size)
{
    if (turn->is_in_line)
        return;
    turn->is_in_line = true;
    turn->size = size;
    TAILQ_INSERT_TAIL(&turns->line, turn, link);
    if (turns->waiting)
        return;
    if (fits(turns, turn)) {
        give(turns, turn);
        return;
    }
    turns->waiting = turn;
    turns->waited_s = 0;
    uv_timer_start(&turns->timer, on_second, 1000, 1000);
}

void
turns_leave(struct turns *turns, struct turn *turn)
{
    if (!turn->is_in_line)
        return;
    if (TAILQ_FIRST(&turns->line) == turn)
        turns->waited_s = 0;
    if (turns->waiting == turn)
        turns->waiting = TAILQ_NEXT(turn, link);
    if (turn->has_turn)
        turns->size -= turn->size;
    TAILQ_REMOVE(&turns->line, turn, link);
    turn->is_in_line = turn->has_turn = false;
    give_on(turns);
}
