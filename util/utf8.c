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

/* Does the sound character at `p` change how others are shown? C0, DEL, C1; the ends of
 * lines and paragraphs, and what turns the direction of a text: U+2028 to U+202E,
 * U+2066 to U+2069.
 */
static bool
is_control(const uint8_t *p)
{
    if (p[0] < 0x80)
        return p[0] < 0x20 || p[0] == 0x7f;
    if (p[0] == 0xc2)
        return p[1] < 0xa0;
    return p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
                            (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

/* Bytes of the character at `p`, 0 where it is none that can be shown. */
static size_t
shown(const uint8_t *p, size_t left)
{
    size_t size = character(p, left);

    return size && !is_control(p) ? size : 0;
}

bool
utf8_printable(const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;

    for (size_t at = 0, step; at < size; at += step) {
        step = shown(p + at, size - at);
        if (!step)
            return false;
    }
    return true;
}

void
utf8_make_printable(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text), step;

    for (; left; p += step, left -= step) {
        step = shown(p, left);
        if (!step) {
            *p = '?';
            step = 1;
        }
    }
}
