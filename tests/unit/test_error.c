/* test_error.c - lighter/error.h and util/error.c: reasons, with a context in front. */
#include "tests/unit/unit.h"
#include "util/error.h"

static struct lighter_error err;

START_TEST(a_failure_is_a_code_a_message_and_a_negative_errno)
{
    ck_assert_int_eq(lighter_fail(&err, LIGHTER_E_KEY, "no '%s'", "x"), -ENOKEY);
    ck_assert_uint_eq(err.code, LIGHTER_E_KEY);
    ck_assert_int_eq(err.errnum, 0);
    ck_assert_int_eq(err.sample, -1);
    ck_assert_str_eq(err.message, "no 'x'");
}
END_TEST

START_TEST(a_failed_system_call_says_what_the_system_said)
{
    ck_assert_int_eq(lighter_fail_os(&err, ENOSPC, "write '%s'", "f"), -ENOSPC);
    ck_assert_uint_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_eq(err.errnum, ENOSPC);
    ck_assert_str_eq(err.message, "write 'f': No space left on device");
}
END_TEST

START_TEST(a_failure_can_name_its_sample)
{
    ck_assert_int_eq(lighter_fail_sample(&err, LIGHTER_E_VALUE, 7, "bad"), -EINVAL);
    ck_assert_int_eq(err.sample, 7);
}
END_TEST

START_TEST(nobody_need_ask_why)
{
    ck_assert_int_eq(lighter_fail(NULL, LIGHTER_E_TYPE, "x"), -EDOM);
    ck_assert_int_eq(lighter_fail_os(NULL, EACCES, "x"), -EACCES);
    ck_assert_int_eq(lighter_fail_sample(NULL, LIGHTER_E_VALUE, 7, "x"), -EINVAL);
    ck_assert_int_eq(error_wrap(NULL, -EACCES, "x"), -EACCES);
    ck_assert_int_eq(fail_nomem(NULL), -ENOMEM);
}
END_TEST

START_TEST(every_code_has_a_name_and_an_errno)
{
    for (uint32_t i = 0; i < LIGHTER_N_CODES; i++) {
        ck_assert_str_ne(lighter_code_name(i), "");
        for (uint32_t k = 0; k < i; k++)
            ck_assert_str_ne(lighter_code_name(i), lighter_code_name(k));
        ck_assert_int_eq(lighter_fail_errnum(i) == 0, i == LIGHTER_OK);
    }
    ck_assert_str_eq(lighter_code_name(LIGHTER_N_CODES), "internal");
    ck_assert_int_eq(lighter_fail_errnum(4711), ENOTRECOVERABLE);
}
END_TEST

START_TEST(a_context_stands_in_front)
{
    lighter_fail_os(&err, ENOENT, "open 'f'");
    ck_assert_int_eq(error_wrap(&err, -ENOENT, "run '%s'", "p"), -ENOENT);
    ck_assert_str_eq(err.message, "run 'p': open 'f': No such file or directory");
    ck_assert_int_eq(err.errnum, ENOENT);
    error_wrap(&err, 0, "a");
    ck_assert_str_eq(err.message, "a: run 'p': open 'f': No such file or directory");
}
END_TEST

static void
fill(char *text, size_t size, char c)
{
    memset(text, c, size);
    text[size] = '\0';
}

START_TEST(long_messages_are_cut_at_their_room)
{
    char text[2 * LIGHTER_ERROR_TEXT_MAX];

    fill(text, sizeof text - 1, 'm');
    lighter_fail(&err, LIGHTER_E_VALUE, "%s", text);
    ck_assert_uint_eq(strlen(err.message), LIGHTER_ERROR_TEXT_MAX - 1);
    lighter_fail_os(&err, ENOENT, "%s", text);
    ck_assert_uint_eq(strlen(err.message), LIGHTER_ERROR_TEXT_MAX - 1);
}
END_TEST

START_TEST(a_context_of_any_length_leaves_a_message_in_its_room)
{
    char context[2 * LIGHTER_ERROR_TEXT_MAX];

    for (size_t size = 0; size < sizeof context; size++) {
        struct lighter_error *own = malloc(sizeof *own); /* for the sanitizer */
        size_t length;

        fill(context, size, 'c');
        lighter_fail(own, LIGHTER_E_VALUE, "message");
        error_wrap(own, -EINVAL, "%s", context);
        length = strlen(own->message);
        if (length >= LIGHTER_ERROR_TEXT_MAX)
            ck_abort_msg("%zu bytes of context are too many", size);
        if (length != size + 9 && size + 9 < LIGHTER_ERROR_TEXT_MAX)
            ck_abort_msg("%zu bytes of context make %zu", size, length);
        if (!strstr(own->message, ": m"))
            ck_abort_msg("%zu bytes of context leave no message", size);
        free(own);
    }
}
END_TEST

START_TEST(a_long_message_keeps_its_beginning_under_a_context)
{
    char text[LIGHTER_ERROR_TEXT_MAX];

    fill(text, sizeof text - 1, 'm');
    lighter_fail(&err, LIGHTER_E_VALUE, "%s", text);
    error_wrap(&err, -EINVAL, "context");
    ck_assert_uint_eq(strlen(err.message), LIGHTER_ERROR_TEXT_MAX - 1);
    ck_assert_int_eq(strncmp(err.message, "context: mmm", 12), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("error");
    TCase *error = unit_case(suite, "error");

    tcase_add_test(error, a_failure_is_a_code_a_message_and_a_negative_errno);
    tcase_add_test(error, a_failed_system_call_says_what_the_system_said);
    tcase_add_test(error, a_failure_can_name_its_sample);
    tcase_add_test(error, nobody_need_ask_why);
    tcase_add_test(error, every_code_has_a_name_and_an_errno);
    tcase_add_test(error, a_context_stands_in_front);
    tcase_add_test(error, long_messages_are_cut_at_their_room);
    tcase_add_test(error, a_context_of_any_length_leaves_a_message_in_its_room);
    tcase_add_test(error, a_long_message_keeps_its_beginning_under_a_context);
    return unit_main(suite);
}
