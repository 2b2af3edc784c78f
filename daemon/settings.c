/* settings.c - see settings.h. One table serves the file, the command line and --help.
 */
#include "config.h"

#include "daemon/settings.h"

#include "daemon/metrics_address.h"
#include "util/error.h"
#include "util/log.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>

#define MIB ((int64_t)1 << 20)
#define TIB ((int64_t)1 << 40)

enum setting_type { TEXT, NUMBER };

struct setting {
    const char *key;    /* in the file */
    const char *option; /* on the command line */
    const char *metavar;
    enum setting_type type;
    size_t offset;
    int64_t min, max;
    bool stays; /* for the daemon's life */
    const char *help;
};

#define AT(field) offsetof(struct settings, field)

static const struct setting table[] = {
    {"socket", "socket", "PATH", TEXT, AT(socket), 0, 0, true,
     "listen here (else $LIGHTERD_SOCKET, else\n"
     "$XDG_RUNTIME_DIR/lighterd/lighterd.sock, ...)"},
    {"plugin_dir", "plugin-dir", "DIR", TEXT, AT(plugin_dir), 0, 0, true,
     "load the plugins (*.so) of DIR"},
    {"state_dir", "state-dir", "DIR", TEXT, AT(state_dir), 0, 0, true,
     "remember unfinished jobs below DIR (else\n"
     "$XDG_STATE_HOME/lighterd, ...)"},
    {"output_roots", "output-roots", "DIRS", TEXT, AT(output_roots), 0, 0, true,
     "write only below these directories (with ':' between\nthem)"},
    {"allow_users", "allow-users", "NAMES", TEXT, AT(allow_users), 0, 0, true,
     "let these users in too (with ',' between them);\nneeds output_roots"},
    {"allow_groups", "allow-groups", "NAMES", TEXT, AT(allow_groups), 0, 0, true,
     "let the members of these groups in too"},
    {"metrics_listen", "metrics-listen", "ADDRESS", TEXT, AT(metrics_listen), 0, 0,
     true, "serve metrics by HTTP: 127.0.0.1:PORT, [::1]:PORT or\nunix:PATH"},
    {"log_level", "log-level", "LEVEL", TEXT, AT(log_level), 0, 0, false,
     "error, warning, info or debug"},
    {"threads", "threads", "N", NUMBER, AT(threads), 0, 256, true,
     "workers; 0 is one a processor"},
    {"idle_exit", "idle-exit", "SECONDS", NUMBER, AT(idle_exit_s), 0, 1 << 30, false,
     "end after so long without clients and jobs;\n0 is never"},
    {"drain", "drain", "SECONDS", NUMBER, AT(drain_s), 0, 1 << 30, false,
     "how long batches may take to be written when the\ndaemon ends"},
    {"sync_interval", "sync-interval", "SECONDS", NUMBER, AT(sync_interval_s), 0,
     1 << 30, false,
     "bring what is written to the disk every so often;\n0 is at the end"},
    {"sync_bytes", "sync-bytes", "N", NUMBER, AT(sync_bytes), 0, TIB, false,
     "or after so many bytes of a job; 0 is no matter"},
    {"full_wait", "full-wait", "SECONDS", NUMBER, AT(full_wait_s), 0, 1 << 30, false,
     "where a disk is full, batches wait so long for\nspace; 0 is not at all"},
    {"task_timeout", "task-timeout", "SECONDS", NUMBER, AT(task_timeout_s), 0, 1 << 30,
     false, "end the daemon where a plugin takes so long over\na batch; 0 is never"},
    {"max_frame_bytes", "max-frame-bytes", "N", NUMBER, AT(max_frame_bytes), 4096,
     INT64_C(0xffffffff), false, "largest message"},
    {"max_client_bytes", "max-client-bytes", "N", NUMBER, AT(max_client_bytes), 4096,
     TIB, false, "of batches on their way, a client; above it the\nclient waits"},
    {"max_daemon_bytes", "max-daemon-bytes", "N", NUMBER, AT(max_daemon_bytes), 4096,
     TIB, false, "of batches on their way, all clients together"},
    {"max_memory_bytes", "max-memory-bytes", "N", NUMBER, AT(max_memory_bytes), 0, TIB,
     false, "of memory that a client shares, for its tensors;\n0 is none"},
    {"max_connections", "max-connections", "N", NUMBER, AT(max_connections), 1, 1 << 20,
     false, "clients at the same time"},
};

#define N_SETTINGS (sizeof table / sizeof *table)

