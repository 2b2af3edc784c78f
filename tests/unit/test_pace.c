/* test_pace.c - how fast counters grow, and how long things took. */
#include "tests/unit/unit.h"

#include "daemon/histogram.h"
#include "daemon/pace.h"

static void
look(struct pace *pace, uint64_t batches, uint64_t now_ms)
{
    pace_look(pace, &(struct pace_counts){batches, 10 * batches, 100 * batches},
              now_ms);
}

START_TEST(what_grows_evenly_has_that_pace_from_the_first_look_on)
{
    struct pace pace;

    pace_begin(&pace, &(struct pace_counts){7, 70, 700}, 5000);
    for (unsigned i = 1; i <= 30; i++) {
        look(&pace, 7 + 4 * i, 5000 + 1000 * i);

        ck_assert_double_eq_tol(pace.batches, 4, 1e-9);
        ck_assert_double_eq_tol(pace.samples, 40, 1e-9);
        ck_assert_double_eq_tol(pace.bytes, 400, 1e-9);
    }
}
END_TEST

START_TEST(what_has_stopped_comes_to_rest)
{
    struct pace pace;

    pace_begin(&pace, &(struct pace_counts){0}, 0);
    for (unsigned i = 1; i <= 20; i++)
        look(&pace, 100 * i, 1000 * i);
    for (unsigned i = 21; i <= 80; i++)
        look(&pace, 2000, 1000 * i);

    ck_assert_double_lt(pace.batches, 1);
    ck_assert_double_ge(pace.batches, 0);
}
END_TEST

START_TEST(a_look_that_comes_too_soon_is_none)
{
    struct pace pace;

    pace_begin(&pace, &(struct pace_counts){0}, 1000);
    look(&pace, 5, 1000);

    ck_assert_double_eq(pace.batches, 0);
    look(&pace, 5, 1500);
    ck_assert_double_eq_tol(pace.batches, 10, 1e-9);
}
END_TEST

START_TEST(the_time_left_is_unknown_while_nothing_moves)
{
    struct pace pace;

    pace_begin(&pace, &(struct pace_counts){0}, 0);

    ck_assert_double_lt(pace_seconds_for(&pace, 1), 0);
    ck_assert_double_eq(pace_seconds_for(&pace, 0), 0);
    look(&pace, 2, 1000);
    ck_assert_double_eq_tol(pace_seconds_for(&pace, 10), 5, 1e-9);
}
END_TEST

START_TEST(each_time_is_counted_in_the_bucket_whose_end_it_does_not_pass)
{
    struct histogram histogram = {0};

    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        histogram_add(&histogram, histogram_ends_ms[i]);
        if (i)
            ck_assert(histogram_ends_ms[i] > histogram_ends_ms[i - 1]);
    }
    histogram_add(&histogram, 0);
    histogram_add(&histogram, UINT32_MAX);

    ck_assert_uint_eq(histogram.counts[0], 2);
    for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++)
        ck_assert_uint_eq(histogram.counts[i], 1);
    ck_assert_uint_gt(histogram.sum_ms, UINT32_MAX);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tcase = unit_case(suite, "pace");

    tcase_add_test(tcase, what_grows_evenly_has_that_pace_from_the_first_look_on);
    tcase_add_test(tcase, what_has_stopped_comes_to_rest);
    tcase_add_test(tcase, a_look_that_comes_too_soon_is_none);
    tcase_add_test(tcase, the_time_left_is_unknown_while_nothing_moves);
    tcase_add_test(tcase,
                   each_time_is_counted_in_the_bucket_whose_end_it_does_not_pass);
    return unit_main(suite);
}
