/* pixels.h - what a model puts out, as the pixels of an image.
 *
 * In: planes of values (CHW), one a channel, of any dtype but the complex ones. Out:
 * rows of pixels, their channels side by side, 8 bits each:
 *
 *   (planes.float().clamp(0, 1) * 255).to(torch.uint8), and NaN is 0
 *
 * Pure; any thread.
 */
#ifndef IMAGE_PIXELS_H
#define IMAGE_PIXELS_H

#include <lighter/value.h>

struct pixels {
    const uint8_t *data; /* channels * height * width values; not aligned */
    uint32_t dtype;      /* enum lighter_dtype, one that pixels_take() */
    uint64_t channels, height, width;
};

/* Whether values of a dtype can be made into pixels. */
bool pixels_take(uint32_t dtype);

/* One row: width * channels bytes. y < height. */
void pixels_row(const struct pixels *pixels, uint64_t y, uint8_t *ret_row);

#endif
