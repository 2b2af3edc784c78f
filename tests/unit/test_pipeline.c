/* test_pipeline.c - daemon/pipeline.c, daemon/resolve.c: what an `open` leaves to the
 * configuration. And daemon/jsonline.c, by which they say where.
 */
#include "daemon/pipeline.h"

#include "daemon/jsonline.h"
#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct registry registry;
static struct pipelines *pipelines;
static struct lighter_error err;

static void
begin(void)
{
    ck_assert_msg(getenv("PLUGIN_DIR") != NULL, "PLUGIN_DIR is set by `make check`");
    ck_assert_int_eq(registry_load(&registry, getenv("PLUGIN_DIR"), &err), 0);
    pipelines = NULL;
}

static void
end(void)
{
    pipelines = pipelines_free(pipelines);
    registry_done(&registry);
}

/* `text` is JSON with ' for ". */
static int
configure(const char *text)
{
    struct problems problems = {0};
    char *json = strdup(text);
    json_t *root;
    int r;

    for (char *p = json; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    root = json_loads(json, 0, NULL);
    ck_assert_msg(root != NULL, "not JSON: %s", json);
    r = pipelines_read(&pipelines, "f.json", json, root, &problems, &err);
    if (r == 0)
        r = pipelines_check(pipelines, &registry, NULL, &err);
    json_decref(root);
    free(json);
    return r;
}

static void
expect_refused(const char *text, const char *message)
{
    ck_assert_msg(configure(text) == -EINVAL, "%s was taken", text);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_msg(strncmp(err.message, message, strlen(message)) == 0,
                  "\n%s\nexpected:\n%s", err.message, message);
}

struct lines {
    char text[2048];
};

static void
add_line(void *data, const char *line)
{
    struct lines *lines = data;

    strcat(lines->text, line);
    strcat(lines->text, "\n");
}

START_TEST(all_that_is_wrong_is_reported_and_the_rest_is_taken)
{
    static const char json[] =
        "{\n"
        "  \"pipelines\": {\n"
        "    \"a\": {\"writers\": [{\"type\": 1}, {\"options\": {}}]},\n"
        "    \"b\": {\"writers\": []},\n"
        "    \"c\": {\"writers\": [\n"
        "      {\"type\": \"csx\"},\n"
        "      {\"type\": \"csv\", \"options\": {\"path\": \"x\"}}]},\n"
        "    \"d\": {\"writers\": [{\"type\": \"csv\",\n"
        "      \"options\": {\"path\": \"x\", \"keys\": [\"k\"]}}]}},\n"
        "  \"defaults\": {\"csv\": 7,\n"
        "    \"video\": {\"fpz\": 1}}\n"
        "}";
    struct lines lines = {""};
    struct problems problems = {.report = add_line, .data = &lines};
    json_t *root = json_loads(json, 0, NULL);

    ck_assert_int_eq(pipelines_read(&pipelines, "f.json", json, root, &problems, &err),
                     0);
    ck_assert_int_eq(pipelines_check(pipelines, &registry, &problems, &err), 0);
    json_decref(root);

    ck_assert_msg(problems.n == 7, "%s", lines.text);
    ck_assert_ptr_nonnull(strstr(lines.text, "f.json:3: pipeline 'a': 'type' expects"));
    ck_assert_ptr_nonnull(strstr(lines.text, "f.json:4: pipeline 'b': 'writers' exp"));
    ck_assert_ptr_nonnull(strstr(lines.text, "f.json:6: pipeline 'c': no writer is"));
    ck_assert_ptr_nonnull(
        strstr(lines.text, "f.json:7: pipeline 'c': 'csv': option 'keys' is missing"));
    ck_assert_ptr_nonnull(strstr(lines.text, "f.json:10: defaults: 'csv' expects an"));
    ck_assert_ptr_nonnull(strstr(lines.text, "f.json:11: defaults: 'video'"));
    ck_assert_ptr_null(strstr(lines.text, "'d'"));
}
END_TEST

/* What becomes of an `open` is what an `open` with `expected` is. */
static void
expect_open(const char *params, const char *expected)
{
    struct message message, wanted;

    pack_request(&message, 7, "open", params);
    pack_request(&wanted, 7, "open", expected);
    ck_assert_msg(pipelines_resolve(pipelines, &registry, &message, &err) == 0, "%s",
                  err.message);
    ck_assert_uint_eq(message.id, 7);
    ck_assert(message_is(&message, "open"));
    if (!msgpack_object_equal(*message.params, *wanted.params)) {
        msgpack_object_print(stderr, *message.params);
        ck_abort_msg(" is not %s", expected);
    }
    message_done(&message);
    message_done(&wanted);
}

static void
expect_open_refused(const char *params, const char *text)
{
    struct message message;

    pack_request(&message, 7, "open", params);
    ck_assert_int_eq(pipelines_resolve(pipelines, &registry, &message, &err), -EINVAL);
    ck_assert_msg(strstr(err.message, text) != NULL, "%s", err.message);
    message_done(&message);
}

/* ---- where something stands ------------------------------------------------------ */

START_TEST(a_path_of_keys_leads_to_its_line)
{
    static const char text[] = "\n{\"a\\\"b\": \"x\\\\\", \"n\": -1.5e3,\n"
                               " \"list\": [1, {\"c\": [[], {}]},\n"
                               "  \"}\",\n"
                               "  {\"deep\": {\n"
                               "    \"key\" :\n true}}],\n"
                               "\"last\": null}";

    ck_assert_int_eq(json_line(text, NULL), 2);
    ck_assert_int_eq(json_line(text, "n", NULL), 2);
    ck_assert_int_eq(json_line(text, "list", NULL), 3);
    ck_assert_int_eq(json_line(text, "list", "1", "c", NULL), 3);
    ck_assert_int_eq(json_line(text, "list", "2", NULL), 4);
    ck_assert_int_eq(json_line(text, "list", "3", "deep", "key", NULL), 6);
    ck_assert_int_eq(json_line(text, "last", NULL), 8);
}
END_TEST

START_TEST(a_path_that_leads_nowhere_ends_at_what_was_found)
{
    static const char text[] = "{\n\"a\": {\n\"b\": 1},\n\"c\": []}";

    ck_assert_int_eq(json_line(text, "nothing", NULL), 1);
    ck_assert_int_eq(json_line(text, "a", "nothing", NULL), 2);
    ck_assert_int_eq(json_line(text, "a", "b", "too far", NULL), 3);
    ck_assert_int_eq(json_line(text, "c", "0", NULL), 4);
}
END_TEST

/* ---- the file -------------------------------------------------------------------- */

START_TEST(a_file_without_either_has_none)
{
    ck_assert_int_eq(configure("{'threads': 1}"), 0);
    ck_assert_ptr_null(pipelines);
    ck_assert_uint_eq(pipelines_part(pipelines, PIPELINES_NAMED)->via.map.size, 0);
    ck_assert_int_eq(configure("{'pipelines': {}, 'defaults': {}}"), 0);
}
END_TEST

START_TEST(another_shape_is_refused_with_its_line)
{
    expect_refused("{\n'pipelines': []}",
                   "f.json:2: 'pipelines' expects an object, got an array");
    expect_refused("{\n'defaults': 3}",
                   "f.json:2: 'defaults' expects an object, got a whole number");
    expect_refused("{'pipelines': {\n'p': 1}}",
                   "f.json:2: pipeline 'p': 'p' expects an object, got a whole number");
    expect_refused("{'pipelines': {'p': {}}}",
                   "f.json:1: pipeline 'p': 'writers' expects an array, got nothing");
    expect_refused("{'pipelines': {'p': {'writers': []}}}",
                   "f.json:1: pipeline 'p': 'writers' expects 1 to 64, got 0");
    expect_refused("{'pipelines': {'p': {'writers': [{'type': 'csv'}], 'x': 1}}}",
                   "f.json:1: pipeline 'p': unknown key 'x'; there are: writers");
    expect_refused("{'pipelines': {'p': {'writers': [{'type': 'csv'},\n3]}}}",
                   "f.json:2: pipeline 'p': 'writers' expects an object, got a whole");
    expect_refused("{'pipelines': {'p': {'writers': [{'type': null}]}}}",
                   "f.json:1: pipeline 'p': 'type' expects a string, got null");
    expect_refused("{'pipelines': {'p': {'writers': [{'type': 'csv', 'keys': []}]}}}",
                   "f.json:1: pipeline 'p': unknown key 'keys'; there are: type, opti");
    expect_refused("{'defaults': {\n'csv': []}}",
                   "f.json:2: defaults: 'csv' expects an object, got an array");
}
END_TEST

#define PIPELINE(writers) "{'pipelines': {'p': {'writers': [\n" writers "]}}}"

START_TEST(what_no_plugin_has_is_refused_with_its_line)
{
    expect_refused(PIPELINE("{'type': 'cvs'}"),
                   "f.json:2: pipeline 'p': no writer is called 'cvs'");
    expect_refused(PIPELINE("{'type': 'csv', 'options': {'path': 'a.csv'}}"),
                   "f.json:2: pipeline 'p': 'csv': option 'keys' is missing");
    expect_refused(PIPELINE("{'type': 'csv', 'options': {'path': 'a.csv', 'keys': 3}}"),
                   "f.json:2: pipeline 'p': 'csv': 'keys' expects an array");
    expect_refused("{'defaults': {'csv': {\n'kees': 3}}}",
                   "f.json:2: defaults: 'csv': 'csv' has no option 'kees'; there are:");
    expect_refused(
        "{'defaults': {'image_2d': {'suffix': '.png',\n 'compression': '6'}}}",
        "f.json:2: defaults: 'image_2d': 'compression' expects an int");
    expect_refused("{'defaults': {'image_9d': {'suffix': '.png'}}}",
                   "f.json:1: defaults: no writer or encoder is called 'image_9d'");
}
END_TEST

START_TEST(what_is_too_deep_is_refused)
{
    char text[512] = "{'defaults': {'csv': {'keys': ";

    for (int i = 0; i < 40; i++)
        strcat(text, "[");
    for (int i = 0; i < 40; i++)
        strcat(text, "]");
    strcat(text, "}}}");
    ck_assert_int_lt(configure(text), 0);
}
END_TEST

/* ---- an `open` ------------------------------------------------------------------- */

#define CSV(options) "{'type': 'csv', 'options': {" options "}}"

START_TEST(without_a_configuration_nothing_changes)
{
    expect_open("{'job': 'j', 'writers': [" CSV("'path': null") "]}",
                "{'job': 'j', 'writers': [" CSV("'path': null") "]}");
    expect_open("{'job': 3}", "{'job': 3}");
    expect_open_refused("{'pipeline': 'p'}", "no pipeline 'p': this daemon has no configuration");
}
END_TEST

START_TEST(a_pipeline_stands_for_its_writers)
{
    ck_assert_int_eq(configure(PIPELINE(CSV("'path': 'a.csv', 'keys': ['x']"))), 0);
    expect_open(
        "{'job': 'j', 'pipeline': 'p', 'cwd': '/w', 'new': [1]}",
        "{'job': 'j', 'pipeline': 'p', 'cwd': '/w', 'new': [1], 'writers': [" CSV(
            "'path': 'a.csv', 'keys': ['x']") "]}");
    expect_open_refused("{'pipeline': 'q'}", "no pipeline 'q'; there are: 'p'");
    expect_open_refused("{'pipeline': 3}", "'pipeline' expects a string, got an int");
    expect_open_refused("{'pipeline': 'p', 'writers': []}", "came together");
}
END_TEST

START_TEST(options_that_are_missing_are_filled_in)
{
    ck_assert_int_eq(configure("{'defaults': {'csv': {'keys': ['x']}}}"), 0);
    expect_open("{'writers': [" CSV("'path': 'a'") ", " CSV("'keys': ['y']") "]}",
                "{'writers': [" CSV("'path': 'a', 'keys': ['x']") ", " CSV(
                    "'keys': ['y']") "]}");
    expect_open("{'writers': [{'type': 'csv'}, {'type': 'csv', 'options': null}]}",
                "{'writers': [" CSV("'keys': ['x']") ", " CSV("'keys': ['x']") "]}");
    expect_open("{'writers': [" CSV("'keys': null, 'path': 'a'") "]}",
                "{'writers': [" CSV("'path': 'a', 'keys': ['x']") "]}");
}
END_TEST

#define FILES(encoder) "{'type': 'file', 'options': {'writer_fn': " encoder "}}"

START_TEST(encoders_have_defaults_too)
{
    ck_assert_int_eq(configure("{'defaults': {'image_2d': {'compression': 6}}}"), 0);
    expect_open("{'writers': [" FILES("'image_2d'") "]}",
                "{'writers': [" FILES("{'name': 'image_2d', 'compression': 6}") "]}");
    expect_open("{'writers': [" FILES("{'name': 'image_2d', 'suffix': '.p'}") "]}",
                "{'writers': [" FILES(
                    "{'name': 'image_2d', 'suffix': '.p', 'compression': 6}") "]}");
    expect_open("{'writers': [" FILES("{'name': 'image_2d', 'compression': 1}") "]}",
                "{'writers': [" FILES("{'name': 'image_2d', 'compression': 1}") "]}");
    expect_open("{'writers': [" FILES("'tensor'") "]}",
                "{'writers': [" FILES("{'name': 'tensor'}") "]}");
}
END_TEST

START_TEST(a_default_may_be_an_encoder_with_defaults)
{
    ck_assert_int_eq(configure("{'defaults': {'file': {'writer_fn': 'image_2d'},"
                               " 'image_2d': {'compression': 6}}}"),
                     0);
    expect_open("{'writers': [{'type': 'file'}]}",
                "{'writers': [" FILES("{'name': 'image_2d', 'compression': 6}") "]}");
}
END_TEST

START_TEST(pipelines_are_filled_in_as_well)
{
    ck_assert_int_eq(configure("{'pipelines': {'p': {'writers': [" CSV(
                         "'path': 'a', 'keys': ['x']") "]}}, 'defaults': {'csv':"
                                                       " {'path': 'b'}}}"),
                     0);
    expect_open("{'pipeline': 'p'}", "{'pipeline': 'p', 'writers': [" CSV(
                                         "'path': 'a', 'keys': ['x']") "]}");
}
END_TEST

START_TEST(what_is_wrong_is_left_to_be_refused)
{
    static const char *const opens[] = {
        "{'writers': [3]}",
        "{'writers': [{'type': 'none', 'options': {'a': 1}}]}",
        "{'writers': [{'options': {}}]}",
        "{'writers': [{'type': 'csv', 'options': [1]}]}",
        "{'writers': [" FILES("3") "]}",
    };

    ck_assert_int_eq(configure("{'defaults': {}}"), 0);
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++)
        expect_open(opens[i], opens[i]);
    expect_open("{'job': 'j'}", "{'job': 'j'}");
    expect_open_refused("{'writers': 3}", "'writers' expects an array, got an int");
}
END_TEST

