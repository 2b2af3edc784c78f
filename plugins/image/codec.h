/* codec.h - a zlib stream (RFC 1950) of an image's bytes, and CRC-32.
 *
 * In: bytes, as they come. Out: compressed bytes, where there is room. Any thread, one
 * stream at a time.
 */
#ifndef IMAGE_CODEC_H
#define IMAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_INPUT_MAX UINT32_MAX /* bytes at a time, and as many of output */

struct codec_bytes {
    const uint8_t *input; /* what is still to be compressed */
    size_t input_size;
    uint8_t *output; /* room for what comes out */
    size_t output_size;
};

struct codec {
    /* Begin a stream. compression: 0 none; 1 runs of one byte, and what is frequent; 2
     * to 9 as zlib does. Returns owned; NULL: no memory. */
    void *(*open)(int compression);

    /* Take all input, move `bytes` on. `last`: it is the stream's end; so must be those
     * that follow. False: there is no more room; call again with some.
     */
    bool (*run)(void *stream, struct codec_bytes *bytes, bool last);

    void (*close)(void *stream); /* takes; NULL: nothing */

    uint32_t (*crc32)(const uint8_t *bytes, size_t size);
};

extern const struct codec codec_zlib;
extern const struct codec codec_igzip; /* ISA-L's; compression 1 only */

/* The best that was built in. */
const struct codec *codec_for(int compression);

#endif
