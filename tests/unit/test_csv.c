/* test_csv.c - plugins/csv: outputs as rows, byte for byte as Python's csv.writer. */
#include "daemon/sink.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lighter_output {
    struct lighter_sink sink;
};

/* What the daemon fills from the option table. */
union options {
    char bytes[64];
    void *align;
};

/* One stream of one table. */
struct table {
    const struct lighter_writer *writer;
    struct lighter_services services;
    union options options;
    void *state;
    struct lighter_output output;
    struct lighter_error err;
};

static struct lighter_sink *
output_sink(struct lighter_output *output)
{
    return &output->sink;
}

static const struct lighter_option *
find_option(const struct lighter_writer *writer, const char *name)
{
    const struct lighter_option *option = writer->options;

    while (option->name && strcmp(option->name, name) != 0)
        option++;
    ck_assert_ptr_nonnull(option->name);
    return option;
}

static void
set_line_end(struct table *table, const char *line_end)
{
    memcpy(table->options.bytes + find_option(table->writer, "line_end")->offset,
           &line_end, sizeof line_end);
}

static void
table_open_with(struct table *table, const char *const *keys, size_t n_keys,
                const char *line_end)
{
    const struct lighter_strings strings = {n_keys, keys};
    const struct lighter_context context = {.size = sizeof context, .world_size = 1};

    *table = (struct table){.writer = lighter_plugin.writers[0],
                            .services = unit_services,
                            .err = LIGHTER_ERROR_INIT};
    table->services.sink = output_sink;
    sink_init(&table->output.sink);
    ck_assert_uint_le(table->writer->options_size, sizeof table->options);
    memcpy(table->options.bytes + find_option(table->writer, "keys")->offset, &strings,
           sizeof strings);
    set_line_end(table, line_end);
    ck_assert_int_eq(
        table->writer->open(&table->state, &table->options, &context, &table->err), 0);
}

static void
table_open(struct table *table, const char *const *keys, size_t n_keys)
{
    table_open_with(table, keys, n_keys, "crlf");
}

