/* screen.c - see screen.h.
 *
 * Wherever a job has a column, its name gets what the others leave. Where that is too
 * little, columns go: those first that tell the least of what costs a training time.
 */
#include "client/ctl/screen.h"

#include "client/ctl/output.h"
#include "client/ctl/progress.h"
#include "util/error.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define NAME_WIDTH_MIN 12
#define NAME_WIDTH_LEAST 5 /* beside the state alone */
#define BAR_WIDTH 10

#define BOLD "\x1b[1m"
#define RED "\x1b[31m"
#define GREEN "\x1b[32m"
#define YELLOW "\x1b[33m"
#define PLAIN "\x1b[0m"

/* ---- cells --------------------------------------------------------------------- */

static char *
show_state(const json_t *job)
{
    static const struct {
        const char *reason, *state;
    } table[] = {
        {"ranks", "lacks ranks"}, {"space", "disk full"}, {"disk", "disk hangs"}};
    const json_t *waiting = json_object_get(job, "waiting");
    const char *reason = json_string_value(json_object_get(waiting, "reason"));

    for (size_t i = 0; reason && i < sizeof table / sizeof *table; i++)
        if (strcmp(reason, table[i].reason) == 0)
            return formatted("%s", table[i].state);
    return show_text(json_object_get(job, "state"));
}

static char *
show_ranks(const json_t *job)
{
    AUTO(free_bytes) char *ended = show_text(json_object_get(job, "ranks_ended"));
    AUTO(free_bytes) char *all = show_text(json_object_get(job, "world_size"));

    return formatted("%s/%s", ended, all);
}

static char *
show_count(const json_t *value)
{
    return json_is_number(value) ? format_brief_count(json_number_value(value))
                                 : show_text(value);
}

static char *
show_pace(const json_t *value)
{
    AUTO(free_bytes) char *count = NULL;

    if (json_number_value(value) <= 0)
        return formatted("-");
    if (json_number_value(value) < 9.95)
        return show_rate(value);
    count = format_brief_count(json_number_value(value));
    return formatted("%s/s", count);
}

static char *
show_brief(const json_t *value)
{
    return json_is_number(value) ? format_brief_duration(json_number_value(value))
                                 : formatted("-");
}

static char *
show_part(const json_t *job)
{
    double part = progress_part(job);

    return part < 0 ? formatted("-") : formatted("%d%%", (int)(100 * part));
}

static const struct column {
    const char *title;
    const char *key; /* NULL: the whole job */
    char *(*show)(const json_t *value);
    int width;
    int goes; /* the higher, the earlier */
    bool is_left;
} columns[] = {
    {"STAGE", "stage", show_text, 8, 9, true},
    {"STATE", NULL, show_state, 11, 0, true},
    {"RANKS", NULL, show_ranks, 7, 8, false},
    {"DONE", NULL, show_part, 4, 3, false},
    {"SAMPLES", "samples", show_count, 7, 4, false},
    {"BYTES", "bytes_written", show_size, 10, 7, false},
    {"RATE", "samples_per_second", show_pace, 8, 1, false},
    {"WAITING", "bytes_waiting", show_size, 10, 5, false},
    {"BLOCKED", "blocked", show_brief, 7, 6, false},
    {"ETA", "eta", show_brief, 6, 2, false},
};

#define N_COLUMNS (sizeof columns / sizeof *columns)

/* What fits: columns that go at `*ret_limit` or above are left out. Return: the name's
 * width.
 */
static int
choose(int width, int *ret_limit)
{
    int left, limit = 10;

    for (;; limit--) {
        left = width;
        for (size_t i = 0; i < N_COLUMNS; i++)
            if (columns[i].goes < limit)
                left -= columns[i].width + GAP;
        if (left >= (limit == 1 ? NAME_WIDTH_LEAST : NAME_WIDTH_MIN) || limit == 0)
            break;
    }
    *ret_limit = limit;
    return left;
}

/* ---- lines --------------------------------------------------------------------- */

struct drawing {
    const struct screen *screen;
    FILE *file;
    int n_lines;
};

static bool
has_room(const struct drawing *drawing)
{
    return !drawing->screen->rows || drawing->n_lines < drawing->screen->rows;
}

