/* test_file.c - the writer `file`: what is a sample, and what its file is called. */
#include "tests/unit/unit.h"

#include "daemon/sink.h"

#include <stdlib.h>

#define MAX_FILES 16

/* The daemon's own, unknown to the plugin: here one that remembers what was stored. */
struct lighter_output {
    struct lighter_sink sink;
    size_t n_files, max_files;
    struct file {
        char name[128];
        size_t name_size;
        char *bytes;
    } files[MAX_FILES];
};

/* As the plugin's own, which is private to it. */
struct file_options {
    const char *directory;
    const char *value_key;
    struct lighter_encoding writer_fn;
    const char *name_key;
};

static struct lighter_sink *
output_sink(struct lighter_output *output)
{
    return &output->sink;
}

static int
output_store(struct lighter_output *output, const char *name, size_t size,
             const char *suffix, struct lighter_error *err)
{
    struct file *file = &output->files[output->n_files];

    if (output->n_files == output->max_files)
        return lighter_fail_os(err, ENOSPC, "store");
    ck_assert_uint_lt(size + strlen(suffix), sizeof file->name);
    if (size)
        memcpy(file->name, name, size);
    strcpy(file->name + size, suffix);
    file->name_size = size;
    file->bytes = unit_sink_bytes(&output->sink, NULL);
    sink_clear(&output->sink);
    output->n_files++;
    return 0;
}

static void
output_done(struct lighter_output *output)
{
    for (size_t i = 0; i < output->n_files; i++)
        free(output->files[i].bytes);
    sink_done(&output->sink);
}

/* An encoder that writes a string, an int or a tensor of bytes, and nothing else. */
static int
plain_encode(const void *options, const struct lighter_value *sample,
             struct lighter_sink *sink, const struct lighter_services *services,
             struct lighter_error *err)
{
    char text[32];

    ck_assert_str_eq(options, "plain options");
    switch (sample->type) {
    case LIGHTER_STRING:
        return lighter_put(services, sink, sample->as.string.data,
                           sample->as.string.size, err);
    case LIGHTER_TENSOR:
        return services->lend(sink, sample->as.tensor.data, sample->as.tensor.size);
    case LIGHTER_INT:
        snprintf(text, sizeof text, "%lld", (long long)sample->as.integer);
        return lighter_put(services, sink, text, strlen(text), err);
    default:
        return lighter_fail(err, LIGHTER_E_TYPE, "plain got %s",
                            lighter_type_name(sample->type));
    }
}

static const struct lighter_encoder plain = {
    .size = sizeof(struct lighter_encoder), .name = "plain", .encode = plain_encode};

static struct file_options options;
static struct lighter_services services;
static struct lighter_output output;
static struct lighter_error err;
static const struct lighter_writer *writer;

static void
set_up(void)
{
    writer = lighter_plugin.writers[0];
    options = (struct file_options){
        "/predictions", "pred", {&plain, "plain options", ".txt"}, NULL};
    services = unit_services;
    services.sink = output_sink;
    services.store = output_store;
    output = (struct lighter_output){.max_files = MAX_FILES};
    sink_init(&output.sink);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
}

static void
tear_down(void)
{
    output_done(&output);
}

static int
check(const struct lighter_value *outputs, uint64_t *ret_samples)
{
    const struct lighter_batch batch = {.size = sizeof batch, .outputs = outputs};

    return writer->check(&options, &batch, ret_samples, &err);
}

static int
write_range(const struct lighter_value *outputs, uint64_t first, uint64_t count)
{
    const struct lighter_batch batch = {.size = sizeof batch, .outputs = outputs};
    const struct lighter_task task = {.size = sizeof task,
                                      .services = &services,
                                      .batch = &batch,
                                      .first = first,
                                      .count = count,
                                      .world_size = 1};

    return writer->write(&options, &task, &output, &err);
}

static uint64_t
count_samples(struct lighter_value value)
{
    const struct lighter_value pairs[] = {unit_string("pred"), value};
    const struct lighter_value outputs = unit_map(pairs, 1);
    uint64_t n_samples = UINT64_MAX;

    ck_assert_int_eq(check(&outputs, &n_samples), 0);
    return n_samples;
}

