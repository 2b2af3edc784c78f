/* test_outbox.c - daemon/outbox.c: all answers, in order, to whoever reads them. */
#include "daemon/outbox.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ours, theirs;
static struct outbox outbox;

static void
connect_both(void)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ours = pair[0];
    theirs = pair[1];
}

static void
close_both(void)
{
    outbox_done(&outbox);
    close(ours);
    close(theirs);
}

/* Answers are numbers here: 0, 1, 2, ... */
struct answer {
    uint64_t number, more[31];
};

static int
put(uint64_t number)
{
    struct answer answer = {.number = number};

    return outbox_put(&outbox, ours, (const uint8_t *)&answer, sizeof answer);
}

static void
expect_next(uint64_t number)
{
    struct answer received;

    ck_assert_int_eq(recv(theirs, &received, sizeof received, MSG_WAITALL),
                     sizeof received);
    ck_assert_uint_eq(received.number, number);
}

/* Until OUTBOX_FULL. Returns how many were taken. */
static uint64_t
put_all(void)
{
    uint64_t n = 0;
    int r;

    while ((r = put(n)) == 0)
        n++;
    ck_assert_int_eq(r, OUTBOX_FULL);
    return n;
}

START_TEST(what_the_socket_takes_is_sent_at_once)
{
    ck_assert_int_eq(put(0), 0);
    ck_assert_uint_eq(outbox_size(&outbox), 0);
    ck_assert_ptr_null(outbox.data);
    expect_next(0);
}
END_TEST

START_TEST(what_waits_is_sent_in_its_order_and_gives_its_memory_back)
{
    uint64_t n = put_all();

    for (uint64_t i = 0; i < n; i++) {
        expect_next(i);
        ck_assert_int_eq(outbox_send(&outbox, ours), 0);
    }
    ck_assert_uint_eq(outbox_size(&outbox), 0);
    ck_assert_ptr_null(outbox.data);
}
END_TEST

START_TEST(who_is_some_way_behind_loses_nothing)
{
    uint64_t n_put = 0, n_read = 0;

    while (n_read < 5000) {
        if (n_put < 5000)
            ck_assert_int_eq(put(n_put++), 0);
        if (n_put - n_read < 1000 && n_put < 5000)
            continue;
        ck_assert_int_eq(outbox_send(&outbox, ours), 0);
        expect_next(n_read++);
    }
    ck_assert_uint_eq(outbox_size(&outbox), 0);
}
END_TEST

START_TEST(it_holds_no_more_than_its_bound_and_one_answer)
{
    static const uint8_t large[3 * OUTBOX_MAX];

    put_all();
    ck_assert_uint_le(outbox_size(&outbox), OUTBOX_MAX + sizeof(struct answer));
    ck_assert_uint_le(outbox.room, 2 * OUTBOX_MAX);
    outbox_done(&outbox);

    ck_assert_int_eq(outbox_put(&outbox, ours, large, sizeof large), 0);
    ck_assert_int_eq(outbox_put(&outbox, ours, large, 1), OUTBOX_FULL);
}
END_TEST

START_TEST(a_peer_that_has_gone_shows_when_it_is_sent_to)
{
    put_all();
    close(theirs);
    theirs = -1;
    ck_assert_int_eq(outbox_send(&outbox, ours), -EPIPE);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("outbox");
    TCase *tcase = unit_case(suite, "outbox");

    tcase_add_checked_fixture(tcase, connect_both, close_both);
    tcase_add_test(tcase, what_the_socket_takes_is_sent_at_once);
    tcase_add_test(tcase, what_waits_is_sent_in_its_order_and_gives_its_memory_back);
    tcase_add_test(tcase, who_is_some_way_behind_loses_nothing);
    tcase_add_test(tcase, it_holds_no_more_than_its_bound_and_one_answer);
    tcase_add_test(tcase, a_peer_that_has_gone_shows_when_it_is_sent_to);
    return unit_main(suite);
}
