/* number.c - see number.h. */
#include "plugins/pytext/number.h"

#include "plugins/pytext/ordinary.h"
#include "plugins/pytext/shortest.h"

#include <endian.h>
#include <lighter/value.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* ---- integers ------------------------------------------------------------------ */

static const char pairs[200] = "00010203040506070809"
                               "10111213141516171819"
                               "20212223242526272829"
                               "30313233343536373839"
                               "40414243444546474849"
                               "50515253545556575859"
                               "60616263646566676869"
                               "70717273747576777879"
                               "80818283848586878889"
                               "90919293949596979899";

static unsigned
count_digits(uint64_t value)
{
    /* clang-format off */
    static const uint64_t powers[20] = {
        1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u,
        1000000000u, 10000000000u, 100000000000u, 1000000000000u, 10000000000000u,
        100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
        1000000000000000000u, 10000000000000000000u};
    /* clang-format on */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = bits * 1233 >> 12; /* bits * log10(2); right or one too small */

    return guess + (guess == 0 || value >= powers[guess]);
}

static void
put_8_digits(char *at, uint32_t value)
{
    uint32_t upper = value / 10000, lower = value % 10000;

    memcpy(at, pairs + 2 * (upper / 100), 2);
    memcpy(at + 2, pairs + 2 * (upper % 100), 2);
    memcpy(at + 4, pairs + 2 * (lower / 100), 2);
    memcpy(at + 6, pairs + 2 * (lower % 100), 2);
}

/* `value` has exactly n_digits. Blocks of 8 do not wait for each other's divisions. */
static void
put_digits(char *at, uint64_t value, unsigned n_digits)
{
    char *end = at + n_digits;

    while (value >= 100000000) {
        end -= 8;
        put_8_digits(end, (uint32_t)(value % 100000000));
        value /= 100000000;
    }
    while (value >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (end > at)
        *at = (char)('0' + value);
}

char *
number_put_uint(char *at, uint64_t value)
{
    unsigned n_digits = count_digits(value);

    put_digits(at, value, n_digits);
    return at + n_digits;
}

char *
number_put_int(char *at, int64_t value)
{
    if (value >= 0)
        return number_put_uint(at, (uint64_t)value);
    *at = '-';
    return number_put_uint(at + 1, -(uint64_t)value);
}

/* ---- floats -------------------------------------------------------------------- */

/* Python writes 1e-05 and 1e+16, but 0.0001 and 1000000000000000.0. */
#define MIN_POINT (-3)
#define MAX_POINT 16

/* Make "d.ddde+XX" of the digits that stand at `at`. */
static char *
put_exponent(char *at, unsigned n_digits, int exponent)
{
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);

    if (n_digits > 1) {
        memmove(at + 2, at + 1, 16);
        at[1] = '.';
        n_digits++;
    }
    at += n_digits;
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    if (size >= 100) {
        *at++ = (char)('0' + size / 100);
        size %= 100;
    }
    memcpy(at, pairs + 2 * size, 2);
    return at + 2;
}

/* Not zero, sign ignored. */
static char *
put_finite(char *at, double value, const char *whole_end)
{
    struct shortest decimal = shortest_decimal(value);
    unsigned n_digits = count_digits(decimal.digits);
    int point = (int)n_digits + decimal.exponent; /* digits in front of the point */

    if (point <= 0 && point >= MIN_POINT) {
        memcpy(at, "0.000", 5);
        at += 2 - point;
        put_digits(at, decimal.digits, n_digits);
        return at + n_digits;
    }
    put_digits(at, decimal.digits, n_digits);
    if (point < MIN_POINT || point > MAX_POINT)
        return put_exponent(at, n_digits, point - 1);
    if (point >= (int)n_digits) {
        memcpy(at + n_digits, "0000000000000000", 16);
        return stpcpy(at + point, whole_end);
    }
    memmove(at + point + 1, at + point, 16);
    at[point] = '.';
    return at + n_digits + 1;
}

/* `plus` stands in front of what is not negative; `whole_end` behind a number without
 * decimals. A complex number's parts differ from a float in both.
 */
static inline char *
put_float(char *at, double value, const char *plus, const char *whole_end)
{
    if (isnan(value))
        return stpcpy(stpcpy(at, plus), "nan"); /* whatever its sign bit */
    if (signbit(value))
        *at++ = '-';
    else
        at = stpcpy(at, plus);
    if (isinf(value))
        return stpcpy(at, "inf");
    if (value == 0)
        return stpcpy(stpcpy(at, "0"), whole_end);
    return put_finite(at, value, whole_end);
}

char *
number_put_float(char *at, double value)
{
    char *end = put_ordinary(at, value);

    return end ? end : put_float(at, value, "", ".0");
}

