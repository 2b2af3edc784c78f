/* test_freezer.c - plugins/freezer: which parameters freeze, and until when. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define FOREVER INT64_MAX

/* What the daemon fills from the option table. */
union options {
    char bytes[128];
    void *align;
};

/* One freezer of a model of these parameters. */
static const char *const parameters[] = {"encoder.0.weight", "encoder.0.bias",
                                         "encoder.1.weight", "head.weight"};
#define N_PARAMETERS 4

static const struct lighter_policy *policy;
static union options options;
static void *state;
static struct lighter_error err;

static void *
option(const char *name)
{
    const struct lighter_option *found = policy->options;

    while (found->name && strcmp(found->name, name) != 0)
        found++;
    ck_assert_msg(found->name != NULL, "no option %s", name);
    return options.bytes + found->offset;
}

/* The values that the daemon gives to what a client leaves out. */
static void
begin(void)
{
    policy = lighter_plugin.policies[0];
    ck_assert_uint_le(policy->options_size, sizeof options);
    memset(&options, 0, sizeof options);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    state = NULL;
    for (const struct lighter_option *each = policy->options; each->name; each++) {
        if (each->type == LIGHTER_OPTION_INT)
            *(int64_t *)option(each->name) = strtoll(each->fallback, NULL, 10);
        if (each->type == LIGHTER_OPTION_STRING)
            *(const char **)option(each->name) = each->fallback;
    }
}

static void
end(void)
{
    policy->close(state);
}

#define SET(name, ...)                                                                 \
    (*(struct lighter_strings *)option(name) = (struct lighter_strings){               \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                  \
         (const char *const[]){__VA_ARGS__}})

static void
set_int(const char *name, int64_t value)
{
    *(int64_t *)option(name) = value;
}

static int
open_on(size_t n_parameters)
{
    const struct lighter_strings names = {n_parameters, parameters};

    return policy->open(&state, &options, &names, &err);
}

/* Open at the first use. Actions as a text: k(eep), t(rain), f(reeze). */
static void
expect_until(int64_t global_step, int64_t epoch, const char *expected,
             int64_t until_step, int64_t until_epoch)
{
    const struct lighter_step step = {sizeof step, global_step, epoch};
    uint8_t actions[N_PARAMETERS] = {0};
    struct lighter_decision decision = {sizeof decision, actions, FOREVER, FOREVER};
    char found[N_PARAMETERS + 1] = "";

    if (!state)
        ck_assert_msg(open_on(N_PARAMETERS) == 0, "%s", err.message);
    ck_assert_int_eq(policy->decide(state, &step, &decision, &err), 0);
    for (size_t i = 0; i < N_PARAMETERS; i++)
        found[i] = "ktf"[actions[i]];
    ck_assert_str_eq(found, expected);
    ck_assert_int_eq(decision.until_step, until_step);
    ck_assert_int_eq(decision.until_epoch, until_epoch);
}

static void
expect(int64_t global_step, int64_t epoch, const char *expected)
{
    expect_until(global_step, epoch, expected, FOREVER, FOREVER);
}

static void
expect_refused(enum lighter_code code, const char *message)
{
    ck_assert_int_lt(open_on(N_PARAMETERS), 0);
    ck_assert_int_eq((int)err.code, (int)code);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(state);
}

/* ---- who freezes ----------------------------------------------------------------- */

START_TEST(names_freeze_and_the_others_train)
{
    SET("names", "head.weight", "encoder.0.bias");
    expect(0, 0, "tftf");
}
END_TEST

START_TEST(a_name_is_a_whole_one)
{
    SET("names", "head", "weight", "HEAD.WEIGHT", "");
    expect(0, 0, "tttt");
}
END_TEST

START_TEST(starts_freeze_what_begins_so)
{
    SET("name_starts_with", "encoder.1", "h");
    expect(0, 0, "ttff");
}
END_TEST

START_TEST(the_empty_start_freezes_all)
{
    SET("name_starts_with", "");
    expect(0, 0, "ffff");
}
END_TEST

START_TEST(exceptions_train)
{
    SET("names", "head.weight");
    SET("name_starts_with", "encoder");
    SET("except_names", "encoder.0.bias", "head.weight");
    SET("except_name_starts_with", "encoder.1");
    expect(0, 0, "fttt");
}
END_TEST

START_TEST(kept_others_are_left_alone_and_exceptions_train_all_the_same)
{
    SET("names", "head.weight");
    SET("except_names", "encoder.0.bias");
    *(const char **)option("others") = "keep";
    expect(0, 0, "ktkf");
}
END_TEST

