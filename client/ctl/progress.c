/* progress.c - see progress.h. */
#include "client/ctl/progress.h"

#include "client/ctl/output.h"
#include "util/error.h"

#include <string.h>

#define BAR_MAX 30
#define BAR_MIN 5

double
progress_part(const json_t *job)
{
    double total = (double)json_integer_value(json_object_get(job, "total"));
    double batches = (double)json_integer_value(json_object_get(job, "batches"));

    if (!json_is_integer(json_object_get(job, "total")))
        return -1;
    return total <= 0 || batches >= total ? 1 : batches / total;
}

/* What stands behind the name: "310 of 500 batches, 9920 samples, ...". */
static char *
describe(const json_t *job)
{
    const json_t *total = json_object_get(job, "total"),
                 *eta = json_object_get(job, "eta");
    AUTO(free_bytes) char *batches = show_text(json_object_get(job, "batches"));
    AUTO(free_bytes) char *all = show_text(total);
    AUTO(free_bytes) char *samples = show_text(json_object_get(job, "samples"));
    AUTO(free_bytes) char *bytes = show_size(json_object_get(job, "bytes_written"));
    AUTO(free_bytes) char *rate = show_rate(json_object_get(job, "samples_per_second"));
    AUTO(free_bytes) char *left = show_duration(eta);

    return formatted(
        "%s%s%s batches, %s samples, %s%s%s%s%s", batches,
        json_is_integer(total) ? " of " : "", json_is_integer(total) ? all : "",
        samples, bytes, strcmp(rate, "-") ? ", " : "", strcmp(rate, "-") ? rate : "",
        json_is_number(eta) ? ", eta " : "", json_is_number(eta) ? left : "");
}

char *
progress_line(const json_t *job)
{
    AUTO(free_bytes) char *name = show_text(json_object_get(job, "name"));
    AUTO(free_bytes) char *state = show_text(json_object_get(job, "state"));
    AUTO(free_bytes) char *rest = describe(job);
    const json_t *waits = json_object_get(job, "waits");
    AUTO(free_bytes) char *sentence = show_text(waits); /* it names the job */

    if (json_is_string(waits))
        return formatted("%s; %s, %s", sentence, state, rest);
    return formatted("%s: %s, %s", name, state, rest);
}

static char *
draw_bar(double part, int width)
{
    char bar[BAR_MAX + 1];
    int n_full = (int)(part * width);

    memset(bar, '.', (size_t)width);
    memset(bar, '#', (size_t)n_full);
    bar[width] = '\0';
    return formatted("[%s] %3d%%", bar, (int)(100 * part));
}

char *
progress_bar(const json_t *job, int columns)
{
    double part = progress_part(job);
    AUTO(free_bytes) char *line = progress_line(job), *bar = NULL, *both = NULL;
    int room = columns - (int)text_width(line) - (int)strlen("[] 100%  ");

    if (part < 0 || room < BAR_MIN)
        return text_fitted(line, columns);
    bar = draw_bar(part, room < BAR_MAX ? room : BAR_MAX);
    both = formatted("%s  %s", bar, line);
    return text_fitted(both, columns);
}
