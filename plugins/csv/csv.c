/* csv.c - the writer "csv": chosen keys of each batch as the rows of one table.
 *
 * Bytes are those of Python's csv.writer on the same values; the checks, their order
 * and their messages are those of lighter's CsvWriter. One stream's state belongs to
 * whichever worker runs its one call.
 */
#include "plugins/csv/column.h"

#include <lighter/plugin.h>

#include <inttypes.h>
#include <stdlib.h>

struct csv_options {
    const char *path;
    struct lighter_strings keys;
    const char *line_end;
};

#define LINE_END_LF "lf"

struct csv {
    size_t n_keys;
    const char *const *names;   /* lent by the options */
    struct lighter_value *keys; /* the names as values: n_keys, owned */
    struct column *columns;     /* n_keys, owned; of the batch at hand */
    bool lf;                    /* lines end in LF, not in CR LF */
};

static const struct lighter_option csv_option_table[] = {
    {.name = "path",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct csv_options, path),
     .help = "The CSV file to make"},
    {.name = "keys",
     .type = LIGHTER_OPTION_STRINGS,
     .required = true,
     .offset = offsetof(struct csv_options, keys),
     .help = "Keys of the outputs that become columns, in this order"},
    {.name = "line_end",
     .type = LIGHTER_OPTION_STRING,
     .fallback = "crlf",
     .offset = offsetof(struct csv_options, line_end),
     .help = "crlf, as Python's csv module writes it, or lf"},
    {.name = NULL},
};

static int
csv_check_options(const void *options, struct lighter_error *err)
{
    const struct csv_options *chosen = options;

    if (strcmp(chosen->line_end, "crlf") == 0 ||
        strcmp(chosen->line_end, LINE_END_LF) == 0)
        return 0;
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'line_end' expects 'crlf' or 'lf', got '%.64s'",
                        chosen->line_end);
}

static void
csv_close(void *state)
{
    struct csv *csv = state;

    if (!csv)
        return;
    free(csv->keys);
    free(csv->columns);
    free(csv);
}

static int
csv_open(void **ret_state, const void *options, const struct lighter_context *context,
         struct lighter_error *err)
{
    const struct csv_options *chosen = options;
    struct csv *csv = calloc(1, sizeof *csv);

    (void)context;
    if (csv) {
        csv->n_keys = chosen->keys.count;
        csv->names = chosen->keys.items;
        csv->lf = strcmp(chosen->line_end, LINE_END_LF) == 0;
        csv->keys = calloc(csv->n_keys, sizeof *csv->keys);
        csv->columns = calloc(csv->n_keys, sizeof *csv->columns);
    }
    if (!csv || !csv->keys || !csv->columns) {
        csv_close(csv);
        return lighter_fail_os(err, ENOMEM, "hold a table of %zu columns",
                               chosen->keys.count);
    }
    for (size_t i = 0; i < csv->n_keys; i++) {
        csv->keys[i].type = LIGHTER_STRING;
        csv->keys[i].as.string.data = csv->names[i];
        csv->keys[i].as.string.size = strlen(csv->names[i]);
    }
    *ret_state = csv;
    return 0;
}

/* ---- checks -------------------------------------------------------------------- */

#define MAX_NAMES_SIZE ((size_t)400) /* two of them fit a message */
#define MAX_NAME_SIZE 400

/* Every `step`th value as the text of a Python list, cut short where it is long, or
 * where memory ends: the error that it is for must not be lost to another one.
 */
static void
list_names(char ret_text[MAX_NAMES_SIZE + 4], const struct lighter_value *names,
           size_t n_names, size_t step)
{
    struct pytext text;
    size_t size;
    int r;

    pytext_init_memory(&text, MAX_NAMES_SIZE);
    r = pytext_put(&text, "[", 1, NULL);
    for (size_t i = 0; r == 0 && i < n_names; i++) {
        r = pytext_put(&text, ", ", i ? 2 : 0, NULL);
        if (r == 0)
            r = pytext_repr(&text, &names[i * step], NULL);
    }
    size = (size_t)(text.at - text.start);
    if (size)
        memcpy(ret_text, text.start, size);
    strcpy(ret_text + size, r < 0 ? "..." : "]");
    pytext_done(&text);
}

static int
fail_no_key(const struct csv *csv, const struct lighter_value *outputs,
            struct lighter_error *err)
{
    char wanted[MAX_NAMES_SIZE + 4], there[MAX_NAMES_SIZE + 4];

    list_names(wanted, csv->keys, csv->n_keys, 1);
    list_names(there, outputs->as.items, outputs->count, 2);
    return lighter_fail(err, LIGHTER_E_KEY,
                        "CsvWriter: none of the configured keys %s were found in "
                        "outputs. Available keys in outputs: %s",
                        wanted, there);
}

