/* option.h - a map of the wire to a plugin's own options struct, by its option table.
 *
 * In: the map that a client sent for a writer (or an encoder). Out: the struct, filled,
 * with strings of its own, all in one zone. Errors name the option, what it expects and
 * what came, or list the options that there are.
 */
#ifndef DAEMON_OPTION_H
#define DAEMON_OPTION_H

#include "daemon/registry.h"

#include <msgpack.h>

/* What reading options needs to know. Borrowed. */
struct option_context {
    const struct registry *registry; /* encoders by name */
    const char *cwd;                 /* absolute, or NULL: paths must be absolute */
    msgpack_zone *zone;              /* where everything goes */
    FILE *text; /* gets the options in a normal form, to be compared; may be NULL */
};

/* *ret_options lives as long as the zone. `owner` names the writer in errors.
 * Return: 0; -EINVAL; -ENOMEM.
 */
int option_parse(const struct option_context *context, const char *owner,
                 const struct lighter_option *table, size_t options_size,
                 const msgpack_object *map, void **ret_options,
                 struct lighter_error *err);

/* Are the options of the map, of which some may be missing, such as the table has them?
 * Return: as option_parse().
 */
int option_check(const struct option_context *context, const char *owner,
                 const struct lighter_option *table, size_t options_size,
                 const msgpack_object *map, struct lighter_error *err);

/* Ends the stream `text` of open_memstream(), whose text is `*ret_text`, owned by the
 * caller all the time. Return: 0; -ENOMEM: not all of it is there.
 */
int option_end_text(FILE *text, char *const *ret_text, struct lighter_error *err);

/* The string that a table's one option of `type` got; NULL where it has none. */
const char *option_string(const struct lighter_option *table, const void *options,
                          enum lighter_option_type type);

/* "string", "int", ... as doc/protocol.md, section 6, has them. Static text. */
const char *option_type_name(enum lighter_option_type type);

#endif
