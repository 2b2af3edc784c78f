/* screen.h - the daemon and its jobs on one screen. Pure: what `top` draws. */
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct screen {
    int columns, rows; /* rows 0: as many as it takes */
    bool has_colours;
    bool is_live; /* a terminal: what was there before is overwritten */
};

/* Results of `status` and `jobs`. No line is wider, and there are not more of them. */
void screen_draw(const struct screen *screen, const json_t *status, const json_t *jobs,
                 FILE *file);

/* One sentence instead. */
void screen_say(const struct screen *screen, const char *sentence, FILE *file);

#endif
