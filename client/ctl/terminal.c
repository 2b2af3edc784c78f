/* terminal.c - see terminal.h. */
#include "client/ctl/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
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

bool
terminal_has_keys(void)
{
    return isatty(STDIN_FILENO);
}

static struct termios before;
static bool is_entered, has_changed_keys;

static void
take_keys(void)
{
    struct termios settings;

    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return;
    settings = before;
    settings.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    settings.c_cc[VSUSP] = _POSIX_VDISABLE; /* a shell would come up on our screen */
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    has_changed_keys = tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings) == 0;
}

void
terminal_enter(void)
{
    is_entered = true;
    atexit(terminal_leave);
    take_keys();
    fputs("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J", stdout); /* as xterm's and its kind */
    fflush(stdout);
}

void
terminal_leave(void)
{
    if (!is_entered)
        return;
    is_entered = false;
    fputs("\x1b[?25h\x1b[?1049l", stdout);
    fflush(stdout);
    if (has_changed_keys)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}
