/* verb_ping.c - does the daemon answer, and how fast? */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include <inttypes.h>
#include <time.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] ping\n"
    "\n"
    "Connects, asks once, and says how long the answer to that took, in microseconds.\n"
    "\n"
    "example:\n"
    "  $ lighterctl ping\n"
    "  lighterd 4711 answers in 42 us\n"
    "\n"
    "  $ lighterctl --json ping\n"
    "  {\n"
    "    \"pid\": 4711,\n"
    "    \"us\": 42\n"
    "  }\n"
    "\n"
    "exit codes: 0 it answers, 1 it refused, 2 wrong usage, 3 no daemon listens.\n";

static int64_t
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
print_answer(const struct options *options, int64_t pid, int64_t took_us)
{
    json_t *json;

    if (!options->json) {
        printf("lighterd %" PRId64 " answers in %" PRId64 " us\n", pid, took_us);
        return;
    }
    json = json_pack("{s:I, s:I}", "pid", (json_int_t)pid, "us", (json_int_t)took_us);
    output_json(stdout, json);
    json_decref(json);
}

static enum ctl_exit
run(const struct options *options)
{
    struct lighter_client *client;
    enum ctl_exit done = ask_connect(options, &client);
    int64_t start_us, took_us;
    json_t *result;

    if (done != CTL_DONE)
        return done;
    start_us = now_us();
    done = ask_on(client, "ping", NULL, &result);
    took_us = now_us() - start_us;
    if (done == CTL_DONE) {
        print_answer(options, lighter_hello(client)->pid, took_us);
        json_decref(result);
    }
    lighter_disconnect(client);
    return done;
}

const struct verb verb_ping = {.name = "ping",
                               .summary = "whether the daemon answers, and how fast",
                               .help = help,
                               .run = run};
