/* image.c - the encoders `image_2d` and `image_3d`: one image as a PNG file.
 *
 * In: a tensor. Out: a file that lighter's writer of this name would have made, but
 * for its compression: which channels and sides an image can have is decided here, what
 * a pixel is in pixels.c, what a file is in png.c. Workers of the pool, any number at
 * once.
 */
#include "config.h"

#include "plugins/image/pixels.h"
#include "plugins/image/png.h"

#include <lighter/plugin.h>

struct image_options {
    const char *suffix;
    int64_t compression, bits;
    const char *scale;
};

#define SCALE_UNIT "unit"

static const struct lighter_option image_options[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".png",
     .offset = offsetof(struct image_options, suffix),
     .help = "What the files' names end in"},
    {.name = "compression",
     .type = LIGHTER_OPTION_INT,
     .fallback = "1",
     .offset = offsetof(struct image_options, compression),
     .min = 0,
     .max = PNG_COMPRESSION_MAX,
     .help = "0 none, 1 fast, 2 to 9 slower and, for drawings and text, smaller"},
    {.name = "bits",
     .type = LIGHTER_OPTION_INT,
     .fallback = "0",
     .offset = offsetof(struct image_options, bits),
     .min = 0,
     .max = 16,
     .help = "Of a channel: 8 or 16; 0: 16 for uint16, else 8"},
    {.name = "scale",
     .type = LIGHTER_OPTION_STRING,
     .fallback = "dtype",
     .offset = offsetof(struct image_options, scale),
     .help = "dtype: integers are pixels, other values from 0 to 1; unit: all are from "
             "0 to 1"},
    {.name = NULL},
};

static int
check_sides(const char *name, const struct pixels *pixels, struct lighter_error *err)
{
    if (!png_takes(pixels->channels))
        return lighter_fail(
            err, LIGHTER_E_VALUE,
            "%s expects 1 (grey), 3 (RGB) or 4 (RGBA) channels, got %llu", name,
            (unsigned long long)pixels->channels);
    if (!pixels->width || !pixels->height || pixels->width > PNG_MAX_SIDE ||
        pixels->height > PNG_MAX_SIDE)
        return lighter_fail(
            err, LIGHTER_E_VALUE,
            "%s expects a height and a width of 1 to %d, got %llu x %llu", name,
            PNG_MAX_SIDE, (unsigned long long)pixels->height,
            (unsigned long long)pixels->width);
    if (pixels_row_size(pixels) > PNG_MAX_ROW)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "%s expects rows of at most %d bytes, got %llu", name,
                            PNG_MAX_ROW, (unsigned long long)pixels_row_size(pixels));
    return 0;
}

static int
check_options(const void *options, struct lighter_error *err)
{
    const struct image_options *chosen = options;

    if (chosen->bits != 0 && chosen->bits != 8 && chosen->bits != 16)
        return lighter_fail(err, LIGHTER_E_PARAMS, "'bits' expects 8 or 16, got %lld",
                            (long long)chosen->bits);
    if (strcmp(chosen->scale, "dtype") != 0 && strcmp(chosen->scale, SCALE_UNIT) != 0)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'scale' expects 'dtype' or 'unit', got '%.64s'",
                            chosen->scale);
    return 0;
}

static int
encode(const char *name, const char *axes, const struct image_options *options,
       const struct lighter_value *sample, struct lighter_sink *sink,
       const struct lighter_services *services, struct lighter_error *err)
{
    const struct pixels_format format = {(unsigned)options->bits,
                                         strcmp(options->scale, SCALE_UNIT) == 0};
    struct pixels pixels;
    int r;

    r = pixels_view(&pixels, name, axes, &format, sample, err);
    if (r == 0)
        r = check_sides(name, &pixels, err);
    if (r < 0)
        return r;
    return png_write(&pixels, (int)options->compression, sink, services, err);
}

static int
image_2d_encode(const void *options, const struct lighter_value *sample,
                struct lighter_sink *sink, const struct lighter_services *services,
                struct lighter_error *err)
{
    return encode("image_2d", "CHW", options, sample, sink, services, err);
}

static int
image_3d_encode(const void *options, const struct lighter_value *sample,
                struct lighter_sink *sink, const struct lighter_services *services,
                struct lighter_error *err)
{
    return encode("image_3d", "CDHW", options, sample, sink, services, err);
}

static const struct lighter_encoder image_2d = {
    .size = sizeof(struct lighter_encoder),
    .name = "image_2d",
    .summary = "a tensor (CHW) as a PNG image",
    .options = image_options,
    .options_size = sizeof(struct image_options),
    .encode = image_2d_encode,
    .check_options = check_options,
    .suffixes = ".png",
};

static const struct lighter_encoder image_3d = {
    .size = sizeof(struct lighter_encoder),
    .name = "image_3d",
    .summary = "the slices of a tensor (CDHW), stacked, as a PNG image",
    .options = image_options,
    .options_size = sizeof(struct image_options),
    .encode = image_3d_encode,
    .check_options = check_options,
    .suffixes = ".png",
};

static const struct lighter_encoder *const encoders[] = {&image_2d, &image_3d, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "image",
    .version = PACKAGE_VERSION,
    .encoders = encoders,
};
