/* fuzz_message.c - wire/: a frame's body to a message, and looks into its maps. */
#include "tests/fuzz/fuzz.h"
#include "wire/message.h"
#include "wire/params.h"

#include <stdlib.h>

const char fuzz_name[] = "message";

static const char *const keys[] = {"job", "wait", "outputs", "writers", "parameters"};

/* What every look promises: an outcome, and words where it is an error. */
static void
expect_outcome(int r, const struct lighter_error *err)
{
    FUZZ_EXPECT(r <= 0 || r == PARAMS_ABSENT);
    FUZZ_EXPECT(r >= 0 || (err->code != LIGHTER_OK && *err->message));
}

static void
look_for_texts(const msgpack_object *map, const char *key, msgpack_zone *zone)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    const char *const *texts;
    size_t count;
    int r = params_texts(map, key, 1000, zone, &texts, &count, &err);

    expect_outcome(r, &err);
    for (size_t i = 0; r == 0 && i < count; i++)
        FUZZ_EXPECT(strlen(texts[i]) < SIZE_MAX);
}

static void
look_for(const msgpack_object *map, const char *key, msgpack_zone *zone)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    const msgpack_object *inner;
    msgpack_object_array array;
    msgpack_object_str string;
    int64_t number;
    bool flag;
    int r = params_int(map, key, -5, 5, &number, &err);

    expect_outcome(r, &err);
    FUZZ_EXPECT(r != 0 || (number >= -5 && number <= 5));
    expect_outcome(params_bool(map, key, &flag, &err), &err);
    expect_outcome(params_string(map, key, &string, &err), &err);
    expect_outcome(params_array(map, key, &array, &err), &err);
    expect_outcome(params_map(map, key, &inner, &err), &err);
    look_for_texts(map, key, zone);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame = {malloc(size ? size : 1), size};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    const msgpack_object *map;
    struct message message;

    if (size)
        memcpy(frame.data, data, size);
    if (message_parse(&message, &frame, CHECK_MAX_OBJECTS, &err) < 0) {
        FUZZ_EXPECT(err.code != LIGHTER_OK && *err.message);
        return 0;
    }
    map = message.params  ? message.params
          : message.error ? message.error
                          : message.result;
    FUZZ_EXPECT(map && map->type == MSGPACK_OBJECT_MAP);
    FUZZ_EXPECT(message.n_objects <= size);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        look_for(map, keys[i], message.zone);
    message_done(&message);
    return 0;
}
