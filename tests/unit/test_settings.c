/* test_settings.c - daemon/settings.c: defaults, a file, the command line. */
#include "daemon/pipeline.h"
#include "daemon/settings_table.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *directory, path[512];
static struct settings settings;
static struct lighter_error err;

static void
begin(void)
{
    directory = unit_tmpdir();
    snprintf(path, sizeof path, "%s/lighterd.json", directory);
    ck_assert_int_eq(settings_init(&settings, &err), 0);
}

static void
end(void)
{
    settings_done(&settings);
    unit_tmpdir_remove(directory);
}

static int
read_text(const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return settings_read(&settings, path, NULL, &err);
}

/* `message` after the file's name. */
static void
expect_refused(const char *text, const char *message)
{
    ck_assert_int_eq(read_text(text), -EINVAL);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_int_eq(strncmp(err.message, path, strlen(path)), 0);
    ck_assert_msg(strncmp(err.message + strlen(path), message, strlen(message)) == 0,
                  "%s", err.message);
}

static int
parse(char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return settings_parse(&settings, argc, argv, NULL, &err);
}

#define PARSE(...) parse((char *[]){"lighterd", __VA_ARGS__, NULL})

/* ---- the file ------------------------------------------------------------------ */

START_TEST(every_setting_has_a_default)
{
    ck_assert_ptr_null(settings.socket);
    ck_assert_ptr_nonnull(settings.plugin_dir);
    ck_assert_str_eq(settings.log_level, "info");
    ck_assert_int_eq(settings.threads, 0);
    ck_assert_int_eq(settings.idle_exit_s, 0);
    ck_assert_int_eq(settings.drain_s, 30);
    ck_assert_int_eq(settings.frame_wait_s, 30);
    ck_assert_int_eq(settings.max_frame_bytes, 256 << 20);
    ck_assert_int_eq(settings.max_client_bytes, 256 << 20);
    ck_assert_int_eq(settings.max_daemon_bytes, 1024 << 20);
    ck_assert_int_eq(settings.max_memory_bytes, 1024 << 20);
    ck_assert_int_eq(settings.max_connections, 1024);
    ck_assert_int_eq(settings.max_client_files, 0);
    ck_assert(!settings.foreground && !settings.check_config);
}
END_TEST

START_TEST(a_file_sets_what_it_names)
{
    ck_assert_int_eq(read_text("{\n  \"socket\": \"/s\", \"plugin_dir\": \"/p\",\n"
                               "  \"log_level\": \"debug\", \"threads\": 3,\n"
                               "  \"max_frame_bytes\": 4294967295\n}\n"),
                     0);
    ck_assert_str_eq(settings.socket, "/s");
    ck_assert_str_eq(settings.plugin_dir, "/p");
    ck_assert_str_eq(settings.log_level, "debug");
    ck_assert_int_eq(settings.threads, 3);
    ck_assert_int_eq(settings.max_frame_bytes, INT64_C(4294967295));
    ck_assert_int_eq(settings.drain_s, 30);
    ck_assert_int_eq(read_text("{}"), 0);
}
END_TEST

START_TEST(a_file_that_is_no_json_is_refused_with_the_line)
{
    expect_refused("{\n\n  \"threads\" 3\n}\n", ":3: ");
    expect_refused("{\"threads\": 1, \"threads\": 2}", ":1: ");
    expect_refused("{} {}", ":1: ");
    expect_refused("[]", ":1: expected an object, {...}");
}
END_TEST

/* What getdelim() leaves in its buffer then is not the file's text. */
START_TEST(an_empty_file_is_refused_whatever_was_read_before)
{
    ck_assert_int_eq(read_text("{\"threads\": 3}"), 0);
    expect_refused("", ":1: '[' or '{' expected near end of file");
}
END_TEST

START_TEST(an_unknown_key_is_refused_with_its_line_and_those_there_are)
{
    expect_refused("{\n\"threads\": 1,\n\n\"thread\": 2}",
                   ":4: unknown key 'thread'; there are: socket, plugin_dir, ");
    expect_refused("{\"Threads\": 2}", ":1: unknown key 'Threads'");
}
END_TEST

START_TEST(a_key_is_found_in_its_own_line)
{
    expect_refused("{\"socket\": \"threads\",\n \"log_level\": \"info\",\n"
                   " \"threads\"\n: -1}",
                   ":3: 'threads' expects a number from 0 to 256, got -1");
    expect_refused("{\"socket\": \"\\\"threads\\\": \",\n\"threads\": 257}",
                   ":2: 'threads' expects a number from 0 to 256, got 257");
}
END_TEST

