/* frames.h - what a model puts out, as the frames of a video.
 *
 * In: the pixels of a tensor (CTHW), the frames of a channel on top of each other. Out:
 * one frame at a time, as H.264 stores it: luma for each pixel, chroma for two by two
 * of them. That asks for even sides: an odd one is padded, right or at the bottom, with
 * the smallest value of all frames. Any thread, one at a time.
 */
#ifndef VIDEO_FRAMES_H
#define VIDEO_FRAMES_H

#include "plugins/image/pixels.h"

#include <libavutil/frame.h>

struct frames {
    const struct pixels *pixels; /* of all frames; borrowed until frames_close() */
    uint64_t height;             /* rows of one frame, without padding */
    AVFrame *picture;            /* one frame's pixels, padded; owned */
    AVFrame *frame;              /* the same as YUV 4:2:0; owned */
    struct SwsContext *converter;
    uint8_t padding;
};

/* Of 1 (grey) or 3 (RGB) channels, a whole number of frames of `height` rows; all sides
 * but the stack of frames fit an int, padded.
 *
 * Return: 0; AVERROR(ENOMEM). Close it in any case.
 */
int frames_open(struct frames *frames, const struct pixels *pixels, uint64_t height);
void frames_close(struct frames *frames);

/* Frame `index` from 0, its time being `index`. *ret_frame is lent until the next call.
 *
 * Return: 0; AVERROR(ENOMEM).
 */
int frames_get(struct frames *frames, uint64_t index, AVFrame **ret_frame);

#endif
