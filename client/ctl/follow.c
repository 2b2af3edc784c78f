/* follow.c - see follow.h. */
#include "client/ctl/follow.h"

#include <string.h>
#include <time.h>

#define MOMENT_MS 200

static void
pause_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = MOMENT_MS * 1000000L}, NULL);
}

static void
take(struct follow *follow, json_t *job)
{
    json_decref(follow->job);
    follow->job = job;
}

/* While it is prepared it has none. */
static void
note_id(struct follow *follow)
{
    if (!follow->id)
        follow->id = json_integer_value(json_object_get(follow->job, "id"));
}

bool
follow_is_over(const struct follow *follow)
{
    return !json_is_true(json_object_get(follow->job, "live"));
}

/* One that is over is another one, from before. */
static enum ctl_exit
wait_for_it(struct follow *follow)
{
    for (;;) {
        struct lighter_error err = LIGHTER_ERROR_INIT;
        json_t *job;
        enum ctl_exit done = ask_try_job(follow->client, follow->options,
                                         follow->method, 0, NULL, &job, &err);

        if (done == CTL_DONE)
            take(follow, job);
        if (done == CTL_DONE && !follow_is_over(follow))
            return CTL_DONE;
        if (done != CTL_DONE && err.code != LIGHTER_E_STATE) {
            complain("%s", err.message);
            return done;
        }
        pause_a_moment();
    }
}

static enum ctl_exit
find(struct follow *follow)
{
    json_t *job;
    enum ctl_exit done;

    if (follow->options->given & TAKES_WAIT)
        return wait_for_it(follow);
    done =
        ask_about_job(follow->client, follow->options, follow->method, 0, NULL, &job);
    if (done == CTL_DONE)
        take(follow, job);
    return done;
}

enum ctl_exit
follow_begin(struct follow *follow, const struct options *options, const char *method)
{
    enum ctl_exit done;

    *follow = (struct follow){.options = options, .method = method};
    done = ask_connect_long(options, &follow->client);
    if (done != CTL_DONE)
        return done;
    done = find(follow);
    if (done == CTL_DONE)
        note_id(follow);
    else
        follow_end(follow);
    return done;
}

enum ctl_exit
follow_next(struct follow *follow)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    enum ctl_exit done;
    json_t *job;

    pause_a_moment();
    done = ask_try_job(follow->client, follow->options, follow->method, follow->id,
                       NULL, &job, &err);
    if (done == CTL_DONE) {
        take(follow, job);
        note_id(follow);
        return CTL_DONE;
    }
    if (err.code != LIGHTER_E_STATE) {
        complain("%s", err.message);
        return done;
    }
    complain("job '%s' is gone: it was discarded, or begun anew",
             follow->options->arguments[0]);
    return CTL_JOB_GONE;
}

enum ctl_exit
follow_outcome(const struct follow *follow)
{
    static const struct {
        const char *state;
        enum ctl_exit outcome;
    } table[] = {{"published", CTL_DONE},
                 {"failed", CTL_JOB_FAILED},
                 {"interrupted", CTL_JOB_INTERRUPTED},
                 {"aborted", CTL_JOB_ABORTED}};
    const char *state = json_string_value(json_object_get(follow->job, "state"));
    const char *error = json_string_value(json_object_get(follow->job, "error"));

    for (size_t i = 0; state && i < sizeof table / sizeof *table; i++)
        if (strcmp(state, table[i].state) == 0) {
            if (table[i].outcome != CTL_DONE)
                complain("%s", error ? error : state);
            return table[i].outcome;
        }
    complain("the job's state is not known");
    return CTL_FAILED;
}

void
follow_end(struct follow *follow)
{
    json_decref(follow->job);
    follow->job = NULL;
    follow->client = lighter_disconnect(follow->client);
}
