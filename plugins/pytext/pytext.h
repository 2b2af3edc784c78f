/* pytext.h - values as the text that Python's str() and repr() give.
 *
 * In: a lighter_value. Out: UTF-8 at the end of a text, which is either on its way
 * into a sink or kept in memory. What tables and text files hold is what Python would
 * have written: people compare, and read back. One thread at a time.
 *
 * Room is taken from the sink in steps and handed on by a pointer, so that a cell
 * costs no call: take pytext_room(), write there, move `at`.
 */
#ifndef PYTEXT_PYTEXT_H
#define PYTEXT_PYTEXT_H

#include <lighter/plugin.h>

/* The longest text for a sink. A few bytes can stand for more than any memory holds:
 * a tensor of shape (10^15, 0), or a long scalar beside a long list.
 */
#define PYTEXT_MAX_SIZE ((size_t)1 << 30)

struct pytext {
    const struct lighter_services *services; /* NULL: the text is kept in memory */
    struct lighter_sink *sink;
    size_t max_size, flushed; /* bytes; flushed: what the sink has already */
    char *start, *at, *end;   /* the room; in memory: owned, the text is [start, at) */
    int failed;               /* negative errno: why pytext_room() last gave NULL */
};

/* A text for a sink, which nobody else adds to before pytext_flush(). */
void pytext_init(struct pytext *text, const struct lighter_services *services,
                 struct lighter_sink *sink);

/* Give the sink what it does not have yet. Without it the last part is dropped, which
 * is right after a failure: nothing of a failed task is kept. */
void pytext_flush(struct pytext *text);

/* A text in memory; pytext_done() frees it. */
void pytext_init_memory(struct pytext *text, size_t max_size);
void pytext_done(struct pytext *text);

/* Empty, with its memory kept for the next text, unless it is exceptionally much. */
void pytext_clear(struct pytext *text);

/* The slow half of pytext_room(). */
char *pytext_more(struct pytext *text, size_t size, struct lighter_error *err);

/* Room for `size` bytes, 1 or more, at text->at. Lent until the next call on `text`;
 * the caller moves text->at behind what it wrote.
 * Return: text->at; NULL with `err` filled: no memory, or the text is too long. The
 *         caller then returns text->failed.
 */
static inline char *
pytext_room(struct pytext *text, size_t size, struct lighter_error *err)
{
    if (text->at && size <= (size_t)(text->end - text->at))
        return text->at;
    return pytext_more(text, size, err);
}

/* Bytes as they are. */
int pytext_put(struct pytext *text, const char *data, size_t size,
               struct lighter_error *err);

/* str(value) and repr(value); they differ for strings alone. A tensor is what item()
 * gives where it has no dimensions, else what tolist() gives.
 * On failure the text ends somewhere within the value, with a whole character.
 */
int pytext_str(struct pytext *text, const struct lighter_value *value,
               struct lighter_error *err);
int pytext_repr(struct pytext *text, const struct lighter_value *value,
                struct lighter_error *err);

#endif
