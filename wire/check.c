/* check.c - see check.h. The formats are those of the MessagePack specification. */
#include "wire/check.h"

#include <inttypes.h>

enum kind { SCALAR, ARRAY, MAP, REFUSED, TRUNCATED };

struct head {
    enum kind kind;
    size_t size;    /* bytes of the head, with a scalar's payload */
    uint64_t count; /* ARRAY, MAP: objects inside */
};

static uint64_t
big_endian(const uint8_t *p, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* A scalar of a head of 1 + n bytes, the n being the payload's length. */
static struct head
sized_scalar(const uint8_t *p, size_t left, size_t n)
{
    uint64_t payload;

    if (left < 1 + n)
        return (struct head){TRUNCATED, 0, 0};
    payload = big_endian(p + 1, n);
    if (payload > left - 1 - n)
        return (struct head){TRUNCATED, 0, 0};
    return (struct head){SCALAR, 1 + n + (size_t)payload, 0};
}

static struct head
fixed_scalar(size_t left, size_t size)
{
    return left < size ? (struct head){TRUNCATED, 0, 0}
                       : (struct head){SCALAR, size, 0};
}

static struct head
container(const uint8_t *p, size_t left, size_t n, enum kind kind)
{
    uint64_t count;

    if (left < 1 + n)
        return (struct head){TRUNCATED, 0, 0};
    count = n ? big_endian(p + 1, n) : p[0] & 0x0fu;
    return (struct head){kind, 1 + n, kind == MAP ? 2 * count : count};
}

/* The object that begins at `p`; left >= 1. */
static struct head
read_head(const uint8_t *p, size_t left)
{
    static const uint8_t number_sizes[] = {5, 9, 2, 3, 5, 9, 2, 3, 5, 9}; /* ca to d3 */
    uint8_t type = p[0];

    if (type < 0x80 || type >= 0xe0 || type == 0xc0 || type == 0xc2 || type == 0xc3)
        return (struct head){SCALAR, 1, 0};
    if (type < 0xa0)
        return container(p, left, 0, type < 0x90 ? MAP : ARRAY);
    if (type < 0xc0)
        return fixed_scalar(left, 1u + (type & 0x1fu));
    if (type >= 0xc4 && type <= 0xc6)
        return sized_scalar(p, left, (size_t)1 << (type - 0xc4));
    if (type >= 0xca && type <= 0xd3)
        return fixed_scalar(left, number_sizes[type - 0xca]);
    if (type >= 0xd9 && type <= 0xdb)
        return sized_scalar(p, left, (size_t)1 << (type - 0xd9));
    if (type >= 0xdc)
        return container(p, left, type & 1 ? 4 : 2, type <= 0xdd ? ARRAY : MAP);
    return (struct head){REFUSED, 0, 0};
}

static int
fail_at(struct lighter_error *err, size_t offset, const char *what)
{
    return lighter_fail(err, LIGHTER_E_PROTOCOL, "bad MessagePack at byte %zu: %s",
                        offset, what);
}

static int
fail_objects(struct lighter_error *err, size_t offset, uint64_t max_objects)
{
    return lighter_fail(err, LIGHTER_E_PROTOCOL,
                        "bad MessagePack at byte %zu: more than %" PRIu64
                        " objects in a frame",
                        offset, max_objects);
}

int
check_object(const uint8_t *data, size_t size, uint64_t max_objects,
             uint64_t *ret_n_objects, struct lighter_error *err)
{
    uint64_t open[CHECK_MAX_DEPTH]; /* objects still to come in each open container */
    uint64_t n_objects = 1;
    size_t depth = 0, at = 0;

    do {
        struct head head;

        if (at == size)
            return fail_at(err, at, "the frame ends inside an object");
        head = read_head(data + at, size - at);
        if (head.kind == TRUNCATED)
            return fail_at(err, at, "a length goes past the frame's end");
        if (head.kind == REFUSED)
            return fail_at(err, at, "an extension or reserved type");
        if (head.kind != SCALAR && depth == CHECK_MAX_DEPTH) /* also an empty one */
            return fail_at(err, at, "more than 32 levels of nesting");
        at += head.size;
        if (depth)
            open[depth - 1]--;
        if (head.count) {
            n_objects += head.count;
            if (head.count > size - at) /* each takes a byte at least */
                return fail_at(err, at, "a count goes past the frame's end");
            if (n_objects > max_objects)
                return fail_objects(err, at, max_objects);
            open[depth++] = head.count;
        }
        while (depth && open[depth - 1] == 0)
            depth--;
    } while (depth);
    if (at != size)
        return fail_at(err, at, "bytes left over after the object");
    if (ret_n_objects)
        *ret_n_objects = n_objects;
    return 0;
}
