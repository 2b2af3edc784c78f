/* settings.c - see settings.h. One table serves the file, the command line and --help;
 * settings_file.c reads the one, settings_argv.c the other.
 */
#include "daemon/settings.h"

#include "daemon/metrics_address.h"
#include "daemon/pipeline.h"
#include "daemon/settings_table.h"
#include "util/error.h"
#include "util/log.h"

#include <inttypes.h>

#define MIB ((int64_t)1 << 20)
#define TIB ((int64_t)1 << 40)

#define AT(field) offsetof(struct settings, field)

const struct setting settings_table[] = {
    {"socket", "socket", "PATH", SETTING_TEXT, AT(socket), 0, 0, true,
     "listen here (else $LIGHTERD_SOCKET, else\n"
     "$XDG_RUNTIME_DIR/lighterd/lighterd.sock, ...)"},
    {"plugin_dir", "plugin-dir", "DIR", SETTING_TEXT, AT(plugin_dir), 0, 0, true,
     "load the plugins (*.so) of DIR"},
    {"state_dir", "state-dir", "DIR", SETTING_TEXT, AT(state_dir), 0, 0, true,
     "remember unfinished jobs below DIR (else\n"
     "$XDG_STATE_HOME/lighterd, ...)"},
    {"output_roots", "output-roots", "DIRS", SETTING_TEXT, AT(output_roots), 0, 0, true,
     "write only below these directories (with ':' between\nthem)"},
    {"allow_users", "allow-users", "NAMES", SETTING_TEXT, AT(allow_users), 0, 0, true,
     "let these users in too (with ',' between them);\nneeds output_roots"},
    {"allow_groups", "allow-groups", "NAMES", SETTING_TEXT, AT(allow_groups), 0, 0,
     true, "let the members of these groups in too"},
    {"metrics_listen", "metrics-listen", "ADDRESS", SETTING_TEXT, AT(metrics_listen), 0,
     0, true, "serve metrics by HTTP: 127.0.0.1:PORT, [::1]:PORT or\nunix:PATH"},
    {"log_level", "log-level", "LEVEL", SETTING_TEXT, AT(log_level), 0, 0, false,
     "error, warning, info or debug"},
    {"threads", "threads", "N", SETTING_NUMBER, AT(threads), 0, 256, true,
     "workers; 0 is one a processor"},
    {"idle_exit", "idle-exit", "SECONDS", SETTING_NUMBER, AT(idle_exit_s), 0, 1 << 30,
     false, "end after so long without clients and jobs;\n0 is never"},
    {"drain", "drain", "SECONDS", SETTING_NUMBER, AT(drain_s), 0, 1 << 30, false,
     "how long batches may take to be written when the\ndaemon ends"},
    {"sync_interval", "sync-interval", "SECONDS", SETTING_NUMBER, AT(sync_interval_s),
     0, 1 << 30, false,
     "bring what is written to the disk every so often;\n0 is at the end"},
    {"sync_bytes", "sync-bytes", "N", SETTING_NUMBER, AT(sync_bytes), 0, TIB, false,
     "or after so many bytes of a job; 0 is no matter"},
    {"full_wait", "full-wait", "SECONDS", SETTING_NUMBER, AT(full_wait_s), 0, 1 << 30,
     false, "where a disk is full, batches wait so long for\nspace; 0 is not at all"},
    {"rank_wait", "rank-wait", "SECONDS", SETTING_NUMBER, AT(rank_wait_s), 0, 1 << 30,
     false, "a job waits so long for ranks that do not come;\n0 is for ever"},
    {"task_timeout", "task-timeout", "SECONDS", SETTING_NUMBER, AT(task_timeout_s), 0,
     1 << 30, false,
     "end the daemon where a plugin takes so long over\na batch; 0 is never"},
    {"frame_wait", "frame-wait", "SECONDS", SETTING_NUMBER, AT(frame_wait_s), 1,
     1 << 30, false,
     "a client that others wait for may take so long over\na message of more than 256 "
     "KiB"},
    {"max_frame_bytes", "max-frame-bytes", "N", SETTING_NUMBER, AT(max_frame_bytes),
     4096, INT64_C(0xffffffff), false, "largest message"},
    {"max_client_bytes", "max-client-bytes", "N", SETTING_NUMBER, AT(max_client_bytes),
     4096, TIB, false, "of batches on their way, a client; above it the\nclient waits"},
    {"max_daemon_bytes", "max-daemon-bytes", "N", SETTING_NUMBER, AT(max_daemon_bytes),
     4096, TIB, false, "of batches on their way, all clients together"},
    {"max_memory_bytes", "max-memory-bytes", "N", SETTING_NUMBER, AT(max_memory_bytes),
     0, TIB, false, "of memory that a client shares, for its tensors;\n0 is none"},
    {"max_connections", "max-connections", "N", SETTING_NUMBER, AT(max_connections), 1,
     1 << 20, false, "clients at the same time"},
    {"max_client_files", "max-client-files", "N", SETTING_NUMBER, AT(max_client_files),
     0, 1 << 20, false,
     "open files that one client's jobs may need; 0 is half\nof what all may, which is "
     "half of what the system\ngives (ulimit -n)"},
};

