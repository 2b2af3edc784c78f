/* test_video.c - the encoder `video`: files, read back by libav's demuxer and decoder.
 */
#include "tests/unit/unit.h"

#include "daemon/sink.h"

#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/mem.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct lighter_sink sink;
static struct lighter_error err;
static struct {
    const char *suffix;
    int64_t fps, crf;
    const char *preset;
} options;
static char *directory;

static void
set_up(void)
{
    options.fps = 24;
    options.crf = 23;
    options.preset = "medium";
    sink_init(&sink);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
    directory = unit_tmpdir();
}

static void
tear_down(void)
{
    sink_done(&sink);
    unit_tmpdir_remove(directory);
}

static int
encode(struct lighter_value value)
{
    sink_clear(&sink);
    return lighter_plugin.encoders[0]->encode(&options, &value, &sink, &unit_services,
                                              &err);
}

/* ---- reading back -------------------------------------------------------------- */

struct video {
    enum AVCodecID codec;
    enum AVPixelFormat format;
    AVRational fps;
    double seconds;
    int64_t n_announced;
    int n_frames, width, height;
    uint8_t *pixels; /* n_frames * height * width * 3; owned */
};

static size_t
frame_size(const struct video *video)
{
    return (size_t)video->width * (size_t)video->height * 3;
}

static const uint8_t *
pixel(const struct video *video, int t, int y, int x)
{
    size_t place = ((size_t)y * (size_t)video->width + (size_t)x) * 3;

    return video->pixels + (size_t)t * frame_size(video) + place;
}

static void
keep_frame(struct video *video, const AVFrame *frame)
{
    struct SwsContext *converter = sws_getContext(
        frame->width, frame->height, frame->format, frame->width, frame->height,
        AV_PIX_FMT_RGB24, SWS_POINT | SWS_ACCURATE_RND, NULL, NULL, NULL);
    /* libswscale writes whole vectors: a row of its own for each, with room behind */
    int stride = (frame->width * 3 + 63) / 64 * 64 + 64;
    uint8_t *room = malloc((size_t)stride * (size_t)frame->height), *to;

    sws_scale(converter, (const uint8_t *const *)frame->data, frame->linesize, 0,
              frame->height, (uint8_t *[]){room}, &stride);
    video->pixels =
        realloc(video->pixels, (size_t)(video->n_frames + 1) * frame_size(video));
    to = video->pixels + (size_t)video->n_frames++ * frame_size(video);
    for (int y = 0; y < video->height; y++)
        memcpy(to + y * video->width * 3, room + y * stride, (size_t)video->width * 3);
    free(room);
    sws_freeContext(converter);
}

static void
decode_packet(struct video *video, AVCodecContext *decoder, const AVPacket *packet)
{
    AVFrame *frame = av_frame_alloc();

    ck_assert_int_eq(avcodec_send_packet(decoder, packet), 0);
    while (avcodec_receive_frame(decoder, frame) == 0)
        keep_frame(video, frame);
    av_frame_free(&frame);
}

static void
decode_file(struct video *video, AVFormatContext *file)
{
    const AVStream *stream = file->streams[0];
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    AVCodecContext *decoder = avcodec_alloc_context3(codec);
    AVPacket *packet = av_packet_alloc();

    ck_assert_int_ge(avcodec_parameters_to_context(decoder, stream->codecpar), 0);
    ck_assert_int_eq(avcodec_open2(decoder, codec, NULL), 0);
    for (; av_read_frame(file, packet) == 0; av_packet_unref(packet))
        decode_packet(video, decoder, packet);
    decode_packet(video, decoder, NULL);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
}

static void
save_sink(const char *path)
{
    size_t size;
    char *bytes = unit_sink_bytes(&sink, &size);
    FILE *file = fopen(path, "w");

    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(bytes);
}

