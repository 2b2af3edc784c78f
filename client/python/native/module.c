/* module.c - `_lighterd`: the hot path of a hand-over, for CPython.
 *
 * Here is nothing that the Python beside it could not do: `lighterd.native` chooses,
 * and the bytes are the same. Under the GIL, which nothing here releases: what is sent
 * is small, and to take it back costs more.
 */
#include "functions.h"
#include "tensor.h"

#define INTERFACE 2 /* of native.py: rises when a function changes */

static PyObject *
know_torch(PyObject *module, PyObject *args)
{
    PyObject *type, *dlpack, *neg;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &type, &dlpack, &neg))
        return NULL;
    tensor_know_torch(type, dlpack, neg);
    Py_RETURN_NONE;
}

static PyObject *
know_numpy(PyObject *module, PyObject *type)
{
    (void)module;
    tensor_know_numpy(type);
    Py_RETURN_NONE;
}

/* ---- what there is ------------------------------------------------------------- */

PyDoc_STRVAR(
    pack_request_doc,
    "pack_request(id, method, params, outputs, below, rest, places)\n\n"
    "One frame, a bytearray. None, and nothing was done, where this is none of "
    "the common\nrequests. `rest(key, value, n_bytes_before, places)` packs "
    "what is not\ncommon, tensors of `below` bytes and more too.");

PyDoc_STRVAR(are_columns_doc,
             "are_columns(outputs, keys)\n\n"
             "Whether all keys are there, with lists and tensors of one length. False "
             "says nothing.");

PyDoc_STRVAR(send_doc, "send(socket, frame, start)\n\n"
                       "How many bytes behind `start` the socket took: 0 where it is "
                       "full.");

PyDoc_STRVAR(
    receive_doc,
    "receive(socket, is_at_frame)\n\n"
    "Ids that are answered by an empty result, and bytes that have come behind "
    "those\nanswers. Neither: the connection's end. None: nothing is there yet. "
    "Between two\nframes `is_at_frame` is true; else there are no ids.");

PyDoc_STRVAR(know_torch_doc, "know_torch(Tensor, to_dlpack, is_neg)\n\n"
                             "What a torch tensor is, and what is asked of it.");

PyDoc_STRVAR(know_numpy_doc, "know_numpy(ndarray)\n\nWhat an array is.");

static PyMethodDef methods[] = {
    {"pack_request", (PyCFunction)(void *)pack_request, METH_FASTCALL,
     pack_request_doc},
    {"send", (PyCFunction)(void *)send_frame, METH_FASTCALL, send_doc},
    {"receive", (PyCFunction)(void *)receive, METH_FASTCALL, receive_doc},
    {"are_columns", (PyCFunction)(void *)are_columns, METH_FASTCALL, are_columns_doc},
    {"know_torch", know_torch, METH_VARARGS, know_torch_doc},
    {"know_numpy", know_numpy, METH_O, know_numpy_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_lighterd",
    .m_doc = "The hot path of a hand-over. Use lighterd.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__lighterd(void); /* Python.h does not declare it */

PyMODINIT_FUNC
PyInit__lighterd(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module && PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0)
        Py_CLEAR(module);
    return module;
}
