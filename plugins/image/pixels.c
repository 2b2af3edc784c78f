/* pixels.c - see pixels.h.
 *
 * A row goes through in blocks that stay in the first cache: values to float32, to one
 * byte of each pixel's four, and pixels to where the last one ends. The loops over a
 * block have a constant number of rounds and nothing but arithmetic in them, which is
 * what the compiler needs to do many values with one instruction.
 */
#include "plugins/image/pixels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "values are little-endian and read as they are");

#define BLOCK 128
#define VALUE_MAX 8 /* bytes */
#define CHANNELS_MAX sizeof(uint32_t)

/* The values of one block to float32, rounded to nearest as in torch's float(). */
#define TO_FLOATS(name, type, expression)                                              \
    static void name##_to_floats(const uint8_t *restrict values, float *restrict real) \
    {                                                                                  \
        for (size_t i = 0; i < BLOCK; i++) {                                           \
            type value;                                                                \
                                                                                       \
            memcpy(&value, values + i * sizeof value, sizeof value);                   \
            real[i] = expression;                                                      \
        }                                                                              \
    }

static inline float
float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The exponent of binary16 is biased by 15, that of binary32 by 127: shifted into
 * place, a number is 2^-112 of itself, subnormal ones included. Infinities come out
 * as 2^16, which is as good here; NaN must stay what it is.
 */
static inline float
float_of_half(uint16_t half)
{
    uint32_t magnitude = half & 0x7fff, sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t nan = magnitude > 0x7c00 ? 0x7fc00000 : 0;

    return float_of_bits((magnitude << 13) | sign | nan) * 0x1p112f;
}

TO_FLOATS(bool8, uint8_t, (float)(value != 0))
TO_FLOATS(uint8, uint8_t, (float)value)
TO_FLOATS(int8, int8_t, (float)value)
TO_FLOATS(int16, int16_t, (float)value)
TO_FLOATS(uint16, uint16_t, (float)value)
TO_FLOATS(int32, int32_t, (float)value)
TO_FLOATS(uint32, uint32_t, (float)value)
TO_FLOATS(int64, int64_t, (float)value)
TO_FLOATS(uint64, uint64_t, (float)value)
TO_FLOATS(float16, uint16_t, float_of_half(value))
TO_FLOATS(bfloat16, uint16_t, float_of_bits((uint32_t)value << 16))
TO_FLOATS(float32, float, value)
TO_FLOATS(float64, double, (float)value)

static void (*const to_floats[LIGHTER_N_DTYPES])(const uint8_t *, float *) = {
    [LIGHTER_BOOL8] = bool8_to_floats,       [LIGHTER_UINT8] = uint8_to_floats,
    [LIGHTER_INT8] = int8_to_floats,         [LIGHTER_INT16] = int16_to_floats,
    [LIGHTER_UINT16] = uint16_to_floats,     [LIGHTER_INT32] = int32_to_floats,
    [LIGHTER_UINT32] = uint32_to_floats,     [LIGHTER_INT64] = int64_to_floats,
    [LIGHTER_UINT64] = uint64_to_floats,     [LIGHTER_FLOAT16] = float16_to_floats,
    [LIGHTER_BFLOAT16] = bfloat16_to_floats, [LIGHTER_FLOAT32] = float32_to_floats,
    [LIGHTER_FLOAT64] = float64_to_floats,
};

/* Integers as they are; what is beyond int64 is no pixel either way. */
#define TO_INTEGERS(name, type)                                                        \
    static void name##_to_integers(const uint8_t *restrict values,                     \
                                   int64_t *restrict integers)                         \
    {                                                                                  \
        for (size_t i = 0; i < BLOCK; i++) {                                           \
            type value;                                                                \
                                                                                       \
            memcpy(&value, values + i * sizeof value, sizeof value);                   \
            integers[i] = (int64_t)value;                                              \
        }                                                                              \
    }

TO_INTEGERS(uint8, uint8_t)
TO_INTEGERS(int8, int8_t)
TO_INTEGERS(int16, int16_t)
TO_INTEGERS(uint16, uint16_t)
TO_INTEGERS(int32, int32_t)
TO_INTEGERS(uint32, uint32_t)
TO_INTEGERS(int64, int64_t)
TO_INTEGERS(uint64, uint64_t) /* above INT64_MAX: below 0 */

