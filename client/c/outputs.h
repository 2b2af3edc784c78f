/* outputs.h - one batch's outputs, packed as far as they can be before it is sent.
 *
 * In: keys and values. Out: the bytes of a frame that come after the envelope: packed
 * ones, and between them tensors' where the caller has them.
 */
#ifndef CLIENT_OUTPUTS_H
#define CLIENT_OUTPUTS_H

#include <lighter/client.h>

#include <msgpack.h>
#include <stdbool.h>

#define PLACE_SIZE 22 /* bytes of a key and a value that say where in memory */

/* Tensor bytes that stand behind the first `offset` packed bytes. */
struct lent_bytes {
    size_t offset;
    size_t
        head_size; /* packed bytes before that: the key `data`, the head of its value */
    const void *data; /* borrowed */
    size_t size;      /* 1 or more */
    size_t start;     /* among the batch's bytes in memory */
    bool is_placed;   /* in memory: then `place` stands for head and bytes */
    uint8_t place[PLACE_SIZE];
};

struct packed_key {
    size_t offset, size; /* in `packed` */
};

struct lighter_outputs {
    msgpack_sbuffer packed; /* key, value, key, value, ... */
    msgpack_packer packer;
    struct packed_key *keys;
    size_t n_keys, keys_room;
    struct lent_bytes *lent;
    size_t n_lent, lent_room;
    size_t lent_size; /* bytes, all */
    size_t n_objects; /* MessagePack objects in `packed`: the wire has a limit */
    const char *key;  /* of the value that is being put in, for messages; borrowed */
    int failed;       /* 0, or what the first failure returned */
    struct lighter_error why;
};

/* 0, or the failure that was kept. */
int outputs_check(const struct lighter_outputs *outputs, struct lighter_error *err);

/* Choose anew the tensors that go into memory. Return: bytes that they need there, at
 * most `room`; 0 where none goes there.
 */
size_t outputs_choose(const struct lighter_outputs *outputs, size_t room);

/* Copy them to where so many bytes are theirs, `offset` bytes behind `memory`. */
void outputs_place(const struct lighter_outputs *outputs, uint8_t *memory,
                   size_t offset);

/* Bytes of all that, without what is in memory. */
size_t outputs_size(const struct lighter_outputs *outputs);

/* Write so many bytes. Return: the byte behind them. */
uint8_t *outputs_copy(const struct lighter_outputs *outputs, uint8_t *to);

#endif
