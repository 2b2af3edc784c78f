/* verb_top.c - the daemon and its jobs on one screen, drawn anew every second.
 *
 * Waits for three things at once: a key, a signal, the next second. Whatever ends it,
 * the terminal is as it was.
 */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/screen.h"
#include "client/ctl/terminal.h"
#include "client/ctl/verbs.h"

#include "config.h"
#include "util/error.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] top [--once]\n"
    "\n"
    "Shows the daemon and its jobs on one screen, every second anew: live jobs first,\n"
    "then the last that are over. q ends it. Where a terminal is narrow there are\n"
    "fewer columns. If the daemon ends, the next one is waited for.\n"
    "\n"
    "  DONE      batches that are written, of all that are to come, where it is known\n"
    "  WAITING   bytes that are handed over and not written yet\n"
    "  BLOCKED   for how long processes have waited because of that\n"
    "\n"
    "  --once    draw it once, and end; also where the output is no terminal\n"
    "\n"
    "There are colours on a terminal, unless $NO_COLOR is set. With --json: once,\n"
    "what lighterctl status and lighterctl jobs print, in one object.\n"
    "\n"
    "example:\n"
    "  $ lighterctl top\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon listens.\n";

#define SECOND_MS 1000

struct top {
    const struct options *options;
    struct lighter_client *client; /* NULL: the daemon is gone */
    struct lighter_error err;      /* ... because of this */
    json_t *status, *jobs;         /* owned */
    int signals;                   /* signalfd */
};

/* ---- what is shown ------------------------------------------------------------- */

static void
forget(struct top *top)
{
    json_decref(top->status);
    json_decref(top->jobs);
    top->status = top->jobs = NULL;
}

static enum ctl_exit
look(struct top *top)
{
    enum ctl_exit done;

    forget(top);
    done = ask_try(top->client, "status", NULL, &top->status, &top->err);
    if (done == CTL_DONE)
        done = ask_try(top->client, "jobs", NULL, &top->jobs, &top->err);
    return done;
}

/* With the next daemon, where the last one has gone. */
static void
look_anew(struct top *top)
{
    if (!top->client && lighter_connect(&top->client, top->options->socket_path,
                                        "lighterctl " PACKAGE_VERSION, &top->err) == 0)
        lighter_set_reconnect(top->client, 0); /* keys are looked at meanwhile */
    if (top->client && look(top) != CTL_DONE)
        top->client = lighter_disconnect(top->client);
}

/* In one piece, so that nothing flickers. */
static void
draw(const struct top *top)
{
    struct screen screen = {.has_colours = terminal_has_colours(), .is_live = true};
    AUTO(free_bytes) char *frame = NULL;
    size_t size;
    FILE *file = must(open_memstream(&frame, &size));

    terminal_size(&screen.columns, &screen.rows);
    if (top->client)
        screen_draw(&screen, top->status, top->jobs, file);
    else
        screen_say(&screen, top->err.message, file);
    fclose(file);
    fwrite(must(frame), 1, size, stdout);
    fflush(stdout);
}

/* ---- keys and signals ---------------------------------------------------------- */

enum event { EVENT_SECOND, EVENT_RESIZED, EVENT_QUIT };

static enum event
read_key(void)
{
    char key;

    /* nothing to be read: the terminal is gone */
    return read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' ? EVENT_QUIT
                                                                        : EVENT_SECOND;
}

/* *ret_signal: the one that asks to end. */
static enum event
wait_for_event(const struct top *top, int *ret_signal)
{
    struct pollfd fds[] = {
        {.fd = top->signals, .events = POLLIN},
        {.fd = terminal_has_keys() ? STDIN_FILENO : -1, .events = POLLIN}};
    struct signalfd_siginfo info;

    if (poll(fds, 2, SECOND_MS) <= 0)
        return EVENT_SECOND;
    if (fds[1].revents)
        return read_key();
    if (read(top->signals, &info, sizeof info) != sizeof info)
        return EVENT_SECOND;
    if (info.ssi_signo == SIGWINCH)
        return EVENT_RESIZED;
    *ret_signal = (int)info.ssi_signo;
    return EVENT_QUIT;
}

static sigset_t
signals_of_ours(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&set, numbers[i]);
    return set;
}

/* ---- the loop ------------------------------------------------------------------ */

/* Return: the signal that ended it, or 0. */
static int
show_live(struct top *top)
{
    enum event event = EVENT_SECOND;
    int signal_number = 0;

    terminal_enter();
    while (event != EVENT_QUIT) {
        draw(top);
        event = wait_for_event(top, &signal_number);
        if (event == EVENT_SECOND)
            look_anew(top);
    }
    terminal_leave();
    return signal_number;
}

static enum ctl_exit
run_live(struct top *top)
{
    sigset_t set = signals_of_ours();
    int signal_number;

    sigprocmask(SIG_BLOCK, &set, NULL);
    top->signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (top->signals < 0) {
        complain("signalfd: %m");
        return CTL_FAILED;
    }
    signal_number = show_live(top);
    close(top->signals);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    if (signal_number)
        raise(signal_number); /* so that who started us sees how we ended */
    return CTL_DONE;
}

static void
print_once(const struct top *top)
{
    struct screen screen = {.has_colours = terminal_has_colours()};
    json_t *both;
    int rows;

    if (top->options->json) {
        both = json_pack("{s:O, s:O}", "status", top->status, "jobs",
                         json_object_get(top->jobs, "jobs"));
        output_json(stdout, both);
        json_decref(both);
        return;
    }
    terminal_size(&screen.columns, &rows);
    screen_draw(&screen, top->status, top->jobs, stdout);
}

static enum ctl_exit
run(const struct options *options)
{
    struct top top = {.options = options};
    bool is_once = options->json || options->given & TAKES_ONCE || !terminal_is_there();
    enum ctl_exit done = ask_connect(options, &top.client);

    if (done != CTL_DONE)
        return done;
    done = look(&top);
    if (done != CTL_DONE)
        complain("%s", top.err.message);
    else if (is_once)
        print_once(&top);
    else
        done = run_live(&top);
    forget(&top);
    lighter_disconnect(top.client);
    return done;
}

const struct verb verb_top = {.name = "top",
                              .summary = "the daemon and its jobs, live, on one screen",
                              .help = help,
                              .takes = TAKES_ONCE,
                              .run = run};
