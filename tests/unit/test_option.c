/* test_option.c - daemon/option.c: what a client sent to a plugin's own options. */
#include "daemon/option.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- an encoder and a table with every type of option --------------------------- */

struct level_options {
    const char *suffix;
    int64_t level;
};

static const struct lighter_option level_table[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".lvl",
     .offset = offsetof(struct level_options, suffix)},
    {.name = "level",
     .type = LIGHTER_OPTION_INT,
     .fallback = "3",
     .offset = offsetof(struct level_options, level),
     .max = 9},
    {.name = NULL},
};

static int
encode_nothing(const void *options, const struct lighter_value *sample,
               struct lighter_sink *sink, const struct lighter_services *services,
               struct lighter_error *err)
{
    (void)options, (void)sample, (void)sink, (void)services, (void)err;
    return 0;
}

static const struct lighter_encoder level_encoder = {.size = sizeof level_encoder,
                                                     .name = "level",
                                                     .options = level_table,
                                                     .options_size =
                                                         sizeof(struct level_options),
                                                     .encode = encode_nothing};
static const struct lighter_encoder *const encoders[] = {&level_encoder, NULL};
static const struct lighter_plugin plugin = {LIGHTER_PLUGIN_HEADER, .name = "test",
                                             .encoders = encoders};

struct options {
    const char *path, *title, *name_of_default;
    struct lighter_strings keys;
    struct lighter_encoding encoding;
    int64_t number;
    bool flag, is_on;
};

#define FIELD(field) .offset = offsetof(struct options, field)

static const struct lighter_option table[] = {
    {.name = "path", .type = LIGHTER_OPTION_TARGET, .required = true, FIELD(path)},
    {.name = "title", .type = LIGHTER_OPTION_STRING, FIELD(title)},
    {.name = "other",
     .type = LIGHTER_OPTION_STRING,
     .fallback = "some",
     FIELD(name_of_default)},
    {.name = "keys", .type = LIGHTER_OPTION_STRINGS, FIELD(keys)},
    {.name = "encoder", .type = LIGHTER_OPTION_ENCODER, FIELD(encoding)},
    {.name = "number",
     .type = LIGHTER_OPTION_INT,
     .fallback = "24",
     .min = -5,
     .max = 1000,
     FIELD(number)},
    {.name = "flag", .type = LIGHTER_OPTION_BOOL, FIELD(flag)},
    {.name = "is_on", .type = LIGHTER_OPTION_BOOL, .fallback = "true", FIELD(is_on)},
    {.name = NULL},
};

static struct registry registry;
static struct message message;
static struct lighter_error err;
static const struct options *options;

static void
begin(void)
{
    ck_assert_int_eq(registry_add(&registry, &plugin, "test", &err), 0);
}

static void
end(void)
{
    message_done(&message);
    registry_done(&registry);
}

static int
parse_at(const char *cwd, const char *json)
{
    struct option_context context = {.registry = &registry, .cwd = cwd};
    void *parsed;
    int r;

    message_done(&message);
    pack_request(&message, 1, "m", json);
    context.zone = message.zone;
    r = option_parse(&context, "w", table, sizeof *options, message.params, &parsed,
                     &err);
    if (r == 0)
        options = parsed;
    return r;
}

static void
parse(const char *json)
{
    ck_assert_msg(parse_at("/cwd", json) == 0, "%s", err.message);
}

static void
expect_refused(const char *json, const char *text)
{
    options = NULL;
    ck_assert_msg(parse_at("/cwd", json) < 0, "%s", json);
    ck_assert_ptr_null(options);
    ck_assert_str_eq(err.message, text);
}

/* ---- what is taken ------------------------------------------------------------- */

START_TEST(every_type_is_put_where_the_plugin_wants_it)
{
    parse("{'path': '/p', 'title': 'T\\u00e9', 'other': '', 'keys': ['a', 'b'],"
          " 'encoder': 'level', 'number': -5, 'flag': true, 'is_on': false}");
    ck_assert_str_eq(options->path, "/p");
    ck_assert_str_eq(options->title, "T\u00e9");
    ck_assert_str_eq(options->name_of_default, "");
    ck_assert_uint_eq(options->keys.count, 2);
    ck_assert_str_eq(options->keys.items[0], "a");
    ck_assert_str_eq(options->keys.items[1], "b");
    ck_assert_str_eq(options->encoding.encoder->name, "level");
    ck_assert_int_eq(options->number, -5);
    ck_assert(options->flag);
    ck_assert(!options->is_on);
}
END_TEST