/* Write one sample under this name. Return: the file's name, without the suffix. */
static const char *
named(struct lighter_value name)
{
    const struct lighter_value values = unit_string("x");
    const struct lighter_value pairs[] = {unit_string("pred"), unit_list(&values, 1),
                                          unit_string("id"), unit_list(&name, 1)};
    const struct lighter_value outputs = unit_map(pairs, 2);
    struct file *file = &output.files[output.n_files];

    options.name_key = "id";
    ck_assert_msg(write_range(&outputs, 0, 1) == 0, "%s", err.message);
    ck_assert_str_eq(file->name + file->name_size, ".txt");
    file->name[file->name_size] = '\0';
    return file->name;
}

START_TEST(a_tensor_is_a_file_for_each_item_of_its_first_axis)
{
    const uint64_t shape[] = {3, 2};
    const struct lighter_value pairs[] = {
        unit_string("pred"), unit_tensor(LIGHTER_UINT8, 2, shape, "aabbcc")};
    const struct lighter_value outputs = unit_map(pairs, 1);

    ck_assert_uint_eq(count_samples(pairs[1]), 3);
    ck_assert_int_eq(write_range(&outputs, 0, 3), 0);

    ck_assert_uint_eq(output.n_files, 3);
    ck_assert_str_eq(output.files[0].bytes, "aa");
    ck_assert_str_eq(output.files[1].bytes, "bb");
    ck_assert_str_eq(output.files[2].bytes, "cc");
    ck_assert_str_eq(output.files[0].name, "0.txt");
    ck_assert_str_eq(output.files[2].name, "2.txt");
}
END_TEST

START_TEST(a_list_is_a_file_for_each_item)
{
    const struct lighter_value items[] = {unit_string("one"), unit_int(2)};
    const struct lighter_value pairs[] = {unit_string("pred"), unit_list(items, 2)};
    const struct lighter_value outputs = unit_map(pairs, 1);

    ck_assert_uint_eq(count_samples(pairs[1]), 2);
    ck_assert_int_eq(write_range(&outputs, 0, 2), 0);

    ck_assert_str_eq(output.files[0].bytes, "one");
    ck_assert_str_eq(output.files[1].bytes, "2");
}
END_TEST

START_TEST(whatever_else_is_a_single_sample)
{
    const struct lighter_value pairs[] = {unit_string("pred"), unit_string("whole")};
    const struct lighter_value outputs = unit_map(pairs, 1);
    struct lighter_value bytes = unit_string("whole");

    bytes.type = LIGHTER_BYTES;
    ck_assert_uint_eq(count_samples(unit_tensor(LIGHTER_UINT8, 0, NULL, "a")), 1);
    ck_assert_uint_eq(count_samples(unit_string("")), 1);
    ck_assert_uint_eq(count_samples(bytes), 1);
    ck_assert_uint_eq(count_samples(unit_nil()), 1);
    ck_assert_uint_eq(count_samples(unit_bool(false)), 1);
    ck_assert_uint_eq(count_samples(unit_float(0.5)), 1);
    ck_assert_uint_eq(count_samples(unit_map(pairs, 1)), 1);

    ck_assert_int_eq(write_range(&outputs, 0, 1), 0);
    ck_assert_str_eq(output.files[0].bytes, "whole");
}
END_TEST

START_TEST(an_empty_batch_has_no_samples_and_needs_no_names)
{
    const uint64_t shape[] = {0, 4};

    options.name_key = "id";
    ck_assert_uint_eq(count_samples(unit_list(NULL, 0)), 0);
    ck_assert_uint_eq(count_samples(unit_tensor(LIGHTER_FLOAT32, 2, shape, NULL)), 0);
}
END_TEST

START_TEST(a_missing_key_is_named)
{
    const struct lighter_value pairs[] = {unit_string("pred"), unit_int(1)};
    const struct lighter_value outputs = unit_map(pairs, 1), empty = unit_map(NULL, 0);
    uint64_t n_samples = 7;

    ck_assert_int_lt(check(&empty, &n_samples), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_KEY);
    ck_assert_str_eq(err.message,
                     "FileWriter expected key 'pred' in outputs but it was missing.");

    options.name_key = "id";
    ck_assert_int_lt(check(&outputs, &n_samples), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_KEY);
    ck_assert_str_eq(err.message,
                     "FileWriter expected key 'id' in outputs but it was missing.");
    ck_assert_uint_eq(n_samples, 7);
}
END_TEST

