/* sink.c - see sink.h. */
#include "daemon/sink.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define SINK_CHUNK_MIN ((size_t)4096)

/* A copied part has no address until sink_parts(): the chunk moves when it grows. */
#define COPIED NULL

void
sink_init(struct lighter_sink *sink)
{
    *sink = (struct lighter_sink){0};
}

void
sink_done(struct lighter_sink *sink)
{
    free(sink->parts);
    free(sink->chunk);
    sink_init(sink);
}

void
sink_clear(struct lighter_sink *sink)
{
    sink->n_parts = 0;
    sink->chunk_used = 0;
    sink->size = 0;
}

void
sink_trim(struct lighter_sink *sink)
{
    sink_clear(sink);
    if (sink->chunk_size > SINK_DRAINED) {
        free(sink->chunk);
        sink->chunk = NULL;
        sink->chunk_size = 0;
    }
}

static int
add_part(struct lighter_sink *sink, const void *data, size_t size)
{
    if (sink->n_parts == sink->max_parts) {
        size_t max_parts = sink->max_parts ? 2 * sink->max_parts : 8;
        struct iovec *parts = realloc(sink->parts, max_parts * sizeof *parts);

        if (!parts)
            return -ENOMEM;
        sink->parts = parts;
        sink->max_parts = max_parts;
    }
    sink->parts[sink->n_parts++] = (struct iovec){(void *)data, size};
    sink->size += size;
    return 0;
}

/* The last part grows if it was copied; else a copied one begins. */
static int
begin_copied_part(struct lighter_sink *sink)
{
    if (sink->n_parts && sink->parts[sink->n_parts - 1].iov_base == COPIED)
        return 0;
    return add_part(sink, COPIED, 0);
}

void *
sink_reserve(struct lighter_sink *sink, size_t size)
{
    size_t wanted, doubled;
    char *chunk;

    if (sink->drain && sink->size >= SINK_DRAINED &&
        sink->drain(sink->drain_data, sink) < 0)
        return NULL;
    if (__builtin_add_overflow(sink->chunk_used, size, &wanted))
        return NULL;
    if (begin_copied_part(sink) < 0)
        return NULL;
    if (wanted > sink->chunk_size || !sink->chunk) {
        doubled = sink->chunk_size ? 2 * sink->chunk_size : SINK_CHUNK_MIN;
        chunk = realloc(sink->chunk, wanted > doubled ? wanted : doubled);
        if (!chunk)
            return NULL;
        sink->chunk = chunk;
        sink->chunk_size = wanted > doubled ? wanted : doubled;
    }
    return sink->chunk + sink->chunk_used;
}

void
sink_commit(struct lighter_sink *sink, size_t size)
{
    sink->parts[sink->n_parts - 1].iov_len += size;
    sink->chunk_used += size;
    sink->size += size;
}

int
sink_lend(struct lighter_sink *sink, const void *data, size_t size)
{
    return size ? add_part(sink, data, size) : 0;
}

struct iovec *
sink_parts(struct lighter_sink *sink, size_t *ret_n_parts)
{
    size_t used = 0;

    for (size_t i = 0; i < sink->n_parts; i++) {
        struct iovec *part = &sink->parts[i];

        if (part->iov_base == COPIED) {
            part->iov_base = sink->chunk + used;
            used += part->iov_len;
        }
    }
    *ret_n_parts = sink->n_parts;
    return sink->parts;
}