START_TEST(what_is_not_there_or_nil_has_its_default)
{
    static const char *const given[] = {
        "{'path': '/p'}",
        "{'path': '/p', 'title': null, 'other': null, 'keys': null, 'encoder': null,"
        " 'number': null, 'flag': null, 'is_on': null}"};

    for (int i = 0; i < 2; i++) {
        parse(given[i]);
        ck_assert_ptr_null(options->title);
        ck_assert_str_eq(options->name_of_default, "some");
        ck_assert_uint_eq(options->keys.count, 0);
        ck_assert_ptr_null(options->encoding.encoder);
        ck_assert_int_eq(options->number, 24);
        ck_assert(!options->flag);
        ck_assert(options->is_on);
    }
}
END_TEST

START_TEST(an_encoder_is_a_name_with_default_options)
{
    const struct level_options *level;

    parse("{'path': '/p', 'encoder': 'level'}");
    level = options->encoding.options;
    ck_assert_str_eq(options->encoding.suffix, ".lvl");
    ck_assert_int_eq(level->level, 3);
}
END_TEST

START_TEST(an_encoder_is_a_map_of_its_name_and_options)
{
    const struct level_options *level;

    parse("{'path': '/p', 'encoder': {'level': 9, 'name': 'level', 'suffix': ''}}");
    level = options->encoding.options;
    ck_assert_str_eq(options->encoding.suffix, "");
    ck_assert_ptr_eq(options->encoding.suffix, level->suffix);
    ck_assert_int_eq(level->level, 9);
}
END_TEST

START_TEST(relative_targets_are_below_the_working_directory)
{
    static const char *const paths[][2] = {
        {"p.csv", "/cwd/p.csv"},         {"a/b.csv", "/cwd/a/b.csv"},
        {"./a//b/./c", "/cwd/a/b/c"},    {"/abs/p", "/abs/p"},
        {"/abs//./p/", "/abs/p"},        {"../p", "/cwd/../p"},
        {"a/../p", "/cwd/a/../p"},       {".", "/cwd"},
        {"a\\u00e9 b", "/cwd/a\u00e9 b"}};
    char json[128];

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        snprintf(json, sizeof json, "{'path': '%s'}", paths[i][0]);
        parse(json);
        ck_assert_str_eq(options->path, paths[i][1]);
    }
    ck_assert_int_eq(parse_at("/", "{'path': 'p'}"), 0);
    ck_assert_str_eq(options->path, "/p");
    ck_assert_int_eq(parse_at("/a/", "{'path': 'p'}"), 0);
    ck_assert_str_eq(options->path, "/a/p");
}
END_TEST

/* ---- what is refused ----------------------------------------------------------- */

START_TEST(relative_targets_need_a_working_directory)
{
    ck_assert_int_eq(parse_at(NULL, "{'path': '/p'}"), 0);
    ck_assert_int_eq(parse_at(NULL, "{'path': 'p'}"), -EINVAL);
    ck_assert_str_eq(err.message, "'w': 'p' is a relative path, and 'cwd' is missing");
}
END_TEST

START_TEST(targets_that_cannot_be_are_refused)
{
    const char *printable = "'w': 'path' expects a path of printable UTF-8 below 4096 "
                            "bytes";
    char json[PATH_MAX + 32];

    expect_refused("{'path': '/'}", "'w': the path '/' is no target");
    expect_refused("{'path': '//./'}", "'w': the path '//./' is no target");
    expect_refused("{'path': 'a\\u0000b'}", printable);
    expect_refused("{'path': 'a\\nb'}", printable);
    expect_refused("{'path': 3}", "'w': 'path' expects a string, got an int");

    snprintf(json, sizeof json, "{'path': '%0*d'}", PATH_MAX, 0);
    expect_refused(json, printable);
    snprintf(json, sizeof json, "{'path': '%0*d'}", PATH_MAX - 4, 0);
    ck_assert_int_eq(parse_at("/cwd", json), -ENAMETOOLONG);
}
END_TEST

