/* video.c - the encoder `video`: frames as an MP4 file with H.264.
 *
 * In: a tensor. Out: a file as lighter's writer of this name makes: which tensors are a
 * video is decided here, what a frame is in frames.c, what a file is in movie.c.
 * Workers of the pool, any number at once.
 */
#include "config.h"

#include "plugins/video/frames.h"
#include "plugins/video/movie.h"

#include <lighter/plugin.h>
#include <pthread.h>

#define MAX_SIDE 16384 /* x264's MAX_RESOLUTION */
#define MAX_FPS 1000

struct video_options {
    const char *suffix;
    int64_t fps, crf;
    const char *preset;
};

static const struct lighter_option video_options[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".mp4",
     .offset = offsetof(struct video_options, suffix),
     .help = "What the files' names end in; they are MP4 whatever it is"},
    {.name = "fps",
     .type = LIGHTER_OPTION_INT,
     .fallback = "24",
     .offset = offsetof(struct video_options, fps),
     .min = 1,
     .max = MAX_FPS,
     .help = "Frames a second"},
    {.name = "crf",
     .type = LIGHTER_OPTION_INT,
     .fallback = "23",
     .offset = offsetof(struct video_options, crf),
     .min = MOVIE_CRF_MIN,
     .max = MOVIE_CRF_MAX,
     .help = "How much may be lost: 1 next to nothing, 51 most; 6 more halve the size"},
    {.name = "preset",
     .type = LIGHTER_OPTION_STRING,
     .fallback = "medium",
     .offset = offsetof(struct video_options, preset),
     .help = "x264's, from ultrafast to placebo: how long to look for fewer bytes"},
    {.name = NULL},
};

static int
check_shape(const uint64_t *shape, struct lighter_error *err)
{
    uint64_t channels = shape[0], n_frames = shape[1], height = shape[2],
             width = shape[3];

    if (channels != 1 && channels != 3)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "video expects 1 (grey) or 3 (RGB) channels, got %llu",
                            (unsigned long long)channels);
    if (!n_frames)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "video expects 1 frame or more, got 0");
    if (!width || !height || width > MAX_SIDE || height > MAX_SIDE)
        return lighter_fail(
            err, LIGHTER_E_VALUE,
            "video expects a height and a width of 1 to %d, got %llu x %llu", MAX_SIDE,
            (unsigned long long)height, (unsigned long long)width);
    return 0;
}

static int
check_options(const void *options, struct lighter_error *err)
{
    const struct video_options *chosen = options;

    if (movie_has_preset(chosen->preset))
        return 0;
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'preset' of video expects one of %s, got '%.100s'",
                        MOVIE_PRESETS, chosen->preset);
}

/* What frames are made of: of integers only what a picture usually is. */
static int
check_dtype(uint32_t dtype, struct lighter_error *err)
{
    switch (dtype) {
    case LIGHTER_INT8:
    case LIGHTER_INT16:
    case LIGHTER_UINT16:
    case LIGHTER_INT32:
    case LIGHTER_UINT32:
    case LIGHTER_INT64:
    case LIGHTER_UINT64:
        return lighter_fail(err, LIGHTER_E_TYPE,
                            "video expects uint8 pixels, or floating-point or bool "
                            "values from 0 to 1, got %s",
                            lighter_dtype_name(dtype));
    default:
        return 0;
    }
}

static int
fail(int r, const uint64_t *shape, struct lighter_error *err)
{
    char why[AV_ERROR_MAX_STRING_SIZE];

    if (r == AVERROR(ENOMEM))
        return lighter_fail_os(err, ENOMEM, "encode a video");
    if (r == AVERROR_ENCODER_NOT_FOUND)
        return lighter_fail_os(err, ENOTSUP,
                               "video needs the encoder libx264, which the system's "
                               "libavcodec was built without");
    av_strerror(r, why, sizeof why);
    return lighter_fail(err, LIGHTER_E_VALUE,
                        "a video of %llu frames of %llu x %llu pixels cannot be "
                        "encoded: %s",
                        (unsigned long long)shape[1], (unsigned long long)shape[2],
                        (unsigned long long)shape[3], why);
}

/* The whole file; *ret_bytes is lent until movie_close(). Return: 0 or an error of
 * libav.
 */
static int
make_movie(struct movie *movie, struct frames *frames, uint64_t n_frames,
           const struct video_options *options, const uint8_t **ret_bytes,
           size_t *ret_size)
{
    const struct movie_settings settings = {frames->frame->width, frames->frame->height,
                                            (int)options->fps, (int)options->crf,
                                            options->preset};
    AVFrame *frame;
    int r;

    r = movie_open(movie, &settings);
    for (uint64_t i = 0; i < n_frames && r >= 0; i++) {
        r = frames_get(frames, i, &frame);
        if (r >= 0)
            r = movie_put(movie, frame);
    }
    return r < 0 ? r : movie_finish(movie, ret_bytes, ret_size);
}

/* libav's messages go to stderr, which is not ours: what matters of them is in the
 * error. The level is the whole process's, but no other room uses libav.
 */
static void
silence_libav(void)
{
    av_log_set_level(AV_LOG_QUIET);
}

static int
write_video(const struct pixels *pixels, const uint64_t *shape,
            const struct video_options *options, struct lighter_sink *sink,
            const struct lighter_services *services, struct lighter_error *err)
{
    struct frames frames;
    struct movie movie = {0};
    const uint8_t *bytes;
    size_t size;
    int r;

    r = frames_open(&frames, pixels, shape[2]);
    if (r >= 0)
        r = make_movie(&movie, &frames, shape[1], options, &bytes, &size);
    r = r < 0 ? fail(r, shape, err) : lighter_put(services, sink, bytes, size, err);
    movie_close(&movie);
    frames_close(&frames);
    return r;
}

static int
video_encode(const void *options, const struct lighter_value *sample,
             struct lighter_sink *sink, const struct lighter_services *services,
             struct lighter_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct pixels_format format = {.bits = 8};
    const struct video_options *video = options;
    struct pixels pixels;
    int r;

    r = pixels_view(&pixels, "video", "CTHW", &format, sample, err);
    if (r == 0)
        r = check_dtype(pixels.dtype, err);
    if (r == 0)
        r = check_shape(sample->as.tensor.shape, err);
    if (r < 0)
        return r;
    pthread_once(&once, silence_libav);
    return write_video(&pixels, sample->as.tensor.shape, video, sink, services, err);
}

static const struct lighter_encoder video_encoder = {
    .size = sizeof(struct lighter_encoder),
    .name = "video",
    .summary = "a tensor (CTHW) as an MP4 video (H.264)",
    .options = video_options,
    .options_size = sizeof(struct video_options),
    .encode = video_encode,
    .check_options = check_options,
    .suffixes = ".mp4 .mov", /* both are the ISO base media format */
};

static const struct lighter_encoder *const encoders[] = {&video_encoder, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "video",
    .version = PACKAGE_VERSION,
    .encoders = encoders,
};
