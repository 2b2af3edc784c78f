/* test_image.c - the encoders `image_2d` and `image_3d`: pixels, read back by libspng's
 * decoder.
 */
#include "tests/unit/unit.h"

#include "daemon/sink.h"

#include <math.h>
#include <spng.h>
#include <stdlib.h>

static const struct lighter_encoder *image_2d, *image_3d;
static const struct lighter_encoder *encoder; /* of the two, the one that is tested */
static bool noisy; /* the pixels of the images that are made */
static struct lighter_sink sink;
static struct lighter_error err;
static struct {
    const char *suffix;
    int64_t compression, bits;
    const char *scale;
} options;

static void
set_up(void)
{
    image_2d = lighter_plugin.encoders[0];
    image_3d = lighter_plugin.encoders[1];
    encoder = image_2d;
    options.compression = 1;
    options.bits = 0;
    options.scale = "dtype";
    noisy = false;
    sink_init(&sink);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
}

static void
tear_down(void)
{
    sink_done(&sink);
}

static int
encode(struct lighter_value value)
{
    sink_clear(&sink);
    return encoder->encode(&options, &value, &sink, &unit_services, &err);
}

/* The pixels of the image that a value becomes; returns owned. */
static uint8_t *
pixels_of(struct lighter_value value, struct spng_ihdr *ret_header)
{
    spng_ctx *png = spng_ctx_new(0);
    size_t size, n_pixels;
    uint8_t *pixels;
    char *file;

    ck_assert_msg(encode(value) == 0, "%s", err.message);
    file = unit_sink_bytes(&sink, &size);
    ck_assert_int_eq(spng_set_png_buffer(png, file, size), 0);
    ck_assert_int_eq(spng_get_ihdr(png, ret_header), 0);
    ck_assert_int_eq(spng_decoded_image_size(png, SPNG_FMT_PNG, &n_pixels), 0);
    pixels = malloc(n_pixels);
    ck_assert_int_eq(spng_decode_image(png, pixels, n_pixels, SPNG_FMT_PNG, 0), 0);
    spng_ctx_free(png);
    free(file);
    return pixels;
}

static void
expect_row(uint32_t dtype, const void *values, const uint8_t *expected, uint64_t n)
{
    const uint64_t shape[] = {1, 1, n};
    struct spng_ihdr header;
    uint8_t *pixels = pixels_of(unit_tensor(dtype, 3, shape, values), &header);

    for (uint64_t i = 0; i < n; i++)
        ck_assert_msg(pixels[i] == expected[i], "%s %u: %u, not %u",
                      lighter_dtype_name(dtype), (unsigned)i, pixels[i], expected[i]);
    free(pixels);
}

/* (x.float().clamp(0, 1) * 255).to(torch.uint8), and NaN is 0. */
static uint8_t
pixel_of(float value)
{
    if (!(value > 0))
        return 0;
    return value >= 1 ? 255 : (uint8_t)(value * 255.0f);
}

/* ---- pixels -------------------------------------------------------------------- */

START_TEST(values_are_clamped_scaled_and_cut_off)
{
    const float values[] = {0,         -0.0f,  1,          0.5f,        2,
                            -1,        0.999f, NAN,        -NAN,        INFINITY,
                            -INFINITY, 1e-40f, 1.0f / 255, 0.99999994f, 0.00392156f};
    const uint8_t expected[] = {0, 0,   255, 127, 255, 0,   254, 0,
                                0, 255, 0,   0,   1,   254, 0};

    expect_row(LIGHTER_FLOAT32, values, expected, sizeof expected);
}
END_TEST

START_TEST(every_step_of_grey_is_cut_off_where_torch_does)
{
    float values[256 * 3];
    uint8_t expected[256 * 3];

    for (int i = 0; i < 256; i++) {
        values[3 * i] = nextafterf((float)i / 255, -1);
        values[3 * i + 1] = (float)i / 255;
        values[3 * i + 2] = nextafterf((float)i / 255, 2);
    }
    for (int i = 0; i < 256 * 3; i++)
        expected[i] = pixel_of(values[i]);
    expect_row(LIGHTER_FLOAT32, values, expected, sizeof expected);
}
END_TEST

START_TEST(doubles_are_rounded_to_float32_first)
{
    const double below = 1 - 1e-12; /* 1 as float32 */
    const double values[] = {0.5, below, 1e300, -1e300, (double)NAN, 1e-300};
    const uint8_t expected[] = {127, 255, 255, 0, 0, 0};

    expect_row(LIGHTER_FLOAT64, values, expected, sizeof expected);
}
END_TEST

