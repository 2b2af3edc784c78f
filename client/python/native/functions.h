/* functions.h - what the module `_lighterd` offers; module.c says what each is for. */
#ifndef NATIVE_FUNCTIONS_H
#define NATIVE_FUNCTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef PyObject *native_function(PyObject *module, PyObject *const *args,
                                  Py_ssize_t n_args);

native_function pack_request; /* request.c */
native_function are_columns;
native_function send_frame; /* channel.c */
native_function receive;

#endif