START_TEST(values_of_the_wrong_type_are_refused)
{
    expect_refused("{\"threads\": \"3\"}",
                   ":1: 'threads' expects a whole number, got a string");
    expect_refused(
        "{\"threads\": 3.0}",
        ":1: 'threads' expects a whole number, got a number with a fraction");
    expect_refused("{\"threads\": null}",
                   ":1: 'threads' expects a whole number, got null");
    expect_refused("{\"socket\": 3}", ":1: 'socket' expects a string");
    expect_refused("{\"socket\": [\"threads\"]}",
                   ":1: 'socket' expects a string, got an array");
    expect_refused("{\"socket\": \"\"}", ":1: 'socket' is empty");
    expect_refused("{\"log_level\": \"loud\"}",
                   ":1: 'log_level' expects error, warning, info or debug, got 'loud'");
}
END_TEST

START_TEST(numbers_are_taken_within_their_ranges_alone)
{
    static const struct {
        const char *key;
        int64_t min, max;
    } ranges[] = {{"threads", 0, 256},
                  {"idle_exit", 0, 1 << 30},
                  {"drain", 0, 1 << 30},
                  {"frame_wait", 1, 1 << 30},
                  {"max_frame_bytes", 4096, INT64_C(0xffffffff)},
                  {"max_client_bytes", 4096, INT64_C(1) << 40},
                  {"max_daemon_bytes", 4096, INT64_C(1) << 40},
                  {"max_memory_bytes", 0, INT64_C(1) << 40},
                  {"max_connections", 1, 1 << 20},
                  {"max_client_files", 0, 1 << 20}};
    char text[128];

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int64_t off = -1; off <= 1; off++) {
            snprintf(text, sizeof text, "{\"%s\": %lld}", ranges[i].key,
                     (long long)(ranges[i].min + off));
            ck_assert_int_eq(read_text(text), off < 0 ? -EINVAL : 0);
            snprintf(text, sizeof text, "{\"%s\": %lld}", ranges[i].key,
                     (long long)(ranges[i].max + off));
            ck_assert_int_eq(read_text(text), off > 0 ? -EINVAL : 0);
        }
}
END_TEST

START_TEST(a_file_that_is_not_there_is_an_os_error)
{
    ck_assert_int_eq(settings_read(&settings, "/nowhere/l.json", NULL, &err), -ENOENT);
    ck_assert_uint_eq(err.code, LIGHTER_E_OS);
    ck_assert_int_eq(settings_read(&settings, directory, NULL, &err), -EISDIR);
}
END_TEST

/* ---- the command line ---------------------------------------------------------- */

START_TEST(every_setting_is_an_option)
{
    ck_assert_int_eq(PARSE("--socket", "/s", "--plugin-dir=/p", "--log-level", "error",
                           "--threads", "2", "--idle-exit", "5", "--drain", "6",
                           "--max-frame-bytes", "4096", "--max-client-bytes", "4097",
                           "--max-daemon-bytes", "4098", "--max-memory-bytes", "8",
                           "--max-connections", "9", "--foreground", "--check-config"),
                     0);
    ck_assert_str_eq(settings.socket, "/s");
    ck_assert_str_eq(settings.plugin_dir, "/p");
    ck_assert_str_eq(settings.log_level, "error");
    ck_assert_int_eq(settings.threads, 2);
    ck_assert_int_eq(settings.idle_exit_s, 5);
    ck_assert_int_eq(settings.drain_s, 6);
    ck_assert_int_eq(settings.max_frame_bytes, 4096);
    ck_assert_int_eq(settings.max_client_bytes, 4097);
    ck_assert_int_eq(settings.max_daemon_bytes, 4098);
    ck_assert_int_eq(settings.max_memory_bytes, 8);
    ck_assert_int_eq(settings.max_connections, 9);
    ck_assert(settings.foreground && settings.check_config);
}
END_TEST

START_TEST(the_command_line_wins_wherever_the_file_is_named)
{
    ck_assert_int_eq(read_text("{\"threads\": 3, \"drain\": 7}"), 0);
    ck_assert_int_eq(PARSE("--threads", "5", "--config", path), 0);
    ck_assert_int_eq(settings.threads, 5);
    ck_assert_int_eq(settings.drain_s, 7);
}
END_TEST

START_TEST(roots_and_users_of_a_file_are_kept)
{
    ck_assert_int_eq(read_text("{\"output_roots\": \"/data\", \"allow_users\": \"ann\","
                               " \"allow_groups\": \"lab\"}"),
                     0);
    ck_assert_int_eq(PARSE("--config", path), 0);
    ck_assert_str_eq(settings.output_roots, "/data");
    ck_assert_str_eq(settings.allow_users, "ann");
    ck_assert_str_eq(settings.allow_groups, "lab");
}
END_TEST

