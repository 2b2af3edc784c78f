/* terminal.h - what is at the other end of standard output. */
#ifndef CTL_TERMINAL_H
#define CTL_TERMINAL_H

#include <stdbool.h>

/* Is it one that can move its cursor? */
bool terminal_is_there(void);

/* ... and nobody has asked for none: NO_COLOR is unset or empty (no-color.org). */
bool terminal_has_colours(void);

/* 80 and 24 where it does not say. */
void terminal_size(int *ret_columns, int *ret_rows);

#endif
