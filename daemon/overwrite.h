/* overwrite.h - the option that every writer has: what becomes of what is there
 * already.
 *
 * In: a writer's own option table. Out: the same with one more line, whose value the
 * daemon reads and no plugin does. Pure; any thread.
 */
#ifndef DAEMON_OVERWRITE_H
#define DAEMON_OVERWRITE_H

#include <lighter/plugin.h>

enum overwrite {
    OVERWRITE_REPLACE,  /* a table is replaced; so are files of the same names */
    OVERWRITE_ERROR,    /* nothing may be there: neither at `open` nor when published */
    OVERWRITE_EXCHANGE, /* the whole directory is, and the old one is kept; files alone
                         */
};

/* The writer's table, and behind it the daemon's own option, whose value has a place
 * behind the plugin's options. *ret_options is the caller's: free().
 * Return: 0; -EINVAL: the writer has an option of that name; -ENOMEM.
 */
int overwrite_add_option(const struct lighter_writer *writer,
                         struct lighter_option **ret_options, size_t *ret_size,
                         struct lighter_error *err);

/* What a writer's parsed options say. Return: 0; -EINVAL: no such word, or not for a
 * writer of this kind.
 */
int overwrite_read(const struct lighter_writer *writer, const void *options,
                   enum overwrite *ret_overwrite, struct lighter_error *err);

#endif
