/* test_log.c - util/log.c: values of a line that nobody can forge. */
#include "tests/unit/unit.h"

#include "util/log.h"

#include <string.h>

START_TEST(a_plain_word_is_itself)
{
    ck_assert_str_eq(LOG_VALUE("predictions.csv-3d20bce0"), "predictions.csv-3d20bce0");
    ck_assert_str_eq(LOG_VALUE("\xc3\xa4"), "\xc3\xa4");
}
END_TEST

START_TEST(what_could_look_like_another_key_is_in_quotes)
{
    ck_assert_str_eq(LOG_VALUE("p state=published"), "\"p state=published\"");
    ck_assert_str_eq(LOG_VALUE("a=b"), "\"a=b\"");
    ck_assert_str_eq(LOG_VALUE("a\" b=\"c"), "\"a\\\" b=\\\"c\"");
    ck_assert_str_eq(LOG_VALUE("a\\"), "\"a\\\\\"");
    ck_assert_str_eq(LOG_VALUE(""), "\"\"");
}
END_TEST

START_TEST(a_value_that_is_too_long_still_ends_in_its_quote)
{
    char text[3 * LOG_VALUE_SIZE], expected[] = "\"\\\"\\\"";
    const char *shown;

    memset(text, '"', sizeof text);
    text[sizeof text - 1] = '\0';
    shown = LOG_VALUE(text);

    ck_assert_uint_lt(strlen(shown), LOG_VALUE_SIZE);
    ck_assert_int_eq(strncmp(shown, expected, strlen(expected)), 0);
    ck_assert_str_eq(shown + strlen(shown) - 3, "\\\"\"");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("log");
    TCase *values = unit_case(suite, "values");

    tcase_add_test(values, a_plain_word_is_itself);
    tcase_add_test(values, what_could_look_like_another_key_is_in_quotes);
    tcase_add_test(values, a_value_that_is_too_long_still_ends_in_its_quote);
    return unit_main(suite);
}