static float
value_of_half(unsigned half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float value = exponent == 31 ? fraction ? NAN : INFINITY
                  : exponent     ? ldexpf((float)(1024 + fraction), exponent - 25)
                                 : ldexpf((float)fraction, -24);

    return half & 0x8000 ? -value : value;
}

static float
value_of_bfloat(unsigned bfloat)
{
    uint32_t bits = (uint32_t)bfloat << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

START_TEST(every_16_bit_float_is_exact)
{
    static uint16_t values[65536];
    static uint8_t halves[65536], bfloats[65536];

    for (unsigned i = 0; i < 65536; i++) {
        values[i] = (uint16_t)i;
        halves[i] = pixel_of(value_of_half(i));
        bfloats[i] = pixel_of(value_of_bfloat(i));
    }
    expect_row(LIGHTER_FLOAT16, values, halves, 65536);
    expect_row(LIGHTER_BFLOAT16, values, bfloats, 65536);
}
END_TEST

START_TEST(with_the_scale_unit_integers_are_white_from_1_on)
{
    const uint8_t expected[] = {0, 255, 255, 255}, below[] = {0, 255, 255, 0};

    options.scale = "unit";
    expect_row(LIGHTER_BOOL8, (uint8_t[]){0, 1, 2, 255}, expected, 4);
    expect_row(LIGHTER_UINT8, (uint8_t[]){0, 1, 2, 255}, expected, 4);
    expect_row(LIGHTER_UINT16, (uint16_t[]){0, 1, 256, UINT16_MAX}, expected, 4);
    expect_row(LIGHTER_UINT32, (uint32_t[]){0, 1, 1 << 16, UINT32_MAX}, expected, 4);
    expect_row(LIGHTER_UINT64, (uint64_t[]){0, 1, 1u << 31, UINT64_MAX}, expected, 4);
    expect_row(LIGHTER_INT8, (int8_t[]){0, 1, 127, -128}, below, 4);
    expect_row(LIGHTER_INT16, (int16_t[]){0, 1, 256, -1}, below, 4);
    expect_row(LIGHTER_INT32, (int32_t[]){0, 1, 1 << 16, INT32_MIN}, below, 4);
    expect_row(LIGHTER_INT64, (int64_t[]){0, 1, INT64_MAX, INT64_MIN}, below, 4);
}
END_TEST

START_TEST(integers_are_pixels_as_they_are)
{
    const uint8_t expected[] = {0, 1, 127, 4};

    expect_row(LIGHTER_UINT8, (uint8_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_INT8, (int8_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_INT16, (int16_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_INT32, (int32_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_UINT32, (uint32_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_INT64, (int64_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_UINT64, (uint64_t[]){0, 1, 127, 4}, expected, 4);
    options.bits = 8;
    expect_row(LIGHTER_UINT16, (uint16_t[]){0, 1, 127, 4}, expected, 4);
    expect_row(LIGHTER_BOOL8, (uint8_t[]){0, 1, 1, 0}, (uint8_t[]){0, 255, 255, 0}, 4);
}
END_TEST

/* Each pixel as two bytes, in the machine's order, as libspng gives them. */
static void
expect_row_of_16_bits(uint32_t dtype, const void *values, const uint16_t *expected,
                      uint64_t n)
{
    const uint64_t shape[] = {1, 1, n};
    struct spng_ihdr header;
    uint8_t *pixels = pixels_of(unit_tensor(dtype, 3, shape, values), &header);

    ck_assert_uint_eq(header.bit_depth, 16);
    ck_assert_mem_eq(pixels, expected, n * sizeof *expected);
    free(pixels);
}

START_TEST(uint16_has_16_bits_and_others_where_they_are_told)
{
    const uint16_t expected[] = {0, 1, 256, 65535, 4};

    expect_row_of_16_bits(LIGHTER_UINT16, expected, expected, 5);
    options.bits = 16;
    expect_row_of_16_bits(LIGHTER_INT32, (int32_t[]){0, 1, 256, 65535, 4}, expected, 5);
    expect_row_of_16_bits(LIGHTER_FLOAT32,
                          (float[]){0, 0.5f, 1, NAN, -1, 2, 0.99999994f},
                          (uint16_t[]){0, 32767, 65535, 0, 0, 65535, 65534}, 7);
}
END_TEST

START_TEST(the_channels_of_16_bits_stand_side_by_side)
{
    const uint64_t shape[] = {4, 1, 200};
    struct spng_ihdr header;
    uint16_t values[800];
    uint8_t *pixels;

    for (size_t i = 0; i < 800; i++)
        values[i] = (uint16_t)(i * 77);
    pixels = pixels_of(unit_tensor(LIGHTER_UINT16, 3, shape, values), &header);

    ck_assert_uint_eq(header.color_type, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA);
    for (size_t x = 0; x < 200; x++)
        for (size_t c = 0; c < 4; c++)
            ck_assert_mem_eq(pixels + 2 * (4 * x + c), &values[200 * c + x], 2);
    free(pixels);
}
END_TEST

static void
expect_no_pixel(uint32_t dtype, const void *value, unsigned bits, const char *range,
                const char *shown)
{
    const uint64_t shape[] = {1, 1, 1};
    char message[256];

    snprintf(message, sizeof message,
             "image_2d expects integers from 0 to %s, got %s: integers are pixels as "
             "they are; see its options bits and scale",
             range, shown);
    options.bits = bits;
    ck_assert_int_lt(encode(unit_tensor(dtype, 3, shape, value)), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_VALUE);
    ck_assert_str_eq(err.message, message);
}

START_TEST(an_integer_that_is_no_pixel_is_refused_and_not_clamped)
{
    expect_no_pixel(LIGHTER_INT64, &(int64_t){256}, 0, "255 (bits = 8)", "256");
    expect_no_pixel(LIGHTER_INT8, &(int8_t){-1}, 0, "255 (bits = 8)", "-1");
    expect_no_pixel(LIGHTER_UINT16, &(uint16_t){256}, 8, "255 (bits = 8)", "256");
    expect_no_pixel(LIGHTER_INT32, &(int32_t){65536}, 16, "65535 (bits = 16)", "65536");
    expect_no_pixel(LIGHTER_UINT64, &(uint64_t){UINT64_MAX}, 16, "65535 (bits = 16)",
                    "18446744073709551615");
}
END_TEST

START_TEST(options_that_are_no_options_are_refused_before_any_sample)
{
    ck_assert_int_eq(encoder->check_options(&options, &err), 0);
    options.bits = 12;
    ck_assert_int_lt(encoder->check_options(&options, &err), 0);
    ck_assert_str_eq(err.message, "'bits' expects 8 or 16, got 12");
    options.bits = 16;
    options.scale = "minmax";
    ck_assert_int_lt(encoder->check_options(&options, &err), 0);
    ck_assert_str_eq(err.message, "'scale' expects 'dtype' or 'unit', got 'minmax'");
}
END_TEST

/* ---- images -------------------------------------------------------------------- */

/* Levels that differ from their neighbours', and repeat; or that never do. */
static uint32_t
level(size_t i)
{
    uint32_t mixed = (uint32_t)i * 2654435761u;

    return noisy ? (mixed ^ mixed >> 15) * 2246822519u >> 24 : i * 37 % 256;
}

/* An image in CHW or, if `depth` is not 0, in CDHW, not aligned. `height` is that of
 * all slices.
 */
static void
expect_stack(uint64_t channels, uint64_t depth, uint64_t height, uint64_t width,
             uint8_t color_type)
{
    const uint64_t flat[] = {channels, height, width};
    const uint64_t deep[] = {channels, depth, depth ? height / depth : 0, width};
    size_t n = channels * height * width;
    char *room = malloc(n * sizeof(float) + 1), *values = room + 1;
    struct spng_ihdr header;
    uint8_t *pixels;

    for (size_t i = 0; i < n; i++) {
        float value = ((float)level(i) + 0.5f) / 255;

        memcpy(values + i * sizeof value, &value, sizeof value);
    }
    encoder = depth ? image_3d : image_2d;
    pixels = pixels_of(
        unit_tensor(LIGHTER_FLOAT32, depth ? 4 : 3, depth ? deep : flat, values),
        &header);
    ck_assert_uint_eq(header.width, width);
    ck_assert_uint_eq(header.height, height);
    ck_assert_uint_eq(header.bit_depth, 8);
    ck_assert_uint_eq(header.color_type, color_type);
    for (size_t i = 0; i < n; i++) {
        size_t c = i / (height * width), place = i % (height * width);

        if (pixels[place * channels + c] != level(i))
            ck_abort_msg("channel %zu, pixel %zu of %d x %d", c, place, (int)height,
                         (int)width);
    }
    free(pixels);
    free(room);
}

static void
expect_image(uint64_t channels, uint64_t height, uint64_t width, uint8_t color_type)
{
    expect_stack(channels, 0, height, width, color_type);
}

START_TEST(planes_become_channels)
{
    expect_image(1, 20, 30, SPNG_COLOR_TYPE_GRAYSCALE);
    expect_image(3, 20, 30, SPNG_COLOR_TYPE_TRUECOLOR);
    expect_image(4, 20, 30, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA);
}
END_TEST

START_TEST(slices_are_stacked_from_top_to_bottom)
{
    expect_stack(1, 1, 7, 30, SPNG_COLOR_TYPE_GRAYSCALE);
    expect_stack(1, 4, 20, 30, SPNG_COLOR_TYPE_GRAYSCALE);
    expect_stack(3, 5, 20, 130, SPNG_COLOR_TYPE_TRUECOLOR);
    expect_stack(4, 20, 20, 30, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA);
}
END_TEST

START_TEST(rows_of_any_length_are_whole)
{
    static const uint64_t widths[] = {1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 1000};

    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        expect_image(1, 3, widths[i], SPNG_COLOR_TYPE_GRAYSCALE);
        expect_image(3, 2, widths[i], SPNG_COLOR_TYPE_TRUECOLOR);
    }
    expect_image(3, 1000, 1, SPNG_COLOR_TYPE_TRUECOLOR);
}
END_TEST

START_TEST(compression_changes_the_size_and_not_the_pixels)
{
    size_t sizes[10];

    for (options.compression = 0; options.compression < 10; options.compression++) {
        expect_image(3, 40, 256, SPNG_COLOR_TYPE_TRUECOLOR);
        sizes[options.compression] = sink.size;
    }
    ck_assert_uint_gt(sizes[0], 3 * 40 * 256);
    ck_assert_uint_lt(sizes[1], sizes[0]);
    ck_assert_uint_le(sizes[9], sizes[2]);
}
END_TEST

START_TEST(an_image_of_several_chunks_is_whole)
{
    noisy = true;
    for (options.compression = 0; options.compression < 3; options.compression++) {
        expect_image(3, 301, 199, SPNG_COLOR_TYPE_TRUECOLOR);
        ck_assert_uint_gt(sink.size, 2 * 65536);
    }
}
END_TEST

/* ---- refusals ------------------------------------------------------------------ */

static void
expect_refusal(struct lighter_value value, uint32_t code, const char *message)
{
    ck_assert_int_lt(encode(value), 0);
    ck_assert_uint_eq(err.code, code);
    ck_assert_str_eq(err.message, message);
    ck_assert_uint_eq(sink.size, 0);
}

START_TEST(what_is_not_an_image_is_refused)
{
    const uint64_t shape[] = {2, 1, 1, 1};
    const float values[4] = {0};

    expect_refusal(unit_string("x"), LIGHTER_E_TYPE,
                   "image_2d expects a tensor, got a string");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 2, shape, values), LIGHTER_E_VALUE,
                   "write_image_2d expects a 3D tensor (CHW), got 2 dimensions.");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, shape, values), LIGHTER_E_VALUE,
                   "write_image_2d expects a 3D tensor (CHW), got 4 dimensions.");
    expect_refusal(unit_tensor(LIGHTER_COMPLEX64, 3, shape, values), LIGHTER_E_TYPE,
                   "image_2d expects real numbers, got complex64");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 3, shape, values), LIGHTER_E_VALUE,
                   "image_2d expects 1 (grey), 3 (RGB) or 4 (RGBA) channels, got 2");
}
END_TEST

