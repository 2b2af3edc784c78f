/* frame.c - see frame.h. */
#include "wire/frame.h"

#include "util/error.h"

#include <string.h>

int
frame_reader_init(struct frame_reader *reader, size_t max_bytes,
                  struct lighter_error *err)
{
    *reader = (struct frame_reader){.max_bytes = max_bytes};
    reader->staging = malloc(FRAME_STAGING_SIZE);
    return reader->staging ? 0 : fail_nomem(err);
}

void
frame_reader_done(struct frame_reader *reader)
{
    free(reader->staging);
    free(reader->large.data);
    *reader = (struct frame_reader){0};
}

static int
grow_large(struct frame_reader *reader, size_t room, struct lighter_error *err)
{
    uint8_t *data;

    if (room > reader->large.size)
        room = reader->large.size;
    data = realloc(reader->large.data, room);
    if (!data)
        return fail_nomem(err);
    reader->large.data = data;
    reader->large_room = room;
    return 0;
}

int
frame_reader_room(struct frame_reader *reader, uint8_t **ret_room, size_t *ret_size,
                  struct lighter_error *err)
{
    int r;

    if (reader->large.size) {
        if (reader->large_used == reader->large_room) {
            r = grow_large(reader, 2 * reader->large_room, err);
            if (r < 0)
                return r;
        }
        *ret_room = reader->large.data + reader->large_used;
        *ret_size = reader->large_room - reader->large_used;
        return 0;
    }
    if (reader->start) {
        memmove(reader->staging, reader->staging + reader->start,
                reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    *ret_room = reader->staging + reader->end;
    *ret_size = FRAME_STAGING_SIZE - reader->end;
    return 0;
}

void
frame_reader_fed(struct frame_reader *reader, size_t size)
{
    if (reader->large.size)
        reader->large_used += size;
    else
        reader->end += size;
}

/* The staged bytes begin a frame that does not fit: go on receiving it in place. */
static int
begin_large(struct frame_reader *reader, size_t size, struct lighter_error *err)
{
    size_t staged = reader->end - reader->start - FRAME_HEAD_SIZE;
    int r;

    reader->large.size = size;
    r = grow_large(reader, FRAME_FREE_SIZE, err);
    if (r < 0) {
        reader->large.size = 0;
        return r;
    }
    memcpy(reader->large.data, reader->staging + reader->start + FRAME_HEAD_SIZE,
           staged);
    reader->large_used = staged;
    reader->start = reader->end = 0;
    return FRAME_MORE;
}

static int
take_large(struct frame_reader *reader, struct frame *ret_frame)
{
    if (reader->large_used < reader->large.size)
        return FRAME_MORE;
    *ret_frame = reader->large;
    reader->large = (struct frame){0};
    reader->large_used = reader->large_room = 0;
    return 0;
}

static int
take_staged(struct frame_reader *reader, size_t size, struct frame *ret_frame,
            struct lighter_error *err)
{
    uint8_t *data = malloc(size);

    if (!data)
        return fail_nomem(err);
    memcpy(data, reader->staging + reader->start + FRAME_HEAD_SIZE, size);
    reader->start += FRAME_HEAD_SIZE + size;
    *ret_frame = (struct frame){data, size};
    return 0;
}

static size_t
announced_size(const uint8_t *head)
{
    return (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 |
           head[3];
}

int
frame_next(struct frame_reader *reader, struct frame *ret_frame,
           struct lighter_error *err)
{
    size_t waiting = reader->end - reader->start, size;

    if (reader->large.size)
        return take_large(reader, ret_frame);
    if (waiting < FRAME_HEAD_SIZE)
        return FRAME_MORE;
    size = announced_size(reader->staging + reader->start);
    if (size == 0)
        return lighter_fail(err, LIGHTER_E_PROTOCOL, "a frame of no bytes");
    if (size > reader->max_bytes)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "a frame of %zu bytes; max_frame_bytes is %zu", size,
                            reader->max_bytes);
    if (waiting - FRAME_HEAD_SIZE >= size)
        return take_staged(reader, size, ret_frame, err);
    if (FRAME_HEAD_SIZE + size <= FRAME_STAGING_SIZE || waiting < FRAME_STAGING_SIZE)
        return FRAME_MORE; /* what was announced alone gets no memory */
    return begin_large(reader, size, err);
}

bool
frame_reader_waits(const struct frame_reader *reader)
{
    return reader->large.size || reader->start < reader->end;
}

bool
frame_reader_is_large(const struct frame_reader *reader)
{
    return reader->large.size > FRAME_FREE_SIZE &&
           reader->large_used >= FRAME_FREE_SIZE;
}

void
frame_head(uint8_t head[FRAME_HEAD_SIZE], uint32_t size)
{
    head[0] = (uint8_t)(size >> 24);
    head[1] = (uint8_t)(size >> 16);
    head[2] = (uint8_t)(size >> 8);
    head[3] = (uint8_t)size;
}
