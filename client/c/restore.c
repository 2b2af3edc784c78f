/* restore.c - go on with the next daemon where one dies.
 *
 * In: a client whose daemon has gone away, within whichever call noticed it. Out: the
 * same client and another daemon, which knows all that the one before was told and what
 * it never answered; its streams know again what they have written already
 * (doc/protocol.md, "When the daemon dies"). Blocks, in the caller's thread.
 */
#include "client/c/client.h"

#include "util/error.h"

#include <math.h>
#include <time.h>

#define LIMIT_VARIABLE "LIGHTERD_RECONNECT_SECONDS"
#define LIMIT_SECONDS 300.0

/* Between two attempts. */
#define PAUSE_MIN_SECONDS 0.05
#define PAUSE_MAX_SECONDS 2.0

int
restore_limit(double *ret_seconds, struct lighter_error *err)
{
    const char *text = getenv(LIMIT_VARIABLE);
    double seconds = LIMIT_SECONDS;
    char *end;

    if (text && *text) {
        seconds = strtod(text, &end);
        if (*end || isnan(seconds))
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "$" LIMIT_VARIABLE " expects seconds, got '%.100s'",
                                text);
    }
    *ret_seconds = seconds;
    return 0;
}

static double
now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Signals do not shorten it. */
static void
pause_for(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds};

    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static int
begin_again(struct lighter_client *client, struct lighter_error *err)
{
    struct session *session = &client->session;
    int r = session_connect_again(session, &client->address, err);

    if (r == 0)
        r = client_hello(client, err);
    if (r == 0)
        r = session_share_again(session, err);
    for (struct client_job *job = client->jobs; job && r == 0; job = job->next)
        r = job_open_again(session, job, err);
    if (r == 0)
        r = session_send_again(session, err);
    return r;
}

/* No daemon is there yet, or it has gone again, or is not itself yet. */
static bool
may_pass(const struct lighter_error *error)
{
    return error->code == LIGHTER_E_OS || error->code == LIGHTER_E_LIMIT;
}

/* `why` says how the last one went, `error` what became of the last attempt. */
static int
fail_for_good(const struct lighter_client *client, int r,
              const struct lighter_error *error, struct lighter_error *why)
{
    if (!may_pass(error)) {
        *why = *error;
        return error_wrap(why, r, "going on with the next lighterd");
    }
    snprintf(why->message, sizeof why->message,
             "lighterd closed the connection, and was not back within %g s: %.800s",
             client->reconnect_seconds, error->message);
    return -ECONNRESET;
}

int
restore(void *context, struct lighter_error *why)
{
    struct lighter_client *client = context;
    double since = now(), pause = PAUSE_MIN_SECONDS;

    if (client->reconnect_seconds <= 0)
        return -ECONNRESET;
    for (;;) {
        struct lighter_error error = LIGHTER_ERROR_INIT;
        int r = begin_again(client, &error);

        if (r == 0)
            break;
        if (!may_pass(&error) || now() + pause - since > client->reconnect_seconds)
            return fail_for_good(client, r, &error, why);
        pause_for(pause);
        pause = pause < PAUSE_MAX_SECONDS / 2 ? 2 * pause : PAUSE_MAX_SECONDS;
    }
    client->hello.n_reconnects++;
    return 0;
}
