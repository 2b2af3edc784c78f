/* channel.c - bytes to the socket and from it, without waiting.
 *
 * Most answers say that a batch is written, and nothing else: of them only the ids go
 * up. All other bytes are for wire.py.
 */
#include "functions.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVE_SIZE 65536 /* bytes: thousands of answers */

PyObject *
send_frame(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_buffer view;
    Py_ssize_t start;
    ssize_t n;
    int fd;

    (void)module;
    if (n_args != 3) {
        PyErr_SetString(PyExc_TypeError, "send: 3 arguments");
        return NULL;
    }
    fd = PyObject_AsFileDescriptor(args[0]);
    start = PyLong_AsSsize_t(args[2]);
    if (fd < 0 || PyErr_Occurred() ||
        PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (start < 0 || start > view.len)
        start = view.len;
    do
        n = send(fd, (const char *)view.buf + start, (size_t)(view.len - start),
                 MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    PyBuffer_Release(&view);
    if (n < 0 && errno == EAGAIN)
        n = 0;
    if (n < 0)
        return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    return PyLong_FromSsize_t(n);
}

/* The id of the answer [1, id, nil, {}] that begins at `bytes`; 0 where it is another,
 * or not whole. Nearly all are such.
 */
static uint32_t
plain_answer(const uint8_t *bytes, size_t n_bytes, size_t *ret_size)
{
    uint32_t id = 0;
    size_t n_id; /* bytes of the id, behind its first */

    if (n_bytes < 9 || memcmp(bytes, "\0\0\0", 3) != 0 || bytes[4] != 0x94 ||
        bytes[5] != 1)
        return 0;
    if (bytes[6] < 0x80) {
        n_id = 0;
        id = bytes[6];
    } else if (bytes[6] >= 0xcc && bytes[6] <= 0xce)
        n_id = (size_t)1 << (bytes[6] - 0xcc);
    else
        return 0;
    if (bytes[3] != n_id + 5 || n_bytes < n_id + 9 || bytes[7 + n_id] != 0xc0 ||
        bytes[8 + n_id] != 0x80)
        return 0;
    for (size_t i = 0; i < n_id; i++)
        id = id << 8 | bytes[7 + i];
    *ret_size = 9 + n_id;
    return id;
}

/* Take plain answers off the front of `*bytes`. NULL: an exception. */
static PyObject *
take_plain_answers(const uint8_t **bytes, size_t *n_bytes)
{
    PyObject *ids = PyList_New(0), *id = NULL;
    uint32_t number;
    size_t size;

    while (ids && (number = plain_answer(*bytes, *n_bytes, &size)) != 0) {
        id = PyLong_FromUnsignedLong(number);
        if (!id || PyList_Append(ids, id) < 0)
            Py_CLEAR(ids);
        Py_XDECREF(id);
        *bytes += size;
        *n_bytes -= size;
    }
    return ids;
}

PyObject *
receive(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    static uint8_t room[RECEIVE_SIZE];
    const uint8_t *bytes = room;
    size_t n_bytes = 0;
    PyObject *ids;
    ssize_t n;
    int fd = -1;

    (void)module;
    if (n_args != 2)
        PyErr_SetString(PyExc_TypeError, "receive: 2 arguments");
    else
        fd = PyObject_AsFileDescriptor(args[0]);
    if (fd < 0)
        return NULL;
    do
        n = recv(fd, room, sizeof room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    if (n < 0 && errno == EAGAIN)
        Py_RETURN_NONE;
    if (n < 0)
        return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    n_bytes = (size_t)n;
    ids = args[1] == Py_True ? take_plain_answers(&bytes, &n_bytes) : PyList_New(0);
    return ids ? Py_BuildValue("Ny#", ids, bytes, (Py_ssize_t)n_bytes) : NULL;
}
