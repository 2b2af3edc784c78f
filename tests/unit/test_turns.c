/* test_turns.c - daemon/turns.c: a few at a time, in order, and not for ever. */
#include "daemon/turns.h"

#include "tests/unit/unit.h"

#define LARGE (TURNS_SIZE_MAX + 1) /* so that it goes alone */

static uv_loop_t loop;
static struct quota quota;
static struct settings settings;
static struct turns turns;

struct sender {
    struct turn turn;
    unsigned n_turns, n_late;
};

static struct sender one, two, three;

static void
on_turn(void *data)
{
    ((struct sender *)data)->n_turns++;
}

static void
on_late(void *data)
{
    struct sender *sender = data;

    sender->n_late++;
    turns_leave(&turns, &sender->turn);
}

static struct sender
new_sender(struct sender *at)
{
    return (struct sender){
        .turn = {.data = at, .on_turn = on_turn, .on_late = on_late}};
}

static void
start(void)
{
    quota = (struct quota){.max = 1};
    settings.frame_wait_s = 1;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    turns_init(&turns, &loop, &settings, &quota);
    one = new_sender(&one);
    two = new_sender(&two);
    three = new_sender(&three);
}

static void
stop(void)
{
    turns_close(&turns);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void
on_time_over(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
    uv_stop(&loop);
}

static void
let_pass(uint64_t ms)
{
    uv_timer_t timer;

    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_time_over, ms, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_run(&loop, UV_RUN_NOWAIT); /* it is closed */
}

START_TEST(the_turn_goes_from_one_to_the_next)
{
    turns_join(&turns, &one.turn, LARGE);
    turns_join(&turns, &two.turn, LARGE);
    turns_join(&turns, &three.turn, LARGE);
    turns_join(&turns, &one.turn, LARGE); /* again is nothing */
    ck_assert(one.turn.has_turn && !two.turn.has_turn);

    turns_leave(&turns, &one.turn);
    turns_leave(&turns, &one.turn);
    ck_assert(two.turn.has_turn && !three.turn.has_turn);
    ck_assert_uint_eq(two.n_turns, 1);

    turns_leave(&turns, &two.turn);
    ck_assert(three.turn.has_turn);
    turns_leave(&turns, &three.turn);
    ck_assert_uint_eq(two.n_turns + three.n_turns, 2);
}
END_TEST

START_TEST(messages_that_fit_together_come_together)
{
    turns_join(&turns, &one.turn, TURNS_SIZE_MAX / 2);
    turns_join(&turns, &two.turn, TURNS_SIZE_MAX / 2);
    ck_assert(one.turn.has_turn && two.turn.has_turn);
    ck_assert(!uv_is_active((uv_handle_t *)&turns.timer));

    turns_join(&turns, &three.turn, 1);
    ck_assert(!three.turn.has_turn);
    ck_assert(uv_is_active((uv_handle_t *)&turns.timer));
    turns_leave(&turns, &two.turn);
    ck_assert(three.turn.has_turn);
    ck_assert(!uv_is_active((uv_handle_t *)&turns.timer));
    ck_assert_uint_eq(three.n_turns, 1);
    ck_assert_uint_eq(one.n_turns + two.n_turns, 0); /* they have not waited */

    turns_leave(&turns, &one.turn);
    turns_leave(&turns, &three.turn);
    ck_assert_uint_eq(turns.size, 0);
}
END_TEST

START_TEST(a_small_message_does_not_overtake_a_large_one)
{
    turns_join(&turns, &one.turn, 1);
    turns_join(&turns, &two.turn, LARGE);
    turns_join(&turns, &three.turn, 1);
    ck_assert(one.turn.has_turn && !two.turn.has_turn && !three.turn.has_turn);

    turns_leave(&turns, &one.turn);
    ck_assert(two.turn.has_turn && !three.turn.has_turn);
    turns_leave(&turns, &two.turn);
    ck_assert(three.turn.has_turn);
    turns_leave(&turns, &three.turn);
}
END_TEST

START_TEST(who_gives_up_in_the_line_is_passed_over)
{
    turns_join(&turns, &one.turn, LARGE);
    turns_join(&turns, &two.turn, LARGE);
    turns_join(&turns, &three.turn, LARGE);

    turns_leave(&turns, &two.turn);
    turns_leave(&turns, &one.turn);

    ck_assert(three.turn.has_turn);
    ck_assert_uint_eq(two.n_turns, 0);
    turns_leave(&turns, &three.turn);
}
END_TEST

START_TEST(who_keeps_nobody_waiting_has_all_the_time)
{
    turns_join(&turns, &one.turn, LARGE);
    ck_assert(!uv_is_active((uv_handle_t *)&turns.timer));
    turns_join(&turns, &two.turn, LARGE);
    ck_assert(uv_is_active((uv_handle_t *)&turns.timer));
    turns_leave(&turns, &two.turn);
    ck_assert(!uv_is_active((uv_handle_t *)&turns.timer));
    turns_leave(&turns, &one.turn);
}
END_TEST

START_TEST(who_keeps_others_waiting_is_late_one_after_another)
{
    turns_join(&turns, &one.turn, LARGE);
    turns_join(&turns, &two.turn, LARGE);
    turns_join(&turns, &three.turn, LARGE);

    let_pass(1500);
    ck_assert_uint_eq(one.n_late, 1);
    ck_assert(two.turn.has_turn && two.n_late == 0);
    let_pass(1000);
    ck_assert_uint_eq(two.n_late, 1);
    ck_assert(three.turn.has_turn);
    turns_leave(&turns, &three.turn);
}
END_TEST

START_TEST(time_in_which_nobody_is_read_does_not_count)
{
    turns_join(&turns, &one.turn, LARGE);
    turns_join(&turns, &two.turn, LARGE);
    quota_charge(&quota, 1);
    let_pass(2500);
    ck_assert_uint_eq(one.n_late, 0);

    quota_release(&quota, 1);
    let_pass(1500);
    ck_assert_uint_eq(one.n_late, 1);
    turns_leave(&turns, &two.turn);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("turns");
    TCase *tcase = unit_case(suite, "turns");

    uv_loop_init(&loop); /* the first one opens what libuv keeps for good */
    uv_loop_close(&loop);
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, the_turn_goes_from_one_to_the_next);
    tcase_add_test(tcase, messages_that_fit_together_come_together);
    tcase_add_test(tcase, a_small_message_does_not_overtake_a_large_one);
    tcase_add_test(tcase, who_gives_up_in_the_line_is_passed_over);
    tcase_add_test(tcase, who_keeps_nobody_waiting_has_all_the_time);
    tcase_add_test(tcase, who_keeps_others_waiting_is_late_one_after_another);
    tcase_add_test(tcase, time_in_which_nobody_is_read_does_not_count);
    return unit_main(suite);
}
