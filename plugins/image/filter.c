/* filter.c - see filter.h.
 *
 * As in pixels.c, loops have a constant number of rounds and no branches, so that the
 * compiler does many bytes with one instruction.
 */
#include "plugins/image/filter.h"

#include <stdbool.h>
#include <stdlib.h>

/* A block of one filter. x: this byte; a, b, c: those to the left, above, and to the
 * left of that, as PNG names them.
 */
#define FILTER(name, expression)                                                       \
    static void filter_##name(const uint8_t *restrict row,                             \
                              const uint8_t *restrict above, size_t pixel_size,        \
                              uint8_t *restrict filtered)                              \
    {                                                                                  \
        const uint8_t *left = row - pixel_size, *corner = above - pixel_size;          \
                                                                                       \
        for (size_t i = 0; i < FILTER_BLOCK; i++) {                                    \
            int16_t x = row[i], a = left[i], b = above[i], c = corner[i];              \
                                                                                       \
            (void)a, (void)b, (void)c;                                                 \
            filtered[i] = (uint8_t)(expression);                                       \
        }                                                                              \
    }

/* PNG 9.4: of three neighbours, the nearest to a + b - c; a before b before c. */
static inline int16_t
paeth(int16_t a, int16_t b, int16_t c)
{
    int16_t from_a = (int16_t)(b - c), from_b = (int16_t)(a - c);
    int16_t from_c = (int16_t)(from_a + from_b), nearest;

    from_a = from_a < 0 ? (int16_t)-from_a : from_a;
    from_b = from_b < 0 ? (int16_t)-from_b : from_b;
    from_c = from_c < 0 ? (int16_t)-from_c : from_c;
    nearest = from_b <= from_c ? b : c;
    return (from_a <= from_b) & (from_a <= from_c) ? a : nearest;
}

FILTER(none, x)
FILTER(sub, x - a)
FILTER(up, x - b)
FILTER(average, x - ((a + b) >> 1))
FILTER(paeth, x - paeth(a, b, c))

static void (*const filters[N_FILTERS])(const uint8_t *, const uint8_t *, size_t,
                                        uint8_t *) = {
    [FILTER_NONE] = filter_none,   [FILTER_SUB] = filter_sub,
    [FILTER_UP] = filter_up,       [FILTER_AVERAGE] = filter_average,
    [FILTER_PAETH] = filter_paeth,
};

void
filter_row(enum filter filter, const uint8_t *row, const uint8_t *above, size_t size,
           size_t pixel_size, uint8_t *ret_filtered)
{
    for (size_t at = 0; at < size; at += FILTER_BLOCK)
        filters[filter](row + at, above + at, pixel_size, ret_filtered + at);
}

/* Of bytes that stand for -128 to 127. |x - 128| is 128 less that, and what compilers
 * know an instruction for.
 */
static uint32_t
sum_of_block(const uint8_t *filtered)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < FILTER_BLOCK; i++)
        sum += (uint32_t)abs(filtered[i] - 128);
    return 128 * FILTER_BLOCK - sum;
}

/* The bytes of a last block that are behind the row count, too: they are few. */
static uint64_t
sum_of_differences(enum filter filter, const uint8_t *row, const uint8_t *above,
                   size_t size, size_t pixel_size)
{
    uint8_t filtered[FILTER_BLOCK];
    uint64_t sum = 0;

    for (size_t at = 0; at < size; at += FILTER_BLOCK) {
        filters[filter](row + at, above + at, pixel_size, filtered);
        sum += sum_of_block(filtered);
    }
    return sum;
}

enum filter
filter_choose(const uint8_t *row, const uint8_t *above, size_t size, size_t pixel_size)
{
    /* Where filters are even the first is taken: Up, for the runs that it leaves. */
    static const enum filter order[N_FILTERS] = {
        FILTER_UP, FILTER_PAETH, FILTER_AVERAGE, FILTER_SUB, FILTER_NONE};
    uint64_t least = UINT64_MAX;
    enum filter best = FILTER_UP;

    for (size_t i = 0; i < N_FILTERS && least; i++) {
        uint64_t sum = sum_of_differences(order[i], row, above, size, pixel_size);

        if (sum < least) {
            least = sum;
            best = order[i];
        }
    }
    return best;
}
