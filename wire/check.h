/* check.h - is this body one sound MessagePack object, and how large does it unpack?
 *
 * One pass over the bytes before msgpack-c sees them: no allocation, no recursion.
 * msgpack-c reserves memory for a count that it reads (five bytes make it 8 GiB), so
 * nothing unchecked may reach it.
 */
#ifndef WIRE_CHECK_H
#define WIRE_CHECK_H

#include <lighter/error.h>

#include <stddef.h>
#include <stdint.h>

#define CHECK_MAX_DEPTH 32 /* containers inside one another; msgpack-c's own limit */
#define CHECK_MAX_OBJECTS ((uint64_t)1 << 22) /* more are never taken */

/* What is in a message around the outputs of a batch, generously. */
#define CHECK_ENVELOPE_OBJECTS 64

/* Objects that may come in a frame, where one has at most `max_frame` bytes. Unpacked,
 * and made a value of a batch, an object takes 64 bytes and more: so no frame costs
 * more than 25 times `max_frame`.
 */
static inline uint64_t
check_max_objects(uint64_t max_frame)
{
    return max_frame / 4 < CHECK_MAX_OBJECTS ? max_frame / 4 : CHECK_MAX_OBJECTS;
}

/* Exactly one object, of at most `max_objects` with those inside it, nothing left over,
 * every count and length within the bytes that are left, no extension types.
 * *ret_n_objects (may be NULL) is the number of objects in all, what memory the
 * unpacked ones take follows from. Return: 0; -EPROTO, and `err` names the offset.
 */
int check_object(const uint8_t *data, size_t size, uint64_t max_objects,
                 uint64_t *ret_n_objects, struct lighter_error *err);

#endif
