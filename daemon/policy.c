/* policy.c - see policy.h. */
#include "daemon/policy.h"

#include "util/error.h"
#include "wire/params.h"

#include <fnmatch.h>

/* ---- what a rank brings ---- */

static int
parse_parameters(struct policies *policies, const msgpack_object *params, FILE *text,
                 struct lighter_error *err)
{
    struct lighter_strings *names = &policies->parameters;
    int r =
        params_required(params_texts(params, "parameters", POLICY_PARAMETERS_MAX,
                                     policies->zone, &names->items, &names->count, err),
                        "parameters", err);

    for (size_t i = 0; i < names->count && r == 0; i++)
        fprintf(text, " %s", names->items[i]);
    return r;
}

static int
parse_policy(struct policies *policies, const struct registry *registry,
             const msgpack_object *spec, FILE *text, struct lighter_error *err)
{
    static const msgpack_object no_options = {.type = MSGPACK_OBJECT_MAP};
    struct option_context context = {registry, NULL, policies->zone, text};
    struct policy *policy = &policies->items[policies->n_items];
    const msgpack_object *options = &no_options;
    msgpack_object_str string;
    const char *name;
    void *parsed;
    int r;

    if (spec->type != MSGPACK_OBJECT_MAP)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'policies' expects maps, got %s",
                            params_type_name(spec));
    r = params_required(params_string(spec, "type", &string, err), "type", err);
    if (r == 0)
        r = params_map(spec, "options", &options, err);
    if (r < 0)
        return r;
    name = params_text(policies->zone, string);
    if (!name)
        return fail_nomem(err);
    policy->type = registry_policy(registry, name, err);
    if (!policy->type)
        return -EINVAL;
    fprintf(text, "%s", name);
    r = option_parse(&context, name, policy->type->options, policy->type->options_size,
                     options, &parsed, err);
    policy->options = parsed;
    policies->n_items++;
    return r;
}

static int
parse_all(struct policies *policies, const struct registry *registry,
          const msgpack_object *params, msgpack_object_array array, FILE *text,
          struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < array.size && r == 0; i++)
        r = parse_policy(policies, registry, &array.ptr[i], text, err);
    return r < 0 ? r : parse_parameters(policies, params, text, err);
}

int
policies_init(struct policies *ret_policies, const struct registry *registry,
              const msgpack_object *params, struct lighter_error *err)
{
    msgpack_object_array array = {0, NULL};
    size_t size;
    FILE *text;
    int r = params_array(params, "policies", &array, err);

    *ret_policies = (struct policies){.from_step = 0};
    if (r < 0 || array.size == 0)
        return r < 0 ? r : 0;
    if (array.size > POLICIES_MAX)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'policies' expects at most %d, got %u", POLICIES_MAX,
                            array.size);
    ret_policies->zone = msgpack_zone_new(4096);
    ret_policies->items = calloc(array.size, sizeof *ret_policies->items);
    text = open_memstream(&ret_policies->text, &size);
    if (!ret_policies->zone || !ret_policies->items || !text)
        r = fail_nomem(err);
    else
        r = parse_all(ret_policies, registry, params, array, text, err);
    if (text && option_end_text(text, &ret_policies->text, r < 0 ? NULL : err) < 0)
        r = r < 0 ? r : -ENOMEM;
    if (r < 0)
        policies_done(ret_policies);
    return r < 0 ? r : 0;
}

void
policies_done(struct policies *policies)
{
    for (uint32_t i = 0; i < policies->n_items; i++) {
        struct policy *policy = &policies->items[i];

        if (policy->opened && policy->type->close)
            policy->type->close(policy->state);
    }
    if (policies->zone)
        msgpack_zone_free(policies->zone);
    free(policies->items);
    free(policies->text);
    free(policies->before);
    free(policies->asked);
    free(policies->actions);
    free(policies->scratch);
    *policies = (struct policies){0};
}

int
policies_open(struct policies *policies, struct lighter_error *err)
{
    if (!policies->n_items)
        return 0;
    if (!policies->actions)
        policies->actions = malloc(policies->parameters.count + 1);
    if (!policies->scratch)
        policies->scratch = malloc(policies->parameters.count + 1);
    if (!policies->actions || !policies->scratch)
        return fail_nomem(err);
    for (uint32_t i = 0; i < policies->n_items; i++) {
        struct policy *policy = &policies->items[i];
        int r;

        if (policy->opened)
            continue;
        r = policy->type->open(&policy->state, policy->options, &policies->parameters,
                               err);
        if (r < 0)
            return r;
        policy->opened = true;
    }
    return 0;
}

