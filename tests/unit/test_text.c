/* test_text.c - plugins/text: one sample as the bytes of a text file. */
#include "daemon/sink.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct lighter_error err;

/* The options of an encoder that has a suffix and an encoding. */
static int
encode(const char *encoding, struct lighter_value sample, struct lighter_sink *sink)
{
    const struct lighter_encoder *encoder = lighter_plugin.encoders[0];
    const struct lighter_option *option = encoder->options;
    const char *options[8];

    while (strcmp(option->name, "encoding") != 0)
        option++;
    ck_assert_uint_le(encoder->options_size, sizeof options);
    memcpy((char *)options + option->offset, &encoding, sizeof encoding);
    sink_init(sink);
    return encoder->encode(options, &sample, sink, &unit_services, &err);
}

static void
expect_file(const char *encoding, struct lighter_value sample, const char *expected)
{
    struct lighter_sink sink;
    char *bytes;

    ck_assert_msg(encode(encoding, sample, &sink) == 0, "%s", err.message);
    bytes = unit_sink_bytes(&sink, NULL);
    ck_assert_str_eq(bytes, expected);
    free(bytes);
    sink_done(&sink);
}

static void
expect_refused(const char *encoding, struct lighter_value sample, uint32_t code,
               const char *message)
{
    struct lighter_sink sink;

    ck_assert_int_lt(encode(encoding, sample, &sink), 0);
    ck_assert_uint_eq(err.code, code);
    ck_assert_str_eq(err.message, message);
    sink_done(&sink);
}

START_TEST(a_sample_is_written_as_str_writes_it)
{
    const struct lighter_value items[] = {unit_float(0.5), unit_string("\u00e9")};

    expect_file("utf-8", unit_string("caf\u00e9\n"), "caf\u00e9\n");
    expect_file("utf-8", unit_list(items, 2), "[0.5, '\u00e9']");
    expect_file("utf-8", unit_string(""), "");
    expect_file("utf-8", unit_nil(), "None");
}
END_TEST

START_TEST(an_encoding_has_the_names_that_people_use)
{
    expect_file("utf8", unit_string("\u20ac"), "\u20ac");
    expect_file("UTF-8", unit_string("\u20ac"), "\u20ac");
    expect_file("latin1", unit_string("\u00ff"), "\xff");
    expect_file("ISO-8859-1", unit_string("\u00ff"), "\xff");
    expect_file("us-ascii", unit_string("a"), "a");
}
END_TEST

START_TEST(latin_1_is_one_byte_a_character)
{
    const struct lighter_value items[] = {unit_string("\u00e9")};

    expect_file("latin-1", unit_string("a\xc2\x80\u00e9\u00ff"), "a\x80\xe9\xff");
    expect_file("latin-1", unit_list(items, 1), "['\xe9']");
}
END_TEST

START_TEST(a_character_outside_the_encoding_is_refused_by_name)
{
    expect_refused("latin-1", unit_string("\u00e9\u20ac"), LIGHTER_E_VALUE,
                   "'latin-1' codec can't encode character '\\u20ac' in position 1: "
                   "ordinal not in range(256)");
    expect_refused("ascii", unit_string("caf\u00e9"), LIGHTER_E_VALUE,
                   "'ascii' codec can't encode character '\\xe9' in position 3: "
                   "ordinal not in range(128)");
    expect_refused(
        "latin1", unit_string("\U0001f600"), LIGHTER_E_VALUE,
        "'latin-1' codec can't encode character '\\U0001f600' in position 0: "
        "ordinal not in range(256)");
}
END_TEST

START_TEST(an_unknown_encoding_is_refused_with_those_there_are)
{
    expect_refused("utf-16", unit_string("a"), LIGHTER_E_PARAMS,
                   "unknown encoding 'utf-16'; there are utf-8, latin-1 and ascii");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("text");
    TCase *files = unit_case(suite, "files");

    tcase_add_test(files, a_sample_is_written_as_str_writes_it);
    tcase_add_test(files, an_encoding_has_the_names_that_people_use);
    tcase_add_test(files, latin_1_is_one_byte_a_character);
    tcase_add_test(files, a_character_outside_the_encoding_is_refused_by_name);
    tcase_add_test(files, an_unknown_encoding_is_refused_with_those_there_are);
    return unit_main(suite);
}
