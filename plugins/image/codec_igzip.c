/* codec_igzip.c - see codec.h: ISA-L's igzip, which does compression 1 several times as
 * fast as zlib.
 */
#include "plugins/image/codec.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

/* Look no further back than a byte or two. In filtered pixels what repeats is runs; the
 * short matches that are found further away cost more bits than they save, and time.
 */
#define HISTORY_BITS 1

struct igzip {
    struct isal_zstream stream;
    uint8_t level_buffer[ISAL_DEF_LVL1_SMALL]; /* a block of 16 Ki symbols */
};

static void *
igzip_open(int compression)
{
    struct igzip *igzip = malloc(sizeof *igzip);

    (void)compression;
    if (!igzip)
        return NULL;
    isal_deflate_init(&igzip->stream);
    igzip->stream.level = 1;
    igzip->stream.level_buf = igzip->level_buffer;
    igzip->stream.level_buf_size = sizeof igzip->level_buffer;
    igzip->stream.hist_bits = HISTORY_BITS;
    igzip->stream.gzip_flag = IGZIP_ZLIB;
    return igzip;
}

/* The end comes by itself, after all input: where it comes along with less than some
 * hundred bytes, igzip 2.30 takes a smaller table for what repeats, and what it finds
 * then depends on where in memory the stream is. The same image shall be the same file.
 */
static bool
igzip_run(void *user, struct codec_bytes *bytes, bool last)
{
    struct isal_zstream *stream = &((struct igzip *)user)->stream;

    stream->next_in = (uint8_t *)bytes->input;
    stream->avail_in = (uint32_t)bytes->input_size;
    stream->next_out = bytes->output;
    stream->avail_out = (uint32_t)bytes->output_size;
    if (stream->avail_in)
        isal_deflate(stream); /* its errors are those of parameters */
    if (last && !stream->avail_in) {
        stream->end_of_stream = 1;
        isal_deflate(stream);
    }
    *bytes = (struct codec_bytes){stream->next_in, stream->avail_in, stream->next_out,
                                  stream->avail_out};
    return last ? stream->internal_state.state == ZSTATE_END : bytes->input_size == 0;
}

static void
igzip_close(void *user)
{
    free(user);
}

static uint32_t
igzip_crc32(const uint8_t *bytes, size_t size)
{
    return crc32_gzip_refl(0, bytes, size);
}

const struct codec codec_igzip = {igzip_open, igzip_run, igzip_close, igzip_crc32};