START_TEST(a_model_may_have_no_parameters)
{
    SET("names", "head.weight");
    ck_assert_int_eq(open_on(0), 0);
}
END_TEST

/* ---- until when ------------------------------------------------------------------ */

START_TEST(until_a_step)
{
    SET("names", "head.weight");
    set_int("until_step", 5);
    expect_until(0, 0, "tttf", 5, FOREVER);
    expect_until(4, 9, "tttf", 5, FOREVER);
    expect(5, 0, "tttt");
    expect(6, 0, "tttt");
}
END_TEST

START_TEST(beyond_the_limit_restored_parameters_are_left_to_the_client)
{
    SET("names", "head.weight");
    SET("except_names", "encoder.0.bias");
    *(const char **)option("others") = "restore";
    set_int("until_step", 1);
    expect_until(0, 0, "ktkf", 1, FOREVER);
    expect(1, 0, "ktkk");
}
END_TEST

START_TEST(until_an_epoch)
{
    SET("names", "head.weight");
    set_int("until_epoch", 2);
    expect_until(0, 0, "tttf", FOREVER, 2);
    expect_until(999, 1, "tttf", FOREVER, 2);
    expect(1000, 2, "tttt");
}
END_TEST

START_TEST(beyond_the_limit_kept_others_are_still_left_alone)
{
    SET("names", "head.weight");
    *(const char **)option("others") = "keep";
    set_int("until_step", 1);
    expect_until(0, 0, "kkkf", 1, FOREVER);
    expect(1, 0, "kkkt");
}
END_TEST

START_TEST(who_starts_beyond_the_limit_changes_nothing)
{
    SET("names", "head.weight");
    set_int("until_step", 5);
    expect(5, 0, "kkkk");
    expect(6, 0, "kkkk");
}
END_TEST

START_TEST(a_limit_of_0_never_freezes)
{
    SET("names", "head.weight");
    set_int("until_epoch", 0);
    expect(0, 0, "kkkk");
}
END_TEST

START_TEST(a_rank_that_is_behind_is_still_frozen)
{
    SET("names", "head.weight");
    set_int("until_step", 2);
    expect_until(1, 0, "tttf", 2, FOREVER);
    expect(2, 0, "tttt");
    expect_until(1, 0, "tttf", 2, FOREVER);
    expect(2, 0, "tttt");
}
END_TEST

/* ---- what is refused ------------------------------------------------------------- */

START_TEST(without_any_name_it_is_refused)
{
    SET("except_names", "head.weight");
    expect_refused(LIGHTER_E_VALUE,
                   "At least one of `names` or `name_starts_with` must be specified.");
}
END_TEST

START_TEST(two_limits_are_refused)
{
    SET("names", "head.weight");
    set_int("until_step", 0);
    set_int("until_epoch", 0);
    expect_refused(LIGHTER_E_VALUE,
                   "Only one of `until_step` or `until_epoch` can be specified.");
}
END_TEST

START_TEST(unknown_others_are_refused)
{
    SET("names", "head.weight");
    *(const char **)option("others") = "freeze";
    expect_refused(LIGHTER_E_PARAMS, "'others' expects train, keep or restore, got 'freeze'");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("freezer");
    TCase *who = unit_case(suite, "who");
    TCase *when = unit_case(suite, "when");
    TCase *refused = unit_case(suite, "refused");

    tcase_add_checked_fixture(who, begin, end);
    tcase_add_test(who, names_freeze_and_the_others_train);
    tcase_add_test(who, a_name_is_a_whole_one);
    tcase_add_test(who, starts_freeze_what_begins_so);
    tcase_add_test(who, the_empty_start_freezes_all);
    tcase_add_test(who, exceptions_train);
    tcase_add_test(who, kept_others_are_left_alone_and_exceptions_train_all_the_same);
    tcase_add_test(who, a_model_may_have_no_parameters);
    tcase_add_checked_fixture(when, begin, end);
    tcase_add_test(when, until_a_step);
    tcase_add_test(when, until_an_epoch);
    tcase_add_test(when, beyond_the_limit_kept_others_are_still_left_alone);
    tcase_add_test(when, beyond_the_limit_restored_parameters_are_left_to_the_client);
    tcase_add_test(when, who_starts_beyond_the_limit_changes_nothing);
    tcase_add_test(when, a_limit_of_0_never_freezes);
    tcase_add_test(when, a_rank_that_is_behind_is_still_frozen);
    tcase_add_checked_fixture(refused, begin, end);
    tcase_add_test(refused, without_any_name_it_is_refused);
    tcase_add_test(refused, two_limits_are_refused);
    tcase_add_test(refused, unknown_others_are_refused);
    return unit_main(suite);
}
