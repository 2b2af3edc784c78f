/* test_codec.c - zlib streams of each codec, read back by zlib. */
#include "config.h"

#include "tests/unit/unit.h"

#include "plugins/image/codec.h"

#include <stdlib.h>
#include <zlib.h>

#define SIZE ((size_t)200000)

static uint8_t *input, *output, *decoded;
static size_t output_size;

static void
set_up(void)
{
    input = malloc(SIZE);
    output = malloc(2 * SIZE);
    decoded = malloc(SIZE);
}

static void
tear_down(void)
{
    free(input);
    free(output);
    free(decoded);
}

static void
fill(size_t size, unsigned one_in)
{
    srand(one_in);
    for (size_t i = 0; i < size; i++)
        input[i] = i == 0 || rand() % (int)one_in == 0 ? (uint8_t)rand() : input[i - 1];
}

/* Compress `size` bytes, at most `piece` of them at a time, to at most `room` of output
 * at a time.
 */
static void
compress_pieces(const struct codec *codec, int compression, size_t size, size_t piece,
                size_t room)
{
    void *stream = codec->open(compression);
    struct codec_bytes bytes = {.output = output};
    size_t taken = 0;

    ck_assert_ptr_nonnull(stream);
    do {
        bytes.input = input + taken;
        bytes.input_size = size - taken < piece ? size - taken : piece;
        taken += bytes.input_size;
        while (!codec->run(stream, &bytes, taken == size)) {
            ck_assert_uint_eq(bytes.output_size, 0);
            ck_assert_uint_lt((size_t)(bytes.output - output), 2 * SIZE - room);
            bytes.output_size = room;
        }
        ck_assert_uint_eq(bytes.input_size, 0);
    } while (taken < size);
    output_size = (size_t)(bytes.output - output);
    codec->close(stream);
}

static void
expect_input_back(size_t size)
{
    uLongf decoded_size = SIZE;

    ck_assert_int_eq(uncompress(decoded, &decoded_size, output, output_size), Z_OK);
    ck_assert_uint_eq(decoded_size, size);
    ck_assert_mem_eq(decoded, input, size);
}

static void
expect_streams(const struct codec *codec, int compression)
{
    static const unsigned one_in[] = {1, 3, 50, SIZE};
    static const size_t sizes[] = {1, 2, 225, 70000};

    for (size_t f = 0; f < sizeof one_in / sizeof *one_in; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t c = 0; c < UNIT_N_CHUNKS; c++) {
                size_t chunk = unit_chunks[c] < SIZE ? unit_chunks[c] : SIZE;

                fill(sizes[s], one_in[f]);
                compress_pieces(codec, compression, sizes[s], chunk, SIZE);
                expect_input_back(sizes[s]);
                compress_pieces(codec, compression, sizes[s], sizes[s], chunk);
                expect_input_back(sizes[s]);
            }
}

START_TEST(a_stream_of_zlib_fed_anyhow_is_the_input)
{
    expect_streams(&codec_zlib, _i);
}
END_TEST

#ifdef HAVE_ISAL
START_TEST(a_stream_of_igzip_fed_anyhow_is_the_input)
{
    expect_streams(&codec_igzip, 1);
}
END_TEST

/* ISA-L 2.30 makes other bytes at some addresses; what is not freed moves the next. */
START_TEST(a_stream_of_igzip_is_the_same_wherever_it_is)
{
    static const uint8_t rows[] = {2, 127, 127, 127, 127, 127, 127, 2, 0, 0, 0,
                                   0, 0,   0,   2,   0,   0,   0,   0, 0, 0};
    void *kept[100];
    uint8_t first[64];
    size_t first_size = 0;

    memcpy(input, rows, sizeof rows);
    for (int i = 0; i < 100; i++) {
        compress_pieces(&codec_igzip, 1, sizeof rows, 7, SIZE);
        if (i == 0)
            memcpy(first, output, first_size = output_size);
        ck_assert_uint_eq(output_size, first_size);
        ck_assert_mem_eq(output, first, first_size);
        kept[i] = codec_igzip.open(1);
    }
    for (int i = 0; i < 100; i++)
        codec_igzip.close(kept[i]);
}
END_TEST
#endif

START_TEST(runs_become_short)
{
    fill(SIZE, SIZE);
    compress_pieces(codec_for(1), 1, SIZE, SIZE, SIZE);
    ck_assert_uint_lt(output_size, SIZE / 100);
}
END_TEST

START_TEST(crc32_is_that_of_png)
{
    /* PNG 5.6: the CRC of an IEND chunk, which every PNG ends in */
    for (int compression = 0; compression < 10; compression++)
        ck_assert_uint_eq(codec_for(compression)->crc32((const uint8_t *)"IEND", 4),
                          0xae426082);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = unit_case(suite, "codec");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_stream_of_zlib_fed_anyhow_is_the_input, 0, 10);
    tcase_add_test(tcase, runs_become_short);
    tcase_add_test(tcase, crc32_is_that_of_png);
#ifdef HAVE_ISAL
    tcase_add_test(tcase, a_stream_of_igzip_fed_anyhow_is_the_input);
    tcase_add_test(tcase, a_stream_of_igzip_is_the_same_wherever_it_is);
#endif
    return unit_main(suite);
}