static void (*const to_integers[LIGHTER_N_DTYPES])(const uint8_t *, int64_t *) = {
    [LIGHTER_UINT8] = uint8_to_integers, [LIGHTER_INT8] = int8_to_integers,
    [LIGHTER_INT16] = int16_to_integers, [LIGHTER_UINT16] = uint16_to_integers,
    [LIGHTER_INT32] = int32_to_integers, [LIGHTER_UINT32] = uint32_to_integers,
    [LIGHTER_INT64] = int64_to_integers, [LIGHTER_UINT64] = uint64_to_integers,
};

static bool
takes(uint32_t dtype)
{
    return dtype < LIGHTER_N_DTYPES && to_floats[dtype];
}

/* Rows of all slices. A tensor without values may have any lengths beside the 0. */
static uint64_t
count_rows(const struct lighter_tensor *tensor)
{
    uint64_t n_rows = 1;

    for (uint32_t i = 1; i + 1 < tensor->ndim; i++)
        if (__builtin_mul_overflow(n_rows, tensor->shape[i], &n_rows))
            return UINT64_MAX;
    return n_rows;
}

int
pixels_view(struct pixels *ret_pixels, const char *name, const char *axes,
            const struct pixels_format *format, const struct lighter_value *sample,
            struct lighter_error *err)
{
    const struct lighter_tensor *tensor = &sample->as.tensor;
    bool unit;

    if (sample->type != LIGHTER_TENSOR)
        return lighter_fail(err, LIGHTER_E_TYPE, "%s expects a tensor, got %s", name,
                            lighter_type_name(sample->type));
    if (tensor->ndim != strlen(axes)) /* lighter's message */
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "write_%s expects a %zuD tensor (%s), got %u dimensions.",
                            name, strlen(axes), axes, tensor->ndim);
    if (!takes(tensor->dtype))
        return lighter_fail(err, LIGHTER_E_TYPE, "%s expects real numbers, got %s",
                            name, lighter_dtype_name(tensor->dtype));
    unit = format->unit || !to_integers[tensor->dtype];
    *ret_pixels =
        (struct pixels){.data = tensor->data,
                        .dtype = tensor->dtype,
                        .channels = tensor->shape[0],
                        .height = count_rows(tensor),
                        .width = tensor->shape[tensor->ndim - 1],
                        .bits = format->bits ? format->bits
                                : tensor->dtype == LIGHTER_UINT16 && !unit ? 16
                                                                           : 8,
                        .unit = unit,
                        .name = name};
    return 0;
}

size_t
pixels_size(const struct pixels *pixels)
{
    return pixels->channels * (pixels->bits / 8);
}

size_t
pixels_row_size(const struct pixels *pixels)
{
    return pixels->width * pixels_size(pixels);
}

/* ---- values that stand for 0 to 1 ---------------------------------------------- */

/* Clamp, scale, and put into one byte of each pixel. Floats are compared by their bits:
 * those that are not negative are ordered as integers are, NaN last. Comparing them as
 * floats can trap on NaN; that would keep the compiler, as a branch would, from doing
 * many at once.
 */
static void
add_channel(const float *restrict real, unsigned channel, uint32_t *restrict pixels)
{
    const int32_t one = 0x3f800000, infinity = 0x7f800000;

    for (size_t i = 0; i < BLOCK; i++) {
        int32_t bits;

        memcpy(&bits, &real[i], sizeof bits);
        bits &= -(int32_t)(bits <= infinity); /* NaN: 0 */
        bits = bits > 0 ? bits : 0;
        bits = bits > one ? one : bits;
        pixels[i] |= (uint32_t)(int32_t)(float_of_bits((uint32_t)bits) * 255)
                     << (8 * channel);
    }
}

/* The values of one channel: `n` of them from the `first` on, then zeros. Copied
 * first, for the client may change them meanwhile.
 */
