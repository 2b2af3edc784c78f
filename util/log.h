/* log.h - one line an event: level, words, then key=value. Only edges call it.
 *
 * A value that comes from outside, a job's name or a reason, goes through LOG_VALUE():
 * whatever is in it, it is one value, and cannot look like another key.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#define LOG_VALUE_SIZE 1100 /* bytes, with the NUL: a whole lighter_error fits */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above `level` are not written. Any thread. */
void log_set_level(enum log_level level);

/* The level of a name such as "info", -1 where there is none. */
int log_level_from_name(const char *name);

/* `text` where it is one plain word, else in quotes, with " and \ escaped by \; of one
 * that is too long the end is left out. Lent: it is `text`, or in `room`.
 */
const char *log_value(const char *text, char room[LOG_VALUE_SIZE]);
#define LOG_VALUE(text) log_value((text), (char[LOG_VALUE_SIZE]){0})

/* A line of level info, whatever the level is. */
__attribute__((format(printf, 1, 2))) void log_always(const char *format, ...);

/* To standard error, in one write; any thread. */
__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_warning(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_info(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_debug(const char *format, ...);

#endif