/* The video that a value becomes; its pixels are to be freed. */
static struct video
video_of(struct lighter_value value)
{
    struct video video = {0};
    AVFormatContext *file = NULL;
    const AVStream *stream;
    char path[4096];

    ck_assert_msg(encode(value) == 0, "%s", err.message);
    snprintf(path, sizeof path, "%s/video", directory);
    save_sink(path);
    ck_assert_int_eq(avformat_open_input(&file, path, NULL, NULL), 0);
    ck_assert_int_ge(avformat_find_stream_info(file, NULL), 0);
    ck_assert_uint_eq(file->nb_streams, 1);
    stream = file->streams[0];
    video.codec = stream->codecpar->codec_id;
    video.format = (enum AVPixelFormat)stream->codecpar->format;
    video.width = stream->codecpar->width;
    video.height = stream->codecpar->height;
    video.fps = stream->avg_frame_rate;
    video.seconds = (double)stream->duration * av_q2d(stream->time_base);
    video.n_announced = stream->nb_frames;
    decode_file(&video, file);
    avformat_close_input(&file);
    return video;
}

/* A tensor whose value at (c, t, y, x) is value(c, t, y, x); its data is owned. */
static struct lighter_value
drawing(const uint64_t shape[4], float (*value)(int c, int t, int y, int x))
{
    float *data = malloc(shape[0] * shape[1] * shape[2] * shape[3] * sizeof *data);
    float *at = data;

    for (uint64_t c = 0; c < shape[0]; c++)
        for (uint64_t t = 0; t < shape[1]; t++)
            for (uint64_t y = 0; y < shape[2]; y++)
                for (uint64_t x = 0; x < shape[3]; x++)
                    *at++ = value((int)c, (int)t, (int)y, (int)x);
    return unit_tensor(LIGHTER_FLOAT32, 4, shape, data);
}

static struct video
video_of_drawing(const uint64_t shape[4], float (*value)(int c, int t, int y, int x))
{
    struct lighter_value tensor = drawing(shape, value);
    struct video video = video_of(tensor);

    free((void *)tensor.as.tensor.data);
    return video;
}

static void
expect_near(int value, int expected, int tolerance, const char *what)
{
    ck_assert_msg(abs(value - expected) <= tolerance, "%s: %d, not %d", what, value,
                  expected);
}

static void
expect_pixel(const struct video *video, int t, int y, int x, int r, int g, int b)
{
    const uint8_t *rgb = pixel(video, t, y, x);
    char where[64];

    snprintf(where, sizeof where, "frame %d, row %d, column %d", t, y, x);
    expect_near(rgb[0], r, 4, where);
    expect_near(rgb[1], g, 4, where);
    expect_near(rgb[2], b, 4, where);
}

/* ---- frames -------------------------------------------------------------------- */

/* A grey of its own for each frame, even in the eye of the codec. */
static float
level_of_frame(int c, int t, int y, int x)
{
    (void)c, (void)y, (void)x;
    return (float)(t * 67 % 20) / 20;
}

static void
expect_levels(uint64_t channels, uint64_t n_frames, int64_t fps)
{
    const uint64_t shape[] = {channels, n_frames, 32, 48};
    struct video video;

    options.fps = fps;
    video = video_of_drawing(shape, level_of_frame);
    ck_assert_int_eq(video.codec, AV_CODEC_ID_H264);
    ck_assert_int_eq(video.format, AV_PIX_FMT_YUV420P);
    ck_assert_int_eq(video.width, 48);
    ck_assert_int_eq(video.height, 32);
    ck_assert_int_eq(video.fps.num, fps);
    ck_assert_int_eq(video.fps.den, 1);
    ck_assert_int_eq(video.n_announced, (int64_t)n_frames);
    ck_assert_int_eq(video.n_frames, (int)n_frames);
    ck_assert_double_eq_tol(video.seconds, (double)n_frames / (double)fps, 1e-9);
    for (int t = 0; t < video.n_frames; t++) {
        int level = (int)(level_of_frame(0, t, 0, 0) * 255);

        expect_pixel(&video, t, 0, 0, level, level, level);
        expect_pixel(&video, t, 31, 47, level, level, level);
    }
    free(video.pixels);
}

