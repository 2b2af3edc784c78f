/* column.c - see column.h. */
#include "plugins/csv/column.h"

static void
init_tensor(struct column *column, const struct lighter_tensor *tensor)
{
    if (tensor->ndim <= 1)
        column->put_element = number_element(tensor->dtype);
    column->elements = tensor->data;
    column->stride = tensor->ndim ? lighter_dtype_size(tensor->dtype) : 0;
}

void
column_init(struct column *column, const struct lighter_value *value)
{
    *column = (struct column){.value = value};
    if (!value)
        return;
    if (value->type == LIGHTER_TENSOR) {
        init_tensor(column, &value->as.tensor);
    } else if (value->type == LIGHTER_LIST) {
        column->items = value->as.items;
        column->step = 1;
    } else {
        column->items = value;
    }
}

bool
column_has_length(const struct column *column, uint64_t *ret_length)
{
    const struct lighter_value *value = column->value;

    if (value && value->type == LIGHTER_LIST) {
        *ret_length = value->count;
        return true;
    }
    if (value && value->type == LIGHTER_TENSOR && value->as.tensor.ndim) {
        *ret_length = value->as.tensor.shape[0];
        return true;
    }
    return false;
}

int
column_put_row(const struct column *column, uint64_t row, struct cell_writer *cells,
               struct lighter_error *err)
{
    struct lighter_value item;

    lighter_tensor_item(&column->value->as.tensor, row, &item);
    return cell_put(cells, &item, err);
}
