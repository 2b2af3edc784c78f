/* movie.h - frames as an MP4 file in memory.
 *
 * In: frames in YUV 4:2:0, in order. Out: the file's bytes: H.264 as x264 makes it, its
 * index at the end. The index is found by a place near the file's beginning that is
 * written last, so a file is in memory until it is whole; it must stay below 2 GiB. The
 * same frames make the same bytes: no time, no version of libavformat is in them, and
 * one thread encodes them, as many of these run side by side. Any thread, one at a
 * time.
 */
#ifndef VIDEO_MOVIE_H
#define VIDEO_MOVIE_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdbool.h>

/* x264's constant quality; at 18 the loss is hard to see. 0, no loss at all, would take
 * a profile that few players have. */
#define MOVIE_CRF_MIN 1
#define MOVIE_CRF_MAX 51

#define MOVIE_PRESETS                                                                  \
    "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow, "   \
    "placebo"

struct movie_settings {
    int width, height; /* even */
    int fps;
    int crf;            /* MOVIE_CRF_MIN (next to nothing is lost) to MOVIE_CRF_MAX */
    const char *preset; /* one that movie_has_preset() */
};

struct movie {
    AVFormatContext *file;
    AVCodecContext *encoder;
    AVPacket *packet;
};

/* Whether x264 has a preset, a choice between time and size, of that name. */
bool movie_has_preset(const char *name);

/* All return 0 or an error of libav: AVERROR_ENCODER_NOT_FOUND where libavcodec has no
 * x264, AVERROR(ERANGE) where the file gets too large. Close a movie in any case.
 */
int movie_open(struct movie *movie, const struct movie_settings *settings);
int movie_put(struct movie *movie, const AVFrame *frame); /* borrows */
void movie_close(struct movie *movie);

/* No more frames. *ret_bytes is lent until movie_close(). */
int movie_finish(struct movie *movie, const uint8_t **ret_bytes, size_t *ret_size);

#endif
