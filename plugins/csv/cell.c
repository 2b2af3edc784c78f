/* cell.c - see cell.h. */
#include "plugins/csv/cell.h"

void
cell_writer_init(struct cell_writer *cells, const struct lighter_services *services,
                 struct lighter_sink *sink, bool alone, bool lf)
{
    pytext_init(&cells->row, services, sink);
    pytext_init_memory(&cells->scratch, PYTEXT_MAX_SIZE);
    cells->alone = alone;
    cells->lf = lf;
}

void
cell_writer_done(struct cell_writer *cells)
{
    pytext_done(&cells->scratch);
}

/* ---- what asks for quotes ------------------------------------------------------ */

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS (0x80 * ONES)

/* Bits, of which one at least is in HIGHS where a byte of the word is `c`, and none of
 * them where none is.
 */
static inline uint64_t
find_byte(uint64_t word, char c)
{
    uint64_t zero_at_c = word ^ (unsigned char)c * ONES;

    return (zero_at_c - ONES) & ~zero_at_c;
}

static inline bool
word_asks_for_quotes(uint64_t word)
{
    return (find_byte(word, ',') | find_byte(word, '"') | find_byte(word, '\r') |
            find_byte(word, '\n')) &
           HIGHS;
}

/* Copy eight bytes. */
static inline bool
copy_word(char *to, const char *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof word);
    memcpy(to, &word, sizeof word);
    return word_asks_for_quotes(word);
}

/* Copy, and look at what is copied: is there a byte that asks for quotes? */
static bool
copy_text(char *to, const char *from, size_t size)
{
    bool found = false;

    if (size >= 8) {
        for (size_t i = 0; i < size - 8; i += 8)
            found |= copy_word(to + i, from + i);
        return found | copy_word(to + size - 8, from + size - 8);
    }
    for (size_t i = 0; i < size; i++) {
        to[i] = from[i];
        found |= word_asks_for_quotes((unsigned char)from[i] * ONES);
    }
    return found;
}

/* ---- cells --------------------------------------------------------------------- */

static int
leave_room(struct pytext *row, struct lighter_error *err)
{
    return pytext_room(row, CELL_END, err) ? 0 : row->failed;
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
    if (r == 0)
        r = pytext_put(row, "\"", 1, err);
    return r < 0 ? r : leave_room(row, err);
}

static int
put_nothing(struct cell_writer *cells, struct lighter_error *err)
{
    int r = cells->alone ? pytext_put(&cells->row, "\"\"", 2, err) : 0;

    return r < 0 ? r : leave_room(&cells->row, err);
}

static int
put_text(struct cell_writer *cells, const char *data, size_t size,
         struct lighter_error *err)
{
    struct pytext *row = &cells->row;
    char *at;

    if (size == 0)
        return put_nothing(cells, err);
    at = pytext_room(row, size + CELL_END, err);
    if (!at)
        return row->failed;
    if (copy_text(at, data, size))
        return put_quoted(row, data, size, err); /* over what was copied */
    row->at = at + size;
    return 0;
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

/* Of which none has a character that asks for quotes. */
static int
put_number(struct cell_writer *cells, const struct lighter_value *value,
           struct lighter_error *err)
{
    int r = pytext_str(&cells->row, value, err);

    return r < 0 ? r : leave_room(&cells->row, err);
}

int
cell_put(struct cell_writer *cells, const struct lighter_value *value,
         struct lighter_error *err)
{
    switch (value->type) {
    case LIGHTER_NIL:
        return put_nothing(cells, err);
    case LIGHTER_STRING:
        return put_text(cells, value->as.string.data, value->as.string.size, err);
    case LIGHTER_BOOL:
    case LIGHTER_INT:
    case LIGHTER_UINT:
    case LIGHTER_FLOAT:
        return put_number(cells, value, err);
    default:
        return put_nested(cells, value, err);
    }
}