START_TEST(what_is_not_a_stack_of_slices_is_refused)
{
    const uint64_t shape[] = {2, 1, 1, 1}, none[] = {1, 0, 5, 5};
    const uint64_t endless[] = {1, (uint64_t)1 << 40, (uint64_t)1 << 40, 0};
    const float values[2] = {0};

    encoder = image_3d;
    expect_refusal(unit_int(3), LIGHTER_E_TYPE,
                   "image_3d expects a tensor, got an int");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 3, shape, values), LIGHTER_E_VALUE,
                   "write_image_3d expects a 4D tensor (CDHW), got 3 dimensions.");
    expect_refusal(unit_tensor(LIGHTER_COMPLEX64, 4, shape, values), LIGHTER_E_TYPE,
                   "image_3d expects real numbers, got complex64");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, shape, values), LIGHTER_E_VALUE,
                   "image_3d expects 1 (grey), 3 (RGB) or 4 (RGBA) channels, got 2");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, none, NULL), LIGHTER_E_VALUE,
                   "image_3d expects a height and a width of 1 to 2147483647, got 0 x "
                   "5");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, endless, NULL), LIGHTER_E_VALUE,
                   "image_3d expects a height and a width of 1 to 2147483647, got "
                   "18446744073709551615 x 0");
}
END_TEST

