/* filter.h - rows of pixels as what differs from their neighbours (PNG, section 9).
 *
 * In: a row, and the one above it. Out: the same number of bytes, smaller numbers where
 * a picture is smooth, which a compressor then needs fewer bits for. Pure; any thread.
 */
#ifndef IMAGE_FILTER_H
#define IMAGE_FILTER_H

#include <stddef.h>
#include <stdint.h>

enum filter { /* PNG 9.2: the byte that stands before a row */
              FILTER_NONE,
              FILTER_SUB,
              FILTER_UP,
              FILTER_AVERAGE,
              FILTER_PAETH,
              N_FILTERS,
};

/* Rows are done in whole blocks: as many bytes may be read, and written, past a row's
 * end, and FILTER_BEFORE bytes are read before its start, where the zeros of PNG 9.2
 * have to be.
 */
#define FILTER_BLOCK 64
#define FILTER_BEFORE 8 /* the longest pixel: RGBA of 16 bits */

/* Filter one row of `size` bytes, `pixel_size` of them a pixel. */
void filter_row(enum filter filter, const uint8_t *row, const uint8_t *above,
                size_t size, size_t pixel_size, uint8_t *ret_filtered);

/* The filter with the least sum of absolute differences, which PNG 12.8 recommends. */
enum filter filter_choose(const uint8_t *row, const uint8_t *above, size_t size,
                          size_t pixel_size);

#endif
