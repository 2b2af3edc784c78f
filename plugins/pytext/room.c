/* room.c - the room of a text, in a sink or in memory; see pytext.h.
 */
#include "plugins/pytext/pytext.h"

#include <stdlib.h>

#define STEP ((size_t)16 << 10) /* bytes of a sink at a time */
#define MAX_KEPT ((size_t)1 << 20)

void
pytext_init(struct pytext *text, const struct lighter_services *services,
            struct lighter_sink *sink)
{
    *text = (struct pytext){
        .services = services, .sink = sink, .max_size = PYTEXT_MAX_SIZE};
}

void
pytext_flush(struct pytext *text)
{
    size_t size = (size_t)(text->at - text->start);

    if (size)
        text->services->commit(text->sink, size);
    text->flushed += size;
    text->start = text->at = text->end = NULL;
}

void
pytext_init_memory(struct pytext *text, size_t max_size)
{
    *text = (struct pytext){.max_size = max_size};
}

void
pytext_done(struct pytext *text)
{
    free(text->start);
    text->start = text->at = text->end = NULL;
}

void
pytext_clear(struct pytext *text)
{
    if ((size_t)(text->end - text->start) > MAX_KEPT)
        pytext_done(text);
    text->at = text->start;
}

/* At least `size`, more where more saves calls, never over the limit. */
static size_t
pick_size(const struct pytext *text, size_t used, size_t size, size_t wish)
{
    size_t left = text->max_size - used;

    if (wish < size)
        wish = size;
    return wish < left ? wish : left;
}

static char *
more_of_sink(struct pytext *text, size_t size, struct lighter_error *err)
{
    size_t room = pick_size(text, text->flushed, size, STEP);

    text->start = text->services->reserve(text->sink, room);
    if (!text->start) {
        text->failed = lighter_fail_os(err, ENOMEM, "hold %zu bytes of text",
                                       text->flushed + room);
        return NULL;
    }
    text->end = text->start + room;
    return text->at = text->start;
}

static char *
more_memory(struct pytext *text, size_t size, struct lighter_error *err)
{
    size_t used = (size_t)(text->at - text->start);
    size_t room = used + pick_size(text, used, size, used < 64 ? 64 : used);
    char *start = realloc(text->start, room);

    if (!start) {
        text->failed = lighter_fail_os(err, ENOMEM, "hold %zu bytes of text", room);
        return NULL;
    }
    text->start = start;
    text->end = start + room;
    return text->at = start + used;
}

char *
pytext_more(struct pytext *text, size_t size, struct lighter_error *err)
{
    size_t used;

    if (text->services)
        pytext_flush(text);
    used = text->flushed + (size_t)(text->at - text->start);
    if (size > text->max_size - used) {
        text->failed = lighter_fail(
            err, LIGHTER_E_LIMIT, "the text is longer than %zu bytes", text->max_size);
        return NULL;
    }
    return text->services ? more_of_sink(text, size, err)
                          : more_memory(text, size, err);
}

int
pytext_put(struct pytext *text, const char *data, size_t size,
           struct lighter_error *err)
{
    char *at;

    if (!size)
        return 0;
    at = pytext_room(text, size, err);
    if (!at)
        return text->failed;
    memcpy(at, data, size);
    text->at = at + size;
    return 0;
}