START_TEST(every_frame_is_there_in_order_and_on_time)
{
    expect_levels(1, 1, 24);
    expect_levels(3, 2, 1);
    expect_levels(1, 100, 24);
    expect_levels(3, 100, 30);
    expect_levels(3, 7, 59);
    expect_levels(3, 7, 1000);
}
END_TEST

/* Eight bars: the corners of the colour cube. */
static float
bars(int c, int t, int y, int x)
{
    (void)t, (void)y;
    return (float)(x / 16 >> c & 1);
}

START_TEST(colours_stay_what_they_are)
{
    const uint64_t shape[] = {3, 3, 32, 128};
    struct video video;

    options.crf = 1;
    video = video_of_drawing(shape, bars);
    for (int i = 0; i < 8; i++)
        expect_pixel(&video, 2, 16, i * 16 + 8, 255 * (i & 1), 255 * (i >> 1 & 1),
                     255 * (i >> 2));
    free(video.pixels);
}
END_TEST

static float
ramp(int c, int t, int y, int x)
{
    (void)c;
    return (float)((x * 2 + y + t * 5) % 256) / 255;
}

START_TEST(grey_is_as_much_of_each_colour)
{
    const uint64_t grey[] = {1, 9, 40, 64}, rgb[] = {3, 9, 40, 64};
    struct video one, three;

    options.crf = 1;
    one = video_of_drawing(grey, ramp);
    three = video_of_drawing(rgb, ramp);
    for (size_t i = 0; i < 9 * frame_size(&one); i++) {
        expect_near(one.pixels[i], one.pixels[i / 3 * 3], 1, "colour");
        expect_near(one.pixels[i], three.pixels[i], 4, "grey and RGB");
    }
    free(one.pixels);
    free(three.pixels);
}
END_TEST

static float
out_of_range(int c, int t, int y, int x)
{
    (void)c, (void)t, (void)y;
    return x < 16 ? -3.0f : x < 32 ? NAN : x < 48 ? 2.0f : INFINITY;
}

START_TEST(values_are_clamped)
{
    const uint64_t shape[] = {1, 2, 16, 64};
    struct video video = video_of_drawing(shape, out_of_range);

    for (int i = 0; i < 4; i++)
        expect_pixel(&video, 1, 8, i * 16 + 8, i < 2 ? 0 : 255, i < 2 ? 0 : 255,
                     i < 2 ? 0 : 255);
    free(video.pixels);
}
END_TEST

/* ---- padding ------------------------------------------------------------------- */

/* 0.8, but for a 0.4 in the last frame. */
static float
bright(int c, int t, int y, int x)
{
    return c == 0 && t == 2 && y < 8 && x < 8 ? 0.4f : 0.8f;
}

static float
below_black(int c, int t, int y, int x)
{
    return t == 0 && y == 0 && x == 0 ? -7.0f : bright(c, t, y, x);
}

static void
expect_padded(uint64_t height, uint64_t width, float (*value)(int, int, int, int),
              int padding)
{
    const uint64_t shape[] = {1, 3, height, width};
    struct video video;

    options.crf = 1;
    video = video_of_drawing(shape, value);
    ck_assert_int_eq(video.width, (int)(width + width % 2));
    ck_assert_int_eq(video.height, (int)(height + height % 2));
    for (int t = 0; t < 3; t++)
        for (int y = 16; y < video.height; y++)
            for (int x = 16; x < video.width; x++) {
                bool inside = (uint64_t)x < width && (uint64_t)y < height;
                int level = inside ? 204 : padding;

                expect_pixel(&video, t, y, x, level, level, level);
            }
    free(video.pixels);
}

