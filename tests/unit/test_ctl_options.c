/* test_ctl_options.c - the command line of lighterctl: options, verbs, slips. */
#include "tests/unit/unit.h"

#include "client/ctl/options.h"
#include "client/ctl/verbs.h"

#include <getopt.h>

#define MAX_WORDS 8

/* Parse words that end with NULL. They must not move: options borrow them. */
static enum ctl_exit
parse(char **words, struct options *ret_options)
{
    int n_words = 0;

    while (words[n_words])
        n_words++;
    optind = 0; /* glibc: from the start */
    return options_parse(n_words, words, ret_options);
}

START_TEST(options_stand_before_or_after_the_verb)
{
    char *before[] = {"lighterctl", "--socket", "/s", "--json", "plugins", "csv", NULL};
    char *after[] = {"lighterctl", "plugins", "--json", "csv", "--socket=/s", NULL};
    char **words[] = {before, after};

    for (int i = 0; i < 2; i++) {
        struct options options;

        ck_assert_int_eq(parse(words[i], &options), CTL_DONE);
        ck_assert(options.json);
        ck_assert_str_eq(options.socket_path, "/s");
        ck_assert_str_eq(options.verb, "plugins");
        ck_assert_int_eq(options.n_arguments, 1);
        ck_assert_str_eq(options.arguments[0], "csv");
        ck_assert_int_eq(options.timeout_s, OPTIONS_TIMEOUT_DEFAULT_S);
    }
}
END_TEST

static char *wrong[][MAX_WORDS] = {
    {"lighterctl", "--colour", "status"},
    {"lighterctl", "-x", "status"},
    {"lighterctl", "status", "--socket"},
    {"lighterctl", "shutdown", "--timeout", "-1"},
    {"lighterctl", "shutdown", "--timeout", "1.5"},
    {"lighterctl", "shutdown", "--timeout", ""},
    {"lighterctl", "shutdown", "--timeout", "99999999999999999999"},
    {"lighterctl", "tail", "-n", "ten"},
    {"lighterctl", "tail", "-n", "1000001"},
    {"lighterctl", "show", "--stage", "Test"},
};

START_TEST(a_command_line_that_makes_no_sense_is_refused)
{
    struct options options;

    ck_assert_int_eq(parse(wrong[_i], &options), CTL_USAGE);
}
END_TEST

START_TEST(a_verb_is_given_only_the_options_that_it_takes)
{
    char *words[] = {"lighterctl", "watch", "j", "--wait", "--stage=test", NULL};
    struct options options;

    ck_assert_int_eq(parse(words, &options), CTL_DONE);

    ck_assert_int_eq(options_check(&options, "watch", TAKES_STAGE | TAKES_WAIT),
                     CTL_DONE);
    ck_assert_int_eq(options_check(&options, "show", TAKES_STAGE), CTL_USAGE);
    ck_assert_int_eq(options_check(&options, "ping", 0), CTL_USAGE);
}
END_TEST

START_TEST(the_verb_that_was_meant_is_found)
{
    static const char *const slips[][2] = {
        {"statsu", "status"}, {"stat", "status"},    {"job", "jobs"},
        {"pin", "ping"},      {"plugin", "plugins"}, {"shutdwon", "shutdown"},
        {"stop", "top"},      {"drop", NULL},        {"", NULL},
        {"j", NULL},          {"pong", "ping"},      {"a_very_long_word_indeed", NULL}};

    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        const char *nearest = verbs_nearest(slips[i][0]);

        ck_assert_msg(nearest ? slips[i][1] && strcmp(nearest, slips[i][1]) == 0
                              : !slips[i][1],
                      "'%s' gave '%s'", slips[i][0], nearest ? nearest : "none");
    }
}
END_TEST

START_TEST(the_help_of_each_verb_fits_a_screen)
{
    for (size_t i = 0; verbs[i]; i++) {
        int n_lines = 0;

        for (const char *line = verbs[i]->help; *line; n_lines++) {
            size_t width = strcspn(line, "\n");

            ck_assert_msg(width <= 80, "%s: %.*s", verbs[i]->name, (int)width, line);
            line += width + 1;
        }
        ck_assert_msg(n_lines <= 36, "%s: %d lines", verbs[i]->name, n_lines);
    }
}
END_TEST

START_TEST(every_verb_is_found_and_has_help)
{
    for (size_t i = 0; verbs[i]; i++) {
        ck_assert_ptr_eq(verbs_find(verbs[i]->name), verbs[i]);
        ck_assert_ptr_nonnull(strstr(verbs[i]->help, "example:"));
        ck_assert_ptr_nonnull(strstr(verbs[i]->help, "exit codes: 0 "));
    }
    ck_assert_ptr_null(verbs_find("statsu"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("ctl_options");
    TCase *tcase = unit_case(suite, "options");

    tcase_add_test(tcase, options_stand_before_or_after_the_verb);
    tcase_add_loop_test(tcase, a_command_line_that_makes_no_sense_is_refused, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(tcase, a_verb_is_given_only_the_options_that_it_takes);
    tcase_add_test(tcase, the_verb_that_was_meant_is_found);
    tcase_add_test(tcase, the_help_of_each_verb_fits_a_screen);
    tcase_add_test(tcase, every_verb_is_found_and_has_help);
    return unit_main(suite);
}
