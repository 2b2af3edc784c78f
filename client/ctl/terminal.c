/* terminal.c - see terminal.h. */
#include "client/ctl/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool
terminal_is_there(void)
{
    const char *type = getenv("TERM");

    return isatty(STDOUT_FILENO) && type && *type && strcmp(type, "dumb") != 0;
}

bool
terminal_has_colours(void)
{
    const char *no_color = getenv("NO_COLOR");

    return terminal_is_there() && (!no_color || !*no_color);
}

void
terminal_size(int *ret_columns, int *ret_rows)
{
    struct winsize size;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;

    *ret_columns = is_known && size.ws_col ? size.ws_col : 80;
    *ret_rows = is_known && size.ws_row ? size.ws_row : 24;
}