static void
take_values(const struct pixels *pixels, unsigned channel, size_t first, size_t n,
            uint8_t ret_values[BLOCK * VALUE_MAX])
{
    size_t size = lighter_dtype_size(pixels->dtype);
    size_t plane = pixels->height * pixels->width;

    memcpy(ret_values, pixels->data + (channel * plane + first) * size, n * size);
    memset(ret_values + n * size, 0, (BLOCK - n) * size);
}

/* `n` pixels, BLOCK at most, from the `first` value of each channel on. */
static void
units_to_bytes(const struct pixels *pixels, size_t first, size_t n, uint8_t *ret_row)
{
    uint8_t values[BLOCK * VALUE_MAX], row[BLOCK * CHANNELS_MAX];
    size_t channels = pixels->channels;
    uint32_t block[BLOCK] = {0};
    float real[BLOCK];

    for (unsigned c = 0; c < channels; c++) {
        take_values(pixels, c, first, n, values);
        to_floats[pixels->dtype](values, real);
        add_channel(real, c, block);
    }
    for (size_t i = 0; i < BLOCK; i++) /* what is too much of one, the next covers */
        memcpy(row + i * channels, &block[i], sizeof block[i]);
    memcpy(ret_row, row, n * channels);
}

/* ---- other blocks: a channel at a time ------------------------------------------ */

static void
units_to_integers(const uint8_t *values, uint32_t dtype, int64_t largest,
                  int64_t *ret_integers)
{
    float real[BLOCK];

    to_floats[dtype](values, real);
    for (size_t i = 0; i < BLOCK; i++) {
        float value = real[i] > 0 ? real[i] : 0; /* NaN: 0 */

        ret_integers[i] = (int64_t)((value < 1 ? value : 1) * (float)largest);
    }
}

static int
check_range(const struct pixels *pixels, const int64_t *integers, size_t n,
            int64_t largest, struct lighter_error *err)
{
    for (size_t i = 0; i < n; i++) {
        char value[24];

        if (integers[i] >= 0 && integers[i] <= largest)
            continue;
        snprintf(value, sizeof value,
                 pixels->dtype == LIGHTER_UINT64 ? "%" PRIu64 : "%" PRId64,
                 integers[i]);
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "%s expects integers from 0 to %" PRId64
                            " (bits = %u), got %s: integers are pixels as they are; "
                            "see its options bits and scale",
                            pixels->name, largest, pixels->bits, value);
    }
    return 0;
}

/* Big-endian (PNG, 7.1). */
static void
put_channel(const struct pixels *pixels, const int64_t *integers, size_t n,
            unsigned channel, uint8_t *ret_row)
{
    size_t step = pixels_size(pixels);

    for (size_t i = 0; i < n; i++) {
        uint8_t *at = ret_row + i * step + channel * (pixels->bits / 8);

        if (pixels->bits == 16)
            *at++ = (uint8_t)(integers[i] >> 8);
        *at = (uint8_t)integers[i];
    }
}

static int
integers_to_row(const struct pixels *pixels, size_t first, size_t n, uint8_t *ret_row,
                struct lighter_error *err)
{
    int64_t integers[BLOCK], largest = ((int64_t)1 << pixels->bits) - 1;
    uint8_t values[BLOCK * VALUE_MAX];
    int r = 0;

    for (unsigned c = 0; c < pixels->channels && r == 0; c++) {
        take_values(pixels, c, first, n, values);
        if (pixels->unit) {
            units_to_integers(values, pixels->dtype, largest, integers);
        } else {
            to_integers[pixels->dtype](values, integers);
            r = check_range(pixels, integers, n, largest, err);
        }
        put_channel(pixels, integers, n, c, ret_row);
    }
    return r;
}

/* ---- a row ---------------------------------------------------------------------- */

int
pixels_row(const struct pixels *pixels, uint64_t y, uint8_t *ret_row,
           struct lighter_error *err)
{
    size_t width = pixels->width, size = pixels_size(pixels);
    int r = 0;

    for (size_t x = 0; x < width && r == 0; x += BLOCK) {
        size_t n = width - x < BLOCK ? width - x : BLOCK;

        if (pixels->unit && pixels->bits == 8)
            units_to_bytes(pixels, y * width + x, n, ret_row + x * size);
        else
            r = integers_to_row(pixels, y * width + x, n, ret_row + x * size, err);
    }
    return r;
}
