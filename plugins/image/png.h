/* png.h - pixels as a PNG file.
 *
 * In: rows of pixels. Out: the file's bytes in a sink, as they are made: of the image
 * no more than two rows are in memory. Any thread.
 */
#ifndef IMAGE_PNG_H
#define IMAGE_PNG_H

#include "plugins/image/pixels.h"

#include <lighter/plugin.h>

#define PNG_MAX_SIDE INT32_MAX /* PNG 11.2.2: 1 to 2^31-1 */
#define PNG_MAX_ROW INT32_MAX  /* bytes; with a filter's byte a compressor takes it */

/* How hard to look for what repeats: 0 not at all (stored), 1 runs within a row and
 * one symbol's frequency, 2 to 9 as zlib does, ever longer. */
#define PNG_COMPRESSION_MAX 9

/* Whether an image can have so many channels: 1 (grey), 3 (RGB) or 4 (RGB, alpha). */
bool png_takes(uint64_t channels);

/* Write a whole file. 1 <= width, height <= PNG_MAX_SIDE; png_takes(channels); rows of
 * at most PNG_MAX_ROW bytes.
 *
 * Return: 0; negative where there is no memory, or a value is no pixel.
 */
int png_write(const struct pixels *pixels, int compression, struct lighter_sink *sink,
              const struct lighter_services *services, struct lighter_error *err);

#endif