START_TEST(odd_sides_are_padded_with_the_smallest_value_of_all)
{
    expect_padded(33, 35, bright, 102);
    expect_padded(33, 34, bright, 102);
    expect_padded(32, 35, bright, 102);
    expect_padded(33, 35, below_black, 0);
}
END_TEST

START_TEST(even_sides_are_left_alone)
{
    expect_padded(32, 34, bright, -1);
}
END_TEST

START_TEST(the_smallest_of_videos_is_one)
{
    const uint64_t shape[] = {1, 1, 1, 1};
    struct video video = video_of(unit_tensor(LIGHTER_BOOL8, 4, shape, "\1"));

    ck_assert_int_eq(video.width, 2);
    ck_assert_int_eq(video.height, 2);
    ck_assert_int_eq(video.n_frames, 1);
    for (int i = 0; i < 4; i++)
        expect_pixel(&video, 0, i / 2, i % 2, 255, 255, 255);
    free(video.pixels);
}
END_TEST

/* ---- files --------------------------------------------------------------------- */

static float
noise(int c, int t, int y, int x)
{
    uint32_t mixed = (uint32_t)(((c * 31 + t) * 97 + y) * 61 + x) * 2654435761u;

    return (float)(mixed >> 8) / 0x1p24f;
}

static size_t
size_of_noise(int64_t crf, const char *preset)
{
    const uint64_t shape[] = {3, 5, 64, 64};
    struct lighter_value value = drawing(shape, noise);

    options.crf = crf;
    options.preset = preset;
    ck_assert_msg(encode(value) == 0, "%s", err.message);
    free((void *)value.as.tensor.data);
    return sink.size;
}

START_TEST(quality_and_preset_change_the_size)
{
    ck_assert_uint_gt(size_of_noise(1, "medium"), size_of_noise(23, "medium"));
    ck_assert_uint_gt(size_of_noise(23, "medium"), size_of_noise(51, "medium"));
    ck_assert_uint_ne(size_of_noise(23, "ultrafast"), size_of_noise(23, "medium"));
}
END_TEST

START_TEST(a_file_tells_no_version_of_libavformat)
{
    size_t size = size_of_noise(23, "medium");
    char *bytes = unit_sink_bytes(&sink, &size);

    ck_assert_ptr_nonnull(memmem(bytes, size, "ftyp", 4));
    ck_assert_ptr_null(memmem(bytes, size, "Lavf", 4));
    free(bytes);
}
END_TEST

#define N_THREADS 4

static void *
encode_noise(void *user)
{
    const uint64_t shape[] = {3, 12, 64, 64};
    struct lighter_value value = drawing(shape, noise);
    struct lighter_error why = LIGHTER_ERROR_INIT;
    int r;

    r = lighter_plugin.encoders[0]->encode(&options, &value, user, &unit_services,
                                           &why);
    free((void *)value.as.tensor.data);
    return (void *)(intptr_t)r;
}

START_TEST(workers_side_by_side_make_the_same_bytes)
{
    struct lighter_sink sinks[N_THREADS];
    pthread_t threads[N_THREADS];
    char *files[N_THREADS];
    size_t sizes[N_THREADS];
    void *result;

    for (int i = 0; i < N_THREADS; i++) {
        sink_init(&sinks[i]);
        pthread_create(&threads[i], NULL, encode_noise, &sinks[i]);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], &result);
        ck_assert_ptr_null(result);
        files[i] = unit_sink_bytes(&sinks[i], &sizes[i]);
    }
    for (int i = 0; i < N_THREADS; i++) {
        ck_assert_uint_eq(sizes[i], sizes[0]);
        ck_assert_mem_eq(files[i], files[0], sizes[0]);
    }
    for (int i = 0; i < N_THREADS; i++) {
        free(files[i]);
        sink_done(&sinks[i]);
    }
}
END_TEST