static int
set_text(char **field, const char *text, struct lighter_error *err)
{
    char *copy = strdup(text);

    if (!copy)
        return fail_nomem(err);
    free(*field);
    *field = copy;
    return 0;
}

int
settings_init(struct settings *settings, struct lighter_error *err)
{
    int r;

    *settings = (struct settings){.drain_s = 30,
                                  .sync_interval_s = 30,
                                  .sync_bytes = 256 * MIB,
                                  .full_wait_s = 300,
                                  .max_frame_bytes = 256 * MIB,
                                  .max_client_bytes = 256 * MIB,
                                  .max_daemon_bytes = 1024 * MIB,
                                  .max_memory_bytes = 1024 * MIB,
                                  .max_connections = 1024};
    r = set_text(&settings->plugin_dir, LIGHTERD_PLUGIN_DIR, err);
    return r < 0 ? r : set_text(&settings->log_level, "info", err);
}

void
settings_done(struct settings *settings)
{
    free(settings->socket);
    free(settings->plugin_dir);
    free(settings->state_dir);
    free(settings->output_roots);
    free(settings->allow_users);
    free(settings->allow_groups);
    free(settings->config);
    free(settings->metrics_listen);
    free(settings->log_level);
    *settings = (struct settings){0};
}

static char **
text_field(struct settings *settings, const struct setting *setting)
{
    return (char **)((char *)settings + setting->offset);
}

static int64_t *
number_field(struct settings *settings, const struct setting *setting)
{
    return (int64_t *)((char *)settings + setting->offset);
}

/* Each is an absolute path, and none is empty. */
static int
check_roots(const char *roots, struct lighter_error *err)
{
    for (const char *root = roots; root; root = strchr(root, ':')) {
        root += *root == ':';
        if (*root != '/')
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "'output_roots' expects absolute paths, got '%.200s'",
                                roots);
    }
    return 0;
}

static int
check_metrics(const char *text, struct lighter_error *err)
{
    struct sockaddr_storage address;
    socklen_t size;

    return metrics_address(text, &address, &size, err);
}

static int
store_text(struct settings *settings, const struct setting *setting, const char *text,
           struct lighter_error *err)
{
    if (!*text)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' is empty", setting->key);
    if (setting->offset == AT(log_level) && log_level_from_name(text) < 0)
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'log_level' expects error, warning, info or debug, got '%.64s'", text);
    if (setting->offset == AT(output_roots) && check_roots(text, err) < 0)
        return -EINVAL;
    if (setting->offset == AT(metrics_listen) && check_metrics(text, err) < 0)
        return -EINVAL;
    return set_text(text_field(settings, setting), text, err);
}

static int
store_number(struct settings *settings, const struct setting *setting, int64_t value,
             struct lighter_error *err)
{
    if (value < setting->min || value > setting->max)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects a number from %" PRId64 " to %" PRId64
                            ", got %" PRId64,
                            setting->key, setting->min, setting->max, value);
    *number_field(settings, setting) = value;
    return 0;
}

/* ---- the file ---- */

/* The line of a top-level key, for messages: jansson keeps none. The text is sound
 * JSON.
 */
static int
line_of(const char *text, const char *key)
{
    size_t size = strlen(key);
    int line = 1, depth = 0;

    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            line++;
        else if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        if (*p != '"')
            continue;
        if (depth == 1 && strncmp(p + 1, key, size) == 0 && p[1 + size] == '"' &&
            p[2 + size + strspn(p + 2 + size, " \t\r\n")] == ':')
            return line;
        for (p++; *p != '"'; p++)
            p += *p == '\\';
    }
    return 0;
}

static const struct setting *
find_setting(const char *key)
{
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (strcmp(table[i].key, key) == 0)
            return &table[i];
    return NULL;
}

static int
store_json(struct settings *settings, const char *key, const json_t *value,
           struct lighter_error *err)
{
    const struct setting *setting = find_setting(key);
    char keys[512] = "";
    size_t used = 0;

    if (!setting) {
        for (size_t i = 0; i < N_SETTINGS && used < sizeof keys; i++)
            used += (size_t)snprintf(keys + used, sizeof keys - used, "%s%s",
                                     i ? ", " : "", table[i].key);
        return lighter_fail(err, LIGHTER_E_PARAMS, "unknown key '%.64s'; there are: %s",
                            key, keys);
    }
    if (setting->type == TEXT && json_is_string(value))
        return store_text(settings, setting, json_string_value(value), err);
    if (setting->type == NUMBER && json_is_integer(value))
        return store_number(settings, setting, json_integer_value(value), err);
    return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' expects a %s", key,
                        setting->type == TEXT ? "string" : "whole number");
}

