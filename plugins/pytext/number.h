/* number.h - numbers as Python writes them.
 *
 * In: a number, or the bytes of a tensor's element. Out: its text at `at`, in room
 * that the caller has. Pure and without allocation; any thread. This is the hot loop
 * of every table, so whoever writes many elements of one dtype asks once for the
 * dtype's function and once for the room of each.
 */
#ifndef PYTEXT_NUMBER_H
#define PYTEXT_NUMBER_H

#include <stdint.h>

/* Bytes that each function below may write to, most of them behind the text: digits
 * are moved in blocks of 16. The longest text is that of a complex number, 51 bytes.
 */
#define NUMBER_ROOM 72

/* str() of an int or a float. Return: the end of the text. */
char *number_put_int(char *at, int64_t value);
char *number_put_uint(char *at, uint64_t value);
char *number_put_float(char *at, double value);

/* str() of what torch's item() gives for one element: little-endian, not aligned. */
typedef char *number_put_element(char *at, const uint8_t *element);

/* The function for a dtype (enum lighter_dtype), NULL for an unknown one. */
number_put_element *number_element(uint32_t dtype);

#endif