START_TEST(images_without_pixels_or_with_too_many_in_a_row_are_refused)
{
    const uint64_t flat[] = {3, 0, 5}, thin[] = {1, 5, 0};
    const uint64_t endless[] = {1, 0, (uint64_t)1 << 40}, wide[] = {4, 1, 1 << 29};

    expect_refusal(unit_tensor(LIGHTER_UINT8, 3, wide, NULL), LIGHTER_E_VALUE,
                   "image_2d expects rows of at most 2147483647 bytes, got 2147483648");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 3, flat, NULL), LIGHTER_E_VALUE,
                   "image_2d expects a height and a width of 1 to 2147483647, got 0 x "
                   "5");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 3, thin, NULL), LIGHTER_E_VALUE,
                   "image_2d expects a height and a width of 1 to 2147483647, got 5 x "
                   "0");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 3, endless, NULL), LIGHTER_E_VALUE,
                   "image_2d expects a height and a width of 1 to 2147483647, got 0 x "
                   "1099511627776");
}
END_TEST

START_TEST(a_dtype_of_a_newer_daemon_is_refused)
{
    const uint64_t shape[] = {1, 1, 1};
    struct lighter_value value = unit_tensor(LIGHTER_UINT8, 3, shape, "a");

    value.as.tensor.dtype = LIGHTER_N_DTYPES;
    expect_refusal(value, LIGHTER_E_TYPE, "image_2d expects real numbers, got unknown");
}
END_TEST

