/* pickle.h - what torch's unpickler is told about one tensor.
 *
 * In: a tensor's dtype and shape. Out: the bytes of `data.pkl`, which name the record
 * that holds the elements and how they lie in it. Pure; any thread.
 */
#ifndef TENSOR_PICKLE_H
#define TENSOR_PICKLE_H

#include <lighter/error.h>
#include <lighter/value.h>

/* Room for the pickle of any tensor: 1428 bytes for the lengths and strides of
 * LIGHTER_MAX_DIMS dimensions, less than 200 for all else. */
#define PICKLE_MAX 1664

/* Describe a tensor whose elements are in the record `data/0`.
 *
 * Return: 0; negative where torch cannot hold the shape (LIGHTER_E_VALUE), which only
 *         tensors without elements can have, or where the dtype is one that was added
 *         after this plugin (LIGHTER_E_TYPE).
 */
int pickle_tensor(const struct lighter_tensor *tensor, uint8_t ret_bytes[PICKLE_MAX],
                  size_t *ret_size, struct lighter_error *err);

#endif
