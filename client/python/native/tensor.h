/* tensor.h - torch tensors and numpy arrays that are small, in order, and on the
 * processor. Other ones are the rest.
 */
#ifndef NATIVE_TENSOR_H
#define NATIVE_TENSOR_H

#include "out.h"

#include <stdbool.h>

/* Who never imported torch has no tensors of it: nobody imports it for us. All are
 * kept. */
void tensor_know_torch(PyObject *type, PyObject *to_dlpack, PyObject *is_neg);
void tensor_know_numpy(PyObject *type);

/* Is it of one of these types, and of no subclass? */
bool tensor_is(PyObject *value);

/* Put it where it has fewer than `below` bytes. Return: DONE, REST, RAISE. */
int tensor_put(struct out *out, PyObject *value, size_t below);

/* Of its first dimension; -1 where it has none, or is not looked into. */
Py_ssize_t tensor_length(PyObject *value);

#endif
