/* outputs.h - one batch's outputs, packed as far as they can be before it is sent.
 *
 * In: keys and values. Out: the parts of a frame that come after the envelope: packed
 * bytes, and between them tensors' bytes where the caller has them.
 */
#ifndef CLIENT_OUTPUTS_H
#define CLIENT_OUTPUTS_H

#include <lighter/client.h>

#include <msgpack.h>
#include <sys/uio.h>

/* Tensor bytes that stand behind the first `offset` packed bytes. */
struct lent_bytes {
    size_t offset;
    const void *data; /* borrowed */
    size_t size;      /* 1 or more */
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

/* Bytes of all parts. */
size_t outputs_size(const struct lighter_outputs *outputs);

#define OUTPUTS_N_PARTS(outputs) (2 * (outputs)->n_lent + 1)

/* Fill that many parts, which are lent until the outputs change. Some may be empty. */
void outputs_parts(const struct lighter_outputs *outputs, struct iovec *ret_parts);

#endif
