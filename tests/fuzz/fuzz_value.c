/* fuzz_value.c - wire/value.c: an object to a value that keeps all that value.h says.
 *
 * The first byte is the size of the client's memory beside it, in units of 4 bytes; 0
 * is none. Tensors are counted anew here, with numbers that do not overflow.
 */
#include "wire/value.h"
#include "tests/fuzz/fuzz.h"
#include "util/utf8.h"
#include "wire/check.h"

#include <stdlib.h>
#include <string.h>

const char fuzz_name[] = "value";

static uint8_t shared[4 * 255];

/* What is around the value at hand. */
struct context {
    const uint8_t *frame;
    size_t frame_size, memory_size;
    size_t n_shared; /* bytes that tensors name in the memory, in all */
};

static bool
lies_in(const void *data, size_t size, const uint8_t *start, size_t room)
{
    const uint8_t *p = data;

    return p >= start && p <= start + room && size <= (size_t)(start + room - p);
}

static void
expect_in_frame(const struct context *context, const void *data, size_t size)
{
    static volatile uint8_t last;

    if (size == 0)
        return; /* of nothing msgpack-c gives any address, or none */
    FUZZ_EXPECT(lies_in(data, size, context->frame, context->frame_size));
    last = ((const uint8_t *)data)[size - 1]; /* sanitizers look as well */
    (void)last;
}

/* The bytes that a shape asks for, or more than any tensor may have. */
static size_t
count_bytes(const struct lighter_tensor *tensor)
{
    unsigned __int128 size = lighter_dtype_size(tensor->dtype);
    bool empty = false;

    for (uint32_t i = 0; i < tensor->ndim; i++) {
        empty = empty || tensor->shape[i] == 0;
        if (size <= SIZE_MAX)
            size *= tensor->shape[i];
    }
    FUZZ_EXPECT(empty || size <= SIZE_MAX);
    return empty ? 0 : (size_t)size;
}

/* The samples that a tensor of no bytes may be taken for. */
static void
expect_few_samples(const struct lighter_tensor *tensor)
{
    uint64_t n_items = 1;

    for (uint32_t i = 0; i < tensor->ndim && tensor->shape[i]; i++) {
        FUZZ_EXPECT(tensor->shape[i] <= CHECK_MAX_OBJECTS);
        n_items *= tensor->shape[i];
        FUZZ_EXPECT(n_items <= CHECK_MAX_OBJECTS);
    }
}

static void
expect_tensor(struct context *context, const struct lighter_tensor *tensor)
{
    FUZZ_EXPECT(tensor->dtype < LIGHTER_N_DTYPES);
    FUZZ_EXPECT(tensor->ndim <= LIGHTER_MAX_DIMS);
    FUZZ_EXPECT(tensor->size == count_bytes(tensor));
    if (tensor->size == 0)
        expect_few_samples(tensor);
    if (!lies_in(tensor->data, tensor->size, shared, context->memory_size))
        expect_in_frame(context, tensor->data, tensor->size);
    else
        context->n_shared += tensor->size;
}

static void
expect_sound(struct context *context, const struct lighter_value *value, int depth)
{
    uint32_t n_items = value->type == LIGHTER_MAP ? 2 * value->count : value->count;

    FUZZ_EXPECT(depth <= CHECK_MAX_DEPTH);
    FUZZ_EXPECT(value->type <= LIGHTER_TENSOR);
    if (value->type == LIGHTER_STRING || value->type == LIGHTER_BYTES)
        expect_in_frame(context, value->as.string.data, value->as.string.size);
    if (value->type == LIGHTER_STRING)
        FUZZ_EXPECT(utf8_valid(value->as.string.data, value->as.string.size));
    if (value->type == LIGHTER_TENSOR)
        expect_tensor(context, &value->as.tensor);
    if (value->type == LIGHTER_LIST || value->type == LIGHTER_MAP)
        for (uint32_t i = 0; i < n_items; i++)
            expect_sound(context, &value->as.items[i], depth + 1);
}

static void
convert(const msgpack_object *object, msgpack_zone *zone, struct context *context)
{
    struct value_memory memory = {shared, context->memory_size, 0};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_value value;

    if (value_convert(object, context->memory_size ? &memory : NULL, zone, &value,
                      &err) < 0) {
        FUZZ_EXPECT(err.code != LIGHTER_OK && *err.message);
        return;
    }
    expect_sound(context, &value, 0);
    FUZZ_EXPECT(memory.used == context->n_shared);
    FUZZ_EXPECT(memory.used <= memory.size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct context context = {0};
    msgpack_object object;
    msgpack_zone zone;
    size_t at = 0;

    if (size < 2 || check_object(data + 1, size - 1, CHECK_MAX_OBJECTS, NULL, NULL) < 0)
        return 0;
    context = (struct context){data + 1, size - 1, 4u * data[0], 0};
    FUZZ_EXPECT(msgpack_zone_init(&zone, 1024));
    FUZZ_EXPECT(msgpack_unpack((const char *)context.frame, context.frame_size, &at,
                               &zone, &object) == MSGPACK_UNPACK_SUCCESS);
    FUZZ_EXPECT(at == context.frame_size);
    convert(&object, &zone, &context);
    msgpack_zone_destroy(&zone);
    return 0;
}
