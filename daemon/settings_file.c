/* settings_file.c - the JSON file of settings, pipelines and defaults. */
#include "daemon/jsonline.h"
#include "daemon/pipeline.h"
#include "daemon/settings_table.h"
#include "util/error.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const struct setting *
find_setting(const char *key)
{
    for (size_t i = 0; i < n_settings; i++)
        if (strcmp(settings_table[i].key, key) == 0)
            return &settings_table[i];
    return NULL;
}

static int
refuse_unknown(const char *key, struct lighter_error *err)
{
    char keys[512] = "";
    size_t used = 0;

    for (size_t i = 0; i < n_settings && used < sizeof keys; i++)
        used += (size_t)snprintf(keys + used, sizeof keys - used, "%s, ",
                                 settings_table[i].key);
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "unknown key '%.64s'; there are: %spipelines, defaults", key,
                        keys);
}

static int
store_json(struct settings *settings, const char *key, const json_t *value,
           struct lighter_error *err)
{
    const struct setting *setting = find_setting(key);

    if (!setting)
        return refuse_unknown(key, err);
    if (setting->type == SETTING_TEXT && json_is_string(value))
        return setting_store_text(settings, setting, json_string_value(value),
                                  SETTINGS_FILE, err);
    if (setting->type == SETTING_NUMBER && json_is_integer(value))
        return setting_store_number(settings, setting, json_integer_value(value),
                                    SETTINGS_FILE, err);
    return lighter_fail(err, LIGHTER_E_PARAMS, "'%s' expects a %s, got %s", key,
                        setting->type == SETTING_TEXT ? "string" : "whole number",
                        json_type_text(value));
}

static int
store_all(struct settings *settings, const char *path, const char *text, json_t *root,
          struct problems *problems, struct lighter_error *err)
{
    const char *key;
    json_t *value;
    int r;

    if (!json_is_object(root)) {
        problems_at(problems, "%s:1", path);
        r = lighter_fail(err, LIGHTER_E_PARAMS, "expected an object, {...}");
        return problems_add(problems, r, err);
    }
    json_object_foreach (root, key, value) {
        if (pipelines_is_part(key) || strcmp(key, "$schema") == 0) /* for editors */
            continue;
        problems_at(problems, "%s:%d", path, json_line(text, key, NULL));
        r = problems_add(problems, store_json(settings, key, value, err), err);
        if (r < 0)
            return r;
    }
    return pipelines_read(&settings->pipelines, path, text, root, problems, err);
}

static int
read_text(const char *path, char **ret_text, struct lighter_error *err)
{
    FILE *file = fopen(path, "re");
    size_t room = 0;
    ssize_t size;

    *ret_text = NULL;
    if (!file)
        return lighter_fail_os(err, errno, "read '%s'", path);
    size = getdelim(ret_text, &room, '\0', file); /* to the end: JSON has no NUL */
    if (size < 0 && *ret_text)
        **ret_text = '\0'; /* an empty file leaves it as it was allocated */
    if (size < 0 && ferror(file)) {
        int errnum = errno;

        fclose(file);
        return lighter_fail_os(err, errnum, "read '%s'", path);
    }
    fclose(file);
    return 0;
}

int
settings_read(struct settings *settings, const char *path, struct problems *problems,
              struct lighter_error *err)
{
    AUTO(free_bytes) char *text = NULL;
    struct problems none = {0};
    json_error_t problem;
    json_t *root;
    int r = read_text(path, &text, err);

    if (r < 0)
        return r;
    root = json_loads(text ? text : "", JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return lighter_fail(err, LIGHTER_E_PARAMS, "%s:%d: %s", path,
                            problem.line > 0 ? problem.line : 1, problem.text);
    r = store_all(settings, path, text, root, problems ? problems : &none, err);
    json_decref(root);
    return r;
}
