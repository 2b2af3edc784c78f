/* outputs.c - see outputs.h and lighter/client.h.
 *
 * Every put_* returns nothing: what fails is kept in the outputs, and all that comes
 * after it does nothing.
 */
#include "client/c/outputs.h"

#include "client/c/memory.h"
#include "util/error.h"
#include "wire/check.h"
#include "wire/message.h"
#include "wire/value.h"

/* Containers around an output's value: the message, its params, the outputs. */
#define ENVELOPE_DEPTH 3

/* What any daemon takes; this one's own limit is looked at when the batch is sent. */
#define MAX_OBJECTS ((size_t)CHECK_MAX_OBJECTS - CHECK_ENVELOPE_OBJECTS)

static void put_value(struct lighter_outputs *outputs,
                      const struct lighter_value *value, size_t depth);

/* ---- life ---------------------------------------------------------------------- */

/* Only where nothing has failed before: `r` is what failed, outputs->why says it. */
static void
keep_failure(struct lighter_outputs *outputs, int r)
{
    outputs->failed = error_wrap(&outputs->why, r, "'%s'", outputs->key);
}

/* msgpack-c's answer to a buffer that cannot grow is easily lost: keep it. */
static int
write_packed(void *data, const char *bytes, size_t size)
{
    struct lighter_outputs *outputs = data;

    if (!outputs->failed && msgpack_sbuffer_write(&outputs->packed, bytes, size) < 0)
        keep_failure(outputs, fail_nomem(&outputs->why));
    return 0;
}

struct lighter_outputs *
lighter_outputs_new(void)
{
    struct lighter_outputs *outputs = calloc(1, sizeof *outputs);

    if (outputs) {
        msgpack_sbuffer_init(&outputs->packed);
        msgpack_packer_init(&outputs->packer, outputs, write_packed);
    }
    return outputs;
}

struct lighter_outputs *
lighter_outputs_free(struct lighter_outputs *outputs)
{
    if (outputs) {
        msgpack_sbuffer_destroy(&outputs->packed);
        free(outputs->keys);
        free(outputs->lent);
        free(outputs);
    }
    return NULL;
}

void
lighter_outputs_clear(struct lighter_outputs *outputs)
{
    msgpack_sbuffer_clear(&outputs->packed);
    outputs->n_keys = outputs->n_lent = 0;
    outputs->lent_size = outputs->n_objects = 0;
    outputs->failed = 0;
}

/* Room for one more item of an array of the outputs. False: it failed, now or before.
 */
static bool
grow(struct lighter_outputs *outputs, void *items_pointer, size_t count, size_t *room,
     size_t item_size)
{
    void **items = items_pointer, *grown;

    if (outputs->failed || count < *room)
        return !outputs->failed;
    grown = reallocarray(*items, 2 * count + 8, item_size);
    if (!grown) {
        keep_failure(outputs, fail_nomem(&outputs->why));
        return false;
    }
    *items = grown;
    *room = 2 * count + 8;
    return true;
}

/* ---- limits -------------------------------------------------------------------- */

/* `count` more objects are packed. Counts stay below what the wire takes, so that no
 * number is ever cut.
 */
static void
count_objects(struct lighter_outputs *outputs, size_t count)
{
    if (outputs->failed)
        return;
    if (count <= MAX_OBJECTS - outputs->n_objects)
        outputs->n_objects += count;
    else
        keep_failure(outputs,
                     lighter_fail(&outputs->why, LIGHTER_E_LIMIT,
                                  "more than %zu values in one batch: a tensor of "
                                  "any size counts for a dozen",
                                  MAX_OBJECTS));
}

/* The sizes of texts, bytes and tensors must fit the wire's 32 bits. */
static void
check_size(struct lighter_outputs *outputs, size_t size)
{
    if (!outputs->failed && size > UINT32_MAX)
        keep_failure(outputs,
                     lighter_fail(&outputs->why, LIGHTER_E_LIMIT,
                                  "a value of %zu bytes; at most 4294967295", size));
}

