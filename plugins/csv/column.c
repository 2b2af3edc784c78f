/* column.c - see column.h. */
#include "plugins/csv/column.h"

void
column_init(struct column *column, const struct lighter_value *value)
{
    const struct lighter_tensor *tensor;

    *column = (struct column){.value = value};
    if (!value || value->type != LIGHTER_TENSOR || value->as.tensor.ndim > 1)
        return;
    tensor = &value->as.tensor;
    column->put_element = number_element(tensor->dtype);
    column->elements = tensor->data;
    column->stride = tensor->ndim ? lighter_dtype_size(tensor->dtype) : 0;
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
column_put_any(const struct column *column, uint64_t row, struct cell_writer *cells,
               struct lighter_error *err)
{
    const struct lighter_value *value = column->value;
    struct lighter_value item;

    if (value->type == LIGHTER_LIST)
        return cell_put(cells, &value->as.items[row], err);
    if (value->type == LIGHTER_TENSOR && value->as.tensor.ndim) {
        lighter_tensor_item(&value->as.tensor, row, &item);
        return cell_put(cells, &item, err);
    }
    return cell_put(cells, value, err);
}