/* "2j" where the real part is +0, else "(1+2j)" */
static char *
put_complex(char *at, double real, double imaginary)
{
    if (real == 0 && !signbit(real)) {
        at = put_float(at, imaginary, "", "");
        *at++ = 'j';
        return at;
    }
    *at++ = '(';
    at = put_float(at, real, "", "");
    at = put_float(at, imaginary, "+", "");
    memcpy(at, "j)", 2);
    return at + 2;
}

/* ---- elements ------------------------------------------------------------------ */

/* A tensor's bytes may be a client's, and change at any time: each is read once, and
 * the compiler may not go back for it.
 */
#define READ_ONCE(bits) __asm__("" : "+r"(bits))

static inline uint8_t
load_8(const uint8_t *bytes)
{
    uint8_t bits = *bytes;

    READ_ONCE(bits);
    return bits;
}

static inline uint16_t
load_16(const uint8_t *bytes)
{
    uint16_t bits;

    memcpy(&bits, bytes, sizeof bits);
    READ_ONCE(bits);
    return le16toh(bits);
}

static inline uint32_t
load_32(const uint8_t *bytes)
{
    uint32_t bits;

    memcpy(&bits, bytes, sizeof bits);
    READ_ONCE(bits);
    return le32toh(bits);
}

static inline uint64_t
load_64(const uint8_t *bytes)
{
    uint64_t bits;

    memcpy(&bits, bytes, sizeof bits);
    READ_ONCE(bits);
    return le64toh(bits);
}

static inline double
float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static inline double
double_of_bits(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static double
half_of_bits(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t magnitude = bits & 0x7fff;

    if (magnitude < 0x0400) /* subnormal: units of 2^-24 */
        return (sign ? -0x1p-24 : 0x1p-24) * magnitude;
    if (magnitude >= 0x7c00) /* infinite, or not a number */
        return float_of_bits(sign | 0x7f800000 | (magnitude & 0x03ff) << 13);
    return float_of_bits(sign | (magnitude + ((127 - 15) << 10)) << 13);
}

static char *
put_bool(char *at, const uint8_t *element)
{
    return stpcpy(at, *element ? "True" : "False");
}

#define ELEMENT(name, put, value)                                                      \
    static char *name(char *at, const uint8_t *element)                                \
    {                                                                                  \
        return put(at, value);                                                         \
    }

ELEMENT(put_uint8, number_put_uint, load_8(element))
ELEMENT(put_uint16, number_put_uint, load_16(element))
ELEMENT(put_uint32, number_put_uint, load_32(element))
ELEMENT(put_uint64, number_put_uint, load_64(element))
ELEMENT(put_int8, number_put_int, (int8_t)load_8(element))
ELEMENT(put_int16, number_put_int, (int16_t)load_16(element))
ELEMENT(put_int32, number_put_int, (int32_t)load_32(element))
ELEMENT(put_int64, number_put_int, (int64_t)load_64(element))
ELEMENT(put_float16, number_put_float, half_of_bits(load_16(element)))
ELEMENT(put_bfloat16, number_put_float, float_of_bits((uint32_t)load_16(element) << 16))
ELEMENT(put_float32, number_put_float, float_of_bits(load_32(element)))
ELEMENT(put_float64, number_put_float, double_of_bits(load_64(element)))

static char *
put_complex64(char *at, const uint8_t *element)
{
    return put_complex(at, float_of_bits(load_32(element)),
                       float_of_bits(load_32(element + 4)));
}

static char *
put_complex128(char *at, const uint8_t *element)
{
    return put_complex(at, double_of_bits(load_64(element)),
                       double_of_bits(load_64(element + 8)));
}

number_put_element *
number_element(uint32_t dtype)
{
    static number_put_element *const elements[LIGHTER_N_DTYPES] = {
        [LIGHTER_BOOL8] = put_bool,
        [LIGHTER_UINT8] = put_uint8,
        [LIGHTER_INT8] = put_int8,
        [LIGHTER_INT16] = put_int16,
        [LIGHTER_UINT16] = put_uint16,
        [LIGHTER_INT32] = put_int32,
        [LIGHTER_UINT32] = put_uint32,
        [LIGHTER_INT64] = put_int64,
        [LIGHTER_UINT64] = put_uint64,
        [LIGHTER_FLOAT16] = put_float16,
        [LIGHTER_BFLOAT16] = put_bfloat16,
        [LIGHTER_FLOAT32] = put_float32,
        [LIGHTER_FLOAT64] = put_float64,
        [LIGHTER_COMPLEX64] = put_complex64,
        [LIGHTER_COMPLEX128] = put_complex128};

    return dtype < LIGHTER_N_DTYPES ? elements[dtype] : NULL;
}