static void
check_depth(struct lighter_outputs *outputs, size_t depth)
{
    if (!outputs->failed && depth > CHECK_MAX_DEPTH)
        keep_failure(outputs, lighter_fail(&outputs->why, LIGHTER_E_VALUE,
                                           "more than %d lists and maps inside one "
                                           "another",
                                           CHECK_MAX_DEPTH - ENVELOPE_DEPTH));
}

/* ---- tensors ------------------------------------------------------------------- */

static int
check_tensor(const struct lighter_tensor *tensor, struct lighter_error *err)
{
    if (tensor->dtype >= LIGHTER_N_DTYPES)
        return lighter_fail(err, LIGHTER_E_TYPE, "a tensor of the unknown dtype %u",
                            tensor->dtype);
    if (tensor->ndim > LIGHTER_MAX_DIMS)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor of %u dimensions; at most %d", tensor->ndim,
                            LIGHTER_MAX_DIMS);
    return 0;
}

/* Bytes that shape and dtype ask for; SIZE_MAX where they are too many to count. */
static size_t
tensor_size(const struct lighter_tensor *tensor)
{
    size_t size = lighter_dtype_size(tensor->dtype);
    bool overflows = false;

    for (uint32_t i = 0; i < tensor->ndim; i++) {
        if (tensor->shape[i] == 0)
            return 0;
        if (__builtin_mul_overflow(size, tensor->shape[i], &size))
            overflows = true;
    }
    return overflows ? SIZE_MAX : size;
}

static void
pack_shape(msgpack_packer *packer, const struct lighter_tensor *tensor)
{
    msgpack_pack_array(packer, tensor->ndim);
    for (uint32_t i = 0; i < tensor->ndim; i++)
        msgpack_pack_uint64(packer, tensor->shape[i]);
}

/* The head of the bytes is packed, they themselves stay where they are. */
static void
put_lent(struct lighter_outputs *outputs, const void *data, size_t size)
{
    size_t before = outputs->packed.size;

    pack_key(&outputs->packer, "data");
    msgpack_pack_bin(&outputs->packer, size);
    if (size == 0 || !grow(outputs, &outputs->lent, outputs->n_lent,
                           &outputs->lent_room, sizeof *outputs->lent))
        return;
    outputs->lent[outputs->n_lent++] =
        (struct lent_bytes){.offset = outputs->packed.size,
                            .head_size = outputs->packed.size - before,
                            .data = data,
                            .size = size};
    outputs->lent_size += size;
}

/* `tensor->size` is not looked at: shape and dtype say it. */
static void
put_tensor(struct lighter_outputs *outputs, const struct lighter_tensor *tensor,
           size_t depth)
{
    msgpack_packer *packer = &outputs->packer;
    int r;

    if (outputs->failed)
        return;
    r = check_tensor(tensor, &outputs->why);
    if (r < 0) {
        keep_failure(outputs, r);
        return;
    }
    check_depth(outputs, depth + 2); /* its map, and the shape in it */
    check_size(outputs, tensor_size(tensor));
    count_objects(outputs, 10 + tensor->ndim); /* in memory; `data` is two less */
    msgpack_pack_map(packer, 4);
    pack_key_bool(packer, "nd", true);
    pack_key_text(packer, "type", value_dtype_text(tensor->dtype));
    pack_key(packer, "shape");
    pack_shape(packer, tensor);
    put_lent(outputs, tensor->data, tensor_size(tensor));
}

/* ---- values -------------------------------------------------------------------- */

static void
put_string(struct lighter_outputs *outputs, const char *text, size_t size)
{
    check_size(outputs, size);
    msgpack_pack_str_with_body(&outputs->packer, text, size);
}

static void
put_bytes(struct lighter_outputs *outputs, const char *bytes, size_t size)
{
    check_size(outputs, size);
    msgpack_pack_bin_with_body(&outputs->packer, bytes, size);
}

