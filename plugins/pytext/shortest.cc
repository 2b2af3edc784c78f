/* shortest.cc - see shortest.h. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "plugins/pytext/shortest.h"

#ifdef HAVE_DRAGONBOX_DRAGONBOX_H

#include <dragonbox/dragonbox.h>

struct shortest
shortest_decimal(double value)
{
    auto decimal =
        jkj::dragonbox::to_decimal(value, jkj::dragonbox::policy::sign::ignore,
                                   jkj::dragonbox::policy::trailing_zero::remove);

    return {decimal.significand, decimal.exponent};
}

#else

#include <charconv>
#include <cmath>

struct shortest
shortest_decimal(double value)
{
    char text[32]; /* "d.dde-05", at most 24 characters */
    char *end = std::to_chars(text, text + sizeof text, std::fabs(value),
                              std::chars_format::scientific)
                    .ptr;
    struct shortest decimal = {0, 0};
    char *at = text;
    int decimals = 0, exponent = 0;

    for (; *at != 'e'; at++) {
        if (*at == '.')
            continue;
        decimal.digits = 10 * decimal.digits + (uint64_t)(*at - '0');
        decimals++;
    }
    std::from_chars(at[1] == '+' ? at + 2 : at + 1, end, exponent);
    decimal.exponent = exponent - (decimals - 1);
    return decimal;
}

#endif
