/* fuzz_message.c - wire/: a frame's body to a message, and its outputs to values. */
#include "tests/fuzz/fuzz.h"
#include "util/utf8.h"
#include "wire/check.h"
#include "wire/message.h"
#include "wire/params.h"
#include "wire/value.h"

#include <stdlib.h>

const char fuzz_name[] = "message";

/* Touch all of a value, so that sanitizers see what it points to. */
static void
walk(const struct lighter_value *value, int depth)
{
    static volatile uint8_t last;

    FUZZ_EXPECT(depth <= CHECK_MAX_DEPTH);
    switch (value->type) {
    case LIGHTER_STRING:
        FUZZ_EXPECT(utf8_valid(value->as.string.data, value->as.string.size));
        break;
    case LIGHTER_BYTES:
        if (value->as.string.size)
            last = (uint8_t)value->as.string.data[value->as.string.size - 1];
        break;
    case LIGHTER_LIST:
    case LIGHTER_MAP:
        for (uint32_t i = 0; i < value->count * (value->type == LIGHTER_MAP ? 2u : 1u);
             i++)
            walk(&value->as.items[i], depth + 1);
        break;
    case LIGHTER_TENSOR:
        FUZZ_EXPECT(value->as.tensor.ndim <= LIGHTER_MAX_DIMS);
        if (value->as.tensor.size)
            last = value->as.tensor.data[value->as.tensor.size - 1];
        break;
    default:
        break;
    }
    (void)last;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t shared[64];
    struct value_memory memory = {shared, sizeof shared, 0};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_value value;
    struct message message;
    const msgpack_object *outputs;
    struct frame frame = {malloc(size ? size : 1), size};

    if (size)
        memcpy(frame.data, data, size);
    if (message_parse(&message, &frame, &err) < 0) {
        FUZZ_EXPECT(err.code != LIGHTER_OK && *err.message);
        return 0;
    }
    outputs = message.type == MESSAGE_REQUEST ? params_find(message.params, "outputs")
                                              : message.result;
    if (outputs && value_convert(outputs, &memory, message.zone, &value, &err) == 0)
        walk(&value, 0);
    message_done(&message);
    return 0;
}
