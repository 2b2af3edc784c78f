/* ask.c - see ask.h. */
#include "client/ctl/ask.h"

#include "client/ctl/nearest.h"
#include "client/ctl/output.h"
#include "config.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

static void
show_notice(void *context, const struct lighter_notice *notice)
{
    (void)context;
    complain("%s", notice->message);
}

static enum ctl_exit
connect_as(const struct options *options, bool no_reconnect,
           struct lighter_client **ret_client)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_connect_spec spec = {.socket_path = options->socket_path,
                                        .client_name = "lighterctl " PACKAGE_VERSION,
                                        .no_reconnect = no_reconnect,
                                        .on_notice = show_notice};
    int r = lighter_connect_as(ret_client, &spec, &err);

    if (r == 0)
        return CTL_DONE;
    complain("%s", err.message);
    return r == -ECONNREFUSED ? CTL_NO_DAEMON : CTL_FAILED;
}

enum ctl_exit
ask_connect_long(const struct options *options, struct lighter_client **ret_client)
{
    return connect_as(options, false, ret_client);
}

enum ctl_exit
ask_connect(const struct options *options, struct lighter_client **ret_client)
{
    return connect_as(options, true, ret_client); /* who asked wants to know */
}

enum ctl_exit
ask_try(struct lighter_client *client, const char *method, const char *params_json,
        json_t **ret_result, struct lighter_error *err)
{
    json_t *result;
    char *text;

    if (lighter_control(client, method, params_json, &text, err) < 0)
        return CTL_FAILED;
    result = json_loads(text, JSON_ALLOW_NUL, NULL);
    free(text);
    if (!result) {
        lighter_fail(err, LIGHTER_E_PROTOCOL, "the answer to '%s' cannot be read",
                     method);
        return CTL_FAILED;
    }
    *ret_result = result;
    return CTL_DONE;
}

enum ctl_exit
ask_on(struct lighter_client *client, const char *method, const char *params_json,
       json_t **ret_result)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    enum ctl_exit done = ask_try(client, method, params_json, ret_result, &err);

    if (done != CTL_DONE)
        complain("%s", err.message);
    return done;
}

/* ---- names that there are not --------------------------------------------------- */

static void
try_names(struct nearest *nearest, const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        const char *name = json_string_value(json_object_get(row, "name"));

        if (name)
            nearest_try(nearest, name);
    }
}

/* Owned; NULL: there is none, or one has just this name. */
static char *
find_nearest(struct lighter_client *client, const char *method, const char *const *keys,
             const char *wanted)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct nearest nearest;
    json_t *result;
    char *name = NULL;

    if (ask_try(client, method, NULL, &result, &err) != CTL_DONE)
        return NULL;
    nearest_begin(&nearest, wanted);
    for (; *keys; keys++)
        try_names(&nearest, json_object_get(result, *keys));
    if (nearest.name && strcmp(nearest.name, wanted) != 0)
        name = formatted("%s", nearest.name);
    json_decref(result);
    return name;
}

void
ask_complain_of_name(struct lighter_client *client, const char *method,
                     const char *const *keys, const char *wanted,
                     const struct lighter_error *err)
{
    AUTO(free_bytes) char *nearest = find_nearest(client, method, keys, wanted);

    if (nearest)
        complain("%s; did you mean '%s'?", err->message, nearest);
    else
        complain("%s", err->message);
}

/* ---- about one job ------------------------------------------------------------- */

static void
complain_about_job(struct lighter_client *client, const char *wanted,
                   const struct lighter_error *err)
{
    static const char *const keys[] = {"jobs", NULL};

    if (err->code == LIGHTER_E_STATE)
        ask_complain_of_name(client, "jobs", keys, wanted, err);
    else
        complain("%s", err->message);
}

/* Returns owned; NULL: a text is not UTF-8. Takes `more`. */
static char *
make_params(const struct options *options, json_int_t id, json_t *more)
{
    json_t *params = json_pack("{s:s, s:s*, s:I}", "job", options->arguments[0],
                               "stage", options->stage, "id", id);
    char *text = NULL;

    if (params && more)
        json_object_update(params, more);
    if (params)
        text = json_dumps(params, JSON_COMPACT);
    json_decref(params);
    json_decref(more);
    return text;
}

enum ctl_exit
ask_try_job(struct lighter_client *client, const struct options *options,
            const char *method, json_int_t id, json_t *more, json_t **ret_result,
            struct lighter_error *err)
{
    AUTO(free_bytes) char *params = make_params(options, id, more);

    if (params)
        return ask_try(client, method, params, ret_result, err);
    lighter_fail(err, LIGHTER_E_PARAMS,
                 "the job's name, or another word, is not UTF-8");
    return CTL_USAGE;
}

enum ctl_exit
ask_about_job(struct lighter_client *client, const struct options *options,
              const char *method, json_int_t id, json_t *more, json_t **ret_result)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    enum ctl_exit done =
        ask_try_job(client, options, method, id, more, ret_result, &err);

    if (done != CTL_DONE)
        complain_about_job(client, options->arguments[0], &err);
    return done;
}

enum ctl_exit
ask_job(const struct options *options, const char *method, json_t *more,
        json_t **ret_result)
{
    struct lighter_client *client;
    enum ctl_exit done = ask_connect(options, &client);

    if (done != CTL_DONE) {
        json_decref(more);
        return done;
    }
    done = ask_about_job(client, options, method, 0, more, ret_result);
    lighter_disconnect(client);
    return done;
}

/* ---- connect, ask, disconnect -------------------------------------------------- */

enum ctl_exit
ask(const struct options *options, const char *method, const char *params_json,
    json_t **ret_result)
{
    struct lighter_client *client;
    enum ctl_exit done = ask_connect(options, &client);

    if (done != CTL_DONE)
        return done;
    done = ask_on(client, method, params_json, ret_result);
    lighter_disconnect(client);
    return done;
}

const json_t *
ask_rows(const json_t *result, const char *key)
{
    const json_t *rows = json_object_get(result, key);

    if (json_is_array(rows))
        return rows;
    complain("the answer of lighterd has no list '%s'", key);
    return NULL;
}