START_TEST(a_file_that_was_named_must_be_there)
{
    ck_assert_int_eq(PARSE("--config", "/nowhere/l.json"), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "'/nowhere/l.json'"));
}
END_TEST

START_TEST(a_file_that_was_named_is_checked)
{
    ck_assert_int_eq(read_text("{\"drain\": -1}"), -EINVAL);
    ck_assert_int_eq(PARSE("--drain", "5", "--config", path), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, ":1: 'drain' expects"));
}
END_TEST

START_TEST(wrong_usage_is_refused)
{
    ck_assert_int_eq(PARSE("--no-such-option"), -EINVAL);
    ck_assert_int_eq(PARSE("--config"), -EINVAL);
    ck_assert_int_eq(PARSE("--threads"), -EINVAL);
    ck_assert_int_eq(PARSE("argument"), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "unexpected argument 'argument'"));
}
END_TEST

START_TEST(numbers_of_the_command_line_are_whole_and_in_range)
{
    ck_assert_int_eq(PARSE("--threads", "3x"), -EINVAL);
    ck_assert_str_eq(err.message, "'threads' expects a whole number, got '3x'");
    ck_assert_int_eq(PARSE("--threads", ""), -EINVAL);
    ck_assert_int_eq(PARSE("--threads", "99999999999999999999"), -EINVAL);
    ck_assert_int_eq(PARSE("--threads", "257"), -EINVAL);
    ck_assert_str_eq(err.message, "'threads' expects a number from 0 to 256, got 257");
    ck_assert_int_eq(PARSE("--log-level", "x"), -EINVAL);
    ck_assert_int_eq(PARSE("--socket", ""), -EINVAL);
}
END_TEST

START_TEST(help_and_version_are_answered)
{
    size_t size;
    char *text;

    ck_assert_ptr_nonnull(freopen(path, "w", stdout));
    ck_assert_int_eq(PARSE("--help"), SETTINGS_EXIT);
    fflush(stdout);
    text = unit_read_file(directory, "lighterd.json", &size);
    ck_assert_int_eq(strncmp(text, "Usage: lighterd ", 16), 0);
    ck_assert_ptr_nonnull(strstr(text, "--max-client-bytes"));
    free(text);
    ck_assert_int_eq(PARSE("--version"), SETTINGS_EXIT);
    fflush(stdout);
    text = unit_read_file(directory, "lighterd.json", NULL);
    ck_assert_ptr_nonnull(strstr(text + size, "lighterd "));
    free(text);
}
END_TEST

/* ---- once more ------------------------------------------------------------------ */

static void
write_config(const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* As daemon_reload() does. */
static int
reload(struct settings_change *ret_change)
{
    struct settings fresh;
    int r = settings_again(&settings, &fresh, &err);

    if (r < 0)
        return r;
    settings_apply(&settings, &fresh, ret_change);
    settings_done(&fresh);
    return 0;
}

START_TEST(a_reload_takes_over_what_can_change)
{
    char *argv[] = {"lighterd", "--config", path, "--max-connections", "7", NULL};
    struct settings_change change;

    write_config("{\"drain\": 5, \"threads\": 2, \"max_connections\": 3}");
    ck_assert_int_eq(parse(argv), 0);
    write_config("{\"drain\": 6, \"threads\": 4, \"log_level\": \"debug\","
                 " \"max_connections\": 9}");
    ck_assert_int_eq(reload(&change), 0);
    ck_assert_str_eq(change.applied, "log_level, drain");
    ck_assert_str_eq(change.kept, "threads");
    ck_assert_int_eq(settings.drain_s, 6);
    ck_assert_str_eq(settings.log_level, "debug");
    ck_assert_int_eq(settings.threads, 2);
    ck_assert_int_eq(settings.max_connections, 7); /* the command line still wins */
}
END_TEST

START_TEST(a_reload_of_something_wrong_changes_nothing)
{
    char *argv[] = {"lighterd", "--config", path, NULL};
    struct settings_change change;

    write_config("{\"drain\": 5}");
    ck_assert_int_eq(parse(argv), 0);
    write_config("{\"drain\": 6, \"threads\": -1}");
    ck_assert_int_eq(reload(&change), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "'threads'"));
    ck_assert_int_eq(settings.drain_s, 5);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(reload(&change), -ENOENT);
    ck_assert_int_eq(settings.drain_s, 5);
}
END_TEST

