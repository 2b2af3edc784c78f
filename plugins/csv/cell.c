/* cell.c - see cell.h. */
#include "plugins/csv/cell.h"

void
cell_writer_init(struct cell_writer *cells, const struct lighter_services *services,
                 struct lighter_sink *sink, bool alone)
{
    pytext_init(&cells->row, services, sink);
    pytext_init_memory(&cells->scratch, PYTEXT_MAX_SIZE);
    cells->alone = alone;
}

void
cell_writer_done(struct cell_writer *cells)
{
    pytext_done(&cells->scratch);
}

static bool
needs_quotes(const char *data, size_t size)
{
    static const bool special[256] = {
        [','] = true, ['"'] = true, ['\r'] = true, ['\n'] = true};

    for (size_t i = 0; i < size; i++)
        if (special[(unsigned char)data[i]])
            return true;
    return false;
}

static int
put_quoted(struct pytext *row, const char *data, size_t size, struct lighter_error *err)
{
    const char *end = data + size, *quote;
    int r = pytext_put(row, "\"", 1, err);

    while (r == 0 && (quote = memchr(data, '"', (size_t)(end - data)))) {
        r = pytext_put(row, data, (size_t)(quote + 1 - data), err);
        if (r == 0)
            r = pytext_put(row, "\"", 1, err);
        data = quote + 1;
    }
    if (r == 0)
        r = pytext_put(row, data, (size_t)(end - data), err);
    return r < 0 ? r : pytext_put(row, "\"", 1, err);
}

static int
put_text(struct cell_writer *cells, const char *data, size_t size,
         struct lighter_error *err)
{
    if (size == 0)
        return cells->alone ? pytext_put(&cells->row, "\"\"", 2, err) : 0;
    if (needs_quotes(data, size))
        return put_quoted(&cells->row, data, size, err);
    return pytext_put(&cells->row, data, size, err);
}

static int
put_nested(struct cell_writer *cells, const struct lighter_value *value,
           struct lighter_error *err)
{
    struct pytext *text = &cells->scratch;
    int r;

    pytext_clear(text);
    r = pytext_str(text, value, err);
    if (r < 0)
        return r;
    return put_text(cells, text->start, (size_t)(text->at - text->start), err);
}

int
cell_put(struct cell_writer *cells, const struct lighter_value *value,
         struct lighter_error *err)
{
    switch (value->type) {
    case LIGHTER_NIL:
        return put_text(cells, NULL, 0, err);
    case LIGHTER_STRING:
        return put_text(cells, value->as.string.data, value->as.string.size, err);
    case LIGHTER_BOOL:
    case LIGHTER_INT:
    case LIGHTER_UINT:
    case LIGHTER_FLOAT: /* no number has a character that asks for quotes */
        return pytext_str(&cells->row, value, err);
    default:
        return put_nested(cells, value, err);
    }
}
