/* test_writer.c - daemon/writer.c: an entry of `writers` to one configured output. */
#include "daemon/writer.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct registry registry;
static struct lighter_error err;

/* ---- a plugin ------------------------------------------------------------------ */

struct options {
    const char *path;
    struct lighter_strings keys;
    const char *title;
};

static const struct lighter_option table[] = {
    {.name = "path",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct options, path)},
    {.name = "keys",
     .type = LIGHTER_OPTION_STRINGS,
     .offset = offsetof(struct options, keys)},
    {.name = "title",
     .type = LIGHTER_OPTION_STRING,
     .offset = offsetof(struct options, title)},
    {.name = NULL}};

static int
check(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
      struct lighter_error *error)
{
    (void)state, (void)batch, (void)ret_samples, (void)error;
    return 0;
}

static int
write_nothing(void *state, const struct lighter_task *task,
              struct lighter_output *output, struct lighter_error *error)
{
    (void)state, (void)task, (void)output, (void)error;
    return 0;
}

static const struct lighter_writer type = {.size = sizeof type,
                                           .name = "w",
                                           .options = table,
                                           .options_size = sizeof(struct options),
                                           .check = check,
                                           .write = write_nothing};
static const struct lighter_writer *const types[] = {&type, NULL};
static const struct lighter_plugin plugin = {LIGHTER_PLUGIN_HEADER, .name = "test",
                                             .writers = types};

static void
begin(void)
{
    ck_assert_int_eq(registry_add(&registry, &plugin, "test", &err), 0);
}

static void
end(void)
{
    registry_done(&registry);
}

static int
init(struct writer *writer, const char *json)
{
    struct message message;
    char params[1024];
    int r;

    snprintf(params, sizeof params, "{'writer': %s}", json);
    pack_request(&message, 1, "m", params);
    r = writer_init(writer, &registry, "/cwd", &message.params->via.map.ptr[0].val,
                    &err);
    message_done(&message); /* nothing of the writer may point into it */
    return r;
}

static void
must_init(struct writer *writer, const char *json)
{
    ck_assert_msg(init(writer, json) == 0, "%s", err.message);
}

START_TEST(a_writer_is_its_type_and_options)
{
    const struct options *options;
    struct writer writer;

    must_init(&writer, "{'type': 'w', 'options': {'path': 'p', 'keys': ['a', 'b']}}");
    options = writer.options;
    ck_assert_str_eq(writer.type->name, "w");
    ck_assert_str_eq(writer.target, "/cwd/p");
    ck_assert_ptr_eq(writer.target, options->path);
    ck_assert_uint_eq(options->keys.count, 2);
    ck_assert_str_eq(options->keys.items[1], "b");
    ck_assert_str_eq(writer.text, "w path='/cwd/p' keys=['a', 'b']");
    writer_done(&writer);
    writer_done(&writer);
}
END_TEST

static void
expect_same(const char *one, const char *other, bool expected)
{
    struct writer first, second;

    must_init(&first, one);
    must_init(&second, other);
    ck_assert_msg((strcmp(first.text, second.text) == 0) == expected,
                  "[%s] and [%s] are %s", first.text, second.text,
                  expected ? "not the same" : "the same");
    writer_done(&first);
    writer_done(&second);
}

START_TEST(the_same_options_in_another_order_are_the_same)
{
    expect_same("{'type': 'w', 'options': {'path': '/cwd/p', 'title': 't'}}",
                "{'options': {'title': 't', 'path': './p'}, 'type': 'w'}", true);
}
END_TEST

START_TEST(other_options_are_not_the_same)
{
    expect_same("{'type': 'w', 'options': {'path': 'p', 'title': 't'}}",
                "{'type': 'w', 'options': {'path': 'p', 'title': 'u'}}", false);
    expect_same("{'type': 'w', 'options': {'path': 'p', 'title': ''}}",
                "{'type': 'w', 'options': {'path': 'p'}}", false);
    expect_same("{'type': 'w', 'options': {'path': 'p', 'keys': ['a', 'b']}}",
                "{'type': 'w', 'options': {'path': 'p', 'keys': ['b', 'a']}}", false);
}
END_TEST

/* Ranks whose writers have the same text write into the same output. */
START_TEST(quotes_inside_options_do_not_make_others_the_same)
{
    expect_same("{'type': 'w', 'options': {'path': 'p', 'keys': ['a', 'b']}}",
                "{'type': 'w', 'options': {'path': 'p', 'keys': ['a\\u0027, "
                "\\u0027b']}}",
                false);
    expect_same("{'type': 'w', 'options': {'path': 'p', 'keys': ['a'],"
                " 'title': 'x'}}",
                "{'type': 'w', 'options': {'path': 'p', 'keys': ['a\\u0027] "
                "title=\\u0027x']}}",
                false);
}
END_TEST

static void
expect_refused(const char *json, const char *message)
{
    struct writer writer;

    ck_assert_msg(init(&writer, json) < 0, "%s", json);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(writer.zone);
    ck_assert_ptr_null(writer.text);
}

START_TEST(what_is_no_writer_is_refused)
{
    expect_refused("3", "'writers' expects maps, got an int");
    expect_refused("['w']", "'writers' expects maps, got an array");
    expect_refused("{}", "'type' is missing");
    expect_refused("{'type': 3}", "'type' expects a string, got an int");
    expect_refused("{'type': 'v'}", "no writer is called 'v'; there are: 'w'");
    expect_refused("{'type': 'w', 'options': []}",
                   "'w': 'options' expects a map, got an array");
}
END_TEST

START_TEST(bad_options_are_refused_and_leave_nothing)
{
    expect_refused("{'type': 'w'}", "'w': option 'path' is missing");
    expect_refused("{'type': 'w', 'options': {'path': 'p', 'keys': ['a', 3]}}",
                   "'w': 'keys' expects strings, got an int at index 1");
    expect_refused(
        "{'type': 'w', 'options': {'path': 'p', 'x': 1}}",
        "'w' has no option 'x'; there are: 'path', 'keys', 'title', 'overwrite'");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("writer");
    TCase *writer = unit_case(suite, "writer");

    tcase_add_checked_fixture(writer, begin, end);
    tcase_add_test(writer, a_writer_is_its_type_and_options);
    tcase_add_test(writer, the_same_options_in_another_order_are_the_same);
    tcase_add_test(writer, other_options_are_not_the_same);
    tcase_add_test(writer, quotes_inside_options_do_not_make_others_the_same);
    tcase_add_test(writer, what_is_no_writer_is_refused);
    tcase_add_test(writer, bad_options_are_refused_and_leave_nothing);
    return unit_main(suite);
}