static int
store_all(struct settings *settings, const char *path, const char *text, json_t *root,
          struct lighter_error *err)
{
    const char *key;
    json_t *value;
    int r;

    if (!json_is_object(root))
        return lighter_fail(err, LIGHTER_E_PARAMS, "%s:1: expected an object, {...}",
                            path);
    json_object_foreach (root, key, value) {
        r = store_json(settings, key, value, err);
        if (r < 0)
            return error_wrap(err, r, "%s:%d", path, line_of(text, key));
    }
    return 0;
}

static int
read_text(const char *path, char **ret_text, struct lighter_error *err)
{
    FILE *file = fopen(path, "re");
    size_t room = 0;
    ssize_t size;

    *ret_text = NULL;
    if (!file)
        return lighter_fail_os(err, errno, "read '%s'", path);
    size = getdelim(ret_text, &room, '\0', file); /* to the end: JSON has no NUL */
    if (size < 0 && *ret_text)
        **ret_text = '\0'; /* an empty file leaves it as it was allocated */
    if (size < 0 && ferror(file)) {
        int errnum = errno;

        fclose(file);
        return lighter_fail_os(err, errnum, "read '%s'", path);
    }
    fclose(file);
    return 0;
}

int
settings_read(struct settings *settings, const char *path, struct lighter_error *err)
{
    AUTO(free_bytes) char *text = NULL;
    json_error_t problem;
    json_t *root;
    int r = read_text(path, &text, err);

    if (r < 0)
        return r;
    root = json_loads(text ? text : "", JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return lighter_fail(err, LIGHTER_E_PARAMS, "%s:%d: %s", path,
                            problem.line > 0 ? problem.line : 1, problem.text);
    r = store_all(settings, path, text, root, err);
    json_decref(root);
    return r;
}

/* ---- the command line ---- */

enum {
    OPTION_CONFIG = 1000,
    OPTION_CHECK,
    OPTION_FOREGROUND,
    OPTION_HELP,
    OPTION_VERSION
};

#define N_OPTIONS (N_SETTINGS + 6)

static void
list_options(struct option options[N_OPTIONS])
{
    static const struct option others[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"check-config", no_argument, NULL, OPTION_CHECK},
        {"foreground", no_argument, NULL, OPTION_FOREGROUND},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0}};

    for (size_t i = 0; i < N_SETTINGS; i++)
        options[i] = (struct option){table[i].option, required_argument, NULL, (int)i};
    memcpy(options + N_SETTINGS, others, sizeof others);
}

static void
print_option(const char *name, const char *metavar, const char *help)
{
    char head[64];

    snprintf(head, sizeof head, "--%s%s%s", name, *metavar ? " " : "", metavar);
    for (const char *line = help; line; head[0] = '\0') {
        const char *end = strchr(line, '\n');

        printf("  %-22s %.*s\n", head, end ? (int)(end - line) : (int)strlen(line),
               line);
        line = end ? end + 1 : NULL;
    }
}

static void
print_help(void)
{
    puts("Usage: lighterd [OPTION]...\n"
         "\n"
         "Writes what models predict: takes batches from training processes over a "
         "Unix\n"
         "socket and publishes whole CSV tables, tensors and images at an epoch's "
         "end.\n"
         "Without options it goes into the background and serves this user.\n");
    print_option("config", "FILE",
                 "read settings from a JSON file; the options below,\n"
                 "with '_' for '-', are its keys");
    for (size_t i = 0; i < N_SETTINGS; i++)
        print_option(table[i].option, table[i].metavar, table[i].help);
    print_option("foreground", "", "stay in the foreground and log to standard error");
    print_option("check-config", "",
                 "read settings and plugins, say what is wrong, end");
    print_option("help", "", "this text");
    print_option("version", "", "the version");
    puts("\n"
         "Exit status: 0 done; 1 failed; 2 wrong usage or configuration; 3 another\n"
         "lighterd serves this socket.\n"
         "\n"
         "Example: lighterd --foreground --socket /tmp/l.sock\n"
         "See lighterctl(1) for looking at it and stopping it, lighterd(8) for more.");
}

static int
store_argument(struct settings *settings, const struct setting *setting,
               const char *text, struct lighter_error *err)
{
    char *end;
    int64_t value;

    if (setting->type == TEXT)
        return store_text(settings, setting, text, err);
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects a whole number, got '%.64s'", setting->key,
                            text);
    return store_number(settings, setting, value, err);
}

