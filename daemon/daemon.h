/* daemon.h - the one daemon object: what it listens on, who is connected, what is live.
 *
 * main() sets it up and runs it; conn, session and control reach the rest through it.
 * Loop thread only.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "daemon/job.h"
#include "daemon/listener.h"
#include "daemon/settings.h"
#include "daemon/turns.h"

#include <time.h>

struct conn;
struct metrics_http;

struct daemon {
    struct settings *settings; /* borrowed; daemon_reload() changes them */
    uv_loop_t loop;
    struct registry registry;
    struct quota quota; /* of all batches on their way */
    struct jobs jobs;
    struct state state;
    struct visitors visitors;
    struct listener listener;
    TAILQ_HEAD(, conn) conns;
    TAILQ_HEAD(, conn) paused; /* those of them that wait for room */
    struct turns turns;        /* of those that send large messages */
    unsigned n_conns;
    unsigned n_threads;
    uint64_t started_at; /* uv_now(), ms */
    time_t started_wall_s;
    struct metrics_http *metrics; /* NULL: they are not served */
    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t idle;     /* until nobody has come for so long */
    uv_timer_t watchdog; /* the service manager wants to hear of us */
    uv_timer_t drain;    /* until batches have had their time */
    uint64_t stopped_at; /* uv_now(), ms */
    int64_t drain_s;     /* how long that may be */
    bool stopping, said_goodbye;
};

/* Plugins, loop, socket. After it returned 0 clients are served as soon as the loop
 * runs. Return: 0; LISTENER_TAKEN (> 0): another daemon serves the socket; -errno.
 */
int daemon_init(struct daemon *daemon, struct settings *settings,
                struct lighter_error *err);

/* Serve until told to stop. Return: true: all that was begun has been written; false:
 * the time to drain was over before, and workers still run: only _exit() is left.
 */
bool daemon_run(struct daemon *daemon);
void daemon_done(struct daemon *daemon);

/* No more clients; those batches that are here are written, within `drain_s`
 * (DRAIN_SET: as it is set), then the loop ends. While it stops already only the time
 * changes.
 */
#define DRAIN_SET ((int64_t)-1)
void daemon_stop(struct daemon *daemon, int64_t drain_s);

/* Read the settings again, and go by them: limits of a client hold for who connects
 * from now on. Return: 0; what settings_again() and pipelines_check() give, and nothing
 * has changed.
 */
int daemon_reload(struct daemon *daemon, struct settings_change *ret_change,
                  struct lighter_error *err);

/* Somebody came or went: is it time to count down to the idle exit? */
void daemon_check_idle(struct daemon *daemon);

#endif
