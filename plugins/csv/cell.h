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
};

void cell_writer_init(struct cell_writer *cells,
                      const struct lighter_services *services,
                      struct lighter_sink *sink, bool alone);
void cell_writer_done(struct cell_writer *cells);

/* Any value as a cell. */
int cell_put(struct cell_writer *cells, const struct lighter_value *value,
             struct lighter_error *err);

/* What stands behind a cell. */
static inline int
cell_end(struct cell_writer *cells, bool last, struct lighter_error *err)
{
    char *at = pytext_room(&cells->row, 2, err);

    if (!at)
        return cells->row.failed;
    memcpy(at, last ? "\r\n" : ",", 2);
    cells->row.at = at + (last ? 2 : 1);
    return 0;
}

#endif
