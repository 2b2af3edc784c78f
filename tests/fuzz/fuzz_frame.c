/* fuzz_frame.c - wire/frame.c: a stream cut two ways gives the same frames.
 *
 * The first byte is the size of the chunks that the rest is fed in.
 */
#include "tests/fuzz/fuzz.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FRAME ((size_t)1 << 20)

const char fuzz_name[] = "frame";

/* What came out of a stream: how it ended, and a sum over all frames. */
struct result {
    size_t n_frames;
    uint64_t sum;
    int r;
};

static void
take_all(struct frame_reader *reader, struct result *result)
{
    struct frame frame;

    while ((result->r = frame_next(reader, &frame, NULL)) == 0) {
        FUZZ_EXPECT(frame.size >= 1 && frame.size <= MAX_FRAME);
        for (size_t i = 0; i < frame.size; i++)
            result->sum = result->sum * 31 + frame.data[i];
        result->n_frames++;
        free(frame.data);
    }
}

static struct result
read_stream(const uint8_t *data, size_t size, size_t chunk)
{
    struct result result = {.r = FRAME_MORE};
    struct frame_reader reader;
    uint8_t *room;
    size_t room_size, step;

    FUZZ_EXPECT(frame_reader_init(&reader, MAX_FRAME, NULL) == 0);
    for (size_t at = 0; at < size && result.r == FRAME_MORE; at += step) {
        FUZZ_EXPECT(frame_reader_room(&reader, &room, &room_size, NULL) == 0);
        FUZZ_EXPECT(room_size >= 1);
        step = size - at < chunk ? size - at : chunk;
        if (step > room_size)
            step = room_size;
        memcpy(room, data + at, step);
        frame_reader_fed(&reader, step);
        take_all(&reader, &result);
    }
    frame_reader_done(&reader);
    return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result whole, cut;

    if (size < 1)
        return 0;
    whole = read_stream(data + 1, size - 1, SIZE_MAX);
    cut = read_stream(data + 1, size - 1, data[0] + 1u);
    FUZZ_EXPECT(whole.n_frames == cut.n_frames);
    FUZZ_EXPECT(whole.sum == cut.sum);
    FUZZ_EXPECT(whole.r == cut.r);
    return 0;
}
