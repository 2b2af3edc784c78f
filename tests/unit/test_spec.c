/* test_spec.c - daemon/spec.c: what a rank brings to `open`. */
#include "daemon/spec.h"

#include "tests/unit/pack.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct registry registry;
static struct message message;
static struct job_spec spec;
static struct lighter_error err;

static void
begin(void)
{
    ck_assert_msg(getenv("PLUGIN_DIR") != NULL, "PLUGIN_DIR is set by `make check`");
    ck_assert_int_eq(registry_load(&registry, getenv("PLUGIN_DIR"), &err), 0);
}

static void
end(void)
{
    registry_done(&registry);
}

#define CSV "{'type': 'csv', 'options': {'path': 'p.csv', 'keys': ['x']}}"
#define WITH(params) "{'job': 'j', 'cwd': '/w', 'writers': [" CSV "], " params "}"

static int
try_parse(const char *params)
{
    int r;

    pack_request(&message, 7, "open", params);
    r = job_spec_init(&spec, &registry, &message, &err);
    message_done(&message); /* the spec is on its own */
    return r;
}

static void
parse(const char *params)
{
    ck_assert_msg(try_parse(params) == 0, "%s: %s", params, err.message);
}

static void
expect_refusal(const char *params, const char *text)
{
    ck_assert_msg(try_parse(params) < 0, "%s was taken", params);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_msg(strstr(err.message, text) != NULL, "%s", err.message);
    ck_assert_ptr_null(spec.writers);
    ck_assert_ptr_null(spec.request.data);
}

START_TEST(what_a_rank_does_not_say_has_a_default)
{
    parse(WITH("'unknown': 1"));

    ck_assert_str_eq(spec.name, "j");
    ck_assert_str_eq(spec.stage, "predict");
    ck_assert_uint_eq(spec.rank, 0);
    ck_assert_uint_eq(spec.world_size, 1);
    ck_assert_uint_eq(spec.n_writers, 1);
    ck_assert_str_eq(spec.writers[0].target, "/w/p.csv");
    ck_assert(!spec.resume);
    ck_assert_uint_eq(spec.id, 0);
    ck_assert_uint_eq(spec.answered, 0);
    ck_assert_int_eq(spec.handle, 0);
    job_spec_done(&spec);
}
END_TEST

START_TEST(a_rank_that_comes_back_says_how_far_it_was)
{
    parse(WITH("'resume': true, 'id': 9223372036854775807, 'answered': 41,"
               " 'handle': 3, 'rank': 1, 'world_size': 2, 'stage': 'test'"));

    ck_assert(spec.resume);
    ck_assert_uint_eq(spec.id, INT64_MAX);
    ck_assert_uint_eq(spec.answered, 41);
    ck_assert_int_eq(spec.handle, 3);
    ck_assert_uint_eq(spec.rank, 1);
    ck_assert_uint_eq(spec.world_size, 2);
    ck_assert_str_eq(spec.stage, "test");
    job_spec_done(&spec);
}
END_TEST

START_TEST(a_rank_says_of_which_attempt_it_is_and_what_it_computes_with)
{
    parse(WITH("'attempt': 'slurm-17.0_a.2', 'fingerprint': 'sha256:00 \u00e9'"));

    ck_assert_str_eq(spec.attempt, "slurm-17.0_a.2");
    ck_assert_ptr_nonnull(strstr(spec.fingerprint, "sha256:00"));
    job_spec_done(&spec);
}
END_TEST

START_TEST(the_request_can_be_parsed_again)
{
    struct frame frame;

    parse(WITH("'rank': 1, 'world_size': 4"));
    frame.size = spec.request.size;
    frame.data = malloc(frame.size);
    memcpy(frame.data, spec.request.data, frame.size);
    job_spec_done(&spec);

    ck_assert_int_eq(message_parse(&message, &frame, CHECK_MAX_OBJECTS, &err), 0);
    ck_assert_int_eq(job_spec_init(&spec, &registry, &message, &err), 0);
    message_done(&message);
    ck_assert_str_eq(spec.name, "j");
    ck_assert_uint_eq(spec.world_size, 4);
    ck_assert_str_eq(spec.writers[0].target, "/w/p.csv");
    job_spec_done(&spec);
}
END_TEST

static const char *const wrong[][2] = {
    {"{'cwd': '/w', 'writers': [" CSV "]}", "'job'"},
    {"{'job': '', 'writers': []}", "'job' expects 1 to 100 bytes"},
    {"{'job': 'a/b', 'writers': []}", "'job' expects"},
    {"{'job': '.a', 'writers': []}", "'job' expects"},
    {"{'job': 'a\\nb', 'writers': []}", "'job' expects"},
    {"{'job': 'j'}", "'writers'"},
    {"{'job': 'j', 'writers': []}", "'writers' expects 1 to 64 maps, got 0"},
    {"{'job': 'j', 'cwd': 'w', 'writers': [" CSV "]}", "'cwd' expects"},
    {WITH("'stage': 'dream'"), "'stage' expects"},
    {WITH("'world_size': 0"), "'world_size'"},
    {WITH("'world_size': 65537"), "'world_size'"},
    {WITH("'rank': 1"), "'rank'"},
    {WITH("'rank': -1"), "'rank'"},
    {WITH("'resume': 1"), "'resume'"},
    {WITH("'attempt': ''"), "'attempt' expects 1 to 64 of"},
    {WITH("'attempt': 'a/b'"), "'attempt' expects 1 to 64 of"},
    {WITH("'attempt': 'a23456789b123456789c123456789d123456789e123456789f123456789g1234"
          "5'"),
     "'attempt' expects 1 to 64 of"},
    {WITH("'attempt': 1"), "'attempt'"},
    {WITH("'fingerprint': ''"), "'fingerprint' expects 1 to 1024 bytes"},
    {WITH("'fingerprint': 1"), "'fingerprint'"},
    {WITH("'id': 0"), "'id'"},
    {WITH("'id': -1"), "'id'"},
    {WITH("'id': 'x'"), "'id'"},
    {WITH("'answered': -1"), "'answered'"},
    {WITH("'answered': true"), "'answered'"},
    {WITH("'handle': 0"), "'handle'"},
    {WITH("'handle': 4294967296"), "'handle'"},
    {WITH("'handle': 1.5"), "'handle'"},
};

START_TEST(what_makes_no_sense_is_refused_by_name)
{
    expect_refusal(wrong[_i][0], wrong[_i][1]);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("spec");
    TCase *tcase = unit_case(suite, "spec");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, what_a_rank_does_not_say_has_a_default);
    tcase_add_test(tcase, a_rank_that_comes_back_says_how_far_it_was);
    tcase_add_test(tcase, a_rank_says_of_which_attempt_it_is_and_what_it_computes_with);
    tcase_add_test(tcase, the_request_can_be_parsed_again);
    tcase_add_loop_test(tcase, what_makes_no_sense_is_refused_by_name, 0,
                        sizeof wrong / sizeof *wrong);
    return unit_main(suite);
}
