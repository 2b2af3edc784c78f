/* column.h - the cells that one key of a batch gives to the rows of a table.
 *
 * A list gives an item a row, a tensor an item along its first axis; all else, a
 * tensor without dimensions too, is a scalar, which stands in every row. What can be
 * decided once for the whole column is. Views a value of the batch, no longer than the
 * batch lives; one thread at a time.
 */
#ifndef CSV_COLUMN_H
#define CSV_COLUMN_H

#include "plugins/csv/cell.h"
#include "plugins/pytext/number.h"

struct column {
    const struct lighter_value *value; /* NULL: the batch lacks the key */
    number_put_element *put_element;   /* numbers of a tensor; else NULL */
    const uint8_t *elements;
    size_t stride;                     /* bytes from row to row, 0 for a scalar */
    const struct lighter_value *items; /* of a list, or a scalar; else NULL */
    size_t step;                       /* items from row to row, 0 for a scalar */
};

void column_init(struct column *column, const struct lighter_value *value);

/* Whether the column says how many rows there are, and how many. */
bool column_has_length(const struct column *column, uint64_t *ret_length);

/* The cell of a row of a tensor of two or more dimensions. */
int column_put_row(const struct column *column, uint64_t row, struct cell_writer *cells,
                   struct lighter_error *err);

/* The cell of a row; row < the column's length, where it has one. Leaves room for the
 * cell's end.
 */
static inline int
column_put(const struct column *column, uint64_t row, struct cell_writer *cells,
           struct lighter_error *err)
{
    char *at;

    if (column->items)
        return cell_put(cells, column->items + column->step * (size_t)row, err);
    if (!column->put_element)
        return column_put_row(column, row, cells, err);
    at = pytext_room(&cells->row, NUMBER_ROOM + CELL_END, err);
    if (!at)
        return cells->row.failed;
    cells->row.at =
        column->put_element(at, column->elements + column->stride * (size_t)row);
    return 0;
}

#endif