/* `text` is as wide as it may be. The last line of a screen has no end: it would move.
 */
static void
put_line(struct drawing *drawing, const char *colour, const char *text)
{
    bool is_coloured = drawing->screen->has_colours && colour;

    if (!has_room(drawing))
        return;
    if (drawing->n_lines++ && drawing->screen->is_live)
        fputc('\n', drawing->file);
    fprintf(drawing->file, "%s%s%s%s", is_coloured ? colour : "", text,
            is_coloured ? PLAIN : "", drawing->screen->is_live ? "\x1b[K" : "\n");
}

__attribute__((format(printf, 2, 3))) static void
put(struct drawing *drawing, const char *format, ...)
{
    AUTO(free_bytes) char *line = NULL, *fitted = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&line, format, args) < 0)
        line = NULL;
    va_end(args);
    fitted = text_fitted(must(line), drawing->screen->columns);
    put_line(drawing, NULL, fitted);
}

static void
add_cell(FILE *line, const char *text, int width, bool is_left, bool is_last)
{
    AUTO(free_bytes) char *fitted = text_fitted(text, width);
    int padding = width - (int)text_width(fitted);

    if (!is_left)
        fprintf(line, "%*s%s", padding, "", fitted);
    else
        fprintf(line, "%s%*s", fitted, is_last ? 0 : padding, "");
}

/* `job` NULL: the titles. Returns owned. */
static char *
make_row(const json_t *job, int name_width, int limit)
{
    char *text = NULL;
    size_t size;
    FILE *line = must(open_memstream(&text, &size));
    AUTO(free_bytes)
    char *name = job ? show_text(json_object_get(job, "name")) : formatted("NAME");

    add_cell(line, name, name_width, true, limit == 0);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        const struct column *column = &columns[i];
        AUTO(free_bytes) char *cell = NULL;

        if (column->goes >= limit)
            continue;
        cell = job ? column->show(column->key ? json_object_get(job, column->key) : job)
                   : formatted("%s", column->title);
        fprintf(line, "%*s", GAP, "");
        add_cell(line, cell, column->width, column->is_left, false);
    }
    fclose(line);
    return must(text);
}

static const char *
colour_of(const json_t *job)
{
    static const struct {
        const char *state, *colour;
    } table[] = {
        {"published", GREEN}, {"failed", RED}, {"aborted", RED}, {"interrupted", RED}};
    const char *state = json_string_value(json_object_get(job, "state"));

    if (json_is_string(json_object_get(job, "waits")))
        return YELLOW;
    for (size_t i = 0; state && i < sizeof table / sizeof *table; i++)
        if (strcmp(state, table[i].state) == 0)
            return table[i].colour;
    return NULL;
}

/* ---- the daemon ---------------------------------------------------------------- */

static void
put_head(struct drawing *drawing, const json_t *status)
{
    AUTO(free_bytes) char *version = show_text(json_object_get(status, "version"));
    AUTO(free_bytes) char *pid = show_text(json_object_get(status, "pid"));
    AUTO(free_bytes) char *up = show_duration(json_object_get(status, "uptime"));
    AUTO(free_bytes) char *conns = show_text(json_object_get(status, "connections"));
    AUTO(free_bytes) char *threads = show_text(json_object_get(status, "threads"));

    put(drawing, "lighterd %s (%s), up %s, %s connections, %s threads", version, pid,
        up, conns, threads);
}

/* How full the memory is that waits to be written. Returns owned. */
static char *
draw_gauge(const json_t *status)
{
    double now = json_number_value(json_object_get(status, "bytes_waiting"));
    double most = json_number_value(json_object_get(status, "max_daemon_bytes"));
    char bar[BAR_WIDTH + 1];
    double part = most > 0 ? now / most : 0;

    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', part >= 1 ? BAR_WIDTH : (size_t)(part * BAR_WIDTH + 0.5));
    bar[BAR_WIDTH] = '\0';
    return formatted("[%s]", bar);
}