/* ---- deciding ---- */

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Actions are ordered by what wins. */
static void
merge(uint8_t *actions, const uint8_t *others, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (others[i] > actions[i] && others[i] <= LIGHTER_FREEZE)
            actions[i] = others[i];
}

/* People win over policies. */
static void
overrule(uint8_t *actions, const uint8_t *asked, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (asked[i] != LIGHTER_KEEP)
            actions[i] = asked[i];
}

int
policies_decide(struct policies *policies, const struct lighter_step *step,
                int64_t n_apart, const uint8_t **ret_actions, int64_t *ret_until_step,
                int64_t *ret_until_epoch, struct lighter_error *err)
{
    size_t count = policies->parameters.count;
    int64_t until_step = INT64_MAX, until_epoch = INT64_MAX;

    memset(policies->actions, LIGHTER_KEEP, count);
    for (uint32_t i = 0; i < policies->n_items; i++) {
        struct lighter_decision decision = {.size = sizeof decision,
                                            .actions = policies->scratch,
                                            .until_step = INT64_MAX,
                                            .until_epoch = INT64_MAX};
        int r;

        memset(policies->scratch, LIGHTER_KEEP, count);
        r = policies->items[i].type->decide(policies->items[i].state, step, &decision,
                                            err);
        if (r < 0)
            return r;
        merge(policies->actions, policies->scratch, count);
        until_step = earlier(until_step, decision.until_step);
        until_epoch = earlier(until_epoch, decision.until_epoch);
    }
    if (policies->asked) {
        if (policies->from_step < 0)
            policies->from_step = step->global_step + n_apart;
        if (step->global_step < policies->from_step) {
            overrule(policies->actions, policies->before, count);
            until_step = earlier(until_step, policies->from_step);
        } else {
            overrule(policies->actions, policies->asked, count);
            policies->in_force = true;
        }
    }
    *ret_actions = policies->actions;
    *ret_until_step = until_step;
    *ret_until_epoch = until_epoch;
    return 0;
}

bool
policies_are_same(const struct policies *a, const struct policies *b)
{
    return a->n_items == b->n_items && (!a->n_items || strcmp(a->text, b->text) == 0);
}

/* ---- what people ask for ---- */

size_t
policies_count(const struct policies *policies, const char *pattern)
{
    size_t n = 0;

    for (size_t i = 0; i < policies->parameters.count; i++)
        n += fnmatch(pattern, policies->parameters.items[i], 0) == 0;
    return n;
}

static int
prepare_asked(struct policies *policies, struct lighter_error *err)
{
    size_t count = policies->parameters.count;

    if (policies->asked)
        return 0;
    policies->before = calloc(count + 1, 1);
    policies->asked = calloc(count + 1, 1);
    if (policies->before && policies->asked)
        return 0;
    free(policies->before);
    free(policies->asked);
    policies->before = policies->asked = NULL;
    return fail_nomem(err);
}

int
policies_ask(struct policies *policies, const char *pattern, enum lighter_action action,
             size_t *ret_n_matched, struct lighter_error *err)
{
    size_t count = policies->parameters.count, n_matched = 0;
    int r = prepare_asked(policies, err);

    if (r < 0)
        return r;
    if (policies->in_force) /* else no rank has seen it: it comes with this one */
        memcpy(policies->before, policies->asked, count);
    policies->in_force = false;
    for (size_t i = 0; i < count; i++) {
        if (fnmatch(pattern, policies->parameters.items[i], 0) != 0)
            continue;
        policies->asked[i] = (uint8_t)action;
        n_matched++;
    }
    if (n_matched)
        policies->from_step = -1;
    *ret_n_matched = n_matched;
    return 0;
}

/* ---- what they asked of an earlier daemon ---- */

int
policies_recall(struct policies *policies, const char *text, size_t size,
                bool was_in_force, struct lighter_error *err)
{
    size_t unused;
    int r = 0;

    if (size < 2 || text[size - 1] != '\0')
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "a record asks for no parameters");
    policies->in_force = policies->asked && was_in_force;
    for (size_t at = 1; at < size && r == 0; at += strlen(text + at) + 1)
        r = policies_ask(policies, text + at, (enum lighter_action)text[0], &unused,
                         err);
    return r;
}

void
policies_recall_step(struct policies *policies, int64_t from_step)
{
    policies->from_step = from_step;
}

void
policies_forget(struct policies *policies)
{
    free(policies->before);
    free(policies->asked);
    policies->before = policies->asked = NULL;
    policies->from_step = 0;
    policies->in_force = false;
}
