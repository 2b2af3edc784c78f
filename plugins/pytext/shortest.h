/* shortest.h - the shortest decimal that reads back as the same double.
 *
 * The one function that is C++: the algorithm is dragonbox's, or std::to_chars' where
 * dragonbox is not installed. Both give the same digits; dragonbox is 2 to 3 times
 * faster and leaves the C++ runtime out of the plugin.
 */
#ifndef PYTEXT_SHORTEST_H
#define PYTEXT_SHORTEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* digits * 10^exponent; digits is 1 to 17 decimals without a zero at the end. */
struct shortest {
    uint64_t digits;
    int32_t exponent;
};

/* `value` is finite and not zero; its sign is ignored. Any thread. */
struct shortest shortest_decimal(double value);

#ifdef __cplusplus
}
#endif

#endif
