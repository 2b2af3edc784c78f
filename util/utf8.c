/* utf8.c - see utf8.h. */
#include "util/utf8.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the character at `p`, 0 where it is not one. `left` is at least 1. */
static size_t
character(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t size;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < size)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

static bool
is_ascii_word(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return !(word & UINT64_C(0x8080808080808080));
}

/* How many of the leading bytes are ASCII: all of them, or in steps of eight. The last
 * step goes back over bytes of the one before.
 */
static size_t
skip_ascii(const uint8_t *p, size_t size)
{
    size_t n = 0;

    for (; n + 8 <= size; n += 8)
        if (!is_ascii_word(p + n))
            return n;
    return n && is_ascii_word(p + size - 8) ? size : n;
}

bool
utf8_valid(const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t at = size ? skip_ascii(p, size) : 0, step;

    for (; at < size; at += step) {
        step = character(p + at, size - at);
        if (!step)
            return false;
    }
    return true;
}

void
utf8_repair(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text);

    while (left) {
        size_t step = character(p, left);

        if (!step) {
            *p = '?';
            step = 1;
        }
        p += step;
        left -= step;
    }
}

bool
utf8_printable(const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;

    for (size_t i = 0; i < size; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f)
            return false;
        if (p[i] == 0xc2 && i + 1 < size && p[i + 1] < 0xa0)
            return false;
    }
    return utf8_valid(text, size);
}
