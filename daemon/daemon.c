/* daemon.c - see daemon.h. */
#include "daemon/daemon.h"

#include "daemon/conn.h"
#include "daemon/metrics_http.h"
#include "daemon/pipeline.h"
#include "daemon/service.h"
#include "util/error.h"
#include "util/log.h"
#include "wire/address.h"

#include <limits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* One a processor that this process may use, and two at least: one may wait for a disk.
 */
static unsigned
count_threads(const struct settings *settings)
{
    cpu_set_t set;
    int n = 0;

    if (settings->threads)
        return (unsigned)settings->threads;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    return n < 2 ? 2 : (unsigned)n;
}

/* libuv's own pool only gives memory back (memory.c). It reads its size once. */
static void
size_libuv_pool(void)
{
    setenv("UV_THREADPOOL_SIZE", "1", 1);
}

static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* where it fails the old one holds */
}

/* Of all descriptors a quarter may be connections, and another what they bring: the
 * rest is for the outputs of jobs.
 */
static rlim_t
quarter_of_descriptors(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX
               ? limit.rlim_cur / 4
               : INT_MAX / 4;
}

static unsigned
max_connections(const struct daemon *daemon)
{
    rlim_t max = (rlim_t)daemon->settings->max_connections;

    return (unsigned)(quarter_of_descriptors() < max ? quarter_of_descriptors() : max);
}

/* ---- the end ---- */

static void
close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* All batches have been written: let go of everybody. The loop ends by itself when the
 * last worker has come back; the timer watches over that, but does not keep it alive.
 */
static void
say_goodbye(struct daemon *daemon)
{
    daemon->said_goodbye = true;
    conn_close_all(daemon);
    daemon->metrics = metrics_http_close(daemon->metrics);
    jobs_stop(&daemon->jobs);
    close_handle((uv_handle_t *)&daemon->sigterm);
    close_handle((uv_handle_t *)&daemon->sigint);
    close_handle((uv_handle_t *)&daemon->sighup);
    close_handle((uv_handle_t *)&daemon->idle);
    close_handle((uv_handle_t *)&daemon->watchdog);
    turns_close(&daemon->turns);
    uv_unref((uv_handle_t *)&daemon->drain);
}

static bool
is_working(const struct daemon *daemon)
{
    const struct job *job;

    if (daemon->quota.used)
        return true;
    TAILQ_FOREACH (job, &daemon->jobs.live, link)
        if (job->n_changing || job->state == JOB_PREPARING ||
            job->state == JOB_PUBLISHING)
            return true;
    return false;
}

/* While it stops: is everything written? Looked at often, for it is over soon. */
static void
on_drain_tick(uv_timer_t *timer)
{
    struct daemon *daemon = timer->data;
    uint64_t waited_s = (uv_now(&daemon->loop) - daemon->stopped_at) / 1000;

    if (!daemon->said_goodbye && !is_working(daemon))
        say_goodbye(daemon);
    if (waited_s >= (uint64_t)daemon->drain_s)
        uv_stop(&daemon->loop);
}

void
daemon_stop(struct daemon *daemon, int64_t drain_s)
{
    if (drain_s != DRAIN_SET || !daemon->stopping)
        daemon->drain_s = drain_s == DRAIN_SET ? daemon->settings->drain_s : drain_s;
    if (daemon->stopping)
        return;
    daemon->stopping = daemon->jobs.stopping = true;
    daemon->stopped_at = uv_now(&daemon->loop);
    service_notify("STOPPING=1");
    log_info("stopping socket=%s", LOG_VALUE(daemon->listener.address.sun_path));
    listener_stop(&daemon->listener);
    uv_timer_start(&daemon->drain, on_drain_tick, 0, 10);
}

static void
on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    daemon_stop(signal->data, DRAIN_SET);
}

int
daemon_reload(struct daemon *daemon, struct settings_change *ret_change,
              struct lighter_error *err)
{
    struct settings fresh;
    int r = settings_again(daemon->settings, &fresh, err);

