/* codec_zlib.c - see codec.h: zlib, which does all compressions. */
#include "config.h"

#include "plugins/image/codec.h"

#include <stdlib.h>
#include <zlib.h>

#define WINDOW_BITS 15 /* all of deflate's 32 KiB */
#define MEMORY_LEVEL 8 /* zlib's own */

/* Z_RLE is "designed for PNG image data", and takes a fifth of level 6's time. */
static void *
zlib_open(int compression)
{
    z_stream *stream = calloc(1, sizeof *stream);

    if (stream && deflateInit2(stream, compression, Z_DEFLATED, WINDOW_BITS,
                               MEMORY_LEVEL, compression == 1 ? Z_RLE : Z_FILTERED)) {
        free(stream);
        return NULL;
    }
    return stream;
}

static bool
zlib_run(void *user, struct codec_bytes *bytes, bool last)
{
    z_stream *stream = user;
    int r;

    stream->next_in = (Bytef *)bytes->input;
    stream->avail_in = (uInt)bytes->input_size;
    stream->next_out = bytes->output;
    stream->avail_out = (uInt)bytes->output_size;
    r = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
    *bytes = (struct codec_bytes){stream->next_in, stream->avail_in, stream->next_out,
                                  stream->avail_out};
    return last ? r == Z_STREAM_END : bytes->input_size == 0;
}

static void
zlib_close(void *user)
{
    if (!user)
        return;
    deflateEnd(user);
    free(user);
}

static uint32_t
zlib_crc32(const uint8_t *bytes, size_t size)
{
    return (uint32_t)crc32(crc32(0, NULL, 0), bytes, (uInt)size);
}

const struct codec codec_zlib = {zlib_open, zlib_run, zlib_close, zlib_crc32};

const struct codec *
codec_for(int compression)
{
#ifdef HAVE_ISAL
    if (compression == 1)
        return &codec_igzip;
#endif
    (void)compression;
    return &codec_zlib;
}
