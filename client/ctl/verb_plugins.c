/* verb_plugins.c - what the daemon can write, and the options of each. */
#include "client/ctl/ask.h"
#include "client/ctl/output.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <stdlib.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] plugins [NAME]\n"
    "\n"
    "Without NAME: the writers (outputs that a job may have), the encoders (what\n"
    "turns one sample into one file, for a writer of files), the policies (what\n"
    "steers a training), and the plugins that the daemon has refused to load, each\n"
    "with its reason.\n"
    "\n"
    "With NAME: the options of the writer, encoder or policy of that name, or of all\n"
    "that the plugin of that name brings. TYPE is string, strings (a list), int,\n"
    "bool, target (the path that the writer makes), suffix (what files end in), or\n"
    "encoder (an encoder's name, or a map of its name and its own options).\n"
    "\n"
    "example:\n"
    "  $ lighterctl plugins csv\n"
    "  writer csv: one table of comma-separated values, as Python's csv module ...\n"
    "\n"
    "  OPTION  TYPE     DEFAULT  REQUIRED  HELP\n"
    "  path    target   -        yes       The CSV file to make\n"
    "  keys    strings  -        yes       Keys of the outputs that become ...\n"
    "\n"
    "exit codes: 0 done, 1 the daemon refused (as for a NAME that it does not have),\n"
    "2 wrong usage, 3 no daemon listens.\n";

static const struct field writer_fields[] = {
    {"WRITER", "name", show_text, FIELD_LEFT},
    {"PLUGIN", "plugin", show_text, FIELD_LEFT},
    {"KIND", "kind", show_text, FIELD_LEFT},
    {"SUMMARY", "summary", show_text, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static const struct field encoder_fields[] = {
    {"ENCODER", "name", show_text, FIELD_LEFT},
    {"PLUGIN", "plugin", show_text, FIELD_LEFT},
    {"SUMMARY", "summary", show_text, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static const struct field policy_fields[] = {
    {"POLICY", "name", show_text, FIELD_LEFT},
    {"PLUGIN", "plugin", show_text, FIELD_LEFT},
    {"SUMMARY", "summary", show_text, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static const struct field refused_fields[] = {
    {"REFUSED", "path", show_text, FIELD_LEFT},
    {"REASON", "reason", show_text, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

static const struct field option_fields[] = {
    {"OPTION", "name", show_text, FIELD_LEFT},
    {"TYPE", "type", show_text, FIELD_LEFT},
    {"DEFAULT", "default", show_text, FIELD_LEFT},
    {"REQUIRED", "required", show_flag, FIELD_LEFT},
    {"HELP", "help", show_text, FIELD_LEFT},
    {NULL, NULL, NULL, 0}};

/* Parts of the output are a blank line apart. */
static void
begin_part(bool *is_first)
{
    if (!*is_first)
        putchar('\n');
    *is_first = false;
}

static enum ctl_exit
print_list(const json_t *result, const char *key, const struct field *fields,
           bool *is_first)
{
    const json_t *rows = ask_rows(result, key);

    if (!rows)
        return CTL_FAILED;
    if (json_array_size(rows) == 0)
        return CTL_DONE;
    begin_part(is_first);
    output_table(stdout, fields, rows);
    return CTL_DONE;
}

static enum ctl_exit
print_all(const json_t *result)
{
    bool is_first = true;
    enum ctl_exit done = print_list(result, "writers", writer_fields, &is_first);

    if (done == CTL_DONE)
        done = print_list(result, "encoders", encoder_fields, &is_first);
    if (done == CTL_DONE)
        done = print_list(result, "policies", policy_fields, &is_first);
    if (done == CTL_DONE)
        done = print_list(result, "refused", refused_fields, &is_first);
    if (done == CTL_DONE && is_first)
        puts("no plugins");
    return done;
}

/* `what` is "writer", "encoder" or "policy". */
static enum ctl_exit
print_one(const json_t *row, const char *what)
{
    AUTO(free_bytes) char *name = show_text(json_object_get(row, "name"));
    AUTO(free_bytes) char *summary = show_text(json_object_get(row, "summary"));
    const json_t *options = ask_rows(row, "options");

    if (!options)
        return CTL_FAILED;
    printf("%s %s: %s\n\n", what, name, summary);
    if (json_array_size(options) == 0)
        puts("no options");
    else
        output_table(stdout, option_fields, options);
    return CTL_DONE;
}

static enum ctl_exit
print_each(const json_t *result, const char *key, const char *what, bool *is_first)
{
    const json_t *rows = ask_rows(result, key);
    enum ctl_exit done = rows ? CTL_DONE : CTL_FAILED;

    for (size_t i = 0; i < json_array_size(rows) && done == CTL_DONE; i++) {
        begin_part(is_first);
        done = print_one(json_array_get(rows, i), what);
    }
    return done;
}

static enum ctl_exit
print_named(const json_t *result)
{
    bool is_first = true;
    enum ctl_exit done = print_each(result, "writers", "writer", &is_first);

    if (done == CTL_DONE)
        done = print_each(result, "encoders", "encoder", &is_first);
    if (done == CTL_DONE)
        done = print_each(result, "policies", "policy", &is_first);
    return done;
}

/* The params that ask for `name` (NULL: all). Returns owned; NULL: not UTF-8. */
static char *
make_params(const char *name)
{
    json_t *params = name ? json_pack("{s:s}", "name", name) : json_object();
    char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;

    json_decref(params);
    return text;
}

static enum ctl_exit
ask_plugins(const struct options *options, const char *name, const char *params,
            json_t **ret_result)
{
    static const char *const keys[] = {"writers", "encoders", "policies", "plugins",
                                       NULL};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    enum ctl_exit done = ask_connect(options, &client);

    if (done != CTL_DONE)
        return done;
    done = ask_try(client, "plugins", params, ret_result, &err);
    if (done != CTL_DONE && name && err.code == LIGHTER_E_PARAMS)
        ask_complain_of_name(client, "plugins", keys, name, &err);
    else if (done != CTL_DONE)
        complain("%s", err.message);
    lighter_disconnect(client);
    return done;
}

static enum ctl_exit
run(const struct options *options)
{
    const char *name = options->n_arguments ? options->arguments[0] : NULL;
    AUTO(free_bytes) char *params = make_params(name);
    enum ctl_exit done;
    json_t *result;

    if (!params) {
        complain("the plugin's name '%s' is not UTF-8", name);
        return CTL_USAGE;
    }
    done = ask_plugins(options, name, params, &result);
    if (done != CTL_DONE)
        return done;
    if (options->json)
        output_json(stdout, result);
    else
        done = name ? print_named(result) : print_all(result);
    json_decref(result);
    return done;
}

const struct verb verb_plugins = {.name = "plugins",
                                  .summary = "what can be written; NAME shows options",
                                  .help = help,
                                  .max_arguments = 1,
                                  .run = run};
