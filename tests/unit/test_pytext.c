/* test_pytext.c - plugins/pytext: values as Python's str() and repr() write them. */
#include "daemon/sink.h"
#include "plugins/pytext/number.h"
#include "plugins/pytext/pytext.h"
#include "tests/unit/unit.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef int put_function(struct pytext *text, const struct lighter_value *value,
                         struct lighter_error *err);

static void
expect_text(put_function *put, struct lighter_value value, const char *expected,
            size_t expected_size)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_sink sink;
    struct pytext text;
    char *bytes;
    size_t size;

    sink_init(&sink);
    pytext_init(&text, &unit_services, &sink);
    ck_assert_msg(put(&text, &value, &err) == 0, "%s", err.message);
    pytext_flush(&text);

    bytes = unit_sink_bytes(&sink, &size);
    ck_assert_msg(size == expected_size && memcmp(bytes, expected, size) == 0,
                  "'%s' instead of '%s'", bytes, expected);
    free(bytes);
    sink_done(&sink);
}

static void
expect_str(struct lighter_value value, const char *expected)
{
    expect_text(pytext_str, value, expected, strlen(expected));
}

static void
expect_repr(struct lighter_value value, const char *expected)
{
    expect_text(pytext_repr, value, expected, strlen(expected));
}

static struct lighter_value
bytes_value(const char *data, size_t size)
{
    return (struct lighter_value){.type = LIGHTER_BYTES, .as.string = {data, size}};
}

/* ---- numbers ------------------------------------------------------------------- */

START_TEST(nil_and_bools_are_their_names)
{
    expect_str(unit_nil(), "None");
    expect_str(unit_bool(true), "True");
    expect_str(unit_bool(false), "False");
}
END_TEST

START_TEST(integers_reach_both_ends_of_64_bits)
{
    expect_str(unit_int(0), "0");
    expect_str(unit_int(-1), "-1");
    expect_str(unit_int(INT64_MAX), "9223372036854775807");
    expect_str(unit_int(INT64_MIN), "-9223372036854775808");
    expect_str((struct lighter_value){.type = LIGHTER_UINT, .as.uinteger = UINT64_MAX},
               "18446744073709551615");
}
END_TEST

START_TEST(integers_beside_every_power_of_ten_have_all_their_digits)
{
    uint64_t power = 1;

    for (int i = 0; i < 20; i++, power *= 10) {
        for (int64_t step = -1; step <= 1; step++) {
            char expected[32], got[NUMBER_ROOM];
            uint64_t value = power + (uint64_t)step;

            snprintf(expected, sizeof expected, "%" PRIu64, value);
            *number_put_uint(got, value) = '\0';
            ck_assert_str_eq(got, expected);
        }
    }
}
END_TEST

START_TEST(floats_are_the_shortest_that_read_back)
{
    expect_str(unit_float(0.1), "0.1");
    expect_str(unit_float(1.0 / 3), "0.3333333333333333");
    expect_str(unit_float(-2.5), "-2.5");
    expect_str(unit_float(123456.789), "123456.789");
    expect_str(unit_float(5e-324), "5e-324");
    expect_str(unit_float(DBL_MIN), "2.2250738585072014e-308");
    expect_str(unit_float(-DBL_MAX), "-1.7976931348623157e+308");
    expect_str(unit_float(9007199254740993.0), "9007199254740992.0");
}
END_TEST

START_TEST(whole_floats_keep_their_decimal)
{
    expect_str(unit_float(0.0), "0.0");
    expect_str(unit_float(-0.0), "-0.0");
    expect_str(unit_float(1), "1.0");
    expect_str(unit_float(100), "100.0");
}
END_TEST

START_TEST(floats_get_an_exponent_where_python_gives_them_one)
{
    expect_str(unit_float(1e15), "1000000000000000.0");
    expect_str(unit_float(9999999999999998.0), "9999999999999998.0");
    expect_str(unit_float(1e16), "1e+16");
    expect_str(unit_float(1.5e16), "1.5e+16");
    expect_str(unit_float(1e22), "1e+22");
    expect_str(unit_float(1e100), "1e+100");
    expect_str(unit_float(0.0001), "0.0001");
    expect_str(unit_float(0.00012345678901234567), "0.00012345678901234567");
    expect_str(unit_float(0.00001), "1e-05");
    expect_str(unit_float(-1.25e-7), "-1.25e-07");
}
END_TEST

START_TEST(floats_that_are_no_numbers_have_python_names)
{
    expect_str(unit_float(INFINITY), "inf");
    expect_str(unit_float(-INFINITY), "-inf");
    expect_str(unit_float(NAN), "nan");
    expect_str(unit_float(copysign(NAN, -1)), "nan");
}
END_TEST

