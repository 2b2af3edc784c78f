/* test_ctl_output.c - what lighterctl prints. */
#include "tests/unit/unit.h"

#include "client/ctl/output.h"
#include "client/ctl/progress.h"

#include <stdlib.h>

static void
assert_text(char *text, const char *expected) /* takes */
{
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(text_that_a_terminal_could_obey_is_shown_as_numbers)
{
    assert_text(printable("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"),
                "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_text(printable("\x1b[2J\n\t\x7f"), "\\x1b[2J\\x0a\\x09\\x7f");
    assert_text(printable("\xc2\x9b"), "\\xc2\\x9b");
    assert_text(printable("a\u202eb"), "a\\xe2\\x80\\xaeb");
    assert_text(printable("\xff/\xe2\x82"), "\\xff/\\xe2\\x82");
    assert_text(printable(""), "");
}
END_TEST

START_TEST(sizes_are_short)
{
    assert_text(format_size(0), "0 B");
    assert_text(format_size(1023), "1023 B");
    assert_text(format_size(1024), "1.0 KiB");
    assert_text(format_size(1048524), "1023.9 KiB");
    assert_text(format_size(1048575), "1.0 MiB");
    assert_text(format_size((uint64_t)5 << 29), "2.5 GiB");
    assert_text(format_size(UINT64_MAX), "16.0 EiB");
}
END_TEST

START_TEST(durations_are_short)
{
    assert_text(format_duration(0), "0.0 s");
    assert_text(format_duration(9.94), "9.9 s");
    assert_text(format_duration(9.96), "10 s");
    assert_text(format_duration(59.6), "1 min 0 s");
    assert_text(format_duration(200), "3 min 20 s");
    assert_text(format_duration(11520), "3 h 12 min");
    assert_text(format_duration(270000), "3 d 3 h");
    assert_text(format_duration(1e300), "11574074074 d 1 h");
}
END_TEST

START_TEST(rates_are_short)
{
    json_t *slow = json_real(0.25), *fast = json_real(1250.4), *none = json_real(0);

    assert_text(show_rate(slow), "0.2/s");
    assert_text(show_rate(fast), "1250/s");
    assert_text(show_byte_rate(fast), "1.2 KiB/s");
    assert_text(show_rate(none), "-");
    assert_text(show_byte_rate(NULL), "-");
    json_decref(slow);
    json_decref(fast);
    json_decref(none);
}
END_TEST

START_TEST(a_text_is_as_wide_as_there_is_room)
{
    assert_text(text_fitted("abc", 3), "abc");
    assert_text(text_fitted("abcd", 3), "ab~");
    assert_text(text_fitted("\xc3\xa4\xc3\xb6\xc3\xbc", 3), "\xc3\xa4\xc3\xb6\xc3\xbc");
    assert_text(text_fitted("\xc3\xa4\xc3\xb6\xc3\xbc", 2), "\xc3\xa4~");
    assert_text(text_fitted("abc", 1), "~");
    assert_text(text_fitted("abc", 0), "");
}
END_TEST

START_TEST(progress_is_one_line)
{
    json_t *job =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:f}", "name", "p", "state",
                  "open", "batches", 31, "total", 50, "samples", 992, "bytes_written",
                  2048, "samples_per_second", 146.0, "eta", 42.0);

    assert_text(progress_line(job),
                "p: open, 31 of 50 batches, 992 samples, 2.0 KiB, 146/s, eta 42 s");
    assert_text(progress_bar(job, 84),
                "[######.....]  62%  p: open, 31 of 50 batches, 992 samples, 2.0 KiB, "
                "146/s, eta 42 s");
    assert_text(progress_bar(job, 20), "p: open, 31 of 50 b~");
    json_object_set_new(job, "total", json_null());
    assert_text(progress_bar(job, 30), "p: open, 31 batches, 992 samp~");
    json_decref(job);
}
END_TEST

START_TEST(brief_values_fit_six_columns)
{
    assert_text(format_brief_duration(0.4), "0 s");
    assert_text(format_brief_duration(59.9), "59 s");
    assert_text(format_brief_duration(3599), "59 min");
    assert_text(format_brief_duration(86399), "23 h");
    assert_text(format_brief_duration(86400 * 400.0), "400 d");
    assert_text(format_brief_duration(1e300), "ages");
    assert_text(format_brief_count(99999), "99999");
    assert_text(format_brief_count(123456), "123.5k");
    assert_text(format_brief_count(999960), "1.0M");
    assert_text(format_brief_count(1e13), "10.0T");
}
END_TEST

static const struct field fields[] = {{"NAME", "name", show_text, FIELD_LEFT},
                                      {"BYTES", "bytes", show_size, FIELD_RIGHT},
                                      {"ok", "ok", show_flag, FIELD_LEFT},
                                      {"error", "error", show_text, FIELD_NOTE},
                                      {NULL, NULL, NULL, 0}};

/* What `json` prints, as a table or a block; returns owned. */
static char *
print(const char *text, void (*output)(FILE *, const struct field *, const json_t *))
{
    json_t *json = json_loads(text, 0, NULL);
    size_t size;
    char *printed;
    FILE *file = open_memstream(&printed, &size);

    ck_assert_ptr_nonnull(json);
    output(file, fields, json);
    fclose(file);
    json_decref(json);
    return printed;
}

START_TEST(columns_are_aligned_and_lines_end_in_no_blanks)
{
    char *printed = print("[{\"name\": \"\xc3\xa4\xc3\xb6\xc3\xbc\", \"bytes\": 5,"
                          "  \"ok\": true, \"error\": null},"
                          " {\"name\": \"masks\", \"bytes\": 10240, \"ok\": false,"
                          "  \"error\": \"disk\\nfull\"}]",
                          output_table);

    assert_text(printed, "NAME      BYTES  ok\n"
                         "\xc3\xa4\xc3\xb6\xc3\xbc         5 B  yes\n"
                         "masks  10.0 KiB  no\n"
                         "  error: disk\\x0afull\n");
}
END_TEST

START_TEST(values_of_other_types_are_shown_and_not_trusted)
{
    char *printed = print("[{\"name\": {\"a\": [1]}, \"bytes\": -1, \"ok\": 1},"
                          " {\"name\": null, \"bytes\": \"x\"}, 7]",
                          output_table);

    assert_text(printed, "NAME       BYTES  ok\n"
                         "{\"a\":[1]}     -1  1\n"
                         "-              x  -\n"
                         "-              -  -\n");
}
END_TEST

START_TEST(a_block_has_a_line_for_each_field)
{
    char *printed =
        print("{\"name\": \"x\", \"bytes\": 1, \"ok\": true}", output_block);

    assert_text(printed, "NAME   x\n"
                         "BYTES  1 B\n"
                         "ok     yes\n"
                         "error  -\n");
}
END_TEST

START_TEST(json_is_sorted_indented_and_ascii)
{
    json_t *json = json_loads("{\"b\": [1], \"a\": \"\xc3\xa4\"}", 0, NULL);
    size_t size;
    char *printed;
    FILE *file = open_memstream(&printed, &size);

    output_json(file, json);
    fclose(file);

    assert_text(printed, "{\n  \"a\": \"\\u00E4\",\n  \"b\": [\n    1\n  ]\n}\n");
    json_decref(json);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("ctl_output");
    TCase *tcase = unit_case(suite, "output");

    tcase_add_test(tcase, text_that_a_terminal_could_obey_is_shown_as_numbers);
    tcase_add_test(tcase, sizes_are_short);
    tcase_add_test(tcase, durations_are_short);
    tcase_add_test(tcase, rates_are_short);
    tcase_add_test(tcase, brief_values_fit_six_columns);
    tcase_add_test(tcase, a_text_is_as_wide_as_there_is_room);
    tcase_add_test(tcase, progress_is_one_line);
    tcase_add_test(tcase, columns_are_aligned_and_lines_end_in_no_blanks);
    tcase_add_test(tcase, values_of_other_types_are_shown_and_not_trusted);
    tcase_add_test(tcase, a_block_has_a_line_for_each_field);
    tcase_add_test(tcase, json_is_sorted_indented_and_ascii);
    return unit_main(suite);
}