    if (r < 0)
        return r;
    r = pipelines_check(fresh.pipelines, &daemon->registry, NULL, err);
    if (r == 0)
        settings_apply(daemon->settings, &fresh, ret_change);
    settings_done(&fresh);
    if (r < 0)
        return r;
    log_set_level((enum log_level)log_level_from_name(daemon->settings->log_level));
    daemon->quota.max = (size_t)daemon->settings->max_daemon_bytes;
    conn_resume_paused(daemon);
    if (!daemon->settings->idle_exit_s)
        uv_timer_stop(&daemon->idle);
    daemon_check_idle(daemon);
    log_info("reloaded applied=%s kept=%s", LOG_VALUE(ret_change->applied),
             LOG_VALUE(ret_change->kept));
    return 0;
}

/* Without a file to read again it says that the terminal is gone. */
static void
on_sighup(uv_signal_t *signal, int number)
{
    struct daemon *daemon = signal->data;
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct settings_change change;

    if (!daemon->settings->config)
        on_signal(signal, number);
    else if (daemon_reload(daemon, &change, &err) < 0)
        log_error("not reloaded reason=%s", LOG_VALUE(err.message));
}

static void
on_idle(uv_timer_t *timer)
{
    daemon_stop(timer->data, DRAIN_SET);
}

void
daemon_check_idle(struct daemon *daemon)
{
    uint64_t wait_ms = (uint64_t)daemon->settings->idle_exit_s * 1000;

    if (daemon->stopping || !wait_ms)
        return;
    /* a job that waits for ranks is in its journal: the next daemon goes on with it */
    if (daemon->n_conns || is_working(daemon))
        uv_timer_stop(&daemon->idle);
    else
        uv_timer_start(&daemon->idle, on_idle, wait_ms, 0);
}

static void
on_jobs_idle(void *data)
{
    daemon_check_idle(data);
}

/* ---- the beginning ---- */

/* One too many: it is told so, as far as its socket takes it, and let go. Takes `fd`.
 */
static void
turn_away(const struct daemon *daemon, int fd)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct message_out out;
    struct frame frame;

    lighter_fail(&err, LIGHTER_E_LIMIT, "%u clients are connected; that is the limit",
                 daemon->n_conns);
    log_warning("refused a client: %s", err.message);
    message_pack_error(&out, 0, &err, NULL);
    if (message_finish(&out, &frame, &err) == 0) {
        if (send(fd, frame.data, frame.size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            log_debug("it has gone already");
        free(frame.data);
    }
    close(fd);
}

static void
on_accept(void *data, int fd)
{
    struct daemon *daemon = data;
    struct lighter_error err = LIGHTER_ERROR_INIT;

    if (daemon->n_conns >= max_connections(daemon))
        turn_away(daemon, fd);
    else if (conn_open(daemon, fd, &err) < 0)
        log_error("refused a client: %s", err.message);
}

static void
log_plugins(const struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->registry.n_refusals; i++)
        log_warning("refused the plugin %s: %s", daemon->registry.refusals[i].path,
                    daemon->registry.refusals[i].reason);
    if (daemon->registry.lists[REGISTRY_WRITER].count == 0)
        log_warning("no writer was found in %s", daemon->settings->plugin_dir);
}

static void
init_loop(struct daemon *daemon)
{
    daemon->n_threads = count_threads(daemon->settings);
    size_libuv_pool();
    if (uv_loop_init(&daemon->loop) < 0)
        abort(); /* no descriptors at the very start */
    uv_signal_init(&daemon->loop, &daemon->sigterm);
    uv_signal_init(&daemon->loop, &daemon->sigint);
    uv_signal_init(&daemon->loop, &daemon->sighup);
    uv_timer_init(&daemon->loop, &daemon->idle);
    uv_timer_init(&daemon->loop, &daemon->drain);
    uv_timer_init(&daemon->loop, &daemon->watchdog);
    turns_init(&daemon->turns, &daemon->loop, daemon->settings, &daemon->quota);
    daemon->sigterm.data = daemon->sigint.data = daemon->sighup.data = daemon;
    daemon->idle.data = daemon->drain.data = daemon;
    daemon->started_at = uv_now(&daemon->loop);
    daemon->started_wall_s = time(NULL);
}

