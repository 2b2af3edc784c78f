/* rows.h - the lines of a table that somebody else is writing.
 *
 * In: a path, and up to where it may be read. Out: whole lines, as they are or, to a
 * terminal, without control characters. The file is held open: what happens to its name
 * later is no matter.
 */
#ifndef CTL_ROWS_H
#define CTL_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct rows {
    int fd;          /* -1: not open */
    uint64_t header; /* bytes */
    uint64_t read;   /* bytes that were printed, or passed over */
};

/* Return: 0; -errno. */
int rows_open(struct rows *rows, const char *path, uint64_t header);
void rows_close(struct rows *rows);

/* Bytes of the file. 0 where it cannot be said. */
uint64_t rows_size(const struct rows *rows);

/* Pass over all below `end` but the last `n_lines` lines behind the header. */
void rows_skip(struct rows *rows, uint64_t end, int n_lines);

/* Print [read, end) to `file`. Return: 0; -errno where it cannot be read. */
int rows_print(struct rows *rows, uint64_t end, FILE *file, bool is_terminal);

/* The same, but as a list of texts; owned. NULL where it cannot be read. */
json_t *rows_list(struct rows *rows, uint64_t end);

#endif
