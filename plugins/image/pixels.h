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

#include <lighter/error.h>
#include <lighter/value.h>

struct pixels {
    const uint8_t *data; /* channels * height * width values; not aligned */
    uint32_t dtype;      /* enum lighter_dtype, not a complex one */
    uint64_t channels, height, width;
};

/* View a sample as pixels. `axes` names the dimensions that it must have: "CHW", or
 * more as in "CDHW", whose slices are then stacked from top to bottom: they lie so in
 * memory. `name` is the encoder's, for messages. Neither the channels nor the sides are
 * checked, any may be 0.
 *
 * Return: 0; negative where the sample is no such tensor.
 */
int pixels_view(struct pixels *ret_pixels, const char *name, const char *axes,
                const struct lighter_value *sample, struct lighter_error *err);

/* One row: width * channels bytes. y < height, channels <= 4. */
void pixels_row(const struct pixels *pixels, uint64_t y, uint8_t *ret_row);

#endif