#define N_SETTINGS (sizeof settings_table / sizeof *settings_table)

const size_t n_settings = N_SETTINGS;

_Static_assert(N_SETTINGS <= SETTINGS_MAX, "origins has no room");

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
                                  .rank_wait_s = 1800,
                                  .frame_wait_s = 30,
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
    pipelines_free(settings->pipelines);
    *settings = (struct settings){0};
}

char **
setting_text(const struct settings *settings, const struct setting *setting)
{
    return (char **)((char *)settings + setting->offset);
}

int64_t *
setting_number(const struct settings *settings, const struct setting *setting)
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

static void
note_origin(struct settings *settings, const struct setting *setting,
            enum settings_origin origin)
{
    settings->origins[setting - settings_table] = (uint8_t)origin;
}

int
setting_store_text(struct settings *settings, const struct setting *setting,
                   const char *text, enum settings_origin origin,
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
    note_origin(settings, setting, origin);
    return set_text(setting_text(settings, setting), text, err);
}

int
setting_store_number(struct settings *settings, const struct setting *setting,
                     int64_t value, enum settings_origin origin,
                     struct lighter_error *err)
{
    if (value < setting->min || value > setting->max)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'%s' expects a number from %" PRId64 " to %" PRId64
                            ", got %" PRId64,
                            setting->key, setting->min, setting->max, value);
    note_origin(settings, setting, origin);
    *setting_number(settings, setting) = value;
    return 0;
}

/* ---- once more ---- */

static bool
is_same(const struct settings *a, const struct settings *b,
        const struct setting *setting)
{
    const char *x, *y;

    if (setting->type == SETTING_NUMBER)
        return *setting_number(a, setting) == *setting_number(b, setting);
    x = *setting_text(a, setting);
    y = *setting_text(b, setting);
    return x && y ? strcmp(x, y) == 0 : x == y;
}

static void
take_over(struct settings *settings, struct settings *fresh,
          const struct setting *setting)
{
    if (setting->type == SETTING_NUMBER) {
        *setting_number(settings, setting) = *setting_number(fresh, setting);
        return;
    }
    free(*setting_text(settings, setting));
    *setting_text(settings, setting) = *setting_text(fresh, setting); /* moved */
    *setting_text(fresh, setting) = NULL;
}

static void
add_key(char *keys, size_t room, const char *key)
{
    size_t used = strlen(keys);

    snprintf(keys + used, room - used, "%s%s", used ? ", " : "", key);
}

static void
apply_one(struct settings *settings, struct settings *fresh, size_t i,
          struct settings_change *change)
{
    const struct setting *setting = &settings_table[i];
    bool changes = !is_same(settings, fresh, setting);

    if (changes && setting->stays) {
        add_key(change->kept, sizeof change->kept, setting->key);
        return;
    }
    settings->origins[i] = fresh->origins[i];
    if (!changes)
        return;
    add_key(change->applied, sizeof change->applied, setting->key);
    take_over(settings, fresh, setting);
}

void
settings_apply(struct settings *settings, struct settings *fresh,
               struct settings_change *ret_change)
{
    struct pipelines *before = settings->pipelines;

    *ret_change = (struct settings_change){0};
    for (size_t i = 0; i < N_SETTINGS; i++)
        apply_one(settings, fresh, i, ret_change);
    for (enum pipelines_part part = 0; part < PIPELINES_N_PARTS; part++)
        if (!pipelines_are_same(before, fresh->pipelines, part))
            add_key(ret_change->applied, sizeof ret_change->applied,
                    pipelines_part_name(part));
    settings->pipelines = fresh->pipelines; /* moved */
    fresh->pipelines = before;
}

int
settings_again(const struct settings *settings, struct settings *ret_fresh,
               struct lighter_error *err)
{
    int r = settings_init(ret_fresh, err);

    if (r == 0 && settings->config)
        r = settings_read(ret_fresh, settings->config, NULL, err);
    if (r == 0)
        r = settings_read_arguments(ret_fresh, settings->argc, settings->argv, err);
    if (r < 0)
        settings_done(ret_fresh);
    return r;
}
