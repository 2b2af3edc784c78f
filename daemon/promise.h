/* promise.h - names that promise what is not done.
 *
 * `x.parquet` that holds CSV, `0.jpg` that is a PNG, `s3://bucket/x.csv` that becomes a
 * folder `s3:`, `{epoch}.csv` that stays so: the file is made, and whoever opens it is
 * misled. So such names are refused when a job is opened. Pure; any thread.
 */
#ifndef DAEMON_PROMISE_H
#define DAEMON_PROMISE_H

#include <lighter/error.h>

/* Does `name`, a file's name or its end, promise another format than those of
 * `suffixes` (".csv .txt"; NULL: any will do)? Only suffixes of well-known formats
 * promise anything. `what`: who makes it, for the message.
 * Return: 0; -EINVAL.
 */
int promise_check_suffix(const char *name, const char *what, const char *suffixes,
                         struct lighter_error *err);

/* Does the absolute path `target` ask for what no part of lighterd does: another
 * storage, a home directory, a placeholder? Return: 0; -EINVAL.
 */
int promise_check_path(const char *target, struct lighter_error *err);

#endif
