/* test_params.c - wire/params.c: what a map holds under a key, or why not. */
#include "tests/unit/pack.h"
#include "tests/unit/unit.h"
#include "wire/params.h"

#include <math.h>

static struct message message;
static struct lighter_error err;

static const msgpack_object *
params(const char *json)
{
    message_done(&message);
    pack_request(&message, 1, "m", json);
    return message.params;
}

static void
expect_error(int r, const char *text)
{
    ck_assert_int_eq(r, -EINVAL);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_str_eq(err.message, text);
}

START_TEST(an_int_is_taken_within_its_range)
{
    const msgpack_object *map = params("{'n': 5, 'm': -5, 'big': 9223372036854775807}");
    int64_t value = 0;

    ck_assert_int_eq(params_int(map, "n", 5, 5, &value, &err), 0);
    ck_assert_int_eq(value, 5);
    ck_assert_int_eq(params_int(map, "m", -5, 0, &value, &err), 0);
    ck_assert_int_eq(value, -5);
    ck_assert_int_eq(params_int(map, "big", 0, INT64_MAX, &value, &err), 0);
    ck_assert_int_eq(value, INT64_MAX);
    message_done(&message);
}
END_TEST

START_TEST(an_int_out_of_its_range_is_refused_with_the_range)
{
    int64_t value = 4711;

    expect_error(params_int(params("{'n': 6}"), "n", 1, 5, &value, &err),
                 "'n' expects an int from 1 to 5, got 6");
    expect_error(params_int(params("{'n': -1}"), "n", 0, 5, &value, &err),
                 "'n' expects an int from 0 to 5, got -1");
    ck_assert_int_eq(value, 4711);
    message_done(&message);
}
END_TEST

START_TEST(a_number_is_an_int_or_a_float_within_its_range)
{
    const msgpack_object *map = params("{'i': 2, 'f': 0.5, 'm': -1, 's': 'x'}");
    double value = 0;

    ck_assert_int_eq(params_double(map, "i", 0, 5, &value, &err), 0);
    ck_assert_double_eq(value, 2);
    ck_assert_int_eq(params_double(map, "f", 0, 5, &value, &err), 0);
    ck_assert_double_eq(value, 0.5);
    ck_assert_int_eq(params_double(map, "none", 0, 5, &value, &err), PARAMS_ABSENT);
    expect_error(params_double(map, "m", 0, 5, &value, &err),
                 "'m' expects a number from 0 to 5, got -1");
    expect_error(params_double(map, "s", 0, 5, &value, &err),
                 "'s' expects a number, got a string");
    ck_assert_double_eq(value, 0.5);
    message_done(&message);
}
END_TEST

START_TEST(a_number_that_is_none_is_in_no_range)
{
    msgpack_object_kv pair = {.key = {.type = MSGPACK_OBJECT_STR, .via.str = {1, "n"}},
                              .val = {.type = MSGPACK_OBJECT_FLOAT64, .via.f64 = NAN}};
    msgpack_object map = {.type = MSGPACK_OBJECT_MAP, .via.map = {1, &pair}};
    double value = 0;

    ck_assert_int_eq(params_double(&map, "n", 0, 5, &value, &err), -EINVAL);
}
END_TEST

START_TEST(an_int_above_all_of_ours_is_not_a_negative_one)
{
    msgpack_object_kv pair = {
        .key = {.type = MSGPACK_OBJECT_STR, .via.str = {1, "n"}},
        .val = {.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = UINT64_MAX}};
    msgpack_object map = {.type = MSGPACK_OBJECT_MAP, .via.map = {1, &pair}};
    int64_t value = 4711;

    expect_error(params_int(&map, "n", -10, 10, &value, &err),
                 "'n' expects an int from -10 to 10, got 18446744073709551615");
    ck_assert_int_eq(value, 4711);
}
END_TEST

START_TEST(wrong_types_are_refused_with_both_names)
{
    const msgpack_object *map =
        params("{'nil': null, 'bool': true, 'int': 1, 'float': 0.5, 'string': 'x',"
               " 'bytes': 'bin:x', 'array': [], 'map': {}}");
    msgpack_object_array array;
    const msgpack_object *inner;
    msgpack_object_str string;
    int64_t number;
    bool flag;

    expect_error(params_int(map, "float", 0, 1, &number, &err),
                 "'float' expects an int, got a float");
    expect_error(params_int(map, "bool", 0, 1, &number, &err),
                 "'bool' expects an int, got a bool");
    expect_error(params_bool(map, "int", &flag, &err),
                 "'int' expects a bool, got an int");
    expect_error(params_string(map, "bytes", &string, &err),
                 "'bytes' expects a string, got bytes");
    expect_error(params_map(map, "array", &inner, &err),
                 "'array' expects a map, got an array");
    expect_error(params_array(map, "map", &array, &err),
                 "'map' expects an array, got a map");
    expect_error(params_array(map, "string", &array, &err),
                 "'string' expects an array, got a string");
    message_done(&message);
}
END_TEST

START_TEST(what_is_not_there_or_nil_is_absent)
{
    const msgpack_object *map = params("{'nil': null}"), *inner = map;
    msgpack_object_array array = {7, NULL};
    msgpack_object_str string = {7, NULL};
    int64_t number = 7;
    bool flag = true;

    ck_assert_ptr_null(params_find(map, "nil"));
    ck_assert_ptr_null(params_find(map, "other"));
    ck_assert_int_eq(params_int(map, "nil", 0, 1, &number, &err), PARAMS_ABSENT);
    ck_assert_int_eq(params_bool(map, "nil", &flag, &err), PARAMS_ABSENT);
    ck_assert_int_eq(params_string(map, "nil", &string, &err), PARAMS_ABSENT);
    ck_assert_int_eq(params_map(map, "nil", &inner, &err), PARAMS_ABSENT);
    ck_assert_int_eq(params_array(map, "other", &array, &err), PARAMS_ABSENT);
    ck_assert_int_eq(number, 7);
    ck_assert(flag);
    ck_assert_uint_eq(string.size, 7);
    ck_assert_uint_eq(array.size, 7);
    ck_assert_ptr_eq(inner, map);
    message_done(&message);
}
END_TEST

