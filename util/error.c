/* error.c - see error.h. */
#include "util/error.h"

int
error_wrap(struct lighter_error *err, int r, const char *format, ...)
{
    char context[LIGHTER_ERROR_TEXT_MAX];
    size_t used, left, size;
    va_list args;

    if (!err)
        return r;
    va_start(args, format);
    vsnprintf(context, sizeof context - 4, format,
              args); /* room for ": " and a letter */
    va_end(args);
    used = strlen(context);
    memcpy(context + used, ": ", 2);
    left = sizeof context - used - 3;
    size = strnlen(err->message, left);
    memcpy(context + used + 2, err->message, size);
    context[used + 2 + size] = '\0';
    memcpy(err->message, context, used + 2 + size + 1);
    return r;
}
