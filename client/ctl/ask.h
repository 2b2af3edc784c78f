/* ask.h - one question to the daemon; what goes wrong is said on stderr. */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "client/ctl/options.h"

#include <jansson.h>
#include <lighter/client.h>

/* *ret_client is owned. Return: CTL_DONE; CTL_NO_DAEMON; CTL_FAILED. */
enum ctl_exit ask_connect(const struct options *options,
                          struct lighter_client **ret_client);

/* The same, for who asks again and again: if the daemon dies, the next one is waited
 * for, as clients do.
 */
enum ctl_exit ask_connect_long(const struct options *options,
                               struct lighter_client **ret_client);

/* On a connection that is there. `params_json` may be NULL. *ret_result, an object, is
 * owned: json_decref(). Return: CTL_DONE; CTL_FAILED.
 */
enum ctl_exit ask_on(struct lighter_client *client, const char *method,
                     const char *params_json, json_t **ret_result);

/* Connect, ask, disconnect. */
enum ctl_exit ask(const struct options *options, const char *method,
                  const char *params_json, json_t **ret_result);

/* The same, but what goes wrong is not said: `err` has it. */
enum ctl_exit ask_try(struct lighter_client *client, const char *method,
                      const char *params_json, json_t **ret_result,
                      struct lighter_error *err);

/* Say that there is no `wanted`, as `err` does; and which of the names was perhaps
 * meant that the rows of `method`'s result have under `keys` (ends with NULL).
 */
void ask_complain_of_name(struct lighter_client *client, const char *method,
                          const char *const *keys, const char *wanted,
                          const struct lighter_error *err);

/* As ask_on(), about the job of the first argument and of --stage (and `id`; 0: any);
 * where there is none, a name that was perhaps meant is told. `more`: other params,
 * taken; NULL: none.
 */
enum ctl_exit ask_about_job(struct lighter_client *client,
                            const struct options *options, const char *method,
                            json_int_t id, json_t *more, json_t **ret_result);

/* The same, but what goes wrong is not said: `err` has it. LIGHTER_E_STATE: there is no
 * such job, or not now.
 */
enum ctl_exit ask_try_job(struct lighter_client *client, const struct options *options,
                          const char *method, json_int_t id, json_t *more,
                          json_t **ret_result, struct lighter_error *err);

/* Connect, ask about the job, disconnect. */
enum ctl_exit ask_job(const struct options *options, const char *method, json_t *more,
                      json_t **ret_result);

/* The array under `key` of a result, lent; NULL, and it is said, where there is none.
 */
const json_t *ask_rows(const json_t *result, const char *key);

#endif
