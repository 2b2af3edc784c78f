/* movie.c - see movie.h. */
#include "plugins/video/movie.h"

#include <libavutil/opt.h>
#include <string.h>

bool
movie_has_preset(const char *name)
{
    size_t size = strlen(name), n;

    for (const char *at = MOVIE_PRESETS; *at; at += n + strspn(at + n, ", ")) {
        n = strcspn(at, ",");
        if (n == size && memcmp(at, name, n) == 0)
            return true;
    }
    return false;
}

static int
set_effort(AVCodecContext *encoder, const struct movie_settings *settings)
{
    int r = av_opt_set(encoder->priv_data, "preset", settings->preset, 0);

    return r < 0 ? r : av_opt_set_int(encoder->priv_data, "crf", settings->crf, 0);
}

static int
open_encoder(struct movie *movie, const struct movie_settings *settings)
{
    const AVCodec *x264 = avcodec_find_encoder_by_name("libx264");
    AVCodecContext *encoder;
    int r;

    if (!x264)
        return AVERROR_ENCODER_NOT_FOUND;
    encoder = movie->encoder = avcodec_alloc_context3(x264);
    if (!encoder)
        return AVERROR(ENOMEM);
    encoder->width = settings->width;
    encoder->height = settings->height;
    encoder->pix_fmt = AV_PIX_FMT_YUV420P;
    encoder->time_base = (AVRational){1, settings->fps};
    encoder->framerate = (AVRational){settings->fps, 1};
    encoder->thread_count = 1;
    encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    /* what frames.c makes; players guess by the size where nothing is said */
    encoder->colorspace = AVCOL_SPC_SMPTE170M;
    encoder->color_range = AVCOL_RANGE_MPEG;
    encoder->chroma_sample_location = AVCHROMA_LOC_CENTER;
    r = set_effort(encoder, settings);
    return r < 0 ? r : avcodec_open2(encoder, x264, NULL);
}

static int
open_file(struct movie *movie)
{
    const AVCodecContext *encoder = movie->encoder;
    AVStream *stream;
    int r;

    r = avformat_alloc_output_context2(&movie->file, NULL, "mp4", NULL);
    if (r < 0)
        return r;
    movie->file->flags |= AVFMT_FLAG_BITEXACT; /* no name and version of its own */
    stream = avformat_new_stream(movie->file, NULL);
    if (!stream)
        return AVERROR(ENOMEM);
    stream->time_base = encoder->time_base;
    r = avcodec_parameters_from_context(stream->codecpar, encoder);
    if (r < 0)
        return r;
    r = avio_open_dyn_buf(&movie->file->pb);
    return r < 0 ? r : avformat_write_header(movie->file, NULL);
}

int
movie_open(struct movie *movie, const struct movie_settings *settings)
{
    int r;

    *movie = (struct movie){.packet = av_packet_alloc()};
    if (!movie->packet)
        return AVERROR(ENOMEM);
    r = open_encoder(movie, settings);
    return r < 0 ? r : open_file(movie);
}

void
movie_close(struct movie *movie)
{
    uint8_t *bytes = NULL;

    if (movie->file)
        avio_close_dyn_buf(movie->file->pb, &bytes);
    av_free(bytes);
    avformat_free_context(movie->file);
    avcodec_free_context(&movie->encoder);
    av_packet_free(&movie->packet);
}

static int
write_packet(struct movie *movie)
{
    const AVStream *stream = movie->file->streams[0];

    movie->packet->duration = 1; /* a frame's; a movie of one has no other clue */
    av_packet_rescale_ts(movie->packet, movie->encoder->time_base, stream->time_base);
    return av_write_frame(movie->file, movie->packet);
}

int
movie_put(struct movie *movie, const AVFrame *frame)
{
    int r = avcodec_send_frame(movie->encoder, frame);

    while (r >= 0) {
        r = avcodec_receive_packet(movie->encoder, movie->packet);
        if (r == AVERROR(EAGAIN) || r == AVERROR_EOF)
            return 0;
        if (r >= 0)
            r = write_packet(movie);
    }
    return r;
}

int
movie_finish(struct movie *movie, const uint8_t **ret_bytes, size_t *ret_size)
{
    AVIOContext *memory = movie->file->pb;
    uint8_t *bytes;
    int r, size;

    r = movie_put(movie, NULL);
    if (r >= 0)
        r = av_write_trailer(movie->file);
    if (r >= 0)
        r = memory->error;
    if (r < 0)
        return r;
    size = avio_get_dyn_buf(memory, &bytes);
    *ret_bytes = bytes;
    *ret_size = (size_t)size;
    return 0;
}