START_TEST(floats_of_all_bit_patterns_read_back)
{
    uint64_t bits = 88172645463325252u;
    char text[NUMBER_ROOM];
    double value;

    for (int i = 0; i < 200000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        *number_put_float(text, value) = '\0';

        ck_assert_uint_le(strlen(text), 24);
        ck_assert_msg(isnan(value) || strtod(text, NULL) == value, "%a became %s",
                      value, text);
    }
}
END_TEST

/* repr() the slow way: from C's correctly rounded digits, as few as read back. Not so
 * for a power of two below 2^-21, of which the gaps on both sides differ.
 */
static void
slow_repr(char text[64], double value)
{
    int n_digits = 0, exponent, decimals;

    do
        snprintf(text, 64, "%.*e", n_digits++, value);
    while (strtod(text, NULL) != value);
    exponent = atoi(strchr(text, 'e') + 1);
    decimals = n_digits - 1 - exponent;
    if (exponent >= -4 && exponent < 16)
        snprintf(text, 64, "%.*f", decimals > 0 ? decimals : 1, value);
}

/* A mantissa of 52 bits: any; a float32's; of few bits; beside a power of two. */
static uint64_t
pick_mantissa(int kind, uint64_t bits)
{
    static const uint64_t masks[] = {0xfffffffffffff, 0xfffffe0000000, 0xff00000000000,
                                     0x3};

    return (bits & masks[kind % 4]) ^ (kind < 4 ? 0 : 0xfffffffffffff);
}

START_TEST(floats_of_ordinary_sizes_are_as_the_slow_way_has_them)
{
    uint64_t bits = 88172645463325252u;
    char expected[64], text[NUMBER_ROOM];
    double value;

    for (int i = 0; i < 24000; i++) {
        int kind = i % 8, exponent = -21 + i / 8 % 53;

        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        value =
            ldexp(1 + ldexp((double)pick_mantissa(kind, bits >> 12), -52), exponent);
        value = bits & 1 ? value : -value;
        *number_put_float(text, value) = '\0';

        slow_repr(expected, value);
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

/* ---- elements ------------------------------------------------------------------ */

static void
expect_element(uint32_t dtype, const void *element, const char *expected)
{
    expect_str(unit_tensor(dtype, 0, NULL, element), expected);
}

#define EXPECT(dtype, ctype, value, expected)                                          \
    expect_element(dtype, &(ctype){value}, expected)

START_TEST(elements_of_every_integer_dtype_are_integers)
{
    EXPECT(LIGHTER_UINT8, uint8_t, 255, "255");
    EXPECT(LIGHTER_INT8, int8_t, -128, "-128");
    EXPECT(LIGHTER_INT16, int16_t, -32768, "-32768");
    EXPECT(LIGHTER_UINT16, uint16_t, 65535, "65535");
    EXPECT(LIGHTER_INT32, int32_t, INT32_MIN, "-2147483648");
    EXPECT(LIGHTER_UINT32, uint32_t, UINT32_MAX, "4294967295");
    EXPECT(LIGHTER_INT64, int64_t, INT64_MIN, "-9223372036854775808");
    EXPECT(LIGHTER_UINT64, uint64_t, UINT64_MAX, "18446744073709551615");
}
END_TEST

START_TEST(bool_elements_are_true_unless_zero)
{
    EXPECT(LIGHTER_BOOL8, uint8_t, 0, "False");
    EXPECT(LIGHTER_BOOL8, uint8_t, 1, "True");
    EXPECT(LIGHTER_BOOL8, uint8_t, 255, "True");
}
END_TEST

START_TEST(narrow_floats_are_widened_to_double)
{
    EXPECT(LIGHTER_FLOAT32, float, 0.1f, "0.10000000149011612");
    EXPECT(LIGHTER_FLOAT32, float, -INFINITY, "-inf");
    EXPECT(LIGHTER_FLOAT64, double, 0.1, "0.1");
    EXPECT(LIGHTER_BFLOAT16, uint16_t, 0x3dcd, "0.10009765625");
    EXPECT(LIGHTER_BFLOAT16, uint16_t, 0xff80, "-inf");
    EXPECT(LIGHTER_BFLOAT16, uint16_t, 0x7fc0, "nan");
}
END_TEST

START_TEST(half_floats_are_right_in_every_class)
{
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x0000, "0.0");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x8000, "-0.0");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x0001, "5.960464477539063e-08");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x83ff, "-6.097555160522461e-05");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x0400, "6.103515625e-05");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x2e66, "0.0999755859375");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0xfbff, "-65504.0");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0x7c00, "inf");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0xfc00, "-inf");
    EXPECT(LIGHTER_FLOAT16, uint16_t, 0xfe01, "nan");
}
END_TEST

