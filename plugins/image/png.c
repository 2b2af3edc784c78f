/* png.c - see png.h. Section numbers are those of PNG, second edition (W3C, 2003). */
#include "plugins/image/png.h"

#include "plugins/image/codec.h"
#include "plugins/image/filter.h"

#include <stdlib.h>

#define SIGNATURE "\x89PNG\r\n\x1a\n" /* 5.2 */
#define SIGNATURE_SIZE 8

#define CHUNK_FRONT 8  /* 5.3: length and type stand before a chunk's data, ... */
#define CHUNK_FRAME 12 /* ... and with a CRC behind it */
#define HEADER_SIZE 13 /* 11.2.2 */
#define DATA_MAX ((size_t)64 << 10) /* in one IDAT; any number will do */

/* Rows that go by one row's filter, at compression 1: its choice is not seen in the
 * time then, and in less than 1 % of the size. */
#define ROWS_ALIKE 16

struct writing {
    struct lighter_sink *sink;
    const struct lighter_services *services;
    struct lighter_error *err;
    const struct codec *codec;
    void *stream;
    uint8_t *chunk; /* room in the sink for the IDAT in hand */
    struct codec_bytes bytes;
};

/* Each row with zeros before it and behind it; `filtered` has its filter's byte. */
struct rows {
    uint8_t *memory, *row, *above, *filtered;
    size_t size, pixel_size; /* bytes */
};

/* 6.1: the colour type of so many channels; negative: there is none. */
static int
color_type_of(uint64_t channels)
{
    switch (channels) {
    case 1:
        return 0;
    case 3:
        return 2;
    case 4:
        return 6;
    default:
        return -1;
    }
}

bool
png_takes(uint64_t channels)
{
    return color_type_of(channels) >= 0;
}

/* ---- chunks -------------------------------------------------------------------- */

static void
set32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Give the data that lies behind CHUNK_FRONT bytes of reserved room its frame. */
static void
commit_chunk(struct writing *writing, uint8_t *chunk, const char *type, size_t size)
{
    set32(chunk, (uint32_t)size);
    memcpy(chunk + 4, type, 4);
    set32(chunk + CHUNK_FRONT + size, writing->codec->crc32(chunk + 4, 4 + size));
    writing->services->commit(writing->sink, CHUNK_FRAME + size);
}

static int
reserve_chunk(struct writing *writing, size_t size, uint8_t **ret_chunk)
{
    *ret_chunk = writing->services->reserve(writing->sink, CHUNK_FRAME + size);
    if (*ret_chunk)
        return 0;
    return lighter_fail_os(writing->err, ENOMEM, "hold a compressed image");
}

static int
put_header(struct writing *writing, const struct pixels *pixels)
{
    uint8_t *chunk, *data;
    int r;

    r = reserve_chunk(writing, HEADER_SIZE, &chunk);
    if (r < 0)
        return r;
    data = chunk + CHUNK_FRONT;
    memset(data, 0, HEADER_SIZE); /* the last three: there is one method of each */
    set32(data, (uint32_t)pixels->width);
    set32(data + 4, (uint32_t)pixels->height);
    data[8] = (uint8_t)pixels->bits;
    data[9] = (uint8_t)color_type_of(pixels->channels);
    commit_chunk(writing, chunk, "IHDR", HEADER_SIZE);
    return 0;
}

static int
put_end(struct writing *writing)
{
    uint8_t *chunk;
    int r = reserve_chunk(writing, 0, &chunk);

    if (r == 0)
        commit_chunk(writing, chunk, "IEND", 0);
    return r;
}

/* ---- data ---------------------------------------------------------------------- */

static int
begin_data(struct writing *writing)
{
    int r = reserve_chunk(writing, DATA_MAX, &writing->chunk);

    if (r < 0)
        return r;
    writing->bytes.output = writing->chunk + CHUNK_FRONT;
    writing->bytes.output_size = DATA_MAX;
    return 0;
}

static void
end_data(struct writing *writing)
{
    commit_chunk(writing, writing->chunk, "IDAT",
                 DATA_MAX - writing->bytes.output_size);
}

static int
put_data(struct writing *writing, const uint8_t *data, size_t size, bool last)
{
    int r;

    writing->bytes.input = data;
    writing->bytes.input_size = size;
    while (!writing->codec->run(writing->stream, &writing->bytes, last)) {
        end_data(writing);
        r = begin_data(writing);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- rows ---------------------------------------------------------------------- */

static int
rows_init(struct rows *rows, const struct pixels *pixels)
{
    size_t size = pixels_row_size(pixels);
    size_t room = FILTER_BEFORE + size + FILTER_BLOCK;
    uint8_t *memory = calloc(3, room);

    *rows = (struct rows){.memory = memory, .size = size};
    if (!memory)
        return -ENOMEM;
    rows->pixel_size = pixels_size(pixels);
    rows->row = memory + FILTER_BEFORE;
    rows->above = rows->row + room;
    rows->filtered = rows->above + room;
    return 0;
}

/* The first row has nothing above it and tells nothing of those that follow. */
static bool
chooses(int compression, uint64_t y)
{
    return compression > 1 || y == 0 || y % ROWS_ALIKE == 1;
}

static int
next_row(struct rows *rows, const struct pixels *pixels, uint64_t y,
         struct lighter_error *err)
{
    uint8_t *above = rows->row;

    rows->row = rows->above;
    rows->above = above;
    return pixels_row(pixels, y, rows->row, err);
}

static int
put_rows(struct writing *writing, struct rows *rows, const struct pixels *pixels,
         int compression)
{
    enum filter filter = FILTER_NONE;
    int r = begin_data(writing);

    for (uint64_t y = 0; y < pixels->height && r == 0; y++) {
        r = next_row(rows, pixels, y, writing->err);
        if (r < 0)
            break;
        if (compression && chooses(compression, y))
            filter =
                filter_choose(rows->row, rows->above, rows->size, rows->pixel_size);
        rows->filtered[0] = filter;
        filter_row(filter, rows->row, rows->above, rows->size, rows->pixel_size,
                   rows->filtered + 1);
        r = put_data(writing, rows->filtered, 1 + rows->size, y + 1 == pixels->height);
    }
    if (r == 0)
        end_data(writing);
    return r;
}

static int
put_image(struct writing *writing, struct rows *rows, const struct pixels *pixels,
          int compression)
{
    int r = lighter_put(writing->services, writing->sink, SIGNATURE, SIGNATURE_SIZE,
                        writing->err);

    if (r == 0)
        r = put_header(writing, pixels);
    if (r == 0)
        r = put_rows(writing, rows, pixels, compression);
    return r == 0 ? put_end(writing) : r;
}

int
png_write(const struct pixels *pixels, int compression, struct lighter_sink *sink,
          const struct lighter_services *services, struct lighter_error *err)
{
    struct writing writing = {.sink = sink, .services = services, .err = err};
    struct rows rows;
    int r = rows_init(&rows, pixels);

    writing.codec = codec_for(compression);
    writing.stream = writing.codec->open(compression);
    if (r < 0 || !writing.stream)
        r = lighter_fail_os(err, ENOMEM, "compress an image");
    else
        r = put_image(&writing, &rows, pixels, compression);
    writing.codec->close(writing.stream);
    free(rows.memory);
    return r;
}