static void
put_items(struct lighter_outputs *outputs, const struct lighter_value *value,
          size_t depth)
{
    size_t n_items = (value->type == LIGHTER_MAP ? 2u : 1u) * (size_t)value->count;

    check_depth(outputs, depth + 1);
    count_objects(outputs, n_items);
    if (value->type == LIGHTER_MAP)
        msgpack_pack_map(&outputs->packer, value->count);
    else
        msgpack_pack_array(&outputs->packer, value->count);
    for (size_t i = 0; i < n_items && !outputs->failed; i++)
        put_value(outputs, &value->as.items[i], depth + 1);
}

/* `depth` containers are around it. The object itself is counted already. */
static void
put_value(struct lighter_outputs *outputs, const struct lighter_value *value,
          size_t depth)
{
    msgpack_packer *packer = &outputs->packer;

    switch (value->type) {
    case LIGHTER_NIL:
        msgpack_pack_nil(packer);
        return;
    case LIGHTER_BOOL:
        (value->as.boolean ? msgpack_pack_true : msgpack_pack_false)(packer);
        return;
    case LIGHTER_INT:
        msgpack_pack_int64(packer, value->as.integer);
        return;
    case LIGHTER_UINT:
        msgpack_pack_uint64(packer, value->as.uinteger);
        return;
    case LIGHTER_FLOAT:
        msgpack_pack_double(packer, value->as.real);
        return;
    case LIGHTER_STRING:
        put_string(outputs, value->as.string.data, value->as.string.size);
        return;
    case LIGHTER_BYTES:
        put_bytes(outputs, value->as.string.data, value->as.string.size);
        return;
    case LIGHTER_LIST:
    case LIGHTER_MAP:
        put_items(outputs, value, depth);
        return;
    case LIGHTER_TENSOR:
        put_tensor(outputs, &value->as.tensor, depth);
        return;
    default:
        keep_failure(outputs,
                     lighter_fail(&outputs->why, LIGHTER_E_TYPE,
                                  "a value of the unknown type %u", value->type));
    }
}

/* ---- keys and their values ----------------------------------------------------- */

static bool
has_key(const struct lighter_outputs *outputs, const char *key, size_t size)
{
    for (size_t i = 0; i < outputs->n_keys; i++)
        if (outputs->keys[i].size == size &&
            memcmp(outputs->packed.data + outputs->keys[i].offset, key, size) == 0)
            return true;
    return false;
}

/* Pack a key. False: the outputs failed, now or before. */
static bool
put_key(struct lighter_outputs *outputs, const char *key)
{
    size_t size = strlen(key);

    if (outputs->failed)
        return false;
    outputs->key = key;
    if (has_key(outputs, key, size)) {
        keep_failure(outputs, lighter_fail(&outputs->why, LIGHTER_E_PARAMS,
                                           "a key that is in the outputs already"));
        return false;
    }
    count_objects(outputs, 2); /* the key, and its value */
    put_string(outputs, key, size);
    if (grow(outputs, &outputs->keys, outputs->n_keys, &outputs->keys_room,
             sizeof *outputs->keys))
        outputs->keys[outputs->n_keys++] =
            (struct packed_key){outputs->packed.size - size, size};
    return !outputs->failed;
}

/* A key, and the head of a list. */
static bool
put_list(struct lighter_outputs *outputs, const char *key, size_t count)
{
    if (!put_key(outputs, key))
        return false;
    count_objects(outputs, count);
    msgpack_pack_array(&outputs->packer, count);
    return !outputs->failed;
}

void
lighter_outputs_value(struct lighter_outputs *outputs, const char *key,
                      const struct lighter_value *value)
{
    if (put_key(outputs, key))
        put_value(outputs, value, ENVELOPE_DEPTH);
}

void
lighter_outputs_tensor(struct lighter_outputs *outputs, const char *key, uint32_t dtype,
                       uint32_t ndim, const uint64_t *shape, const void *data)
{
    struct lighter_tensor tensor = {dtype, ndim, shape, data, 0};

    if (put_key(outputs, key))
        put_tensor(outputs, &tensor, ENVELOPE_DEPTH);
}

