/* settings_table.h - what settings there are, for those who read them.
 *
 * Only settings*.c and what shows or checks all settings include this.
 */
#ifndef DAEMON_SETTINGS_TABLE_H
#define DAEMON_SETTINGS_TABLE_H

#include "daemon/settings.h"

#include <stddef.h>

enum setting_type { SETTING_TEXT, SETTING_NUMBER };

struct setting {
    const char *key;    /* in the file */
    const char *option; /* on the command line */
    const char *metavar;
    enum setting_type type;
    size_t offset;
    int64_t min, max;
    bool stays; /* for the daemon's life */
    const char *help;
};

extern const struct setting settings_table[];
extern const size_t n_settings;

/* Where a setting is in a struct settings. */
char **setting_text(const struct settings *settings, const struct setting *setting);
int64_t *setting_number(const struct settings *settings, const struct setting *setting);

/* Set it, and remember who did. The text is copied.
 * Return: 0; -EINVAL: `err` names the key, what it expects and what came; -ENOMEM.
 */
int setting_store_text(struct settings *settings, const struct setting *setting,
                       const char *text, enum settings_origin origin,
                       struct lighter_error *err);
int setting_store_number(struct settings *settings, const struct setting *setting,
                         int64_t value, enum settings_origin origin,
                         struct lighter_error *err);

#endif
