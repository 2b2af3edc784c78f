/* ask.c - see ask.h. */
#include "client/ctl/ask.h"

#include "config.h"

#include <stdlib.h>

enum ctl_exit
ask_connect(const struct options *options, struct lighter_client **ret_client)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    int r = lighter_connect(ret_client, options->socket_path,
                            "lighterctl " PACKAGE_VERSION, &err);

    if (r == 0) {
        lighter_set_reconnect(*ret_client, 0); /* who asked wants to know */
        return CTL_DONE;
    }
    complain("%s", err.message);
    return r == -ECONNREFUSED ? CTL_NO_DAEMON : CTL_FAILED;
}

enum ctl_exit
ask_on(struct lighter_client *client, const char *method, const char *params_json,
       json_t **ret_result)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    json_t *result;
    char *text;

    if (lighter_control(client, method, params_json, &text, &err) < 0) {
        complain("%s", err.message);
        return CTL_FAILED;
    }
    result = json_loads(text, JSON_ALLOW_NUL, NULL);
    free(text);
    if (!result) {
        complain("the answer to '%s' cannot be read", method);
        return CTL_FAILED;
    }
    *ret_result = result;
    return CTL_DONE;
}

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
