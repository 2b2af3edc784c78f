/* cell.h - one cell of a CSV row, as Python's csv.writer quotes it.
 *
 * The excel dialect: a cell is quoted where it has , " CR or LF, with quotes doubled;
 * None is an empty cell; a row that is one empty cell is `""`, as an empty line would
 * be no row to a reader. One thread at a time.
 */
#ifndef CSV_CELL_H
#define CSV_CELL_H

#include "plugins/pytext/pytext.h"

struct cell_writer {
    struct pytext row;     /* on its way into the shard */
    struct pytext scratch; /* the text of a nested value, before it is quoted */
    bool alone;            /* rows have one cell */
    bool lf;               /* they end in LF, not in CR LF */
};

void cell_writer_init(struct cell_writer *cells,
                      const struct lighter_services *services,
                      struct lighter_sink *sink, bool alone, bool lf);
void cell_writer_done(struct cell_writer *cells);

/* Bytes of what stands behind a cell. */
#define CELL_END 2

/* Any value as a cell; leaves room for the cell's end. */
int cell_put(struct cell_writer *cells, const struct lighter_value *value,
             struct lighter_error *err);

/* What stands behind a cell: a comma, which row_end() takes back after the last one. */
static inline void
cell_end(struct cell_writer *cells)
{
    *cells->row.at++ = ',';
}

static inline void
row_end(struct cell_writer *cells)
{
    cells->row.at[-1] = cells->lf ? '\n' : '\r';
    if (!cells->lf)
        *cells->row.at++ = '\n';
}

#endif
