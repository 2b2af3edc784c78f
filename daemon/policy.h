/* policy.h - what a job's policies decide, together, for a model's parameters.
 *
 * In: the policies and parameter names that a rank brought to `open`, its training
 * steps, and what people ask of the running job (freeze, unfreeze). Out: an action for
 * each parameter, and until when it holds. Owned by the job. policies_open() runs on a
 * worker, all else on the loop thread.
 */
#ifndef DAEMON_POLICY_H
#define DAEMON_POLICY_H

#include "daemon/option.h"

#define POLICIES_MAX 64
#define POLICY_PARAMETERS_MAX 1000000

struct policy {
    const struct lighter_policy *type; /* lent by the registry */
    const void *options;               /* in the zone */
    void *state;                       /* the plugin's, where opened */
    bool opened;
};

struct policies {
    struct policy *items; /* owned; n_items of them */
    uint32_t n_items;
    struct lighter_strings parameters; /* in the zone */
    char *text;                        /* all of it in a normal form, to be compared */
    msgpack_zone *zone;                /* owned; NULL: there are no policies */

    /* What people asked for, an enum lighter_action each, LIGHTER_KEEP: nothing. Ranks
     * may be a step apart, and must change at the same one: `before` holds below
     * from_step, `asked` from there on. from_step < 0: the next rank that asks says. */
    uint8_t *before, *asked; /* owned; NULL until somebody asks */
    int64_t from_step;
    bool in_force; /* a rank has come to from_step */

    uint8_t *actions, *scratch; /* owned; of policies_decide() */
};

/* Read "policies" and "parameters" of an `open`. Without them there are none, and
 * ret_policies->n_items is 0. Return: 0; -EINVAL or another that option_parse() gives.
 */
int policies_init(struct policies *ret_policies, const struct registry *registry,
                  const msgpack_object *params, struct lighter_error *err);
void policies_done(struct policies *policies);

/* Let the plugins match names, those that have not yet. Return: 0; what a plugin's open
 * gives.
 */
int policies_open(struct policies *policies, struct lighter_error *err);

/* What to do at this step. *ret_actions (one a parameter) is lent until the next call.
 * *ret_until_step, *ret_until_epoch: INT64_MAX for ever. `n_apart`: how many steps
 * ranks may be apart. Return: 0; what a plugin's decide gives.
 */
int policies_decide(struct policies *policies, const struct lighter_step *step,
                    int64_t n_apart, const uint8_t **ret_actions,
                    int64_t *ret_until_step, int64_t *ret_until_epoch,
                    struct lighter_error *err);

/* What people have asked for, as a journal tells it: that they asked (the action, and
 * patterns with their NULs; was what they had asked before in force?), and from which
 * step on it holds. Or nothing is known of it. On a worker, while nobody decides.
 * Return: 0; -ENOMEM; -EPROTO.
 */
int policies_recall(struct policies *policies, const char *text, size_t size,
                    bool was_in_force, struct lighter_error *err);
void policies_recall_step(struct policies *policies, int64_t from_step);
void policies_forget(struct policies *policies);

/* Do two ranks bring the same? */
bool policies_are_same(const struct policies *a, const struct policies *b);

/* How many parameters match a shell pattern (fnmatch(3)). */
size_t policies_count(const struct policies *policies, const char *pattern);

/* Somebody asks for `action` (LIGHTER_FREEZE or LIGHTER_TRAIN) for all parameters that
 * match `pattern`. *ret_n_matched: how many do.
 * Return: 0; -ENOMEM.
 */
int policies_ask(struct policies *policies, const char *pattern,
                 enum lighter_action action, size_t *ret_n_matched,
                 struct lighter_error *err);

#endif
