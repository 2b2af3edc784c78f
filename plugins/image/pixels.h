/* pixels.h - what a model puts out, as the pixels of an image.
 *
 * In: planes of values (CHW), one a channel, of any dtype but the complex ones. Out:
 * rows of pixels, their channels side by side, 8 or 16 bits each (16: big-endian, as
 * PNG has them). Two rules:
 *
 *   unit: floating-point and bool values stand for 0 to 1. lighter's rule,
 *         (planes.float().clamp(0, 1) * largest).to(integer); NaN is 0
 *   as is: integers are pixels already. One that is no pixel is an error, never clamped
 *
 * Pure; any thread.
 */
#ifndef IMAGE_PIXELS_H
#define IMAGE_PIXELS_H

#include <lighter/error.h>
#include <lighter/value.h>

#include <stdbool.h>

struct pixels_format {
    unsigned bits; /* of a channel: 8 or 16; 0: 16 for uint16 as it is, else 8 */
    bool unit;     /* integers too stand for 0 to 1 */
};

struct pixels {
    const uint8_t *data; /* channels * height * width values; not aligned */
    uint32_t dtype;      /* enum lighter_dtype, not a complex one */
    uint64_t channels, height, width;
    unsigned bits;    /* 8 or 16 */
    bool unit;        /* by which rule */
    const char *name; /* of the encoder, for messages; lent */
};

/* View a sample as pixels. `axes` names the dimensions that it must have: "CHW", or
 * more as in "CDHW", whose slices are then stacked from top to bottom: they lie so in
 * memory. `name` is the encoder's. Neither the channels nor the sides are checked, any
 * may be 0.
 *
 * Return: 0; negative where the sample is no such tensor.
 */
int pixels_view(struct pixels *ret_pixels, const char *name, const char *axes,
                const struct pixels_format *format, const struct lighter_value *sample,
                struct lighter_error *err);

/* Bytes of a pixel, all its channels, and of a row. */
size_t pixels_size(const struct pixels *pixels);
size_t pixels_row_size(const struct pixels *pixels);

/* One row: pixels_row_size() bytes. y < height, channels <= 4.
 *
 * Return: 0; negative where an integer does not fit `bits`, and `ret_row` is undefined.
 */
int pixels_row(const struct pixels *pixels, uint64_t y, uint8_t *ret_row,
               struct lighter_error *err);

#endif
