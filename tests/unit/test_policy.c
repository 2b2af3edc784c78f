/* test_policy.c - daemon/policy.c: what several policies, and people, decide together.
 */
#include "daemon/policy.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define FOREVER INT64_MAX

static struct registry registry;
static struct policies policies;
static struct lighter_error err;

static void
begin(void)
{
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    ck_assert_int_eq(registry_add(&registry, &lighter_plugin, "/path", &err), 0);
}

static void
end(void)
{
    policies_done(&policies);
    registry_done(&registry);
}

/* Read what an `open` brings: JSON with ' for ". */
static int
init(struct policies *into, const char *params)
{
    struct message message;
    int r;

    pack_request(&message, 1, "open", params);
    r = policies_init(into, &registry, message.params, &err);
    message_done(&message); /* nothing of it is lent */
    return r;
}

/* These policies on parameters a.0, a.1, b. */
static void
open_policies(const char *items)
{
    char params[1024];

    snprintf(params, sizeof params,
             "{'policies': [%s], 'parameters': ['a.0','a.1','b']}", items);
    ck_assert_msg(init(&policies, params) == 0, "%s", err.message);
    ck_assert_msg(policies_open(&policies, &err) == 0, "%s", err.message);
}

#define FREEZER(options) "{'type': 'freezer', 'options': {" options "}}"

/* Actions as a text: k(eep), t(rain), f(reeze). Return: until which step. */
static int64_t
decide(int64_t global_step, int64_t n_apart, const char *expected)
{
    const struct lighter_step step = {sizeof step, global_step, 0};
    const uint8_t *actions;
    int64_t until_step, until_epoch;
    char found[4] = "";

    ck_assert_int_eq(policies_decide(&policies, &step, n_apart, &actions, &until_step,
                                     &until_epoch, &err),
                     0);
    for (size_t i = 0; i < 3; i++)
        found[i] = "ktf"[actions[i]];
    ck_assert_msg(strcmp(found, expected) == 0, "step %d: %s, expected %s",
                  (int)global_step, found, expected);
    return until_step;
}

static void
ask(const char *pattern, enum lighter_action action, size_t expected)
{
    size_t n_matched;

    ck_assert_int_eq(policies_ask(&policies, pattern, action, &n_matched, &err), 0);
    ck_assert_uint_eq(n_matched, expected);
}

static void
expect_refused(const char *params, const char *message)
{
    ck_assert_int_eq(init(&policies, params), -EINVAL);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s: %s", params, err.message);
    ck_assert_ptr_null(policies.items);
    ck_assert_ptr_null(policies.zone);
}

/* ---- reading --------------------------------------------------------------------- */

START_TEST(a_job_without_policies_has_none)
{
    static const char *const params[] = {"{}", "{'policies': []}", "{'policies': null}",
                                         "{'parameters': ['a']}"};

    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        ck_assert_msg(init(&policies, params[i]) == 0, "%s", err.message);
        ck_assert_uint_eq(policies.n_items, 0);
        ck_assert_int_eq(policies_open(&policies, &err), 0);
    }
}
END_TEST

START_TEST(what_is_no_list_of_policies_is_refused)
{
    expect_refused("{'policies': 3}", "'policies'");
    expect_refused("{'policies': {}}", "'policies'");
    expect_refused("{'policies': [3]}", "'policies' expects maps, got an int");
    expect_refused("{'policies': [{}]}", "'type'");
    expect_refused("{'policies': [{'type': 3}]}", "'type'");
    expect_refused("{'policies': [{'type': 'freezer', 'options': []}]}", "'options'");
    expect_refused("{'policies': [{'type': 'melter'}], 'parameters': []}", "freezer");
    expect_refused("{'policies': [{'type': ''}], 'parameters': []}", "freezer");
}
END_TEST