START_TEST(who_comes_back_to_a_job_is_left_alone)
{
    ck_assert_int_eq(configure("{'defaults': {'csv': {'keys': ['x']}}}"), 0);
    expect_open("{'pipeline': 'gone', 'resume': true, 'id': 5}",
                "{'pipeline': 'gone', 'resume': true, 'id': 5}");
    expect_open_refused("{'pipeline': 'gone', 'resume': true}", "no pipeline 'gone'");
    expect_open_refused("{'pipeline': 'gone', 'id': 5}", "no pipeline 'gone'");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("pipeline");
    TCase *line = unit_case(suite, "line");
    TCase *file = unit_case(suite, "file");
    TCase *open = unit_case(suite, "open");

    tcase_add_test(line, a_path_of_keys_leads_to_its_line);
    tcase_add_test(line, a_path_that_leads_nowhere_ends_at_what_was_found);
    tcase_add_checked_fixture(file, begin, end);
    tcase_add_test(file, a_file_without_either_has_none);
    tcase_add_test(file, another_shape_is_refused_with_its_line);
    tcase_add_test(file, what_no_plugin_has_is_refused_with_its_line);
    tcase_add_test(file, all_that_is_wrong_is_reported_and_the_rest_is_taken);
    tcase_add_test(file, what_is_too_deep_is_refused);
    tcase_add_checked_fixture(open, begin, end);
    tcase_add_test(open, without_a_configuration_nothing_changes);
    tcase_add_test(open, a_pipeline_stands_for_its_writers);
    tcase_add_test(open, options_that_are_missing_are_filled_in);
    tcase_add_test(open, encoders_have_defaults_too);
    tcase_add_test(open, a_default_may_be_an_encoder_with_defaults);
    tcase_add_test(open, pipelines_are_filled_in_as_well);
    tcase_add_test(open, what_is_wrong_is_left_to_be_refused);
    tcase_add_test(open, who_comes_back_to_a_job_is_left_alone);
    return unit_main(suite);
}
