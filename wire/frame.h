/* frame.h - bytes of a stream to whole frames (doc/protocol.md, section 2).
 *
 * In: bytes as they come, put by the caller straight into the reader's room. Out: one
 * frame after another, each in memory of its own that the caller takes. A frame that
 * does not fit the staging room is received in place: its bytes are never copied.
 * Memory follows what was received, not what a peer announces.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <lighter/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_SIZE 4
#define FRAME_STAGING_SIZE ((size_t)32 << 10)

/* A frame that is received in place starts with this much memory, and doubles it as
 * bytes arrive.
 */
#define FRAME_FREE_SIZE ((size_t)256 << 10)

enum { FRAME_MORE = 1 };

/* One body. Owned by whoever holds it; free(data). */
struct frame {
    uint8_t *data;
    size_t size; /* bytes */
};

struct frame_reader {
    size_t max_bytes; /* of a body */
    uint8_t *staging; /* FRAME_STAGING_SIZE bytes; [start, end) wait */
    size_t start, end;
    struct frame large; /* the frame received in place; size as announced */
    size_t large_used, large_room;
};

/* 0, or -ENOMEM. */
int frame_reader_init(struct frame_reader *reader, size_t max_bytes,
                      struct lighter_error *err);
void frame_reader_done(struct frame_reader *reader);

/* Where the peer's next bytes may be put: *ret_size is 1 or more. Lent until the next
 * call on the reader. Call frame_next() until FRAME_MORE before.
 * Return: 0; -ENOMEM.
 */
int frame_reader_room(struct frame_reader *reader, uint8_t **ret_room, size_t *ret_size,
                      struct lighter_error *err);

/* The first `size` bytes of that room are there now. */
void frame_reader_fed(struct frame_reader *reader, size_t size);

/* Take the next whole frame.
 *
 * Return: 0, and the caller owns ret_frame->data (size 1 to max_bytes); FRAME_MORE when
 *         more bytes must be fed first; -EPROTO when the peer announces no bytes or
 *         more than max_bytes, and the stream is then useless; -ENOMEM.
 */
int frame_next(struct frame_reader *reader, struct frame *ret_frame,
               struct lighter_error *err);

/* Has part of a frame arrived, or a whole one that was not taken? */
bool frame_reader_waits(const struct frame_reader *reader);

/* Is FRAME_FREE_SIZE of a frame there that is longer? What follows takes more memory.
 */
bool frame_reader_is_large(const struct frame_reader *reader);

/* The head of a frame with a body of `size` bytes. */
void frame_head(uint8_t head[FRAME_HEAD_SIZE], uint32_t size);

#endif