START_TEST(what_is_required_must_be_there)
{
    expect_error(params_required(PARAMS_ABSENT, "seq", &err), "'seq' is missing");
    ck_assert_int_eq(params_required(0, "seq", &err), 0);
    ck_assert_int_eq(params_required(-EDOM, "seq", &err), -EDOM);
}
END_TEST

START_TEST(keys_are_compared_whole)
{
    const msgpack_object *map = params("{'ab': 1, 'bin:a': 2, 'a': 3, 'A': 4}");
    int64_t value;

    ck_assert_int_eq(params_int(map, "a", 0, 9, &value, &err), 0);
    ck_assert_int_eq(value, 3);
    ck_assert_ptr_null(params_find(map, "abc"));
    ck_assert_ptr_null(params_find(map, ""));
    message_done(&message);
}
END_TEST

START_TEST(a_text_is_a_copy_that_ends_with_a_nul)
{
    const msgpack_object *map = params("{'s': 'hello', 'empty': ''}");
    msgpack_object_str string;
    char *text;

    ck_assert_int_eq(params_string(map, "s", &string, &err), 0);
    ck_assert(params_str_is(string, "hello"));
    text = params_text(message.zone, string);
    ck_assert_str_eq(text, "hello");
    ck_assert_ptr_ne(text, string.ptr);
    ck_assert_int_eq(params_string(map, "empty", &string, &err), 0);
    ck_assert_str_eq(params_text(message.zone, string), "");
    message_done(&message);
}
END_TEST

static int
texts_of(const char *json, uint32_t max, size_t *ret_count)
{
    const char *const *texts;
    const msgpack_object *map = params(json);

    return params_texts(map, "k", max, message.zone, &texts, ret_count, &err);
}

START_TEST(texts_are_strings_that_c_can_hold)
{
    size_t count = 4711;

    ck_assert_int_eq(texts_of("{'k': ['a', '\u00e9', '']}", 3, &count), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(texts_of("{'k': []}", 0, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(texts_of("{}", 3, &count), PARAMS_ABSENT);
    expect_error(texts_of("{'k': 'a'}", 3, &count),
                 "'k' expects an array, got a string");
    expect_error(texts_of("{'k': ['a', 'b']}", 1, &count),
                 "'k' expects at most 1 strings, got 2");
    expect_error(texts_of("{'k': ['a', 1, 'b']}", 3, &count),
                 "'k' expects strings, got an int at index 1");
    expect_error(texts_of("{'k': ['bin:a']}", 3, &count),
                 "'k' expects strings, got bytes at index 0");
    message_done(&message);
}
END_TEST

START_TEST(texts_that_c_cannot_hold_are_refused)
{
    static const msgpack_object_str bad[] = {{2, "a"}, {2, "\xc3\x28"}};
    msgpack_object item = {.type = MSGPACK_OBJECT_STR};
    msgpack_object_kv pair = {
        .key = {.type = MSGPACK_OBJECT_STR, .via.str = {1, "k"}},
        .val = {.type = MSGPACK_OBJECT_ARRAY, .via.array = {1, &item}}};
    const msgpack_object map = {.type = MSGPACK_OBJECT_MAP, .via.map = {1, &pair}};
    const char *const *texts;
    size_t count;

    params("{}");
    for (size_t i = 0; i < 2; i++) {
        item.via.str = bad[i];
        expect_error(params_texts(&map, "k", 1, message.zone, &texts, &count, &err),
                     "'k' expects UTF-8 without NUL at index 0");
    }
    message_done(&message);
}
END_TEST

START_TEST(every_type_has_a_name)
{
    ck_assert_str_eq(params_type_name(&(msgpack_object){.type = MSGPACK_OBJECT_NIL}),
                     "nil");
    ck_assert_str_eq(
        params_type_name(&(msgpack_object){.type = MSGPACK_OBJECT_FLOAT32}), "a float");
    ck_assert_str_eq(params_type_name(&(msgpack_object){.type = MSGPACK_OBJECT_EXT}),
                     "an extension type");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("params");
    TCase *params_case = unit_case(suite, "params");

    tcase_add_test(params_case, an_int_is_taken_within_its_range);
    tcase_add_test(params_case, an_int_out_of_its_range_is_refused_with_the_range);
    tcase_add_test(params_case, a_number_is_an_int_or_a_float_within_its_range);
    tcase_add_test(params_case, a_number_that_is_none_is_in_no_range);
    tcase_add_test(params_case, an_int_above_all_of_ours_is_not_a_negative_one);
    tcase_add_test(params_case, wrong_types_are_refused_with_both_names);
    tcase_add_test(params_case, what_is_not_there_or_nil_is_absent);
    tcase_add_test(params_case, what_is_required_must_be_there);
    tcase_add_test(params_case, keys_are_compared_whole);
    tcase_add_test(params_case, a_text_is_a_copy_that_ends_with_a_nul);
    tcase_add_test(params_case, texts_are_strings_that_c_can_hold);
    tcase_add_test(params_case, texts_that_c_cannot_hold_are_refused);
    tcase_add_test(params_case, every_type_has_a_name);
    return unit_main(suite);
}
