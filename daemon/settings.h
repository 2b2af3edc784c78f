/* settings.h - what a user can choose: defaults, then a JSON file, then the command
 * line.
 *
 * Read before anything else runs, and once more when somebody asks for it (reload):
 * what can change while the daemon runs does then. Every setting has a default that
 * works.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "daemon/problems.h"

#include <lighter/error.h>

#include <stdbool.h>
#include <stdint.h>

struct pipelines;

/* Who said so. The later wins. */
enum settings_origin { SETTINGS_DEFAULT, SETTINGS_FILE, SETTINGS_COMMAND_LINE };

#define SETTINGS_MAX 64

struct settings {
    char *socket;         /* path; NULL: the environment decides (wire/address.h) */
    char *plugin_dir;     /* directory of *.so */
    char *state_dir;      /* where journals are; NULL: see state.h */
    char *output_roots;   /* directories, with ':' between; NULL: anywhere */
    char *allow_users;    /* names, with ',' between; NULL: none but the daemon's own */
    char *allow_groups;   /* likewise */
    char *metrics_listen; /* metrics_address.h; NULL: nowhere */
    char *log_level;      /* "error", "warning", "info" or "debug" */
    int64_t threads;      /* workers; 0: one a processor */
    int64_t idle_exit_s;  /* end after so long without clients and jobs; 0: never */
    int64_t drain_s;      /* how long batches may take to be written at the end */
    int64_t
        sync_interval_s;  /* what is written is durable after so long; 0: at the end */
    int64_t sync_bytes;   /* or after so many bytes of a job; 0: however many */
    int64_t full_wait_s;  /* a batch waits so long for space on its disk */
    int64_t rank_wait_s;  /* a job waits so long for missing ranks; 0: for ever */
    int64_t frame_wait_s; /* a large message may take so long where others wait */
    int64_t task_timeout_s; /* a plugin may take so long over a batch; 0: for ever */
    int64_t max_frame_bytes;
    int64_t max_client_bytes; /* of batches on their way, for one client */
    int64_t max_daemon_bytes; /* for all */
    int64_t max_memory_bytes; /* that one client shares; 0: none may */
    int64_t max_connections;
    int64_t max_client_files; /* that its jobs may have open; 0: half of what all may */

    uint8_t
        origins[SETTINGS_MAX]; /* an enum settings_origin each, as the table has them */
    struct pipelines *pipelines; /* of the file alone; owned, NULL: none */

    bool foreground, check_config; /* command line only */

    char *config; /* the file that was read, absolute; or NULL */
    int argc;     /* the command line that was read; borrowed */
    char **argv;
};

/* What came of a reload: keys with ", " between them, for people. */
struct settings_change {
    char applied[512];
    char kept[512]; /* those that only a restart changes */
};

int settings_init(struct settings *settings, struct lighter_error *err);
void settings_done(struct settings *settings);

/* Read the JSON object in the file `path`. What is wrong in it is reported to
 * `problems`, and the rest is taken; NULL: the first problem is the error.
 * Return: 0, also where there were problems that were reported; -errno; -EINVAL, and
 *         `err` names the file, the line and the key.
 */
int settings_read(struct settings *settings, const char *path,
                  struct problems *problems, struct lighter_error *err);

enum { SETTINGS_EXIT = 1 };

/* Read the command line, with the --config file before it. --help and --version are
 * answered on standard output. `problems`: as in settings_read().
 * Return: 0; SETTINGS_EXIT where there is nothing more to do; -EINVAL; -errno.
 */
int settings_parse(struct settings *settings, int argc, char **argv,
                   struct problems *problems, struct lighter_error *err);

/* Read what settings_parse() left out: the command line without its file. */
int settings_read_arguments(struct settings *settings, int argc, char **argv,
                            struct lighter_error *err);

/* Read all of it again, as it was read for `settings`. *ret_fresh is to be applied, and
 * then settings_done(). Return: 0; -errno; -EINVAL, as settings_parse().
 */
int settings_again(const struct settings *settings, struct settings *ret_fresh,
                   struct lighter_error *err);

/* Take over from `fresh` what can change while the daemon runs. */
void settings_apply(struct settings *settings, struct settings *fresh,
                    struct settings_change *ret_change);

#endif
