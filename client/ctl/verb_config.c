/* verb_config.c - the settings of a running daemon, and a check of a file of settings.
 *
 * lighterd itself checks the file, so that what is sound here is sound there.
 */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] config show\n"
    "       lighterctl [--json] config check FILE\n"
    "\n"
    "show: by which settings the daemon goes, and who said so: \"default\" nobody,\n"
    "\"file\" its configuration file, \"command line\" whoever started it. RELOADS "
    "says\n"
    "whether reload changes it. Then the pipelines and defaults of the file.\n"
    "\n"
    "check: is FILE a configuration that lighterd would take? All that is wrong is\n"
    "told, a line each; of one writer's options the first. It needs no daemon: it\n"
    "asks the lighterd that is installed, or that $LIGHTERD names.\n"
    "\n"
    "example:\n"
    "  $ lighterctl config check lighterd.json\n"
    "  lighterctl: lighterd.json:3: 'threads' expects a number from 0 to 256, got 999\n"
    "\n"
    "exit codes: 0 done, 1 the configuration is wrong, 2 wrong usage, 3 no daemon\n"
    "listens.\n";

/* ---- show ---- */

/* A text as it is, a number or a map as JSON has it. */
static char *
show_value(const json_t *value)
{
    char *text;

    if (!value || json_is_null(value) || json_is_string(value))
        return show_text(value);
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    return text ? text : formatted("-");
}

static const struct field setting_fields[] = {
    {"SETTING", "key", show_text, FIELD_LEFT},
    {"VALUE", "value", show_value, FIELD_LEFT},
    {"FROM", "origin", show_text, FIELD_LEFT},
    {"RELOADS", "reloads", show_flag, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

/* As they stand in the file: they may be copied from here. */
static void
print_part(const json_t *result, const char *key)
{
    const json_t *part = json_object_get(result, key);
    json_t *shown;

    if (json_object_size(part) == 0)
        return;
    shown = json_pack("{s:O}", key, part);
    putchar('\n');
    output_json(stdout, shown);
    json_decref(shown);
}

static enum ctl_exit
print_settings(const json_t *result)
{
    AUTO(free_bytes) char *file = show_text(json_object_get(result, "file"));
    const json_t *settings = ask_rows(result, "settings");

    if (!settings)
        return CTL_FAILED;
    printf("file: %s\n\n", file);
    output_table(stdout, setting_fields, settings);
    print_part(result, "pipelines");
    print_part(result, "defaults");
    return CTL_DONE;
}

static enum ctl_exit
show(const struct options *options)
{
    json_t *result;
    enum ctl_exit done = ask(options, "config", NULL, &result);

    if (done != CTL_DONE)
        return done;
    if (options->json)
        output_json(stdout, result);
    else
        done = print_settings(result);
    json_decref(result);
    return done;
}

/* ---- check ---- */

/* What it says on standard error comes out of *ret_said. Return: 0; an errno. */
static int
start_lighterd(char **argv, pid_t *ret_pid, FILE **ret_said)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    r = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *ret_said = r ? NULL : fdopen(ends[0], "r");
    if (!*ret_said)
        close(ends[0]);
    return r;
}

static json_t *
read_problems(FILE *said)
{
    static const char who[] = "lighterd: ";
    json_t *problems = json_array();
    char *line = NULL;
    size_t room = 0;

    while (said && getline(&line, &room, said) > 0) {
        line[strcspn(line, "\n")] = '\0';
        json_array_append_new(
            problems,
            json_string(line + (strncmp(line, who, strlen(who)) ? 0 : strlen(who))));
    }
    free(line);
    if (said)
        fclose(said);
    return problems;
}

static void
print_problems(const struct options *options, const char *file, json_t *problems,
               bool is_sound)
{
    if (options->json) {
        json_t *result = json_pack("{s:s, s:b, s:O}", "file", file, "sound", is_sound,
                                   "problems", problems);

        output_json(stdout, result);
        json_decref(result);
        return;
    }
    for (size_t i = 0; i < json_array_size(problems); i++)
        complain("%s", json_string_value(json_array_get(problems, i)));
    if (is_sound)
        printf("%s is sound\n", file);
    else if (json_array_size(problems) == 0)
        complain("lighterd did not take %s, and did not say why", file);
}

static enum ctl_exit
check(const struct options *options)
{
    char *told = getenv("LIGHTERD"), *file = options->arguments[1];
    char *argv[] = {told && *told ? told : LIGHTERD, "--check-config", "--config", file,
                    NULL};
    int status = -1, r;
    json_t *problems;
    bool is_sound;
    FILE *said;
    pid_t pid;

    r = start_lighterd(argv, &pid, &said);
    if (r) {
        complain("run %s: %s", argv[0], strerror(r));
        return CTL_FAILED;
    }
    problems = read_problems(said);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    is_sound = status == 0;
    print_problems(options, file, problems, is_sound);
    json_decref(problems);
    return is_sound ? CTL_DONE : CTL_FAILED;
}

static enum ctl_exit
run(const struct options *options)
{
    const char *what = options->arguments[0];

    if (strcmp(what, "show") == 0 && options->n_arguments == 1)
        return show(options);
    if (strcmp(what, "check") == 0 && options->n_arguments == 2)
        return check(options);
    complain("expected 'config show' or 'config check FILE'; see lighterctl config "
             "--help");
    return CTL_USAGE;
}

const struct verb verb_config = {.name = "config",
                                 .summary =
                                     "show its settings, or check a file of them",
                                 .help = help,
                                 .min_arguments = 1,
                                 .max_arguments = 2,
                                 .run = run};
