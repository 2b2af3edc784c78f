/* output.h - what lighterctl prints: for people tables and blocks, for scripts JSON.
 *
 * Both are made from the same answer of the daemon. A table has a row for each object
 * of a list, a block a line for each field of one object; what to show is a list of
 * fields. Whatever the daemon sent, no control character reaches the terminal, and a
 * value that is missing or of another type is shown, never trusted.
 */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

enum field_place {
    FIELD_LEFT,
    FIELD_RIGHT, /* numbers */
    FIELD_NOTE   /* tables: a line of its own below the row, where there is a value, and
                    not false */
};

/* A column of a table, or a line of a block. */
struct field {
    const char *title; /* NULL ends a list of fields */
    const char *key;   /* in the row's object; NULL: `show` gets the whole row */

    /* The value for people, returns owned. NULL, json null or another type than
     * expected come here as they are. */
    char *(*show)(const json_t *value);
    enum field_place place;
};

/* The value as it is; "-" where there is none. */
char *show_text(const json_t *value);
char *show_size(const json_t *value);      /* bytes: "12.5 MiB" */
char *show_duration(const json_t *value);  /* seconds: "3 min 20 s" */
char *show_flag(const json_t *value);      /* bool: "yes", "no" */
char *show_rate(const json_t *value);      /* a second: "1250/s"; "-" for none */
char *show_byte_rate(const json_t *value); /* bytes a second: "12.5 MiB/s" */

/* Titles, then the rows; columns are two blanks apart. `rows` is an array. */
void output_table(FILE *file, const struct field *fields, const json_t *rows);

/* A title and its value on each line. */
void output_block(FILE *file, const struct field *fields, const json_t *row);

/* Indented, keys sorted, ASCII. */
void output_json(FILE *file, const json_t *json);

/* In one line, for a stream of them. */
void output_json_line(FILE *file, const json_t *json);

/* Columns on a terminal: characters, all taken as one wide. */
size_t text_width(const char *text);

/* The text, or as much of it as `columns` hold, with "~" at its end. Returns owned. */
char *text_fitted(const char *text, int columns);

/* Ends the program where the pointer is NULL: there is no memory, and nothing to undo
 * for one that only asks.
 */
void *must(void *pointer);

/* For texts of one's own. Both return owned; without memory the program ends. */
__attribute__((format(printf, 1, 2))) char *formatted(const char *format, ...);

/* The text with \x1b for control characters and for bytes that are not UTF-8. */
char *printable(const char *text);

char *format_size(uint64_t bytes);
char *format_duration(double seconds);

/* In 6 columns or less, for narrow tables: "42 s", "3 min"; "9920", "12.3M". */
char *format_brief_duration(double seconds);
char *format_brief_count(double count);

#endif