/* On the service manager's socket where it passed one, else on one of our own. */
static int
listen_at(struct daemon *daemon, const struct sockaddr_un *address,
          struct lighter_error *err)
{
    int fd = service_take_socket(err);

    if (fd == -ENOENT)
        return listener_init(&daemon->listener, address, &daemon->visitors, err);
    return fd < 0 ? fd : listener_adopt(&daemon->listener, fd, &daemon->visitors, err);
}

static void
on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    service_notify("WATCHDOG=1");
}

int
daemon_init(struct daemon *daemon, struct settings *settings, struct lighter_error *err)
{
    struct sockaddr_un address;
    int r;

    *daemon = (struct daemon){.settings = settings};
    TAILQ_INIT(&daemon->conns);
    TAILQ_INIT(&daemon->paused);
    daemon->quota = (struct quota){.max = (size_t)settings->max_daemon_bytes};
    r = address_find(settings->socket, &address, err);
    if (r == 0)
        r = registry_load(&daemon->registry, settings->plugin_dir, err);
    if (r == 0)
        r = pipelines_check(settings->pipelines, &daemon->registry, NULL, err);
    if (r == 0)
        r = visitors_init(&daemon->visitors, settings->allow_users,
                          settings->allow_groups, err);
    if (r == 0)
        r = listen_at(daemon, &address, err);
    if (r == 0)
        r = state_open(&daemon->state, settings->state_dir,
                       daemon->listener.address.sun_path, err);
    if (r != 0) {
        registry_done(&daemon->registry);
        return r;
    }
    log_plugins(daemon);
    raise_descriptor_limit();
    init_loop(daemon);
    jobs_init(&daemon->jobs, &daemon->loop, daemon->n_threads, settings,
              &daemon->state);
    daemon->jobs.max_files = (uint32_t)quarter_of_descriptors() * 2;
    daemon->jobs.on_idle = on_jobs_idle;
    daemon->jobs.data = daemon;
    r = jobs_load(&daemon->jobs, &daemon->registry, err);
    if (r == 0 && settings->metrics_listen)
        r = metrics_http_open(&daemon->metrics, daemon, settings->metrics_listen, err);
    if (r < 0)
        return r;
    return listener_start(&daemon->listener, &daemon->loop, on_accept, daemon, err);
}

bool
daemon_run(struct daemon *daemon)
{
    uint64_t watchdog_ms = service_watchdog_ms();

    uv_signal_start(&daemon->sigterm, on_signal, SIGTERM);
    uv_signal_start(&daemon->sigint, on_signal, SIGINT);
    uv_signal_start(&daemon->sighup, on_sighup, SIGHUP);
    if (watchdog_ms)
        uv_timer_start(&daemon->watchdog, on_watchdog, 0, watchdog_ms / 2);
    daemon_check_idle(daemon);
    service_ready();
    log_info("listening socket=%s threads=%u writers=%zu encoders=%zu",
             LOG_VALUE(daemon->listener.address.sun_path), daemon->n_threads,
             daemon->registry.lists[REGISTRY_WRITER].count,
             daemon->registry.lists[REGISTRY_ENCODER].count);
    if (uv_run(&daemon->loop, UV_RUN_DEFAULT) != 0) {
        log_error("not all was written within %d s", (int)daemon->drain_s);
        return false;
    }
    close_handle((uv_handle_t *)&daemon->drain);
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    return true;
}

void
daemon_done(struct daemon *daemon)
{
    jobs_done(&daemon->jobs);
    state_done(&daemon->state);
    listener_done(&daemon->listener);
    visitors_done(&daemon->visitors);
    uv_loop_close(&daemon->loop);
    registry_done(&daemon->registry);
}
