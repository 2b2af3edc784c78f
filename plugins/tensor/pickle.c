/* pickle.c - see pickle.h.
 *
 * The pickle is the one that torch.save makes, in protocol 2, which all torch
 * releases read, restricted to the opcodes of torch's weights-only unpickler. It
 * leaves out the memo (BINPUT): nothing in it is named twice. As Python:
 *
 *   _rebuild_tensor_v2(persistent_load(("storage", FloatStorage, "0", "cpu", numel)),
 *                      0, shape, strides, False, OrderedDict())
 *
 * dtypes that came to torch without a storage class of their own (the unsigned ones
 * but uint8) are an UntypedStorage, counted in bytes, and _rebuild_tensor_v3, which
 * takes the dtype as a last argument.
 *
 * Opcodes: Lib/pickletools.py of CPython is their specification.
 */
#include "plugins/tensor/pickle.h"

#include <stdint.h>

#define PROTO_2 "\x80\x02"
#define GLOBAL "c" /* "module\nname\n" follows */
#define MARK "("
#define BINUNICODE "X" /* a 4-byte length follows */
#define TUPLE "t"      /* of all since the last MARK */
#define BINPERSID "Q"
#define BININT1 "K" /* 1 byte follows; BININT2: 2, unsigned; BININT: 4, signed */
#define BININT2 "M"
#define BININT "J"
#define LONG1 "\x8a" /* a 1-byte length, then that many bytes, signed */
#define EMPTY_TUPLE ")"
#define REDUCE "R"
#define NEWFALSE "\x89"
#define STOP "."

struct layout {
    const char *storage; /* class, as a GLOBAL names it */
    const char *dtype;   /* NULL where the storage class says it */
};

#define TYPED(class)                                                                   \
    {                                                                                  \
        "torch\n" class "Storage\n", NULL                                              \
    }
#define UNTYPED(dtype)                                                                 \
    {                                                                                  \
        "torch.storage\nUntypedStorage\n", "torch\n" dtype "\n"                        \
    }

static const struct layout layouts[LIGHTER_N_DTYPES] = {
    [LIGHTER_BOOL8] = TYPED("Bool"),
    [LIGHTER_UINT8] = TYPED("Byte"),
    [LIGHTER_INT8] = TYPED("Char"),
    [LIGHTER_INT16] = TYPED("Short"),
    [LIGHTER_UINT16] = UNTYPED("uint16"),
    [LIGHTER_INT32] = TYPED("Int"),
    [LIGHTER_UINT32] = UNTYPED("uint32"),
    [LIGHTER_INT64] = TYPED("Long"),
    [LIGHTER_UINT64] = UNTYPED("uint64"),
    [LIGHTER_FLOAT16] = TYPED("Half"),
    [LIGHTER_BFLOAT16] = TYPED("BFloat16"),
    [LIGHTER_FLOAT32] = TYPED("Float"),
    [LIGHTER_FLOAT64] = TYPED("Double"),
    [LIGHTER_COMPLEX64] = TYPED("ComplexFloat"),
    [LIGHTER_COMPLEX128] = TYPED("ComplexDouble"),
};

/* Each put_ function writes at *at and moves it on. */

static void
put(uint8_t **at, const char *text)
{
    size_t size = strlen(text);

    memcpy(*at, text, size);
    *at += size;
}

static void
put_little_endian(uint8_t **at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *(*at)++ = (uint8_t)(value >> (8 * i));
}

/* Bytes of a signed number that holds `value`. */
static size_t
signed_size(uint64_t value)
{
    size_t size = 1;

    while (value >> (8 * size - 1))
        size++;
    return size;
}

/* value <= INT64_MAX; at most 10 bytes. */
static void
put_int(uint8_t **at, uint64_t value)
{
    if (value <= UINT8_MAX) {
        put(at, BININT1);
        put_little_endian(at, value, 1);
    } else if (value <= UINT16_MAX) {
        put(at, BININT2);
        put_little_endian(at, value, 2);
    } else if (value <= INT32_MAX) {
        put(at, BININT);
        put_little_endian(at, value, 4);
    } else {
        put(at, LONG1);
        put_little_endian(at, signed_size(value), 1);
        put_little_endian(at, value, signed_size(value));
    }
}

static void
put_string(uint8_t **at, const char *text)
{
    put(at, BINUNICODE);
    put_little_endian(at, strlen(text), 4);
    put(at, text);
}

static void
put_tuple(uint8_t **at, const uint64_t *values, uint32_t n_values)
{
    if (!n_values) {
        put(at, EMPTY_TUPLE);
        return;
    }
    put(at, MARK);
    for (uint32_t i = 0; i < n_values; i++)
        put_int(at, values[i]);
    put(at, TUPLE);
}

static void
put_storage(uint8_t **at, const struct layout *layout,
            const struct lighter_tensor *tensor)
{
    size_t unit = layout->dtype ? 1 : lighter_dtype_size(tensor->dtype);

    put(at, MARK);
    put_string(at, "storage");
    put(at, GLOBAL);
    put(at, layout->storage);
    put_string(at, "0"); /* the record data/0 */
    put_string(at, "cpu");
    put_int(at, tensor->size / unit);
    put(at, TUPLE BINPERSID);
}

/* Elements between neighbours of each dimension. An empty dimension counts as one of
 * a single item, as in torch: the strides of [2, 0, 5] are [5, 5, 1].
 */
static int
strides_of(const struct lighter_tensor *tensor, uint64_t *ret_strides,
           struct lighter_error *err)
{
    int64_t stride = 1;

    for (uint32_t i = tensor->ndim; i-- > 0;) {
        uint64_t length = tensor->shape[i];

        ret_strides[i] = (uint64_t)stride;
        if (length > INT64_MAX ||
            (length && __builtin_mul_overflow(stride, length, &stride)))
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "tensor expects strides below 2**63, as torch does, "
                                "and dimension %u of %u is %llu long",
                                i, tensor->ndim, (unsigned long long)length);
    }
    return 0;
}

static uint8_t *
write_pickle(uint8_t *at, const struct lighter_tensor *tensor, const uint64_t *strides)
{
    const struct layout *layout = &layouts[tensor->dtype];

    put(&at, PROTO_2 GLOBAL "torch._utils\n_rebuild_tensor_");
    put(&at, layout->dtype ? "v3\n" : "v2\n");
    put(&at, MARK);
    put_storage(&at, layout, tensor);
    put_int(&at, 0); /* the first element's place in the storage */
    put_tuple(&at, tensor->shape, tensor->ndim);
    put_tuple(&at, strides, tensor->ndim);
    put(&at, NEWFALSE); /* requires_grad */
    put(&at, GLOBAL "collections\nOrderedDict\n" EMPTY_TUPLE REDUCE); /* hooks */
    if (layout->dtype) {
        put(&at, GLOBAL);
        put(&at, layout->dtype);
    }
    put(&at, TUPLE REDUCE STOP);
    return at;
}

int
pickle_tensor(const struct lighter_tensor *tensor, uint8_t ret_bytes[PICKLE_MAX],
              size_t *ret_size, struct lighter_error *err)
{
    uint64_t strides[LIGHTER_MAX_DIMS];
    int r;

    if (tensor->dtype >= LIGHTER_N_DTYPES) /* a daemon newer than this plugin */
        return lighter_fail(err, LIGHTER_E_TYPE, "tensor cannot write dtype %u",
                            tensor->dtype);
    r = strides_of(tensor, strides, err);
    if (r < 0)
        return r;
    *ret_size = (size_t)(write_pickle(ret_bytes, tensor, strides) - ret_bytes);
    return 0;
}
