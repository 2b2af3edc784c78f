/* problems.c - see problems.h. */
#include "daemon/problems.h"

#include "util/error.h"

void
problems_at(struct problems *problems, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(problems->where, sizeof problems->where, format, args);
    va_end(args);
}

int
problems_add(struct problems *problems, int r, struct lighter_error *err)
{
    if (r >= 0)
        return 0;
    if (*problems->where)
        error_wrap(err, r, "%s", problems->where);
    if (!problems->report || r == -ENOMEM)
        return r;
    problems->report(problems->data, err->message);
    problems->n++;
    return 0;
}
