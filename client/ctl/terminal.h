/* terminal.h - what is at the other end of standard output, and a screen of one's own.
 */
#ifndef CTL_TERMINAL_H
#define CTL_TERMINAL_H

#include <stdbool.h>

/* Is it one that can move its cursor? */
bool terminal_is_there(void);

/* ... and nobody has asked for none: NO_COLOR is unset or empty (no-color.org). */
bool terminal_has_colours(void);

/* 80 and 24 where it does not say. */
void terminal_size(int *ret_columns, int *ret_rows);

/* A screen of our own, without a cursor; keys come at once and are not shown. However
 * the program ends by exit(), the terminal is as it was. terminal_leave() may come
 * twice.
 */
void terminal_enter(void);
void terminal_leave(void);

/* Are there keys to be read from standard input? */
bool terminal_has_keys(void);

#endif