START_TEST(libav_says_nothing_on_stderr)
{
    const uint64_t shape[] = {3, 2, 1, 3};
    char path[4096];
    int to, saved = dup(STDERR_FILENO);
    size_t size;

    snprintf(path, sizeof path, "%s/said", directory);
    to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    dup2(to, STDERR_FILENO);
    close(to);
    free(video_of_drawing(shape, noise).pixels);
    dup2(saved, STDERR_FILENO);
    close(saved);
    free(unit_read_file(directory, "said", &size));
    ck_assert_uint_eq(size, 0);
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

START_TEST(what_is_not_a_video_is_refused)
{
    const uint64_t two[] = {2, 1, 1, 1, 1}, four[] = {4, 1, 1, 1};
    const uint64_t none[] = {3, 0, 16, 16};
    const float values[4] = {0};

    expect_refusal(unit_string("x"), LIGHTER_E_TYPE,
                   "video expects a tensor, got a string");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 3, two, values), LIGHTER_E_VALUE,
                   "write_video expects a 4D tensor (CTHW), got 3 dimensions.");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 5, two, values), LIGHTER_E_VALUE,
                   "write_video expects a 4D tensor (CTHW), got 5 dimensions.");
    expect_refusal(unit_tensor(LIGHTER_COMPLEX64, 4, two, values), LIGHTER_E_TYPE,
                   "video expects real numbers, got complex64");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, two, values), LIGHTER_E_VALUE,
                   "video expects 1 (grey) or 3 (RGB) channels, got 2");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, four, values), LIGHTER_E_VALUE,
                   "video expects 1 (grey) or 3 (RGB) channels, got 4");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, none, NULL), LIGHTER_E_VALUE,
                   "video expects 1 frame or more, got 0");
}
END_TEST

START_TEST(frames_without_pixels_or_with_too_many_in_a_row_are_refused)
{
    const uint64_t flat[] = {3, 1, 0, 5}, thin[] = {1, 1, 5, 0};
    const uint64_t wide[] = {1, 1, 1, 16385};
    const uint64_t endless[] = {1, (uint64_t)1 << 40, (uint64_t)1 << 40, 0};
    static const uint8_t values[16385];

    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, flat, NULL), LIGHTER_E_VALUE,
                   "video expects a height and a width of 1 to 16384, got 0 x 5");
    expect_refusal(unit_tensor(LIGHTER_FLOAT32, 4, thin, NULL), LIGHTER_E_VALUE,
                   "video expects a height and a width of 1 to 16384, got 5 x 0");
    expect_refusal(unit_tensor(LIGHTER_UINT8, 4, wide, values), LIGHTER_E_VALUE,
                   "video expects a height and a width of 1 to 16384, got 1 x 16385");
    expect_refusal(unit_tensor(LIGHTER_UINT8, 4, endless, NULL), LIGHTER_E_VALUE,
                   "video expects a height and a width of 1 to 16384, got "
                   "1099511627776 x 0");
}
END_TEST

START_TEST(of_integers_only_uint8_are_frames)
{
    const uint64_t shape[] = {1, 1, 1, 1};
    const uint64_t zero = 0;

    for (uint32_t dtype = LIGHTER_INT8; dtype <= LIGHTER_UINT64; dtype++)
        if (strstr(lighter_dtype_name(dtype), "int") && dtype != LIGHTER_UINT8) {
            char message[128];

            snprintf(message, sizeof message,
                     "video expects uint8 pixels, or floating-point or bool values "
                     "from 0 to 1, got %s",
                     lighter_dtype_name(dtype));
            expect_refusal(unit_tensor(dtype, 4, shape, &zero), LIGHTER_E_TYPE,
                           message);
        }
    ck_assert_int_eq(encode(unit_tensor(LIGHTER_UINT8, 4, shape, &zero)), 0);
}
END_TEST

