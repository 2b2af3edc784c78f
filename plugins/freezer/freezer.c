/* freezer.c - the policy "freezer": parameters that do not train for a while.
 *
 * In: the names of a model's parameters, then training steps. Out: what is frozen at
 * each step, and until when that stays so. The rules are those of lighter's Freezer:
 * what is named freezes until the limit and then trains; exceptions and, where others
 * is "train", all other parameters train. With "restore" what is named is at the limit
 * left to the client, which knows how it was. A freezer that first sees a step beyond
 * its limit never froze anything, and leaves everything as it is.
 */
#include "config.h"

#include <lighter/plugin.h>

#include <stdlib.h>

#define NO_LIMIT (-1)

struct freezer_options {
    struct lighter_strings names, name_starts_with;
    struct lighter_strings except_names, except_name_starts_with;
    int64_t until_step, until_epoch; /* NO_LIMIT or 0 and more */
    const char *others;
};

enum match { OTHER, NAMED, EXCEPTED };

struct freezer {
    const struct freezer_options *options;
    enum lighter_action on_others, on_named_after;
    bool has_frozen; /* at one step at least */
    size_t count;
    uint8_t matches[]; /* an enum match for each parameter */
};

#define AT(field) offsetof(struct freezer_options, field)

static const struct lighter_option freezer_options[] = {
    {.name = "names",
     .type = LIGHTER_OPTION_STRINGS,
     .offset = AT(names),
     .help = "parameters that freeze, by their full names"},
    {.name = "name_starts_with",
     .type = LIGHTER_OPTION_STRINGS,
     .offset = AT(name_starts_with),
     .help = "parameters that freeze, by how their names start"},
    {.name = "except_names",
     .type = LIGHTER_OPTION_STRINGS,
     .offset = AT(except_names),
     .help = "parameters that train nevertheless, by their full names"},
    {.name = "except_name_starts_with",
     .type = LIGHTER_OPTION_STRINGS,
     .offset = AT(except_name_starts_with),
     .help = "parameters that train nevertheless, by how their names start"},
    {.name = "until_step",
     .type = LIGHTER_OPTION_INT,
     .fallback = "-1",
     .offset = AT(until_step),
     .min = 0,
     .max = INT64_MAX,
     .help = "the global step from which they train; -1 is never"},
    {.name = "until_epoch",
     .type = LIGHTER_OPTION_INT,
     .fallback = "-1",
     .offset = AT(until_epoch),
     .min = 0,
     .max = INT64_MAX,
     .help = "the epoch from which they train; -1 is never"},
    {.name = "others",
     .type = LIGHTER_OPTION_STRING,
     .fallback = "train",
     .offset = AT(others),
     .help = "parameters that are not named: train them, or keep them as they are; "
             "restore: and at the limit, give those that are named back"},
    {.name = NULL},
};

static bool
is_one_of(const struct lighter_strings *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

static bool
starts_with_one_of(const struct lighter_strings *prefixes, const char *name)
{
    for (size_t i = 0; i < prefixes->count; i++)
        if (strncmp(prefixes->items[i], name, strlen(prefixes->items[i])) == 0)
            return true;
    return false;
}

static enum match
match(const struct freezer_options *options, const char *name)
{
    if (is_one_of(&options->except_names, name) ||
        starts_with_one_of(&options->except_name_starts_with, name))
        return EXCEPTED;
    if (is_one_of(&options->names, name) ||
        starts_with_one_of(&options->name_starts_with, name))
        return NAMED;
    return OTHER;
}

static int
check_options(const struct freezer_options *options, struct lighter_error *err)
{
    if (!options->names.count && !options->name_starts_with.count)
        return lighter_fail(
            err, LIGHTER_E_VALUE,
            "At least one of `names` or `name_starts_with` must be specified.");
    if (options->until_step != NO_LIMIT && options->until_epoch != NO_LIMIT)
        return lighter_fail(
            err, LIGHTER_E_VALUE,
            "Only one of `until_step` or `until_epoch` can be specified.");
    return 0;
}

static int
parse_others(struct freezer *freezer, const char *others, struct lighter_error *err)
{
    bool restores = strcmp(others, "restore") == 0;
    bool trains = strcmp(others, "train") == 0;

    if (!trains && !restores && strcmp(others, "keep") != 0)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'others' expects train, keep or restore, got '%.64s'",
                            others);
    freezer->on_others = trains ? LIGHTER_TRAIN : LIGHTER_KEEP;
    freezer->on_named_after = restores ? LIGHTER_KEEP : LIGHTER_TRAIN;
    return 0;
}

static int
freezer_open(void **ret_state, const void *data,
             const struct lighter_strings *parameters, struct lighter_error *err)
{
    const struct freezer_options *options = data;
    struct freezer *freezer;
    int r = check_options(options, err);

    if (r < 0)
        return r;
    freezer = calloc(1, sizeof *freezer + parameters->count);
    if (!freezer)
        return lighter_fail_os(err, ENOMEM, "match %zu parameters", parameters->count);
    r = parse_others(freezer, options->others, err);
    if (r < 0) {
        free(freezer);
        return r;
    }
    freezer->options = options;
    freezer->count = parameters->count;
    for (size_t i = 0; i < parameters->count; i++)
        freezer->matches[i] = (uint8_t)match(options, parameters->items[i]);
    *ret_state = freezer;
    return 0;
}

static void
act(const struct freezer *freezer, enum lighter_action on_named, uint8_t *actions)
{
    const uint8_t by_match[] = {
        [OTHER] = (uint8_t)freezer->on_others,
        [NAMED] = (uint8_t)on_named,
        [EXCEPTED] = LIGHTER_TRAIN,
    };

    for (size_t i = 0; i < freezer->count; i++)
        actions[i] = by_match[freezer->matches[i]];
}

static int
freezer_decide(void *state, const struct lighter_step *step,
               struct lighter_decision *decision, struct lighter_error *err)
{
    struct freezer *freezer = state;
    const struct freezer_options *options = freezer->options;
    bool is_past =
        (options->until_step != NO_LIMIT && step->global_step >= options->until_step) ||
        (options->until_epoch != NO_LIMIT && step->epoch >= options->until_epoch);

    (void)err;
    if (is_past) {
        if (freezer->has_frozen)
            act(freezer, freezer->on_named_after, decision->actions);
        return 0;
    }
    freezer->has_frozen = true;
    act(freezer, LIGHTER_FREEZE, decision->actions);
    if (options->until_step != NO_LIMIT)
        decision->until_step = options->until_step;
    if (options->until_epoch != NO_LIMIT)
        decision->until_epoch = options->until_epoch;
    return 0;
}

static const struct lighter_policy freezer_policy = {
    .size = sizeof(struct lighter_policy),
    .name = "freezer",
    .summary = "freezes parameters until a step or an epoch",
    .options = freezer_options,
    .options_size = sizeof(struct freezer_options),
    .open = freezer_open,
    .decide = freezer_decide,
    .close = free,
};

static const struct lighter_policy *const policies[] = {&freezer_policy, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "freezer",
    .version = PACKAGE_VERSION,
    .policies = policies,
};