/* Bytes of a name that a message has room for: whole characters of UTF-8. */
static int
shown_size(const char *name)
{
    size_t size = strnlen(name, MAX_NAME_SIZE + 1);

    if (size <= MAX_NAME_SIZE)
        return (int)size;
    for (size = MAX_NAME_SIZE; ((unsigned char)name[size] & 0xc0) == 0x80; size--)
        ;
    return (int)size;
}

static bool
find_columns(struct csv *csv, const struct lighter_value *outputs)
{
    bool found = false;

    for (size_t i = 0; i < csv->n_keys; i++) {
        column_init(&csv->columns[i], lighter_map_get(outputs, csv->names[i]));
        found |= csv->columns[i].value != NULL;
    }
    return found;
}

/* The first column that has a length says how many samples there are. */
static uint64_t
count_samples(const struct csv *csv)
{
    uint64_t length;

    for (size_t i = 0; i < csv->n_keys; i++)
        if (column_has_length(&csv->columns[i], &length))
            return length;
    return 1;
}

static int
check_lengths(const struct csv *csv, uint64_t n_samples, struct lighter_error *err)
{
    uint64_t length;

    for (size_t i = 0; i < csv->n_keys; i++)
        if (column_has_length(&csv->columns[i], &length) && length != n_samples)
            return lighter_fail(
                err, LIGHTER_E_VALUE,
                "CsvWriter found inconsistent lengths for keys: "
                "expected %" PRIu64 ", but found %" PRIu64 " for key '%.*s'.",
                n_samples, length, shown_size(csv->names[i]), csv->names[i]);
    return 0;
}

static int
check_complete(const struct csv *csv, struct lighter_error *err)
{
    for (size_t i = 0; i < csv->n_keys; i++)
        if (!csv->columns[i].value)
            return lighter_fail(err, LIGHTER_E_KEY,
                                "CsvWriter expected key '%.*s' in outputs but it was "
                                "missing.",
                                shown_size(csv->names[i]), csv->names[i]);
    return 0;
}

static int
csv_check(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
          struct lighter_error *err)
{
    struct csv *csv = state;
    uint64_t n_samples;
    int r;

    if (!find_columns(csv, batch->outputs))
        return fail_no_key(csv, batch->outputs, err);
    n_samples = count_samples(csv);
    r = check_lengths(csv, n_samples, err);
    if (r == 0 && n_samples > 0) /* a batch of no rows lacks no cell */
        r = check_complete(csv, err);
    if (r == 0)
        *ret_samples = n_samples;
    return r;
}

/* ---- rows ---------------------------------------------------------------------- */

static int
csv_header(void *state, struct lighter_sink *sink,
           const struct lighter_services *services, struct lighter_error *err)
{
    const struct csv *csv = state;
    struct cell_writer cells;
    int r = 0;

    cell_writer_init(&cells, services, sink, csv->n_keys == 1, csv->lf);
    for (size_t i = 0; r == 0 && i < csv->n_keys; i++) {
        r = cell_put(&cells, &csv->keys[i], err);
        if (r == 0)
            cell_end(&cells);
    }
    if (r == 0) {
        row_end(&cells);
        pytext_flush(&cells.row);
    }
    cell_writer_done(&cells);
    return r;
}

static int
put_row(const struct csv *csv, uint64_t row, struct cell_writer *cells,
        struct lighter_error *err)
{
    int r;

    for (size_t i = 0; i < csv->n_keys; i++) {
        r = column_put(&csv->columns[i], row, cells, err);
        if (r < 0)
            return lighter_fail_at(err, row, r);
        cell_end(cells);
    }
    row_end(cells);
    return 0;
}

static int
csv_write(void *state, const struct lighter_task *task, struct lighter_output *output,
          struct lighter_error *err)
{
    struct csv *csv = state;
    struct cell_writer cells;
    int r = 0;

    find_columns(csv, task->batch->outputs);
    cell_writer_init(&cells, task->services, task->services->sink(output),
                     csv->n_keys == 1, csv->lf);
    for (uint64_t i = 0; r == 0 && i < task->count; i++)
        r = put_row(csv, task->first + i, &cells, err);
    if (r == 0)
        pytext_flush(&cells.row);
    cell_writer_done(&cells);
    return r;
}

/* ---- the plugin ---------------------------------------------------------------- */

static const struct lighter_writer csv_writer = {
    .size = sizeof(struct lighter_writer),
    .name = "csv",
    .summary = "one table of comma-separated values, as Python's csv module writes it",
    .kind = LIGHTER_KIND_TABLE,
    .threads = LIGHTER_THREADS_ORDERED,
    .options = csv_option_table,
    .options_size = sizeof(struct csv_options),
    .open = csv_open,
    .check = csv_check,
    .header = csv_header,
    .write = csv_write,
    .close = csv_close,
    .check_options = csv_check_options,
    .suffixes = ".csv",
};

static const struct lighter_writer *const csv_writers[] = {&csv_writer, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "csv",
    .version = "0.1.0",
    .writers = csv_writers,
};