START_TEST(options_that_cannot_be_are_refused)
{
    expect_refused("{'policies': [" FREEZER("'except_name': []") "]}", "no option");
    expect_refused("{'policies': [" FREEZER("'names': 'a'") "]}", "'names'");
    expect_refused("{'policies': [" FREEZER("'names': ['a', 3]") "]}", "'names'");
    expect_refused("{'policies': [" FREEZER("'until_step': -2") "]}", "'until_step'");
    expect_refused("{'policies': [" FREEZER("'until_step': 1.5") "]}", "'until_step'");
    expect_refused("{'policies': [" FREEZER("'others': 3") "]}", "'others'");
}
END_TEST

START_TEST(one_bad_policy_among_good_ones_leaves_none)
{
    expect_refused("{'policies': [" FREEZER("'names': ['a']") ", 3], 'parameters': []}",
                   "expects maps");
}
END_TEST

START_TEST(parameters_are_required_and_are_texts)
{
#define ONE "'policies': [" FREEZER("'names': ['a']") "]"
    expect_refused("{" ONE "}", "'parameters'");
    expect_refused("{" ONE ", 'parameters': 'a'}", "'parameters'");
    expect_refused("{" ONE ", 'parameters': {'a': 1}}", "'parameters'");
    expect_refused("{" ONE ", 'parameters': ['a', null]}", "'parameters'");
    expect_refused("{" ONE ", 'parameters': ['a', 'bin:b']}", "'parameters'");
    expect_refused("{" ONE ", 'parameters': ['a\\u0000b']}", "'parameters'");
}
END_TEST

START_TEST(more_policies_than_the_limit_are_refused)
{
    char params[64 + 8 * (POLICIES_MAX + 1)] = "{'policies': [3";

    for (int i = 0; i < POLICIES_MAX; i++)
        strcat(params, ",3");
    strcat(params, "]}");
    expect_refused(params, "expects at most 64, got 65");
}
END_TEST

START_TEST(a_plugin_that_refuses_its_options_is_closed_as_far_as_it_was_opened)
{
    ck_assert_int_eq(init(&policies, "{'policies': [" FREEZER("'names': ['a']") "," //
                          FREEZER("") "], 'parameters': ['a']}"),
                     0);
    ck_assert_int_eq(policies_open(&policies, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "At least one of `names`"));
}
END_TEST

