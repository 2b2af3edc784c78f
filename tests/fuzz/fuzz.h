/* fuzz.h - what a fuzzer is: bytes in, and no crash. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the names of its inputs in corpus/ begin with. */
extern const char fuzz_name[];

/* A promise that does not hold is a crash, also with NDEBUG. */
#define FUZZ_EXPECT(condition)                                                         \
    do {                                                                               \
        if (!(condition))                                                              \
            __builtin_trap();                                                          \
    } while (0)

#endif
