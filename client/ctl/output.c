/* output.c - see output.h. */
#include "client/ctl/output.h"

#include "util/error.h"
#include "util/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMN_GAP 2

/* ---- texts --------------------------------------------------------------------- */

void *
must(void *pointer)
{
    if (!pointer) {
        fputs("lighterctl: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return pointer;
}

char *
formatted(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    return must(text);
}

/* Bytes of the character at `p` that can be shown, 0 where there is none. */
static size_t
shown_size(const char *p)
{
    size_t left = strnlen(p, 4);

    for (size_t size = 1; size <= left; size++)
        if (utf8_printable(p, size))
            return size;
    return 0;
}

char *
printable(const char *text)
{
    char *shown = must(malloc(4 * strlen(text) + 1)), *end = shown;

    while (*text) {
        size_t size = shown_size(text);

        if (size)
            end = mempcpy(end, text, size);
        else
            end += sprintf(end, "\\x%02x", (unsigned char)*text);
        text += size ? size : 1;
    }
    *end = '\0';
    return shown;
}

size_t
text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

char *
text_fitted(const char *text, int columns)
{
    size_t size = 0;
    int n = 0;

    if (columns <= 0 || text_width(text) <= (size_t)columns)
        return formatted("%s", columns <= 0 ? "" : text);
    for (; text[size]; size++) /* to where the last character begins that has room */
        if (((unsigned char)text[size] & 0xc0) != 0x80 && ++n == columns)
            break;
    return formatted("%.*s~", (int)size, text);
}

/* ---- values -------------------------------------------------------------------- */

char *
format_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    int unit = 0;

    if (bytes < 1024)
        return formatted("%" PRIu64 " B", bytes);
    while (size >= 1023.95) { /* else "1024.0 KiB" */
        size /= 1024;
        unit++;
    }
    return formatted("%.1f %s", size, units[unit]);
}

char *
format_duration(double seconds)
{
    uint64_t s;

    if (seconds < 9.95)
        return formatted("%.1f s", seconds);
    s = seconds < 1e15 ? (uint64_t)(seconds + 0.5) : (uint64_t)1e15;
    if (s < 60)
        return formatted("%" PRIu64 " s", s);
    if (s < 3600)
        return formatted("%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    if (s < 86400)
        return formatted("%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    return formatted("%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
}

char *
format_brief_duration(double seconds)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;

    if (seconds >= 10000 * units[0].seconds)
        return formatted("ages");
    while (i < 3 && seconds < units[i].seconds)
        i++;
    return formatted("%d %s", (int)(seconds / units[i].seconds), units[i].name);
}

char *
format_brief_count(double count)
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;

    if (count < 99999.5)
        return formatted("%.0f", count);
    for (; count >= 999.95 && unit < sizeof units - 2; unit++)
        count /= 1000;
    return formatted("%.1f%c", count, units[unit]);
}

char *
show_text(const json_t *value)
{
    AUTO(free_bytes) char *text = NULL;

    if (!value || json_is_null(value))
        return formatted("-");
    if (json_is_string(value))
        return printable(json_string_value(value));
    text = must(json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS));
    return printable(text);
}

char *
show_size(const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return show_text(value);
    return format_size((uint64_t)json_integer_value(value));
}

char *
show_duration(const json_t *value)
{
    if (!json_is_number(value) || json_number_value(value) < 0)
        return show_text(value);
    return format_duration(json_number_value(value));
}

char *
show_flag(const json_t *value)
{
    if (!json_is_boolean(value))
        return show_text(value);
    return formatted("%s", json_is_true(value) ? "yes" : "no");
}

char *
show_rate(const json_t *value)
{
    double rate = json_number_value(value);

    if (!json_is_number(value) || rate <= 0)
        return show_text(json_is_number(value) ? NULL : value);
    return rate < 9.95 ? formatted("%.1f/s", rate) : formatted("%.0f/s", rate);
}

char *
show_byte_rate(const json_t *value)
{
    AUTO(free_bytes) char *size = NULL;
    double rate = json_number_value(value);

    if (!json_is_number(value) || rate <= 0 || rate >= 1e18)
        return show_text(json_is_number(value) ? NULL : value);
    size = format_size((uint64_t)rate);
    return formatted("%s/s", size);
}

