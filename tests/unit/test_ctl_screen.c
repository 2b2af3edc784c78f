/* test_ctl_screen.c - what `top` draws: it fits, whatever the terminal and the jobs. */
#include "tests/unit/unit.h"

#include "client/ctl/output.h"
#include "client/ctl/screen.h"

#include <stdlib.h>

static json_t *
make_status(void)
{
    return json_pack("{s:s, s:i, s:f, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f}",
                     "version", "0.1.0", "pid", 4711, "uptime", 11520.0, "connections",
                     3, "threads", 16, "bytes_waiting", 512, "max_daemon_bytes", 1024,
                     "batches_waiting", 12, "refused", 0, "samples_per_second", 1250.0,
                     "bytes_per_second", 4096.0, "blocked", 0.4);
}

static json_t *
make_job(const char *name, const char *state, bool live)
{
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:f, "
        "s:f}",
        "name", name, "stage", "predict", "state", state, "live", live, "world_size", 2,
        "ranks_ended", 0, "batches", 31, "total", 50, "samples", 123456789,
        "bytes_written", 2048, "samples_per_second", 146.0, "bytes_waiting", 4096,
        "blocked", 61.0, "eta", 42.0);
}

/* `n` live jobs behind two that are over. */
static json_t *
make_jobs(int n)
{
    json_t *list = json_array();
    char name[40];

    json_array_append_new(list, make_job("first over", "published", false));
    json_array_append_new(list, make_job("last over", "failed", false));
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "a long name of a job, number %d", i);
        json_array_append_new(list, make_job(name, "open", true));
    }
    return json_pack("{s:o}", "jobs", list);
}

/* Returns owned. */
static char *
draw(const struct screen *screen, int n_jobs)
{
    json_t *status = make_status(), *jobs = make_jobs(n_jobs);
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    screen_draw(screen, status, jobs, file);
    fclose(file);
    json_decref(status);
    json_decref(jobs);
    return text;
}

static const int widths[] = {1, 5, 13, 20, 40, 60, 79, 80, 81, 100, 120, 200, 500};

START_TEST(no_line_is_wider_than_the_terminal)
{
    struct screen screen = {.columns = widths[_i], .rows = 0};
    char *text = draw(&screen, 3), *line, *rest = text;
    int n_lines = 0;

    while ((line = strsep(&rest, "\n")) && rest) {
        ck_assert_msg((int)text_width(line) <= widths[_i], "%d: '%s'", widths[_i],
                      line);
        n_lines++;
    }
    ck_assert_int_eq(n_lines, 4 + 1 + 1 + 5);
    free(text);
}
END_TEST

START_TEST(columns_that_tell_most_stay_longest)
{
    static const struct {
        int columns;
        const char *titles;
    } table[] = {
        {120, "STAGE     STATE          RANKS  DONE  SAMPLES       BYTES      RATE     "
              "WAITING  BLOCKED     ETA"},
        {80, "STATE        DONE  SAMPLES      RATE     WAITING  BLOCKED     ETA"},
        {40, "STATE            RATE"},
        {20, "NAME     STATE"},
        {17, "NAME"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *text = draw(&(struct screen){.columns = table[i].columns, .rows = 0}, 1);

        ck_assert_msg(strstr(text, table[i].titles) != NULL, "%d: %s", table[i].columns,
                      text);
        free(text);
    }
}
END_TEST

START_TEST(there_are_no_more_lines_than_rows)
{
    for (int rows = 1; rows < 30; rows++) {
        struct screen screen = {.columns = 80, .rows = rows, .is_live = true};
        char *text = draw(&screen, 15);
        int n_lines = 1;

        for (const char *p = text; (p = strchr(p, '\n')); p++)
            n_lines++;
        ck_assert_int_eq(n_lines, rows < 23 ? rows : 23);
        ck_assert((strstr(text, " more\x1b[K") != NULL) == (rows > 6 && rows < 23));
        free(text);
    }
}
END_TEST

START_TEST(live_jobs_stand_above_those_that_are_over)
{
    char *text = draw(&(struct screen){.columns = 160}, 2);
    const char *names[] = {"number 0", "number 1", "last over", "first over"};

    for (size_t i = 1; i < 4; i++)
        ck_assert(strstr(text, names[i - 1]) < strstr(text, names[i]));
    free(text);
}
END_TEST

START_TEST(there_are_colours_only_where_they_are_wanted)
{
    char *plain = draw(&(struct screen){.columns = 80}, 1);
    char *coloured = draw(&(struct screen){.columns = 80, .has_colours = true}, 1);

    ck_assert_ptr_null(strchr(plain, '\x1b'));
    ck_assert_ptr_nonnull(strstr(coloured, "\x1b[31mlast over"));
    ck_assert_ptr_nonnull(strstr(coloured, "\x1b[32mfirst over"));
    free(plain);
    free(coloured);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("ctl_screen");
    TCase *tcase = unit_case(suite, "screen");

    tcase_add_loop_test(tcase, no_line_is_wider_than_the_terminal, 0,
                        (int)(sizeof widths / sizeof *widths));
    tcase_add_test(tcase, columns_that_tell_most_stay_longest);
    tcase_add_test(tcase, there_are_no_more_lines_than_rows);
    tcase_add_test(tcase, live_jobs_stand_above_those_that_are_over);
    tcase_add_test(tcase, there_are_colours_only_where_they_are_wanted);
    return unit_main(suite);
}
