/* ordinary.c - see ordinary.h. */
#include "plugins/pytext/ordinary.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 uint128;

/* A double is c * 2^q, c having 53 bits. From MIN_Q on, a power of two has so few
 * digits that the gap below it, which is half as wide as the one above, does not
 * matter; up to MAX_Q all fits the words used here.
 */
#define MIN_Q (-73)
#define MAX_Q (-26)

/* Python writes 1e-05, but 0.0001; above 10^MAX_POINT the general way is as good. */
#define MIN_POINT (-3)
#define MAX_POINT 8

#define N_DIGITS 17
#define TEN_TO_8 100000000u
#define TEN_TO_16 UINT64_C(10000000000000000)

/* ---- the shortest decimal ------------------------------------------------------ */

/* clang-format off */
static const uint64_t powers_of_5[] = {
    1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125, 9765625, 48828125,
    244140625, 1220703125, 6103515625, 30517578125, 152587890625, 762939453125,
    3814697265625, 19073486328125, 95367431640625, 476837158203125, 2384185791015625};
/* clang-format on */

/* The digits, 16 or 17 of them with zeros at the end, of the shortest decimal between
 * the middles of the gaps around c * 2^q; of several the nearest, of two the even one.
 * They are to be divided by 10^n, where 1 <= 2^q * 10^n < 10: so the decimals of n
 * places lie closer than the doubles do, and those of n - 1 places further apart. One
 * of n - 1 places at most is between the middles, and if there is one, it is the one.
 * None is a middle, which is an odd number of 2^(q-1) and has more places than n.
 */
static uint64_t
shortest_digits(uint64_t c, int q, int n)
{
    uint64_t gap = powers_of_5[n] << (60 + q + n); /* 2^q * 10^n, in units of 2^-60 */
    uint128 exact = (uint128)(c << 4) * gap;       /* in units of 2^-64 */
    uint64_t floor = (uint64_t)(exact >> 64), rest = (uint64_t)exact;
    uint64_t tens = floor / 10, last = floor - 10 * tens;
    uint64_t to_below = last << 60 | rest >> 4; /* to 10 * tens, in units of 2^-60 */
    uint64_t to_above = (UINT64_C(10) << 60) - to_below; /* to 10 * (tens + 1) */
    bool take_below = to_below < gap / 2, take_above = to_above < gap / 2;
    uint64_t not_ten = (uint64_t)(take_below | take_above) - 1; /* all bits, or none */

    last += rest + (floor & 1) > UINT64_C(1) << 63;
    return 10 * (tens + take_above) + (last & not_ten);
}

/* ---- digits -------------------------------------------------------------------- */

/* Eight digits as the bytes of a word, the first the lowest. Fours, then pairs, then
 * digits are split side by side: the quotient stays, the remainder moves up, so that
 * quotient + (x - 100 * quotient << 16) is (x << 16) - quotient * ((100 << 16) - 1).
 */
static inline uint64_t
spread_8_digits(uint64_t value)
{
    uint64_t fours = (value << 32) - (uint64_t)((uint32_t)value / 10000) *
                                         ((UINT64_C(10000) << 32) - 1);
    uint64_t hundreds = fours * 5243 >> 19 & UINT64_C(0x0000007f0000007f);
    uint64_t pairs = (fours << 16) - hundreds * ((100 << 16) - 1);
    uint64_t tens = pairs * 103 >> 10 & UINT64_C(0x000f000f000f000f);

    return (pairs << 8) - tens * ((10 << 8) - 1);
}

#define ASCII UINT64_C(0x3030303030303030)

static void
put_word(char *at, uint64_t word)
{
    word = htole64(word);
    memcpy(at, &word, sizeof word);
}

struct digits {
    char first;
    uint64_t upper, lower; /* eight each, as text */
    int count;             /* without zeros at the end */
};

/* value < 10^17, and 10^16 or more. */
static struct digits
spread(uint64_t value)
{
    uint64_t nine = value / TEN_TO_8;
    uint64_t first = nine / TEN_TO_8;
    uint64_t upper = spread_8_digits(nine - first * TEN_TO_8);
    uint64_t lower = spread_8_digits(value - nine * TEN_TO_8);
    int count = 1;

    if (lower)
        count = N_DIGITS - (int)((unsigned)__builtin_clzll(lower) / 8);
    else if (upper)
        count = N_DIGITS - 8 - (int)((unsigned)__builtin_clzll(upper) / 8);
    return (struct digits){(char)('0' + (int)first), upper | ASCII, lower | ASCII,
                           count};
}

/* ---- text ---------------------------------------------------------------------- */

/* "0.00ddd" */
static char *
put_fraction(char *at, struct digits digits, int point)
{
    memcpy(at, "0.000", 5);
    at += 2 - point;
    *at = digits.first;
    put_word(at + 1, digits.upper);
    put_word(at + 9, digits.lower);
    return at + digits.count;
}

/* "ddd.ddd", 1 <= point <= 8: the point is put between the upper digits. */
static char *
put_point(char *at, struct digits digits, int point)
{
    int bits = 8 * (point - 1);
    uint64_t before = digits.upper & ((UINT64_C(1) << bits) - 1);
    uint64_t behind = digits.upper ^ before;

    *at = digits.first;
    put_word(at + 1, before | (uint64_t)'.' << bits | behind << 8);
    at[9] = (char)(behind >> 56);
    put_word(at + 10, digits.lower);
    return at + 1 + (digits.count > point ? digits.count : point + 1);
}

/* "d.ddde-05" */
static char *
put_small(char *at, struct digits digits, int exponent)
{
    char *end = put_point(at, digits, 1);

    if (digits.count == 1)
        end = at + 1;
    memcpy(end, "e-0", 3);
    end[3] = (char)('0' - exponent);
    return end + 4;
}

char *
put_ordinary(char *at, double value)
{
    uint64_t bits, mantissa = (UINT64_C(1) << 52) - 1, shortest;
    struct digits digits;
    bool is_short;
    int q, n, point;

    memcpy(&bits, &value, sizeof bits);
    q = (int)(bits >> 52 & 0x7ff) - 1075;
    if (q < MIN_Q || q > MAX_Q)
        return NULL;
    n = -(q * 1233 >> 12); /* q * log10(2), rounded down: right for |q| < 1000 */
    shortest = shortest_digits((bits & mantissa) | (mantissa + 1), q, n);
    is_short = shortest < TEN_TO_16;
    shortest += 9 * shortest & -(uint64_t)is_short;
    point = N_DIGITS - n - is_short;
    if (point > MAX_POINT)
        return NULL;
    *at = '-';
    at += bits >> 63;
    digits = spread(shortest);
    if (point > 0)
        return put_point(at, digits, point);
    return point >= MIN_POINT ? put_fraction(at, digits, point)
                              : put_small(at, digits, point - 1);
}