START_TEST(presets_are_those_of_x264)
{
    static const char *const presets[] = {
        "ultrafast", "superfast", "veryfast", "faster",   "fast",
        "medium",    "slow",      "slower",   "veryslow", "placebo"};
    static const char *const others[] = {"", "slo", "slow, slower", ",", "quick"};
    const uint64_t shape[] = {1, 1, 1, 1};
    struct lighter_value value = unit_tensor(LIGHTER_UINT8, 4, shape, "a");
    char message[256];

    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        options.preset = presets[i];
        ck_assert_int_eq(lighter_plugin.encoders[0]->check_options(&options, &err), 0);
        ck_assert_msg(encode(value) == 0, "%s: %s", options.preset, err.message);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        options.preset = others[i];
        snprintf(message, sizeof message,
                 "'preset' of video expects one of ultrafast, superfast, veryfast, "
                 "faster, fast, medium, slow, slower, veryslow, placebo, got '%s'",
                 others[i]);
        ck_assert_int_lt(lighter_plugin.encoders[0]->check_options(&options, &err), 0);
        ck_assert_str_eq(err.message, message);
    }
}
END_TEST

START_TEST(a_sink_without_room_is_told)
{
    const uint64_t shape[] = {1, 1, 1, 1};

    unit_expect_enomem(lighter_plugin.encoders[0], &options,
                       unit_tensor(LIGHTER_UINT8, 4, shape, "a"));
}
END_TEST

/* libav is kept from blocks larger than 2^n bytes: another step fails with each n. */
START_TEST(wherever_memory_ends_the_error_says_so)
{
    const uint64_t shape[] = {3, 2, 64, 64};
    struct lighter_value value = drawing(shape, noise);
    int r = -1;

    for (int n = 6; r < 0; n++) {
        ck_assert_int_lt(n, 31);
        av_max_alloc((size_t)1 << n);
        r = encode(value);
        ck_assert_msg(r == 0 || r == -ENOMEM, "%d: %s", n, err.message);
        ck_assert_uint_eq(sink.size > 0, r == 0);
    }
    av_max_alloc(INT32_MAX);
    free((void *)value.as.tensor.data);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("video");
    TCase *frames = unit_case(suite, "frames"), *padding = unit_case(suite, "padding"),
          *file = unit_case(suite, "file"), *refusal = unit_case(suite, "refusal");

    tcase_add_checked_fixture(frames, set_up, tear_down);
    tcase_add_test(frames, every_frame_is_there_in_order_and_on_time);
    tcase_add_test(frames, colours_stay_what_they_are);
    tcase_add_test(frames, grey_is_as_much_of_each_colour);
    tcase_add_test(frames, values_are_clamped);

    tcase_add_checked_fixture(padding, set_up, tear_down);
    tcase_add_test(padding, odd_sides_are_padded_with_the_smallest_value_of_all);
    tcase_add_test(padding, even_sides_are_left_alone);
    tcase_add_test(padding, the_smallest_of_videos_is_one);

    tcase_add_checked_fixture(file, set_up, tear_down);
    tcase_add_test(file, quality_and_preset_change_the_size);
    tcase_add_test(file, a_file_tells_no_version_of_libavformat);
    tcase_add_test(file, workers_side_by_side_make_the_same_bytes);
    tcase_add_test(file, libav_says_nothing_on_stderr);

    tcase_add_checked_fixture(refusal, set_up, tear_down);
    tcase_add_test(refusal, what_is_not_a_video_is_refused);
    tcase_add_test(refusal,
                   frames_without_pixels_or_with_too_many_in_a_row_are_refused);
    tcase_add_test(refusal, of_integers_only_uint8_are_frames);
    tcase_add_test(refusal, presets_are_those_of_x264);
    tcase_add_test(refusal, a_sink_without_room_is_told);
    tcase_add_test(refusal, wherever_memory_ends_the_error_says_so);
    return unit_main(suite);
}