static void
put_daemon(struct drawing *drawing, const json_t *status)
{
    double samples = json_number_value(json_object_get(status, "samples_per_second"));
    double rate = json_number_value(json_object_get(status, "bytes_per_second"));
    AUTO(free_bytes) char *bytes = format_size(rate > 0 ? (uint64_t)rate : 0);
    AUTO(free_bytes) char *gauge = draw_gauge(status);
    AUTO(free_bytes) char *now = show_size(json_object_get(status, "bytes_waiting"));
    AUTO(free_bytes)
    char *most = show_size(json_object_get(status, "max_daemon_bytes"));
    AUTO(free_bytes)
    char *batches = show_text(json_object_get(status, "batches_waiting"));
    AUTO(free_bytes) char *refused = show_text(json_object_get(status, "refused"));
    AUTO(free_bytes) char *blocked = show_duration(json_object_get(status, "blocked"));

    put(drawing, "written  %.0f samples/s, %s/s", samples, bytes);
    put(drawing, "waiting  %s %s of %s, %s batches", gauge, now, most, batches);
    put(drawing, "blocked  %s, %s batches refused", blocked, refused);
}

/* ---- jobs ---------------------------------------------------------------------- */

/* Live ones in their order, then the others, the last of them first. Returns owned. */
static json_t *
sort(const json_t *jobs)
{
    const json_t *list = json_object_get(jobs, "jobs");
    json_t *sorted = json_array();

    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_true(json_object_get(json_array_get(list, i), "live")))
            json_array_append(sorted, json_array_get(list, i));
    for (size_t i = json_array_size(list); i > 0; i--)
        if (!json_is_true(json_object_get(json_array_get(list, i - 1), "live")))
            json_array_append(sorted, json_array_get(list, i - 1));
    return sorted;
}

static void
put_jobs(struct drawing *drawing, const json_t *list)
{
    int rows = drawing->screen->rows, limit, name_width;
    size_t n = json_array_size(list), n_shown = n;
    AUTO(free_bytes) char *titles = NULL;

    name_width = choose(drawing->screen->columns, &limit);
    titles = make_row(NULL, name_width, limit);
    put_line(drawing, BOLD, titles);
    if (rows && (size_t)drawing->n_lines + n > (size_t)rows) /* a line says how many */
        n_shown =
            rows - 1 > drawing->n_lines ? (size_t)(rows - 1 - drawing->n_lines) : 0;
    for (size_t i = 0; i < n_shown; i++) {
        const json_t *job = json_array_get(list, i);
        AUTO(free_bytes) char *row = make_row(job, name_width, limit);

        put_line(drawing, colour_of(job), row);
    }
    if (n_shown < n)
        put(drawing, "... %zu more", n - n_shown);
    else if (!n)
        put(drawing, "no jobs");
}

/* For what they wait, and what to do: as far as there is room. */
static void
put_waits(struct drawing *drawing, const json_t *list)
{
    const json_t *job;
    size_t i;

    json_array_foreach (list, i, job) {
        const json_t *waits = json_object_get(job, "waits");
        AUTO(free_bytes) char *sentence = show_text(waits);

        if (json_is_string(waits))
            put(drawing, "%s", sentence);
    }
}

/* ---- all of it ----------------------------------------------------------------- */

static void
begin(const struct screen *screen, FILE *file)
{
    if (screen->is_live)
        fputs("\x1b[H", file);
}

static void
end(const struct screen *screen, FILE *file)
{
    if (screen->is_live)
        fputs("\x1b[J", file);
}

void
screen_draw(const struct screen *screen, const json_t *status, const json_t *jobs,
            FILE *file)
{
    struct drawing drawing = {.screen = screen, .file = file};
    json_t *sorted = sort(jobs);

    begin(screen, file);
    put_head(&drawing, status);
    put_daemon(&drawing, status);
    put(&drawing, "%s", "");
    put_jobs(&drawing, sorted);
    put_waits(&drawing, sorted);
    end(screen, file);
    json_decref(sorted);
}

void
screen_say(const struct screen *screen, const char *sentence, FILE *file)
{
    struct drawing drawing = {.screen = screen, .file = file};
    AUTO(free_bytes) char *shown = printable(sentence);

    begin(screen, file);
    put(&drawing, "%s", shown);
    end(screen, file);
}