START_TEST(two_ranks_bring_the_same_or_not)
{
#define OTHER "'policies': [" FREEZER("'names': ['b']") "]"
    static const struct {
        const char *params;
        bool is_same;
    } cases[] = {{"{" ONE ", 'parameters': ['a', 'b']}", true},
                 {"{" OTHER ", 'parameters': ['a', 'b']}", false},
                 {"{" ONE ", 'parameters': ['b', 'a']}", false},
                 {"{" ONE ", 'parameters': ['a']}", false},
                 {"{}", false}};
    struct policies others;

    ck_assert_int_eq(init(&policies, "{" ONE ", 'parameters': ['a', 'b']}"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(init(&others, cases[i].params), 0);
        ck_assert_msg(policies_are_same(&policies, &others) == cases[i].is_same, "%s",
                      cases[i].params);
        ck_assert_msg(policies_are_same(&others, &policies) == cases[i].is_same, "%s",
                      cases[i].params);
        policies_done(&others);
    }
}
END_TEST

/* ---- deciding together ----------------------------------------------------------- */

START_TEST(a_parameter_is_frozen_while_one_policy_freezes_it)
{
    open_policies(FREEZER("'names': ['a.0'], 'until_step': 4") "," FREEZER(
        "'name_starts_with': ['a'], 'until_step': 2"));

    ck_assert_int_eq(decide(0, 0, "fft"), 2);
    ck_assert_int_eq(decide(2, 0, "ftt"), 4);
    ck_assert_int_eq(decide(4, 0, "ttt"), FOREVER);
}
END_TEST

START_TEST(to_train_wins_over_to_keep)
{
    open_policies(FREEZER("'names': ['a.0'], 'others': 'keep'") "," FREEZER(
        "'names': ['b'], 'others': 'keep', 'except_names': ['a.0', 'a.1']"));

    decide(0, 0, "ftf");
}
END_TEST

/* ---- what people ask for --------------------------------------------------------- */

START_TEST(people_win_over_policies)
{
    open_policies(FREEZER("'names': ['b'], 'others': 'keep'"));
    decide(0, 0, "kkf");

    ask("a.*", LIGHTER_FREEZE, 2);
    ask("b", LIGHTER_TRAIN, 1);
    ck_assert_int_eq(decide(1, 0, "fft"), FOREVER);

    ask("[!b]*", LIGHTER_TRAIN, 2);
    decide(2, 0, "ttt");
}
END_TEST

START_TEST(a_pattern_that_matches_nothing_changes_nothing)
{
    open_policies(FREEZER("'names': ['b']"));

    ck_assert_uint_eq(policies_count(&policies, "a"), 0);
    ck_assert_uint_eq(policies_count(&policies, "a?0"), 1);
    ck_assert_uint_eq(policies_count(&policies, "*"), 3);
    ask("c*", LIGHTER_FREEZE, 0);
    decide(0, 0, "ttf");
}
END_TEST

START_TEST(ranks_that_are_a_step_apart_change_at_the_same_one)
{
    open_policies(FREEZER("'names': ['b']"));
    decide(10, 2, "ttf");
    ask("a.0", LIGHTER_FREEZE, 1);

    ck_assert_int_eq(decide(10, 2, "ttf"), 12); /* the first to ask: from step 12 */
    ck_assert_int_eq(decide(9, 2, "ttf"), 12);
    ck_assert_int_eq(decide(11, 2, "ttf"), 12);
    ck_assert_int_eq(decide(12, 2, "ftf"), FOREVER);
    decide(11, 2, "ttf");
    decide(12, 2, "ftf");
}
END_TEST

START_TEST(a_change_of_what_no_rank_has_seen_comes_with_it)
{
    open_policies(FREEZER("'names': ['b']"));
    ask("a.0", LIGHTER_FREEZE, 1);
    decide(10, 2, "ttf");
    ask("a.1", LIGHTER_FREEZE, 1);

    ck_assert_int_eq(decide(11, 2, "ttf"), 13);
    decide(12, 2, "ttf");
    decide(13, 2, "fff");
}
END_TEST

START_TEST(until_the_next_change_the_last_one_holds)
{
    open_policies(FREEZER("'names': ['b']"));
    ask("a.0", LIGHTER_FREEZE, 1);
    decide(0, 2, "ttf");
    decide(2, 2, "ftf");
    ask("a.0", LIGHTER_TRAIN, 1);

    ck_assert_int_eq(decide(3, 2, "ftf"), 5);
    decide(5, 2, "ttf");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("policy");
    TCase *reading = unit_case(suite, "reading");
    TCase *deciding = unit_case(suite, "deciding");

    tcase_add_checked_fixture(reading, begin, end);
    tcase_add_test(reading, a_job_without_policies_has_none);
    tcase_add_test(reading, what_is_no_list_of_policies_is_refused);
    tcase_add_test(reading, options_that_cannot_be_are_refused);
    tcase_add_test(reading, one_bad_policy_among_good_ones_leaves_none);
    tcase_add_test(reading, parameters_are_required_and_are_texts);
    tcase_add_test(reading, more_policies_than_the_limit_are_refused);
    tcase_add_test(reading,
                   a_plugin_that_refuses_its_options_is_closed_as_far_as_it_was_opened);
    tcase_add_test(reading, two_ranks_bring_the_same_or_not);
    tcase_add_checked_fixture(deciding, begin, end);
    tcase_add_test(deciding, a_parameter_is_frozen_while_one_policy_freezes_it);
    tcase_add_test(deciding, to_train_wins_over_to_keep);
    tcase_add_test(deciding, people_win_over_policies);
    tcase_add_test(deciding, a_pattern_that_matches_nothing_changes_nothing);
    tcase_add_test(deciding, ranks_that_are_a_step_apart_change_at_the_same_one);
    tcase_add_test(deciding, a_change_of_what_no_rank_has_seen_comes_with_it);
    tcase_add_test(deciding, until_the_next_change_the_last_one_holds);
    return unit_main(suite);
}