START_TEST(complex_elements_have_the_form_of_python)
{
    const struct {
        double parts[2];
        const char *expected;
    } cases[] = {
        {{1, 2}, "(1+2j)"},
        {{0, 1}, "1j"},
        {{0, -0.0}, "-0j"},
        {{-0.0, 1}, "(-0+1j)"},
        {{1.5, -2.25}, "(1.5-2.25j)"},
        {{NAN, NAN}, "(nan+nanj)"},
        {{0, INFINITY}, "infj"},
        {{-INFINITY, -INFINITY}, "(-inf-infj)"},
        {{1e16, 1e15}, "(1e+16+1000000000000000j)"},
        {{-DBL_MAX, -DBL_MIN}, "(-1.7976931348623157e+308-2.2250738585072014e-308j)"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect_element(LIGHTER_COMPLEX128, cases[i].parts, cases[i].expected);
    expect_element(LIGHTER_COMPLEX64, (float[]){0.1f, 1}, "(0.10000000149011612+1j)");
}
END_TEST

START_TEST(no_number_writes_beyond_its_room)
{
    double parts[2] = {-1.2345678901234567e-300, -1234567890123456.7};
    char room[NUMBER_ROOM + 1];

    room[NUMBER_ROOM] = 'x';
    for (uint32_t dtype = 0; dtype < LIGHTER_N_DTYPES; dtype++)
        number_element(dtype)(room, (const uint8_t *)parts);
    number_put_float(room, parts[0]);
    number_put_float(room, parts[1]);

    ck_assert_int_eq(room[NUMBER_ROOM], 'x');
}
END_TEST

/* ---- strings and bytes --------------------------------------------------------- */

START_TEST(str_of_a_string_is_the_string)
{
    expect_str(unit_string(""), "");
    expect_str(unit_string("it's \"0001\"\n"), "it's \"0001\"\n");
}
END_TEST

START_TEST(repr_picks_the_quote_that_saves_escapes)
{
    expect_repr(unit_string(""), "''");
    expect_repr(unit_string("plain"), "'plain'");
    expect_repr(unit_string("it's"), "\"it's\"");
    expect_repr(unit_string("say \"a\""), "'say \"a\"'");
    expect_repr(unit_string("it's \"a\""), "'it\\'s \"a\"'");
}
END_TEST

START_TEST(repr_escapes_what_python_escapes)
{
    const struct lighter_value nul = {.type = LIGHTER_STRING, .as.string = {"a\0b", 3}};

    expect_repr(unit_string("\t\n\r\\"), "'\\t\\n\\r\\\\'");
    expect_repr(unit_string("\x01\x1f\x7f"), "'\\x01\\x1f\\x7f'");
    expect_repr(nul, "'a\\x00b'");
}
END_TEST

START_TEST(repr_escapes_the_unprintable_of_unicode)
{
    expect_repr(unit_string("\u00e9\u20ac\U0001f600"), "'\u00e9\u20ac\U0001f600'");
    expect_repr(unit_string("\xc2\x80\u00a0\u00ad"),
                "'\\x80\\xa0\\xad'");                             /* Cc Zs Cf */
    expect_repr(unit_string("\u2028\u2029"), "'\\u2028\\u2029'"); /* Zl Zp */
    expect_repr(unit_string("\u3000\ue000"), "'\\u3000\\ue000'"); /* Zs Co */
    expect_repr(unit_string("\U000e0001\U0010ffff"), "'\\U000e0001\\U0010ffff'");
}
END_TEST

START_TEST(repr_survives_what_is_not_utf8)
{
    expect_repr(unit_string("\xff\xc3"), "'\\xff\\xc3'");
}
END_TEST

START_TEST(bytes_are_a_literal)
{
    expect_str(bytes_value(NULL, 0), "b''");
    expect_str(bytes_value("a\0\n\\\xff", 5), "b'a\\x00\\n\\\\\\xff'");
    expect_str(bytes_value("it's", 4), "b\"it's\"");
    expect_str(bytes_value("'\"", 2), "b'\\'\"'");
}
END_TEST

/* ---- nested -------------------------------------------------------------------- */

START_TEST(lists_hold_the_repr_of_their_items)
{
    const struct lighter_value items[] = {unit_int(1), unit_string("a"), unit_nil(),
                                          unit_float(0.5)};
    const struct lighter_value nested[] = {unit_list(items, 4), unit_list(NULL, 0)};

    expect_str(unit_list(NULL, 0), "[]");
    expect_str(unit_list(items, 4), "[1, 'a', None, 0.5]");
    expect_str(unit_list(nested, 2), "[[1, 'a', None, 0.5], []]");
}
END_TEST

START_TEST(dicts_hold_the_repr_of_keys_and_values)
{
    const struct lighter_value items[] = {unit_string("a"), unit_int(1), unit_int(2),
                                          unit_string("b")};

    expect_str(unit_map(NULL, 0), "{}");
    expect_str(unit_map(items, 2), "{'a': 1, 2: 'b'}");
}
END_TEST

START_TEST(tensors_are_nested_lists)
{
    const float numbers[] = {0.5f, 1, -2, 3, 4, 5};

    expect_str(unit_tensor(LIGHTER_FLOAT32, 1, (uint64_t[]){2}, numbers), "[0.5, 1.0]");
    expect_str(unit_tensor(LIGHTER_FLOAT32, 2, (uint64_t[]){2, 3}, numbers),
               "[[0.5, 1.0, -2.0], [3.0, 4.0, 5.0]]");
    expect_str(unit_tensor(LIGHTER_FLOAT32, 3, (uint64_t[]){1, 2, 1}, numbers),
               "[[[0.5], [1.0]]]");
}
END_TEST

START_TEST(tensors_without_elements_are_empty_lists)
{
    expect_str(unit_tensor(LIGHTER_INT64, 1, (uint64_t[]){0}, NULL), "[]");
    expect_str(unit_tensor(LIGHTER_INT64, 2, (uint64_t[]){3, 0}, NULL), "[[], [], []]");
    expect_str(unit_tensor(LIGHTER_INT64, 2, (uint64_t[]){0, 3}, NULL), "[]");
}
END_TEST

START_TEST(tensors_in_lists_are_numbers_and_lists)
{
    const int32_t numbers[] = {7, 8};
    const struct lighter_value items[] = {
        unit_tensor(LIGHTER_INT32, 0, NULL, numbers),
        unit_tensor(LIGHTER_INT32, 1, (uint64_t[]){2}, numbers)};

    expect_str(unit_list(items, 2), "[7, [7, 8]]");
}
END_TEST

START_TEST(elements_need_not_be_aligned)
{
    char bytes[17] = {0};
    const double numbers[] = {0.25, 4};

    memcpy(bytes + 1, numbers, sizeof numbers);
    expect_str(unit_tensor(LIGHTER_FLOAT64, 1, (uint64_t[]){2}, bytes + 1),
               "[0.25, 4.0]");
}
END_TEST

START_TEST(an_unknown_dtype_is_a_type_error)
{
    struct lighter_value value = unit_tensor(LIGHTER_INT8, 0, NULL, "");
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct pytext text;

    value.as.tensor.dtype = LIGHTER_N_DTYPES;
    pytext_init_memory(&text, 100);

    ck_assert_int_lt(pytext_str(&text, &value, &err), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_TYPE);
    pytext_done(&text);
}
END_TEST

/* ---- room ---------------------------------------------------------------------- */

START_TEST(a_text_longer_than_many_steps_is_whole)
{
    struct lighter_value *items = calloc(100000, sizeof *items);
    struct lighter_value list = unit_list(items, 100000);
    char *expected = malloc(700000), *at = expected;

    *at++ = '[';
    for (uint32_t i = 0; i < list.count; i++) {
        items[i] = unit_int(i % 10);
        at += sprintf(at, i ? ", %u" : "%u", (unsigned)(i % 10));
    }
    strcpy(at, "]");

    expect_str(list, expected);
    free(expected);
    free(items);
}
END_TEST

START_TEST(a_text_in_memory_stops_at_its_limit_with_a_whole_character)
{
    const struct lighter_value items[] = {unit_string("\u20ac\u20ac\u20ac\u20ac")};
    const struct lighter_value list = unit_list(items, 1);
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct pytext text;

    pytext_init_memory(&text, 16);

    ck_assert_int_eq(pytext_str(&text, &list, &err), -EDQUOT);
    ck_assert_uint_eq(err.code, LIGHTER_E_LIMIT);
    ck_assert_int_eq(text.at - text.start, 8);
    ck_assert_int_eq(memcmp(text.start, "['\u20ac\u20ac", 8), 0);
    pytext_done(&text);
}
END_TEST

START_TEST(a_small_tensor_cannot_make_endless_text)
{
    const uint64_t shape[] = {UINT64_C(1) << 60, 0};
    const struct lighter_value value = unit_tensor(LIGHTER_INT8, 2, shape, NULL);
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct pytext text;

    pytext_init_memory(&text, 1 << 20);

    ck_assert_int_eq(pytext_str(&text, &value, &err), -EDQUOT);
    ck_assert_uint_eq(err.code, LIGHTER_E_LIMIT);
    pytext_done(&text);
}
END_TEST

START_TEST(a_cleared_text_keeps_its_memory_unless_it_is_much)
{
    struct pytext text;
    const char *start;

    pytext_init_memory(&text, PYTEXT_MAX_SIZE);
    ck_assert_int_eq(pytext_put(&text, "abc", 3, NULL), 0);
    start = text.start;
    pytext_clear(&text);
    ck_assert_ptr_eq(text.at, start);

    ck_assert_ptr_nonnull(pytext_room(&text, 2 << 20, NULL));
    pytext_clear(&text);
    ck_assert_ptr_null(text.start);
    pytext_done(&text);
}
END_TEST

static void *
reserve_nothing(struct lighter_sink *sink, size_t size)
{
    (void)sink, (void)size;
    return NULL;
}

START_TEST(a_sink_without_memory_is_an_os_error)
{
    const struct lighter_services services = {.reserve = reserve_nothing};
    const struct lighter_value value = unit_string("a");
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_sink sink;
    struct pytext text;

    sink_init(&sink);
    pytext_init(&text, &services, &sink);

    ck_assert_int_eq(pytext_repr(&text, &value, &err), -ENOMEM);
    ck_assert_uint_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_eq(err.errnum, ENOMEM);
    sink_done(&sink);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("pytext");
    TCase *numbers = unit_case(suite, "numbers");
    TCase *elements = unit_case(suite, "elements");
    TCase *strings = unit_case(suite, "strings");
    TCase *nested = unit_case(suite, "nested");
    TCase *room = unit_case(suite, "room");

    tcase_add_test(numbers, nil_and_bools_are_their_names);
    tcase_add_test(numbers, integers_reach_both_ends_of_64_bits);
    tcase_add_test(numbers, integers_beside_every_power_of_ten_have_all_their_digits);
    tcase_add_test(numbers, floats_are_the_shortest_that_read_back);
    tcase_add_test(numbers, whole_floats_keep_their_decimal);
    tcase_add_test(numbers, floats_get_an_exponent_where_python_gives_them_one);
    tcase_add_test(numbers, floats_that_are_no_numbers_have_python_names);
    tcase_add_test(numbers, floats_of_all_bit_patterns_read_back);
    tcase_add_test(numbers, floats_of_ordinary_sizes_are_as_the_slow_way_has_them);
    tcase_add_test(elements, elements_of_every_integer_dtype_are_integers);
    tcase_add_test(elements, bool_elements_are_true_unless_zero);
    tcase_add_test(elements, narrow_floats_are_widened_to_double);
    tcase_add_test(elements, half_floats_are_right_in_every_class);
    tcase_add_test(elements, complex_elements_have_the_form_of_python);
    tcase_add_test(elements, no_number_writes_beyond_its_room);
    tcase_add_test(strings, str_of_a_string_is_the_string);
    tcase_add_test(strings, repr_picks_the_quote_that_saves_escapes);
    tcase_add_test(strings, repr_escapes_what_python_escapes);
    tcase_add_test(strings, repr_escapes_the_unprintable_of_unicode);
    tcase_add_test(strings, repr_survives_what_is_not_utf8);
    tcase_add_test(strings, bytes_are_a_literal);
    tcase_add_test(nested, lists_hold_the_repr_of_their_items);
    tcase_add_test(nested, dicts_hold_the_repr_of_keys_and_values);
    tcase_add_test(nested, tensors_are_nested_lists);
    tcase_add_test(nested, tensors_without_elements_are_empty_lists);
    tcase_add_test(nested, tensors_in_lists_are_numbers_and_lists);
    tcase_add_test(nested, elements_need_not_be_aligned);
    tcase_add_test(nested, an_unknown_dtype_is_a_type_error);
    tcase_add_test(room, a_text_longer_than_many_steps_is_whole);
    tcase_add_test(room, a_text_in_memory_stops_at_its_limit_with_a_whole_character);
    tcase_add_test(room, a_small_tensor_cannot_make_endless_text);
    tcase_add_test(room, a_cleared_text_keeps_its_memory_unless_it_is_much);
    tcase_add_test(room, a_sink_without_memory_is_an_os_error);
    return unit_main(suite);
}
