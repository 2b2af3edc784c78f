/* unit.h - what every unit test shares: a runner that counts descriptors, and values.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <lighter/plugin.h>

#include <stddef.h>
#include <sys/types.h>

/* A case whose tests must leave as many descriptors open as they found. */
TCase *unit_case(Suite *suite, const char *name);

/* Run the suite; the exit status of the program. */
int unit_main(Suite *suite);

/* The sizes that every reader is fed in. The last is "all at once". */
extern const size_t unit_chunks[];
#define UNIT_N_CHUNKS 6

/* A fresh directory, removed by unit_tmpdir_remove() with all that is in it. */
char *unit_tmpdir(void);             /* returns owned */
void unit_tmpdir_remove(char *path); /* takes */

/* All bytes of a file, NUL-terminated; returns owned. Fails the test where it cannot.
 */
char *unit_read_file(const char *directory, const char *name, size_t *ret_size);
int unit_exists(const char *directory, const char *name);

/* Values for plugins. Strings, items and shapes are borrowed. */
struct lighter_value unit_nil(void);
struct lighter_value unit_bool(bool value);
struct lighter_value unit_int(int64_t value);
struct lighter_value unit_float(double value);
struct lighter_value unit_string(const char *text);
struct lighter_value unit_list(const struct lighter_value *items, uint32_t count);
struct lighter_value unit_map(const struct lighter_value *items, uint32_t n_pairs);
struct lighter_value unit_tensor(uint32_t dtype, uint32_t ndim, const uint64_t *shape,
                                 const void *data);

/* The daemon's real services, over the daemon's real sink. */
extern const struct lighter_services unit_services;

/* Encode a value with memory for 0, 1, 2, ... requests, until that is enough: as long
 * as it is not, the error must be ENOMEM.
 */
void unit_expect_enomem(const struct lighter_encoder *encoder, const void *options,
                        struct lighter_value value);

/* All bytes of a sink in one piece; returns owned. */
char *unit_sink_bytes(struct lighter_sink *sink, size_t *ret_size);

#endif