START_TEST(wherever_memory_ends_the_error_says_so)
{
    const uint64_t shape[] = {1, 1, 4};

    unit_expect_enomem(encoder, &options, unit_tensor(LIGHTER_UINT8, 3, shape, "abcd"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("image");
    TCase *pixels = unit_case(suite, "pixels"), *image = unit_case(suite, "image"),
          *refusal = unit_case(suite, "refusal");

    tcase_add_checked_fixture(pixels, set_up, tear_down);
    tcase_add_test(pixels, values_are_clamped_scaled_and_cut_off);
    tcase_add_test(pixels, every_step_of_grey_is_cut_off_where_torch_does);
    tcase_add_test(pixels, doubles_are_rounded_to_float32_first);
    tcase_add_test(pixels, every_16_bit_float_is_exact);
    tcase_add_test(pixels, with_the_scale_unit_integers_are_white_from_1_on);
    tcase_add_test(pixels, integers_are_pixels_as_they_are);
    tcase_add_test(pixels, uint16_has_16_bits_and_others_where_they_are_told);
    tcase_add_test(pixels, the_channels_of_16_bits_stand_side_by_side);
    tcase_add_test(pixels, an_integer_that_is_no_pixel_is_refused_and_not_clamped);
    tcase_add_test(pixels, options_that_are_no_options_are_refused_before_any_sample);

    tcase_add_checked_fixture(image, set_up, tear_down);
    tcase_add_test(image, planes_become_channels);
    tcase_add_test(image, slices_are_stacked_from_top_to_bottom);
    tcase_add_test(image, rows_of_any_length_are_whole);
    tcase_add_test(image, compression_changes_the_size_and_not_the_pixels);
    tcase_add_test(image, an_image_of_several_chunks_is_whole);

    tcase_add_checked_fixture(refusal, set_up, tear_down);
    tcase_add_test(refusal, what_is_not_an_image_is_refused);
    tcase_add_test(refusal, what_is_not_a_stack_of_slices_is_refused);
    tcase_add_test(refusal,
                   images_without_pixels_or_with_too_many_in_a_row_are_refused);
    tcase_add_test(refusal, a_dtype_of_a_newer_daemon_is_refused);
    tcase_add_test(refusal, wherever_memory_ends_the_error_says_so);
    return unit_main(suite);
}