START_TEST(what_is_required_must_be_there)
{
    expect_refused("{}", "'w': option 'path' is missing");
    expect_refused("{'path': null}", "'w': option 'path' is missing");
}
END_TEST

START_TEST(unknown_options_are_refused_with_those_there_are)
{
    expect_refused("{'path': '/p', 'colour': 1}",
                   "'w' has no option 'colour'; there are: 'path', 'title', 'other', "
                   "'keys', 'encoder', 'number', 'flag', 'is_on'");
    expect_refused("{'path': '/p', 'encoder': {'name': 'level', 'depth': 1}}",
                   "'w': 'level' has no option 'depth'; there are: 'suffix', 'level'");
    expect_refused("{'path': '/p', 'bin:path': 1}", "'w': an option's name is bytes");
}
END_TEST

START_TEST(types_and_ranges_are_checked)
{
    expect_refused("{'path': '/p', 'title': 1}",
                   "'w': 'title' expects a string, got an int");
    expect_refused("{'path': '/p', 'title': 'a\\u0000'}",
                   "'w': 'title' expects UTF-8 without NUL");
    expect_refused("{'path': '/p', 'number': 1001}",
                   "'w': 'number' expects an int from -5 to 1000, got 1001");
    expect_refused("{'path': '/p', 'number': -6}",
                   "'w': 'number' expects an int from -5 to 1000, got -6");
    expect_refused("{'path': '/p', 'number': '1'}",
                   "'w': 'number' expects an int, got a string");
    expect_refused("{'path': '/p', 'flag': 1}",
                   "'w': 'flag' expects a bool, got an int");
    expect_refused("{'path': '/p', 'keys': 'a'}",
                   "'w': 'keys' expects an array, got a string");
    expect_refused("{'path': '/p', 'keys': ['a', 1]}",
                   "'w': 'keys' expects strings, got an int at index 1");
}
END_TEST

START_TEST(a_list_may_be_empty_unless_it_is_required)
{
    static const struct lighter_option required[] = {
        {.name = "keys", .type = LIGHTER_OPTION_STRINGS, .required = true, FIELD(keys)},
        {.name = NULL}};
    struct option_context context = {.registry = &registry};
    void *parsed;

    parse("{'path': '/p', 'keys': []}");
    ck_assert_uint_eq(options->keys.count, 0);

    message_done(&message);
    pack_request(&message, 1, "m", "{'keys': []}");
    context.zone = message.zone;
    ck_assert_int_eq(option_parse(&context, "w", required, sizeof *options,
                                  message.params, &parsed, &err),
                     -EINVAL);
    ck_assert_str_eq(err.message, "'w': 'keys' expects one string or more, got none");
}
END_TEST

START_TEST(strings_that_are_not_utf8_are_refused)
{
    msgpack_object_kv pairs[] = {
        {{.type = MSGPACK_OBJECT_STR, .via.str = {4, "path"}},
         {.type = MSGPACK_OBJECT_STR, .via.str = {2, "/p"}}},
        {{.type = MSGPACK_OBJECT_STR, .via.str = {5, "title"}},
         {.type = MSGPACK_OBJECT_STR, .via.str = {2, "a\xff"}}}};
    const msgpack_object map = {.type = MSGPACK_OBJECT_MAP, .via.map = {2, pairs}};
    msgpack_zone *zone = msgpack_zone_new(256);
    struct option_context context = {&registry, "/cwd", zone, NULL};
    void *parsed;

    ck_assert_int_eq(
        option_parse(&context, "w", table, sizeof *options, &map, &parsed, &err),
        -EINVAL);
    ck_assert_str_eq(err.message, "'w': 'title' expects UTF-8 without NUL");
    msgpack_zone_free(zone);
}
END_TEST

START_TEST(an_unknown_encoder_is_refused_with_those_there_are)
{
    expect_refused("{'path': '/p', 'encoder': 'lever'}",
                   "'w': Writer with name 'lever' is not registered; there are: "
                   "'level'");
    expect_refused("{'path': '/p', 'encoder': {'name': ''}}",
                   "'w': Writer with name '' is not registered; there are: 'level'");
}
END_TEST

