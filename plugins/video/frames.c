/* frames.c - see frames.h. */
#include "plugins/video/frames.h"

#include <libswscale/swscale.h>

/* The same bytes on every processor; chroma is the mean of two by two pixels, of all
 * ways to choose it the nearest to what models draw.
 */
#define CONVERSION (SWS_AREA | SWS_ACCURATE_RND | SWS_BITEXACT)

static AVFrame *
new_frame(enum AVPixelFormat format, uint64_t width, uint64_t height)
{
    AVFrame *frame = av_frame_alloc();

    if (!frame)
        return NULL;
    frame->format = format;
    frame->width = (int)(width + width % 2);
    frame->height = (int)(height + height % 2);
    if (av_frame_get_buffer(frame, 0) < 0)
        av_frame_free(&frame);
    else /* the converter looks beyond a row: the same video is the same bytes */
        for (int i = 0; i < AV_NUM_DATA_POINTERS && frame->buf[i]; i++)
            memset(frame->buf[i]->data, 0, frame->buf[i]->size);
    return frame;
}

/* The smallest byte of all pixels: as scaling keeps the order of values, what lighter's
 * padding, the smallest value, becomes. Nothing is below 0.
 */
static uint8_t
smallest_byte(const struct pixels *pixels, uint8_t *row)
{
    size_t size = pixels->width * pixels->channels;
    uint8_t smallest = UINT8_MAX;

    for (uint64_t y = 0; y < pixels->height && smallest > 0; y++) {
        pixels_row(pixels, y, row, NULL); /* 8 bits of what always fits them */
        for (size_t i = 0; i < size; i++)
            smallest = row[i] < smallest ? row[i] : smallest;
    }
    return smallest;
}

int
frames_open(struct frames *frames, const struct pixels *pixels, uint64_t height)
{
    /* a grey frame needs no copies of its plane: their luma is the same */
    enum AVPixelFormat format =
        pixels->channels == 1 ? AV_PIX_FMT_GRAY8 : AV_PIX_FMT_RGB24;
    AVFrame *picture, *frame;

    *frames = (struct frames){.pixels = pixels, .height = height};
    picture = frames->picture = new_frame(format, pixels->width, height);
    frame = frames->frame = new_frame(AV_PIX_FMT_YUV420P, pixels->width, height);
    if (!picture || !frame)
        return AVERROR(ENOMEM);
    frames->converter =
        sws_getContext(picture->width, picture->height, format, frame->width,
                       frame->height, AV_PIX_FMT_YUV420P, CONVERSION, NULL, NULL, NULL);
    if (!frames->converter)
        return AVERROR(ENOMEM);
    if (pixels->width % 2 || height % 2)
        frames->padding = smallest_byte(pixels, picture->data[0]);
    return 0;
}

void
frames_close(struct frames *frames)
{
    sws_freeContext(frames->converter);
    av_frame_free(&frames->frame);
    av_frame_free(&frames->picture);
}

static void
draw(const struct frames *frames, uint64_t index)
{
    const struct pixels *pixels = frames->pixels;
    size_t size = pixels->width * pixels->channels;
    size_t padded_size = (size_t)frames->picture->width * pixels->channels;
    uint8_t *row = frames->picture->data[0];

    for (uint64_t y = 0; y < frames->height; y++) {
        pixels_row(pixels, index * frames->height + y, row, NULL);
        memset(row + size, frames->padding, padded_size - size);
        row += frames->picture->linesize[0];
    }
    if (frames->height % 2)
        memset(row, frames->padding, padded_size);
}

int
frames_get(struct frames *frames, uint64_t index, AVFrame **ret_frame)
{
    const AVFrame *picture = frames->picture;
    AVFrame *frame = frames->frame;
    int r;

    r = av_frame_make_writable(frame); /* the encoder may hold on to the last one */
    if (r < 0)
        return r;
    draw(frames, index);
    sws_scale(frames->converter, (const uint8_t *const *)picture->data,
              picture->linesize, 0, picture->height, frame->data, frame->linesize);
    frame->pts = (int64_t)index;
    *ret_frame = frame;
    return 0;
}