START_TEST(as_many_names_as_values_are_asked_for)
{
    const uint64_t shape[] = {3};
    const struct lighter_value names[] = {unit_string("a"), unit_string("b")};
    const struct lighter_value pairs[] = {unit_string("v"),
                                          unit_tensor(LIGHTER_UINT8, 1, shape, "abc"),
                                          unit_string("n"), unit_list(names, 2)};
    const struct lighter_value outputs = unit_map(pairs, 2);
    uint64_t n_samples = 7;

    options.value_key = "v";
    options.name_key = "n";
    ck_assert_int_lt(check(&outputs, &n_samples), 0);

    ck_assert_uint_eq(err.code, LIGHTER_E_VALUE);
    ck_assert_str_eq(err.message,
                     "Length mismatch between value key 'v' (3) and name key 'n' (2).");
    ck_assert_uint_eq(n_samples, 7);
}
END_TEST

START_TEST(only_the_samples_of_the_task_are_written)
{
    const struct lighter_value items[] = {unit_nil(), unit_int(1), unit_int(2),
                                          unit_nil()};
    const struct lighter_value pairs[] = {unit_string("pred"), unit_list(items, 4)};
    const struct lighter_value outputs = unit_map(pairs, 1);

    ck_assert_int_eq(write_range(&outputs, 1, 2), 0);

    ck_assert_uint_eq(output.n_files, 2);
    ck_assert_str_eq(output.files[0].name, "1.txt");
    ck_assert_str_eq(output.files[0].bytes, "1");
    ck_assert_str_eq(output.files[1].name, "2.txt");
    ck_assert_str_eq(output.files[1].bytes, "2");
}
END_TEST

static int
write_numbered(uint64_t index, uint32_t rank, uint32_t world_size)
{
    const struct lighter_value items[] = {unit_int(0), unit_int(1)};
    const struct lighter_value pairs[] = {unit_string("pred"), unit_list(items, 2)};
    const struct lighter_value outputs = unit_map(pairs, 1);
    const struct lighter_batch batch = {.size = sizeof batch, .outputs = &outputs};
    const struct lighter_task task = {.size = sizeof task,
                                      .services = &services,
                                      .batch = &batch,
                                      .first = 0,
                                      .count = 2,
                                      .index = index,
                                      .rank = rank,
                                      .world_size = world_size};

    return writer->write(&options, &task, &output, &err);
}

START_TEST(the_ranks_take_turns_in_numbering)
{
    ck_assert_int_eq(write_numbered(5, 1, 4), 0);

    ck_assert_str_eq(output.files[0].name, "21.txt"); /* 1 + 5 * 4 */
    ck_assert_str_eq(output.files[1].name, "25.txt");
}
END_TEST

START_TEST(numbers_beyond_63_bits_are_refused)
{
    ck_assert_int_lt(write_numbered(UINT64_MAX, 0, 1), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_VALUE);
    ck_assert_int_lt(write_numbered(INT64_MAX / 2, 0, 4), 0);
    ck_assert_int_lt(write_numbered(INT64_MAX, 1, 2), 0);
    ck_assert_uint_eq(output.n_files, 0);

    ck_assert_int_lt(write_numbered(INT64_MAX, 0, 1), 0);
    ck_assert_uint_eq(output.n_files, 1);
    ck_assert_str_eq(output.files[0].name, "9223372036854775807.txt");
    ck_assert_int_eq(err.sample, 1);
}
END_TEST

START_TEST(names_are_what_pythons_str_gives)
{
    const struct lighter_value pair[] = {unit_int(1), unit_string("a")};

    ck_assert_str_eq(named(unit_string("case/0001.v2")), "case/0001.v2");
    ck_assert_str_eq(named(unit_int(-7)), "-7");
    ck_assert_str_eq(named(unit_float(0.1)), "0.1");
    ck_assert_str_eq(named(unit_float(1e16)), "1e+16");
    ck_assert_str_eq(named(unit_bool(true)), "True");
    ck_assert_str_eq(named(unit_nil()), "None");
    ck_assert_str_eq(named(unit_list(pair, 2)), "[1, 'a']");
    ck_assert_str_eq(named(unit_string("")), "");
}
END_TEST