START_TEST(an_encoder_of_another_shape_is_refused)
{
    expect_refused("{'path': '/p', 'encoder': {}}",
                   "'w': 'encoder': 'name' is missing");
    expect_refused("{'path': '/p', 'encoder': {'name': 1}}",
                   "'w': 'encoder': 'name' expects a string, got an int");
    expect_refused("{'path': '/p', 'encoder': ['level']}",
                   "'w': 'encoder' expects a name or a map, got an array");
    ck_assert_uint_eq(err.code, LIGHTER_E_TYPE);
    expect_refused("{'path': '/p', 'encoder': {'name': 'level', 'level': 10}}",
                   "'w': 'level': 'level' expects an int from 0 to 9, got 10");
}
END_TEST

START_TEST(a_suffix_stays_in_its_folder_and_is_short)
{
    char json[256];

    expect_refused("{'path': '/p', 'encoder': {'name': 'level', 'suffix': '/x'}}",
                   "'w': 'level': 'suffix' expects at most 64 bytes of printable "
                   "UTF-8 without '/', got '/x'");
    snprintf(json, sizeof json,
             "{'path': '/p', 'encoder': {'name': 'level', 'suffix': '%065d'}}", 0);
    ck_assert_int_lt(parse_at("/cwd", json), 0);
    snprintf(json, sizeof json,
             "{'path': '/p', 'encoder': {'name': 'level', 'suffix': '%064d'}}", 0);
    ck_assert_int_eq(parse_at("/cwd", json), 0);
}
END_TEST

/* It becomes the end of every file's name, where control characters are refused. */
START_TEST(a_suffix_is_printable)
{
    ck_assert_int_lt(parse_at("/cwd", "{'path': '/p', 'encoder': {'name': 'level',"
                                      " 'suffix': '.a\\nb'}}"),
                     0);
    ck_assert_int_lt(parse_at("/cwd", "{'path': '/p', 'encoder': {'name': 'level',"
                                      " 'suffix': '.\\u001b[31m'}}"),
                     0);
}
END_TEST

START_TEST(the_string_of_a_type_is_found)
{
    parse("{'path': '/p'}");
    ck_assert_ptr_eq(option_string(table, options, LIGHTER_OPTION_TARGET),
                     options->path);
    ck_assert_ptr_null(option_string(table, options, LIGHTER_OPTION_SUFFIX));
    ck_assert_str_eq(option_type_name(LIGHTER_OPTION_STRING), "string");
    ck_assert_str_eq(option_type_name(LIGHTER_OPTION_ENCODER), "encoder");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("option");
    TCase *taken = unit_case(suite, "taken");
    TCase *refused = unit_case(suite, "refused");

    tcase_add_checked_fixture(taken, begin, end);
    tcase_add_test(taken, every_type_is_put_where_the_plugin_wants_it);
    tcase_add_test(taken, what_is_not_there_or_nil_has_its_default);
    tcase_add_test(taken, an_encoder_is_a_name_with_default_options);
    tcase_add_test(taken, an_encoder_is_a_map_of_its_name_and_options);
    tcase_add_test(taken, relative_targets_are_below_the_working_directory);
    tcase_add_test(taken, the_string_of_a_type_is_found);
    tcase_add_checked_fixture(refused, begin, end);
    tcase_add_test(refused, relative_targets_need_a_working_directory);
    tcase_add_test(refused, targets_that_cannot_be_are_refused);
    tcase_add_test(refused, what_is_required_must_be_there);
    tcase_add_test(refused, unknown_options_are_refused_with_those_there_are);
    tcase_add_test(refused, types_and_ranges_are_checked);
    tcase_add_test(refused, a_list_may_be_empty_unless_it_is_required);
    tcase_add_test(refused, strings_that_are_not_utf8_are_refused);
    tcase_add_test(refused, an_unknown_encoder_is_refused_with_those_there_are);
    tcase_add_test(refused, an_encoder_of_another_shape_is_refused);
    tcase_add_test(refused, a_suffix_stays_in_its_folder_and_is_short);
    tcase_add_test(refused, a_suffix_is_printable);
    return unit_main(suite);
}