/* ---- tables and blocks --------------------------------------------------------- */

static const json_t *
field_value(const struct field *field, const json_t *row)
{
    return field->key ? json_object_get(row, field->key) : row;
}

static size_t
count_fields(const struct field *fields)
{
    size_t n_fields = 0;

    while (fields[n_fields].title)
        n_fields++;
    return n_fields;
}

static size_t
cell_width(const struct field *field, const json_t *row)
{
    AUTO(free_bytes) char *text = field->show(field_value(field, row));

    return text_width(text);
}

static size_t
column_width(const struct field *field, const json_t *rows)
{
    size_t widest = text_width(field->title);

    for (size_t i = 0; i < json_array_size(rows); i++) {
        size_t width = cell_width(field, json_array_get(rows, i));

        if (width > widest)
            widest = width;
    }
    return widest;
}

/* A cell waits with its blanks until something follows it: no line ends in blanks. */
static void
print_cell(FILE *file, const char *text, enum field_place place, size_t width,
           size_t *blanks)
{
    size_t padding = width - text_width(text);

    if (place == FIELD_RIGHT)
        *blanks += padding;
    fprintf(file, "%*s%s", (int)*blanks, "", text);
    *blanks = COLUMN_GAP + (place == FIELD_RIGHT ? 0 : padding);
}

static void
print_titles(FILE *file, const struct field *fields, const size_t *widths)
{
    size_t blanks = 0;

    for (size_t i = 0; fields[i].title; i++)
        if (fields[i].place != FIELD_NOTE)
            print_cell(file, fields[i].title, fields[i].place, widths[i], &blanks);
    fputc('\n', file);
}

static void
print_notes(FILE *file, const struct field *fields, const json_t *row)
{
    for (; fields->title; fields++) {
        const json_t *value = field_value(fields, row);
        AUTO(free_bytes) char *text = NULL;

        if (fields->place != FIELD_NOTE || !value || json_is_null(value) ||
            json_is_false(value))
            continue;
        text = fields->show(value);
        fprintf(file, "  %s: %s\n", fields->title, text);
    }
}

static void
print_row(FILE *file, const struct field *fields, const size_t *widths,
          const json_t *row)
{
    size_t blanks = 0;

    for (size_t i = 0; fields[i].title; i++) {
        AUTO(free_bytes) char *text = NULL;

        if (fields[i].place == FIELD_NOTE)
            continue;
        text = fields[i].show(field_value(&fields[i], row));
        print_cell(file, text, fields[i].place, widths[i], &blanks);
    }
    fputc('\n', file);
    print_notes(file, fields, row);
}

void
output_table(FILE *file, const struct field *fields, const json_t *rows)
{
    size_t n_fields = count_fields(fields);
    AUTO(free_bytes) size_t *widths = must(calloc(n_fields + 1, sizeof *widths));

    for (size_t i = 0; i < n_fields; i++)
        widths[i] = column_width(&fields[i], rows);
    print_titles(file, fields, widths);
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(file, fields, widths, json_array_get(rows, i));
}

void
output_block(FILE *file, const struct field *fields, const json_t *row)
{
    size_t width = 0;

    for (const struct field *field = fields; field->title; field++)
        if (text_width(field->title) > width)
            width = text_width(field->title);
    for (; fields->title; fields++) {
        AUTO(free_bytes) char *text = fields->show(field_value(fields, row));
        size_t blanks = 0;

        print_cell(file, fields->title, FIELD_LEFT, width, &blanks);
        fprintf(file, "%*s%s\n", (int)blanks, "", text);
    }
}

void
output_json_line(FILE *file, const json_t *json)
{
    json_dumpf(json, file,
               JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII |
                   JSON_REAL_PRECISION(15));
    fputc('\n', file);
}

void
output_json(FILE *file, const json_t *json)
{
    json_dumpf(json, file,
               JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII |
                   JSON_REAL_PRECISION(15)); /* times: 0.1, not 0.10000000000000001 */
    fputc('\n', file);
}