START_TEST(names_may_be_tensors)
{
    const int64_t ids[] = {40, 41, 42, 43};
    const uint64_t shape[] = {2, 2};
    const struct lighter_value pairs[] = {
        unit_string("pred"), unit_tensor(LIGHTER_UINT8, 1, shape, "ab"),
        unit_string("id"),   unit_tensor(LIGHTER_INT64, 1, shape, ids),
        unit_string("ids"),  unit_tensor(LIGHTER_INT64, 2, shape, ids)};
    const struct lighter_value outputs = unit_map(pairs, 3);

    options.name_key = "id";
    ck_assert_int_eq(write_range(&outputs, 0, 2), 0);
    options.name_key = "ids";
    ck_assert_int_eq(write_range(&outputs, 1, 1), 0);

    ck_assert_str_eq(output.files[0].name, "40.txt");
    ck_assert_str_eq(output.files[1].name, "41.txt");
    ck_assert_str_eq(output.files[2].name, "[42, 43].txt");
}
END_TEST

START_TEST(a_name_reaches_the_storage_with_all_its_bytes)
{
    struct lighter_value name = unit_string("a");

    name.as.string.data = "a\0b";
    name.as.string.size = 3;
    ck_assert_str_eq(named(name), "a");
    ck_assert_uint_eq(output.files[0].name_size, 3);
}
END_TEST

START_TEST(a_name_longer_than_any_path_is_refused)
{
    const uint64_t shape[] = {1, 1u << 20, 0};
    const struct lighter_value values = unit_string("x");
    const struct lighter_value pairs[] = {
        unit_string("pred"), unit_list(&values, 1), unit_string("id"),
        unit_tensor(LIGHTER_UINT8, 3, shape, NULL)}; /* [[], [], [], ... */
    const struct lighter_value outputs = unit_map(pairs, 2);

    options.name_key = "id";
    ck_assert_int_lt(write_range(&outputs, 0, 1), 0);

    ck_assert_uint_eq(err.code, LIGHTER_E_LIMIT);
    ck_assert_int_eq(err.sample, 0);
    ck_assert_uint_eq(output.n_files, 0);
}
END_TEST

START_TEST(a_failure_says_at_which_sample)
{
    const struct lighter_value items[] = {unit_int(0), unit_int(1), unit_nil()};
    const struct lighter_value pairs[] = {unit_string("pred"), unit_list(items, 3)};
    const struct lighter_value outputs = unit_map(pairs, 1);

    ck_assert_int_lt(write_range(&outputs, 1, 2), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_TYPE);
    ck_assert_str_eq(err.message, "plain got None");
    ck_assert_int_eq(err.sample, 2);

    output.max_files = output.n_files;
    ck_assert_int_eq(write_range(&outputs, 1, 1), -ENOSPC);
    ck_assert_uint_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_eq(err.sample, 1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("file");
    TCase *tcase = unit_case(suite, "file");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_tensor_is_a_file_for_each_item_of_its_first_axis);
    tcase_add_test(tcase, a_list_is_a_file_for_each_item);
    tcase_add_test(tcase, whatever_else_is_a_single_sample);
    tcase_add_test(tcase, an_empty_batch_has_no_samples_and_needs_no_names);
    tcase_add_test(tcase, a_missing_key_is_named);
    tcase_add_test(tcase, as_many_names_as_values_are_asked_for);
    tcase_add_test(tcase, only_the_samples_of_the_task_are_written);
    tcase_add_test(tcase, the_ranks_take_turns_in_numbering);
    tcase_add_test(tcase, numbers_beyond_63_bits_are_refused);
    tcase_add_test(tcase, names_are_what_pythons_str_gives);
    tcase_add_test(tcase, names_may_be_tensors);
    tcase_add_test(tcase, a_name_reaches_the_storage_with_all_its_bytes);
    tcase_add_test(tcase, a_name_longer_than_any_path_is_refused);
    tcase_add_test(tcase, a_failure_says_at_which_sample);
    return unit_main(suite);
}