void
lighter_outputs_strings(struct lighter_outputs *outputs, const char *key, size_t count,
                        const char *const *texts)
{
    bool is_begun = put_list(outputs, key, count);

    for (size_t i = 0; is_begun && i < count; i++)
        if (texts[i])
            put_string(outputs, texts[i], strlen(texts[i]));
        else
            msgpack_pack_nil(&outputs->packer);
}

void
lighter_outputs_ints(struct lighter_outputs *outputs, const char *key, size_t count,
                     const int64_t *values)
{
    bool is_begun = put_list(outputs, key, count);

    for (size_t i = 0; is_begun && i < count; i++)
        msgpack_pack_int64(&outputs->packer, values[i]);
}

void
lighter_outputs_floats(struct lighter_outputs *outputs, const char *key, size_t count,
                       const double *values)
{
    bool is_begun = put_list(outputs, key, count);

    for (size_t i = 0; is_begun && i < count; i++)
        msgpack_pack_double(&outputs->packer, values[i]);
}

void
lighter_outputs_text(struct lighter_outputs *outputs, const char *key, const char *text)
{
    if (put_key(outputs, key))
        put_string(outputs, text, strlen(text));
}

/* ---- bytes of a frame ---------------------------------------------------------- */

int
outputs_check(const struct lighter_outputs *outputs, struct lighter_error *err)
{
    if (outputs->failed && err)
        *err = outputs->why;
    return outputs->failed;
}

size_t
outputs_choose(const struct lighter_outputs *outputs, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < outputs->n_lent; i++) {
        struct lent_bytes *lent = &outputs->lent[i];
        size_t size =
            (lent->size + MEMORY_ALIGNMENT - 1) & ~(size_t)(MEMORY_ALIGNMENT - 1);

        lent->is_placed = lent->size >= MEMORY_WORTH && size <= room - used;
        lent->start = used;
        if (lent->is_placed)
            used += size;
    }
    return used;
}

static void
put_big_endian(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * (7 - i));
}

/* "at": [offset, size] */
static void
say_place(struct lent_bytes *lent, size_t offset)
{
    memcpy(lent->place,
           "\xa2"
           "at"
           "\x92\xcf--------\xcf",
           14);
    put_big_endian(lent->place + 5, offset);
    put_big_endian(lent->place + 14, lent->size);
}

void
outputs_place(const struct lighter_outputs *outputs, uint8_t *memory, size_t offset)
{
    for (size_t i = 0; i < outputs->n_lent; i++) {
        struct lent_bytes *lent = &outputs->lent[i];

        if (!lent->is_placed)
            continue;
        memcpy(memory + offset + lent->start, lent->data, lent->size);
        say_place(lent, offset + lent->start);
    }
}

size_t
outputs_size(const struct lighter_outputs *outputs)
{
    size_t size = outputs->packed.size + outputs->lent_size;

    for (size_t i = 0; i < outputs->n_lent; i++)
        if (outputs->lent[i].is_placed)
            size -= outputs->lent[i].head_size + outputs->lent[i].size - PLACE_SIZE;
    return size;
}

static uint8_t *
copy(uint8_t *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

uint8_t *
outputs_copy(const struct lighter_outputs *outputs, uint8_t *to)
{
    const char *packed = outputs->packed.data;
    size_t at = 0;

    for (size_t i = 0; i < outputs->n_lent; i++) {
        const struct lent_bytes *lent = &outputs->lent[i];
        size_t end = lent->offset - (lent->is_placed ? lent->head_size : 0);

        to = copy(to, packed + at, end - at);
        to = lent->is_placed ? copy(to, lent->place, PLACE_SIZE)
                             : copy(to, lent->data, lent->size);
        at = lent->offset;
    }
    return outputs->packed.size == at
               ? to
               : copy(to, packed + at, outputs->packed.size - at);
}