#define OPEN(table, ...)                                                               \
    table_open(table, (const char *const[]){__VA_ARGS__},                              \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void
table_close(struct table *table)
{
    table->writer->close(table->state);
    sink_done(&table->output.sink);
}

/* The outputs of one batch: key, value, key, value, ... */
#define OUTPUTS(...)                                                                   \
    unit_map((const struct lighter_value[]){__VA_ARGS__},                              \
             sizeof((const struct lighter_value[]){__VA_ARGS__}) /                     \
                 sizeof(struct lighter_value) / 2)
#define LIST(...)                                                                      \
    unit_list((const struct lighter_value[]){__VA_ARGS__},                             \
              sizeof((const struct lighter_value[]){__VA_ARGS__}) /                    \
                  sizeof(struct lighter_value))
#define S unit_string
#define I unit_int
#define F unit_float

static int
table_check(struct table *table, struct lighter_value outputs, uint64_t *ret_samples)
{
    const struct lighter_batch batch = {
        .size = sizeof batch, .seq = 1, .outputs = &outputs};

    return table->writer->check(table->state, &batch, ret_samples, &table->err);
}

static int
table_write_range(struct table *table, struct lighter_value outputs, uint64_t first,
                  uint64_t count)
{
    const struct lighter_batch batch = {
        .size = sizeof batch, .seq = 1, .outputs = &outputs};
    const struct lighter_task task = {.size = sizeof task,
                                      .services = &table->services,
                                      .batch = &batch,
                                      .first = first,
                                      .count = count,
                                      .world_size = 1};

    return table->writer->write(table->state, &task, &table->output, &table->err);
}

static void
table_write(struct table *table, struct lighter_value outputs)
{
    uint64_t n_samples;

    ck_assert_msg(table_check(table, outputs, &n_samples) == 0, "%s",
                  table->err.message);
    if (n_samples)
        ck_assert_msg(table_write_range(table, outputs, 0, n_samples) == 0, "%s",
                      table->err.message);
}

static void
expect_rows(struct table *table, const char *expected)
{
    char *bytes = unit_sink_bytes(&table->output.sink, NULL);

    ck_assert_str_eq(bytes, expected);
    free(bytes);
}

/* One batch into one table, and all that is to come of it. */
#define EXPECT_ROWS(keys, outputs, expected)                                           \
    do {                                                                               \
        struct table table_;                                                           \
        OPEN(&table_, keys);                                                           \
        table_write(&table_, outputs);                                                 \
        expect_rows(&table_, expected);                                                \
        table_close(&table_);                                                          \
    } while (0)
#define KEYS(...) __VA_ARGS__

/* ---- header -------------------------------------------------------------------- */

static void
expect_header(struct table *table, const char *expected)
{
    ck_assert_int_eq(table->writer->header(table->state, &table->output.sink,
                                           &table->services, &table->err),
                     0);
    expect_rows(table, expected);
    table_close(table);
}

START_TEST(the_header_is_the_keys_in_their_order)
{
    struct table table;

    OPEN(&table, "id", "pred", "a");
    expect_header(&table, "id,pred,a\r\n");
}
END_TEST

START_TEST(the_header_is_quoted_like_any_row)
{
    struct table table;

    OPEN(&table, "a,b", "say \"x\"", "two\nlines", "", "it's");
    expect_header(&table, "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",,it's\r\n");
}
END_TEST

START_TEST(the_header_of_one_empty_key_is_two_quotes)
{
    struct table table;

    OPEN(&table, "");
    expect_header(&table, "\"\"\r\n");
}
END_TEST

START_TEST(lines_end_in_lf_where_that_is_chosen_and_cells_keep_theirs)
{
    struct table table;

    table_open_with(&table, (const char *const[]){"a", "b"}, 2, "lf");
    table_write(&table, OUTPUTS(S("a"), LIST(I(1), S("x\r\ny")), S("b"), I(2)));
    expect_rows(&table, "1,2\n\"x\r\ny\",2\n");
    table_close(&table);
}
END_TEST

START_TEST(another_line_end_is_refused_before_any_row)
{
    struct table table;

    OPEN(&table, "a");
    ck_assert_int_eq(table.writer->check_options(&table.options, &table.err), 0);
    set_line_end(&table, "cr");
    ck_assert_int_lt(table.writer->check_options(&table.options, &table.err), 0);
    ck_assert_str_eq(table.err.message, "'line_end' expects 'crlf' or 'lf', got 'cr'");
    table_close(&table);
}
END_TEST

/* ---- cells --------------------------------------------------------------------- */

START_TEST(lists_give_a_cell_a_row)
{
    EXPECT_ROWS(KEYS("id", "pred"),
                OUTPUTS(S("pred"), LIST(F(0.5), F(1e-5)), S("id"), LIST(S("a"), S("b")),
                        S("other"), S("not asked for")),
                "a,0.5\r\nb,1e-05\r\n");
}
END_TEST

START_TEST(text_is_never_retyped)
{
    EXPECT_ROWS("id", OUTPUTS(S("id"), LIST(S("0001"), S("NA"), S(" 1 "), S("1e5"))),
                "0001\r\nNA\r\n 1 \r\n1e5\r\n");
}
END_TEST

START_TEST(cells_are_quoted_only_where_they_must)
{
    EXPECT_ROWS("a",
                OUTPUTS(S("a"), LIST(S("a,b"), S("\""), S("a\r"), S("\nb"), S("it's"),
                                     S("a;b\tc"), S("\"a\"b\""))),
                "\"a,b\"\r\n\"\"\"\"\r\n\"a\r\"\r\n\"\nb\"\r\nit's\r\n"
                "a;b\tc\r\n\"\"\"a\"\"b\"\"\"\r\n");
}
END_TEST

/* One cell of `size` letters, but for `c` at `at`. */
static void
expect_letters_and(char c, size_t at, size_t size, bool is_quoted)
{
    char text[48], expected[64];

    memset(text, 'a', size);
    text[at] = c;
    text[size] = '\0';
    snprintf(expected, sizeof expected, is_quoted ? "\"%s\"\r\n" : "%s\r\n", text);
    EXPECT_ROWS("a", OUTPUTS(S("a"), LIST(S(text))), expected);
}

START_TEST(what_asks_for_quotes_is_found_wherever_it_stands)
{
    for (size_t size = 1; size < 32; size++)
        for (size_t at = 0; at < size; at++)
            for (int c = 1; c < 128; c++)
                if (c != '"')
                    expect_letters_and((char)c, at, size,
                                       c == ',' || c == '\r' || c == '\n');
}
END_TEST

START_TEST(unicode_passes_as_it_is)
{
    EXPECT_ROWS("a",
                OUTPUTS(S("a"), LIST(S("\u00e9\u2028\U0001f600"), LIST(S("\u2028")))),
                "\u00e9\u2028\U0001f600\r\n['\\u2028']\r\n");
}
END_TEST

START_TEST(a_string_may_hold_a_nul)
{
    const struct lighter_value nul = {.type = LIGHTER_STRING, .as.string = {"a\0,", 3}};
    struct table table;
    size_t size;
    char *bytes;

    OPEN(&table, "a");
    table_write(&table, OUTPUTS(S("a"), LIST(nul)));

    bytes = unit_sink_bytes(&table.output.sink, &size);
    ck_assert_uint_eq(size, 7);
    ck_assert_int_eq(memcmp(bytes, "\"a\0,\"\r\n", 7), 0);
    free(bytes);
    table_close(&table);
}
END_TEST

START_TEST(nothing_is_an_empty_cell)
{
    EXPECT_ROWS(
        KEYS("a", "b"),
        OUTPUTS(S("a"), LIST(unit_nil(), S("")), S("b"), LIST(I(1), unit_nil())),
        ",1\r\n,\r\n");
}
END_TEST

START_TEST(a_row_of_one_empty_cell_is_two_quotes)
{
    EXPECT_ROWS("a", OUTPUTS(S("a"), LIST(unit_nil(), S(""), S("x"))),
                "\"\"\r\n\"\"\r\nx\r\n");
}
END_TEST

START_TEST(items_of_a_list_are_written_as_str_writes_them)
{
    const struct lighter_value big = {.type = LIGHTER_UINT, .as.uinteger = UINT64_MAX};
    const struct lighter_value bytes = {.type = LIGHTER_BYTES,
                                        .as.string = {"\xff,", 2}};

    EXPECT_ROWS(
        "a", OUTPUTS(S("a"), LIST(unit_bool(true), I(-3), big, F(NAN), F(100), bytes)),
        "True\r\n-3\r\n18446744073709551615\r\nnan\r\n100.0\r\n\"b'\\xff,'\"\r\n");
}
END_TEST

START_TEST(nested_values_are_python_text_in_quotes)
{
    const struct lighter_value pair[] = {S("k"), I(1)};

    EXPECT_ROWS("a",
                OUTPUTS(S("a"), LIST(LIST(I(1), S("a")), LIST(F(0.5)), LIST(S("it's")),
                                     unit_list(NULL, 0), unit_map(pair, 1))),
                "\"[1, 'a']\"\r\n[0.5]\r\n\"[\"\"it's\"\"]\"\r\n[]\r\n{'k': 1}\r\n");
}
END_TEST

START_TEST(tensors_inside_lists_are_numbers_and_lists)
{
    const int32_t numbers[] = {7, 8};

    EXPECT_ROWS(
        "a",
        OUTPUTS(S("a"), LIST(unit_tensor(LIGHTER_INT32, 0, NULL, numbers),
                             unit_tensor(LIGHTER_INT32, 1, (uint64_t[]){2}, numbers))),
        "7\r\n\"[7, 8]\"\r\n");
}
END_TEST

/* ---- tensors ------------------------------------------------------------------- */

static void
expect_column(uint32_t dtype, const void *numbers, const char *expected)
{
    EXPECT_ROWS("a", OUTPUTS(S("a"), unit_tensor(dtype, 1, (uint64_t[]){2}, numbers)),
                expected);
}

START_TEST(a_tensor_of_any_dtype_gives_a_number_a_row)
{
    expect_column(LIGHTER_BOOL8, (uint8_t[]){0, 1}, "False\r\nTrue\r\n");
    expect_column(LIGHTER_UINT8, (uint8_t[]){0, 255}, "0\r\n255\r\n");
    expect_column(LIGHTER_INT8, (int8_t[]){-1, 1}, "-1\r\n1\r\n");
    expect_column(LIGHTER_INT16, (int16_t[]){-300, 300}, "-300\r\n300\r\n");
    expect_column(LIGHTER_UINT16, (uint16_t[]){1, 65535}, "1\r\n65535\r\n");
    expect_column(LIGHTER_INT32, (int32_t[]){-70000, 7}, "-70000\r\n7\r\n");
    expect_column(LIGHTER_UINT32, (uint32_t[]){70000, 7}, "70000\r\n7\r\n");
    expect_column(LIGHTER_INT64, (int64_t[]){INT64_MIN, 7},
                  "-9223372036854775808\r\n7\r\n");
    expect_column(LIGHTER_UINT64, (uint64_t[]){UINT64_MAX, 7},
                  "18446744073709551615\r\n7\r\n");
    expect_column(LIGHTER_FLOAT16, (uint16_t[]){0x3800, 0xc000}, "0.5\r\n-2.0\r\n");
    expect_column(LIGHTER_BFLOAT16, (uint16_t[]){0x3f00, 0xc000}, "0.5\r\n-2.0\r\n");
    expect_column(LIGHTER_FLOAT32, (float[]){0.1f, 1e16f},
                  "0.10000000149011612\r\n1.0000000272564224e+16\r\n");
    expect_column(LIGHTER_FLOAT64, (double[]){0.1, -INFINITY}, "0.1\r\n-inf\r\n");
    expect_column(LIGHTER_COMPLEX64, (float[]){1, 2, 0, 1}, "(1+2j)\r\n1j\r\n");
    expect_column(LIGHTER_COMPLEX128, (double[]){1, 2, 0, 1}, "(1+2j)\r\n1j\r\n");
}
END_TEST

START_TEST(a_tensor_of_more_dimensions_gives_a_list_a_row)
{
    const float numbers[] = {0.5f, 1, 2, 3};

    EXPECT_ROWS(
        "a",
        OUTPUTS(S("a"), unit_tensor(LIGHTER_FLOAT32, 2, (uint64_t[]){2, 2}, numbers)),
        "\"[0.5, 1.0]\"\r\n\"[2.0, 3.0]\"\r\n");
    EXPECT_ROWS("a",
                OUTPUTS(S("a"), unit_tensor(LIGHTER_FLOAT32, 3, (uint64_t[]){2, 2, 1},
                                            numbers)),
                "\"[[0.5], [1.0]]\"\r\n\"[[2.0], [3.0]]\"\r\n");
}
END_TEST

START_TEST(lists_without_a_comma_need_no_quotes)
{
    const float numbers[] = {0.5f, 1};

    EXPECT_ROWS(
        "a",
        OUTPUTS(S("a"), unit_tensor(LIGHTER_FLOAT32, 2, (uint64_t[]){2, 1}, numbers)),
        "[0.5]\r\n[1.0]\r\n");
    EXPECT_ROWS(
        "a", OUTPUTS(S("a"), unit_tensor(LIGHTER_FLOAT32, 2, (uint64_t[]){2, 0}, NULL)),
        "[]\r\n[]\r\n");
}
END_TEST

/* ---- samples ------------------------------------------------------------------- */

START_TEST(scalars_stand_in_every_row)
{
    const int64_t number = 7;
    const struct lighter_value pair[] = {S("k"), I(1)};

    EXPECT_ROWS(KEYS("s", "t", "n", "m", "l"),
                OUTPUTS(S("l"), LIST(I(1), I(2)), S("s"), S("x"), S("t"),
                        unit_tensor(LIGHTER_INT64, 0, NULL, &number), S("n"),
                        unit_nil(), S("m"), unit_map(pair, 1)),
                "x,7,,{'k': 1},1\r\nx,7,,{'k': 1},2\r\n");
}
END_TEST

START_TEST(scalars_alone_are_one_sample)
{
    const float number = 0.5f;

    EXPECT_ROWS(KEYS("a", "b"),
                OUTPUTS(S("a"), S("abc"), S("b"),
                        unit_tensor(LIGHTER_FLOAT32, 0, NULL, &number)),
                "abc,0.5\r\n");
}
END_TEST

START_TEST(an_empty_batch_has_no_rows_even_if_a_key_is_missing)
{
    EXPECT_ROWS(KEYS("a", "b"), OUTPUTS(S("a"), unit_list(NULL, 0)), "");
    EXPECT_ROWS(
        "a", OUTPUTS(S("a"), unit_tensor(LIGHTER_INT8, 1, (uint64_t[]){0}, NULL)), "");
}
END_TEST

START_TEST(a_range_of_samples_is_those_rows_alone)
{
    const int16_t numbers[] = {0, 1, 2, 3, 4};
    struct table table;

    OPEN(&table, "a", "b");
    ck_assert_int_eq(
        table_write_range(
            &table,
            OUTPUTS(S("a"), unit_tensor(LIGHTER_INT16, 1, (uint64_t[]){5}, numbers),
                    S("b"), S("x")),
            1, 3),
        0);

    expect_rows(&table, "1,x\r\n2,x\r\n3,x\r\n");
    table_close(&table);
}
END_TEST

START_TEST(a_batch_written_after_a_later_check_keeps_its_own_values)
{
    struct table table;
    uint64_t n_samples;

    OPEN(&table, "a");
    ck_assert_int_eq(table_check(&table, OUTPUTS(S("a"), LIST(I(9))), &n_samples), 0);
    ck_assert_int_eq(table_write_range(&table, OUTPUTS(S("a"), LIST(I(1))), 0, 1), 0);

    expect_rows(&table, "1\r\n");
    table_close(&table);
}
END_TEST

START_TEST(many_rows_are_whole)
{
    enum { N_ROWS = 20000 };
    int32_t *numbers = malloc(N_ROWS * sizeof *numbers);
    char *expected = malloc(N_ROWS * 24), *at = expected;

    for (int32_t i = 0; i < N_ROWS; i++) {
        numbers[i] = i;
        at += sprintf(at, "%d,\"a,b\"\r\n", (int)i);
    }

    EXPECT_ROWS(KEYS("n", "s"),
                OUTPUTS(S("n"),
                        unit_tensor(LIGHTER_INT32, 1, (uint64_t[]){N_ROWS}, numbers),
                        S("s"), S("a,b")),
                expected);
    free(expected);
    free(numbers);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------ */

static void
expect_refused(struct table *table, struct lighter_value outputs, uint32_t code,
               const char *message)
{
    uint64_t n_samples = 4711;

    ck_assert_int_lt(table_check(table, outputs, &n_samples), 0);
    ck_assert_uint_eq(table->err.code, code);
    ck_assert_str_eq(table->err.message, message);
    ck_assert_uint_eq(n_samples, 4711);
    table_close(table);
}

START_TEST(outputs_without_any_key_are_refused_with_what_there_is)
{
    struct table table;

    OPEN(&table, "a", "it's");
    expect_refused(&table, OUTPUTS(S("b"), I(1), S("\u00e9\n"), I(2)), LIGHTER_E_KEY,
                   "CsvWriter: none of the configured keys ['a', \"it's\"] were found "
                   "in outputs. Available keys in outputs: ['b', '\u00e9\\n']");
}
END_TEST

START_TEST(outputs_without_anything_are_refused)
{
    struct table table;

    OPEN(&table, "a");
    expect_refused(
        &table, unit_map(NULL, 0), LIGHTER_E_KEY,
        "CsvWriter: none of the configured keys ['a'] were found in outputs. "
        "Available keys in outputs: []");
}
END_TEST

START_TEST(a_long_list_of_keys_is_cut_at_a_whole_character)
{
    struct lighter_value pairs[400];
    struct table table;
    uint64_t n_samples;
    size_t size;

    for (int i = 0; i < 200; i++) {
        pairs[2 * i] = S("\u20ac\u20ac");
        pairs[2 * i + 1] = unit_nil();
    }
    OPEN(&table, "a");

    ck_assert_int_lt(table_check(&table, unit_map(pairs, 200), &n_samples), 0);
    size = strlen(table.err.message);
    ck_assert_uint_lt(size, LIGHTER_ERROR_TEXT_MAX - 1);
    ck_assert_str_eq(table.err.message + size - 3, "...");
    table_close(&table);
}
END_TEST

START_TEST(a_long_key_in_a_message_is_cut_at_a_whole_character)
{
    char key[1501];
    const char *keys[] = {"a", key};
    struct table table;
    uint64_t n_samples;

    for (int i = 0; i < 500; i++)
        strcpy(key + 3 * i, "\u20ac");
    table_open(&table, keys, 2);

    ck_assert_int_lt(table_check(&table, OUTPUTS(S("a"), LIST(I(1))), &n_samples), 0);
    ck_assert_ptr_nonnull(
        strstr(table.err.message, "\u20ac' in outputs but it was missing."));
    table_close(&table);
}
END_TEST

START_TEST(lengths_that_differ_are_refused)
{
    const int8_t numbers[] = {1, 2, 3};
    struct table table;

    OPEN(&table, "a", "b");
    expect_refused(&table,
                   OUTPUTS(S("a"), LIST(I(1), I(2)), S("b"),
                           unit_tensor(LIGHTER_INT8, 1, (uint64_t[]){3}, numbers)),
                   LIGHTER_E_VALUE,
                   "CsvWriter found inconsistent lengths for keys: expected 2, but "
                   "found 3 for key 'b'.");
}
END_TEST

START_TEST(the_first_key_with_a_length_sets_it)
{
    struct table table;

    OPEN(&table, "s", "b", "a");
    expect_refused(
        &table, OUTPUTS(S("a"), LIST(I(1), I(2)), S("b"), LIST(I(1)), S("s"), S("x")),
        LIGHTER_E_VALUE,
        "CsvWriter found inconsistent lengths for keys: expected 1, but "
        "found 2 for key 'a'.");
}
END_TEST

START_TEST(a_missing_key_is_refused)
{
    struct table table;

    OPEN(&table, "a", "x");
    expect_refused(&table, OUTPUTS(S("a"), LIST(I(1))), LIGHTER_E_KEY,
                   "CsvWriter expected key 'x' in outputs but it was missing.");
}
END_TEST

static void *
reserve_little(struct lighter_sink *sink, size_t size)
{
    return sink->size < 50000 ? sink_reserve(sink, size) : NULL;
}

START_TEST(no_memory_for_rows_is_an_os_error_of_the_sample)
{
    const uint64_t shape[] = {UINT64_C(1) << 60, 0};
    struct table table;

    OPEN(&table, "a");
    table.services.reserve = reserve_little;
    ck_assert_int_eq(
        table_write_range(&table,
                          OUTPUTS(S("a"), unit_tensor(LIGHTER_INT8, 2, shape, NULL)), 0,
                          UINT64_C(1) << 60),
        -ENOMEM);

    ck_assert_uint_eq(table.err.code, LIGHTER_E_OS);
    ck_assert_int_gt(table.err.sample, 10000);
    table_close(&table);
}
END_TEST

/* ---- the plugin ---------------------------------------------------------------- */

START_TEST(the_descriptor_says_what_the_daemon_must_know)
{
    const struct lighter_writer *writer = lighter_plugin.writers[0];

    ck_assert_uint_eq(lighter_plugin.abi, LIGHTER_PLUGIN_ABI);
    ck_assert_str_eq(writer->name, "csv");
    ck_assert_int_eq(writer->kind, LIGHTER_KIND_TABLE);
    ck_assert_int_eq(writer->threads, LIGHTER_THREADS_ORDERED);
    ck_assert_int_eq(find_option(writer, "path")->type, LIGHTER_OPTION_TARGET);
    ck_assert(find_option(writer, "path")->required);
    ck_assert_int_eq(find_option(writer, "keys")->type, LIGHTER_OPTION_STRINGS);
    ck_assert(find_option(writer, "keys")->required);
    ck_assert_ptr_null(lighter_plugin.writers[1]);
    writer->close(NULL);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("csv");
    TCase *header = unit_case(suite, "header");
    TCase *cells = unit_case(suite, "cells");
    TCase *samples = unit_case(suite, "samples");
    TCase *refusals = unit_case(suite, "refusals");

    tcase_add_test(header, the_header_is_the_keys_in_their_order);
    tcase_add_test(header, the_header_is_quoted_like_any_row);
    tcase_add_test(header, the_header_of_one_empty_key_is_two_quotes);
    tcase_add_test(header, lines_end_in_lf_where_that_is_chosen_and_cells_keep_theirs);
    tcase_add_test(header, another_line_end_is_refused_before_any_row);
    tcase_add_test(header, the_descriptor_says_what_the_daemon_must_know);
    tcase_add_test(cells, lists_give_a_cell_a_row);
    tcase_add_test(cells, text_is_never_retyped);
    tcase_add_test(cells, cells_are_quoted_only_where_they_must);
    tcase_add_test(cells, what_asks_for_quotes_is_found_wherever_it_stands);
    tcase_add_test(cells, unicode_passes_as_it_is);
    tcase_add_test(cells, a_string_may_hold_a_nul);
    tcase_add_test(cells, nothing_is_an_empty_cell);
    tcase_add_test(cells, a_row_of_one_empty_cell_is_two_quotes);
    tcase_add_test(cells, items_of_a_list_are_written_as_str_writes_them);
    tcase_add_test(cells, nested_values_are_python_text_in_quotes);
    tcase_add_test(cells, tensors_inside_lists_are_numbers_and_lists);
    tcase_add_test(cells, a_tensor_of_any_dtype_gives_a_number_a_row);
    tcase_add_test(cells, a_tensor_of_more_dimensions_gives_a_list_a_row);
    tcase_add_test(cells, lists_without_a_comma_need_no_quotes);
    tcase_add_test(samples, scalars_stand_in_every_row);
    tcase_add_test(samples, scalars_alone_are_one_sample);
    tcase_add_test(samples, an_empty_batch_has_no_rows_even_if_a_key_is_missing);
    tcase_add_test(samples, a_range_of_samples_is_those_rows_alone);
    tcase_add_test(samples, a_batch_written_after_a_later_check_keeps_its_own_values);
    tcase_add_test(samples, many_rows_are_whole);
    tcase_add_test(refusals, outputs_without_any_key_are_refused_with_what_there_is);
    tcase_add_test(refusals, outputs_without_anything_are_refused);
    tcase_add_test(refusals, a_long_list_of_keys_is_cut_at_a_whole_character);
    tcase_add_test(refusals, a_long_key_in_a_message_is_cut_at_a_whole_character);
    tcase_add_test(refusals, lengths_that_differ_are_refused);
    tcase_add_test(refusals, the_first_key_with_a_length_sets_it);
    tcase_add_test(refusals, a_missing_key_is_refused);
    tcase_add_test(refusals, no_memory_for_rows_is_an_os_error_of_the_sample);
    return unit_main(suite);
}
