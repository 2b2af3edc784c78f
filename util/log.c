/* log.c - see log.h. The level is the one piece of state outside the daemon object:
 * it is set once, before threads, and every edge would else have to carry it.
 */
#include "util/log.h"

#include "util/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"error", "warning", "info", "debug"};
static _Atomic int max_level = LOG_LEVEL_INFO;

void
log_set_level(enum log_level level)
{
    max_level = level;
}

int
log_level_from_name(const char *name)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* What ends a value, or begins one. */
static const char *
find_special(const char *text)
{
    return strpbrk(text, " \t\r\n\"=\\");
}

const char *
log_value(const char *text, char room[LOG_VALUE_SIZE])
{
    size_t used = 0;

    if (*text && !find_special(text))
        return text;
    room[used++] = '"';
    for (; *text && used + 4 < LOG_VALUE_SIZE; text++) {
        if (*text == '"' || *text == '\\')
            room[used++] = '\\';
        room[used++] = *text;
    }
    room[used++] = '"';
    room[used] = '\0';
    return room;
}

static void
write_line(enum log_level level, const char *format, va_list args)
{
    char line[4096];
    struct timespec now;
    struct tm parts;
    size_t used;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
    used += (size_t)snprintf(line + used, sizeof line - used, ".%03ldZ %s ",
                             now.tv_nsec / 1000000, names[level]);
    vsnprintf(line + used, sizeof line - used - 1, format, args);
    utf8_make_printable(line); /* a client's words cannot begin a line of their own */
    used = strlen(line);
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* there is nobody left to tell */
}

#define LOG_FUNCTION(name, level, limit)                                               \
    void name(const char *format, ...)                                                 \
    {                                                                                  \
        va_list args;                                                                  \
                                                                                       \
        if ((int)level > (limit))                                                      \
            return;                                                                    \
        va_start(args, format);                                                        \
        write_line(level, format, args);                                               \
        va_end(args);                                                                  \
    }

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, max_level)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING, max_level)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, max_level)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, max_level)
LOG_FUNCTION(log_always, LOG_LEVEL_INFO, LOG_LEVEL_INFO)