static int
store_option(struct settings *settings, int option, struct lighter_error *err)
{
    switch (option) {
    case OPTION_CONFIG:
        return 0; /* read before */
    case OPTION_CHECK:
        settings->check_config = true;
        return 0;
    case OPTION_FOREGROUND:
        settings->foreground = true;
        return 0;
    case OPTION_HELP:
        print_help();
        return SETTINGS_EXIT;
    case OPTION_VERSION:
        puts("lighterd " PACKAGE_VERSION);
        return SETTINGS_EXIT;
    case '?': /* getopt has said what */
        return lighter_fail(err, LIGHTER_E_PARAMS, "see lighterd --help");
    default:
        return store_argument(settings, &table[option], optarg, err);
    }
}

/* By its absolute name: the background has another working directory. */
static int
read_config(struct settings *settings, const char *path, struct lighter_error *err)
{
    int r = settings_read(settings, path, err);

    if (r < 0)
        return r;
    free(settings->output_roots);
    free(settings->allow_users);
    free(settings->allow_groups);
    free(settings->config);
    settings->config = realpath(path, NULL);
    return settings->config ? 0 : lighter_fail_os(err, errno, "find '%s'", path);
}

/* The command line wins over the file wherever --config stands in it. */
static int
read_config_option(struct settings *settings, int argc, char **argv,
                   const struct option *options, struct lighter_error *err)
{
    int option, r = 0;

    opterr = 0;
    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        if (option == OPTION_CONFIG)
            r = read_config(settings, optarg, err);
    opterr = 1;
    optind = 1;
    return r;
}

static int
read_arguments(struct settings *settings, int argc, char **argv,
               const struct option *options, struct lighter_error *err)
{
    int option, r = 0;

    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        r = store_option(settings, option, err);
    if (r == 0 && optind < argc)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "unexpected argument '%.64s'; see lighterd --help",
                            argv[optind]);
    return r;
}

int
settings_parse(struct settings *settings, int argc, char **argv,
               struct lighter_error *err)
{
    struct option options[N_OPTIONS];
    int r;

    settings->argc = argc;
    settings->argv = argv;
    list_options(options);
    r = read_config_option(settings, argc, argv, options, err);
    if (r == 0)
        r = read_arguments(settings, argc, argv, options, err);
    if (r == 0 && (settings->allow_users || settings->allow_groups) &&
        !settings->output_roots)
        return lighter_fail(
            err, LIGHTER_E_PARAMS,
            "'allow_users' and 'allow_groups' need 'output_roots': others "
            "could write wherever this user may");
    return r;
}

/* ---- once more ---- */

static bool
is_same(struct settings *a, struct settings *b, const struct setting *setting)
{
    const char *x, *y;

    if (setting->type == NUMBER)
        return *number_field(a, setting) == *number_field(b, setting);
    x = *text_field(a, setting);
    y = *text_field(b, setting);
    return x && y ? strcmp(x, y) == 0 : x == y;
}

static void
take_over(struct settings *settings, struct settings *fresh,
          const struct setting *setting)
{
    if (setting->type == NUMBER) {
        *number_field(settings, setting) = *number_field(fresh, setting);
        return;
    }
    free(*text_field(settings, setting));
    *text_field(settings, setting) = *text_field(fresh, setting); /* moved */
    *text_field(fresh, setting) = NULL;
}

static void
add_key(char *keys, size_t room, const char *key)
{
    size_t used = strlen(keys);

    snprintf(keys + used, room - used, "%s%s", used ? ", " : "", key);
}

int
settings_reload(struct settings *settings, struct settings_change *ret_change,
                struct lighter_error *err)
{
    struct option options[N_OPTIONS];
    struct settings fresh;
    int r = settings_init(&fresh, err);

    *ret_change = (struct settings_change){0};
    list_options(options);
    if (r == 0 && settings->config)
        r = settings_read(&fresh, settings->config, err);
    if (r == 0)
        r = read_arguments(&fresh, settings->argc, settings->argv, options, err);
    for (size_t i = 0; i < N_SETTINGS && r == 0; i++) {
        if (is_same(settings, &fresh, &table[i]))
            continue;
        if (table[i].stays) {
            add_key(ret_change->kept, sizeof ret_change->kept, table[i].key);
            continue;
        }
        add_key(ret_change->applied, sizeof ret_change->applied, table[i].key);
        take_over(settings, &fresh, &table[i]);
    }
    settings_done(&fresh);
    return r;
}
