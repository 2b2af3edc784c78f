/* verb_watch.c - look on until a job is published, and say how it went. */
#include "client/ctl/follow.h"
#include "client/ctl/output.h"
#include "client/ctl/progress.h"
#include "client/ctl/terminal.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <string.h>
#include <time.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] watch JOB [--stage STAGE] [--wait]\n"
    "\n"
    "Looks on until the job is published, and tells by its exit code how it went: for\n"
    "scripts. Of several jobs of that name it is the live one, else the last. On a\n"
    "terminal progress is one line that changes; else there is a line every ten\n"
    "seconds, and one for each change of its state, or of what it\n"
    "waits for; with --json one a second.\n"
    "\n"
    "  --wait   where no live job has this name, wait for one\n"
    "\n"
    "If the daemon dies, the next one is waited for.\n"
    "\n"
    "example:\n"
    "  $ lighterctl watch --wait predictions && ./evaluate.py predictions.csv\n"
    "  [##########............]  62%  predictions: open, 310 of 500 batches, ...\n"
    "\n"
    "exit codes: 0 published, 1 there is no such job, 2 wrong usage, 3 no daemon\n"
    "listens, 4 failed, 5 interrupted (a process vanished), 6 aborted (a process gave\n"
    "up), 7 gone (it was discarded, or begun anew).\n";

#define LINE_SECONDS 10

enum style { STYLE_BAR, STYLE_LINES, STYLE_JSON };

struct watch {
    struct follow follow;
    enum style style;
    char state[64];   /* when the last line was printed: and what it waited for */
    time_t printed_s; /* likewise */
};

static time_t
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void
describe_state(const json_t *job, char *ret_state, size_t size)
{
    const json_t *waiting = json_object_get(job, "waiting");
    const char *state = json_string_value(json_object_get(job, "state")),
               *reason = json_string_value(json_object_get(waiting, "reason"));

    snprintf(ret_state, size, "%s %s", state ? state : "", reason ? reason : "");
}

static bool
is_due(struct watch *watch)
{
    char state[sizeof watch->state];
    time_t waited_s = now_s() - watch->printed_s,
           most_s = watch->style == STYLE_LINES ? LINE_SECONDS : 1;
    bool has_changed;

    describe_state(watch->follow.job, state, sizeof state);
    has_changed = strcmp(watch->state, state) != 0;
    if (watch->style != STYLE_BAR && !has_changed && waited_s < most_s)
        return false;
    memcpy(watch->state, state, sizeof state);
    watch->printed_s = now_s();
    return true;
}

static void
print_bar(const json_t *job)
{
    AUTO(free_bytes) char *bar = NULL;
    int columns, rows;

    terminal_size(&columns, &rows);
    bar = progress_bar(job, columns - 1); /* in the last column some wrap */
    printf("\r%s\x1b[K", bar);
}

static void
print_state(struct watch *watch)
{
    AUTO(free_bytes) char *line = NULL;

    if (!is_due(watch))
        return;
    if (watch->style == STYLE_BAR) {
        print_bar(watch->follow.job);
    } else if (watch->style == STYLE_JSON) {
        output_json_line(stdout, watch->follow.job);
    } else {
        line = progress_line(watch->follow.job);
        puts(line);
    }
    fflush(stdout);
}

static void
print_targets(const json_t *job)
{
    const json_t *target;
    size_t i;

    json_array_foreach (json_object_get(job, "targets"), i, target) {
        AUTO(free_bytes) char *path = show_text(target);

        puts(path);
    }
}

static enum ctl_exit
look_on(struct watch *watch)
{
    enum ctl_exit done = CTL_DONE;

    print_state(watch);
    while (done == CTL_DONE && !follow_is_over(&watch->follow)) {
        done = follow_next(&watch->follow);
        if (done == CTL_DONE)
            print_state(watch);
    }
    if (watch->style == STYLE_BAR)
        putchar('\n');
    fflush(stdout); /* before what is said on standard error */
    if (done == CTL_DONE)
        done = follow_outcome(&watch->follow);
    if (done == CTL_DONE && watch->style != STYLE_JSON)
        print_targets(watch->follow.job);
    return done;
}

static enum ctl_exit
run(const struct options *options)
{
    struct watch watch = {.style = options->json         ? STYLE_JSON
                                   : terminal_is_there() ? STYLE_BAR
                                                         : STYLE_LINES};
    enum ctl_exit done = follow_begin(&watch.follow, options, "show");

    if (done != CTL_DONE)
        return done;
    done = look_on(&watch);
    follow_end(&watch.follow);
    return done;
}

const struct verb verb_watch = {.name = "watch",
                                .summary = "look on until a job is published",
                                .help = help,
                                .min_arguments = 1,
                                .max_arguments = 1,
                                .takes = TAKES_STAGE | TAKES_WAIT,
                                .run = run};