START_TEST(a_reload_finds_its_file_from_another_directory)
{
    char *argv[] = {"lighterd", "--config", "lighterd.json", NULL};
    struct settings_change change;

    write_config("{\"drain\": 5}");
    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(parse(argv), 0);
    ck_assert_int_eq(chdir("/"), 0);
    write_config("{\"drain\": 6}");
    ck_assert_int_eq(reload(&change), 0);
    ck_assert_int_eq(settings.drain_s, 6);
}
END_TEST

START_TEST(a_reload_takes_over_pipelines_and_defaults)
{
    char *argv[] = {"lighterd", "--config", path, NULL};
    struct settings_change change;

    write_config("{}");
    ck_assert_int_eq(parse(argv), 0);
    ck_assert_ptr_null(settings.pipelines);
    write_config("{\"pipelines\": {\"p\": {\"writers\": [{\"type\": \"csv\"}]}}}");
    ck_assert_int_eq(reload(&change), 0);
    ck_assert_str_eq(change.applied, "pipelines");
    ck_assert_ptr_nonnull(settings.pipelines);
    write_config("{\"defaults\": {\"csv\": {\"keys\": [\"x\"]}}, \"drain\": 1}");
    ck_assert_int_eq(reload(&change), 0);
    ck_assert_str_eq(change.applied, "drain, pipelines, defaults");
    ck_assert_int_eq(reload(&change), 0);
    ck_assert_str_eq(change.applied, "");
}
END_TEST

/* ---- who said so ---------------------------------------------------------------- */

static enum settings_origin
origin_of(const char *key)
{
    for (size_t i = 0; i < n_settings; i++)
        if (strcmp(settings_table[i].key, key) == 0)
            return settings.origins[i];
    ck_abort_msg("there is no setting '%s'", key);
}

START_TEST(a_setting_knows_who_has_set_it_last)
{
    char *argv[] = {"lighterd", "--threads", "5", "--config", path, NULL};
    struct settings_change change;

    write_config("{\"threads\": 3, \"drain\": 30}");
    ck_assert_int_eq(parse(argv), 0);
    ck_assert_int_eq(origin_of("threads"), SETTINGS_COMMAND_LINE);
    ck_assert_int_eq(origin_of("drain"), SETTINGS_FILE); /* though it is the default */
    ck_assert_int_eq(origin_of("sync_bytes"), SETTINGS_DEFAULT);
    write_config("{\"sync_bytes\": 7, \"state_dir\": \"/elsewhere\"}");
    ck_assert_int_eq(reload(&change), 0);
    ck_assert_int_eq(origin_of("drain"), SETTINGS_DEFAULT);
    ck_assert_int_eq(origin_of("sync_bytes"), SETTINGS_FILE);
    ck_assert_int_eq(origin_of("state_dir"), SETTINGS_DEFAULT); /* it has not changed */
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("settings");
    TCase *file = unit_case(suite, "file");
    TCase *line = unit_case(suite, "command line");
    TCase *again = unit_case(suite, "once more");

    tcase_add_checked_fixture(file, begin, end);
    tcase_add_test(file, every_setting_has_a_default);
    tcase_add_test(file, a_file_sets_what_it_names);
    tcase_add_test(file, a_file_that_is_no_json_is_refused_with_the_line);
    tcase_add_test(file, an_empty_file_is_refused_whatever_was_read_before);
    tcase_add_test(file, an_unknown_key_is_refused_with_its_line_and_those_there_are);
    tcase_add_test(file, a_key_is_found_in_its_own_line);
    tcase_add_test(file, values_of_the_wrong_type_are_refused);
    tcase_add_test(file, numbers_are_taken_within_their_ranges_alone);
    tcase_add_test(file, a_file_that_is_not_there_is_an_os_error);
    tcase_add_checked_fixture(line, begin, end);
    tcase_add_test(line, every_setting_is_an_option);
    tcase_add_test(line, the_command_line_wins_wherever_the_file_is_named);
    tcase_add_test(line, roots_and_users_of_a_file_are_kept);
    tcase_add_test(line, a_file_that_was_named_must_be_there);
    tcase_add_test(line, a_file_that_was_named_is_checked);
    tcase_add_test(line, wrong_usage_is_refused);
    tcase_add_test(line, numbers_of_the_command_line_are_whole_and_in_range);
    tcase_add_test(line, help_and_version_are_answered);
    tcase_add_checked_fixture(again, begin, end);
    tcase_add_test(again, a_reload_takes_over_what_can_change);
    tcase_add_test(again, a_reload_of_something_wrong_changes_nothing);
    tcase_add_test(again, a_reload_finds_its_file_from_another_directory);
    tcase_add_test(again, a_setting_knows_who_has_set_it_last);
    tcase_add_test(again, a_reload_takes_over_pipelines_and_defaults);
    return unit_main(suite);
}
