/* value.c - see value.h. */
#include "wire/value.h"

#include "util/error.h"
#include "util/utf8.h"
#include "wire/check.h"
#include "wire/params.h"

#include <inttypes.h>
#include <string.h>

static const char *const dtype_texts[LIGHTER_N_DTYPES] = {
    "|b1", "|u1", "|i1",      "<i2", "<u2", "<i4", "<u4", "<i8",
    "<u8", "<f2", "bfloat16", "<f4", "<f8", "<c8", "<c16"};

int
value_dtype(const char *name, size_t size)
{
    for (int i = 0; i < LIGHTER_N_DTYPES; i++)
        if (strlen(dtype_texts[i]) == size && memcmp(dtype_texts[i], name, size) == 0)
            return i;
    return -1;
}

const char *
value_dtype_text(uint32_t dtype)
{
    return dtype_texts[dtype];
}

static int
convert_dtype(const msgpack_object *map, uint32_t *ret_dtype, struct lighter_error *err)
{
    msgpack_object_str text;
    int r = params_required(params_string(map, "type", &text, err), "type", err);

    if (r < 0)
        return r;
    r = value_dtype(text.ptr, text.size);
    if (r < 0)
        return lighter_fail(err, LIGHTER_E_TYPE, "a tensor of the unknown type '%.*s'",
                            (int)(text.size < 32 ? text.size : 32), text.ptr);
    *ret_dtype = (uint32_t)r;
    return 0;
}

/* And the bytes that the shape and the dtype ask for. */
static int
convert_shape(const msgpack_object *map, msgpack_zone *zone,
              struct lighter_tensor *tensor, struct lighter_error *err)
{
    size_t size = lighter_dtype_size(tensor->dtype), n_items = 1;
    msgpack_object_array lengths;
    bool empty = false;
    uint64_t *shape;
    int r = params_required(params_array(map, "shape", &lengths, err), "shape", err);

    if (r < 0)
        return r;
    if (lengths.size > LIGHTER_MAX_DIMS)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor of %u dimensions; at most %d", lengths.size,
                            LIGHTER_MAX_DIMS);
    shape = msgpack_zone_malloc(zone, lengths.size * sizeof *shape);
    if (!shape)
        return fail_nomem(err);
    for (uint32_t i = 0; i < lengths.size; i++) {
        if (lengths.ptr[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
            lengths.ptr[i].via.u64 > INT64_MAX)
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "a tensor's shape expects lengths of 0 or more");
        shape[i] = lengths.ptr[i].via.u64;
        empty = empty || shape[i] == 0;
        /* what has no bytes costs its sender nothing: bound what is made of it */
        if (!empty && __builtin_mul_overflow(n_items, shape[i], &n_items))
            n_items = SIZE_MAX;
    }
    if (empty && n_items > CHECK_MAX_OBJECTS)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor of no bytes with %zu items; at most %" PRIu64,
                            n_items, CHECK_MAX_OBJECTS);
    for (uint32_t i = 0; i < lengths.size && !empty; i++)
        if (__builtin_mul_overflow(size, shape[i], &size))
            return lighter_fail(err, LIGHTER_E_VALUE, "a tensor's shape overflows");
    tensor->shape = shape;
    tensor->ndim = lengths.size;
    tensor->size = empty ? 0 : size;
    return 0;
}

/* The bytes are in the frame. */
static int
convert_data(const msgpack_object *data, struct lighter_tensor *tensor,
             struct lighter_error *err)
{
    if (!data || data->type != MSGPACK_OBJECT_BIN)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor's 'data' expects bytes, got %s",
                            data ? params_type_name(data) : "nothing");
    if (data->via.bin.size != tensor->size)
        return lighter_fail(
            err, LIGHTER_E_VALUE,
            "a tensor's 'data' has %u bytes; its shape and type ask for %zu",
            data->via.bin.size, tensor->size);
    tensor->data = (const uint8_t *)data->via.bin.ptr;
    return 0;
}

static bool
is_place(const msgpack_object *at)
{
    const msgpack_object *items = at->via.array.ptr;

    return at->type == MSGPACK_OBJECT_ARRAY && at->via.array.size == 2 &&
           items[0].type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
           items[1].type == MSGPACK_OBJECT_POSITIVE_INTEGER;
}

/* The bytes are in client memory. */
static int
convert_at(const msgpack_object *at, struct value_memory *memory,
           struct lighter_tensor *tensor, struct lighter_error *err)
{
    uint64_t offset, size;

    if (!is_place(at))
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor's 'at' expects [offset, bytes]");
    if (!memory)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor's 'at' on a connection without a memory");
    offset = at->via.array.ptr[0].via.u64;
    size = at->via.array.ptr[1].via.u64;
    if (size != tensor->size)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor's 'at' has %" PRIu64
                            " bytes; its shape and type ask for %zu",
                            size, tensor->size);
    if (offset > memory->size || size > memory->size - offset)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor's 'at' has %" PRIu64 " bytes at %" PRIu64
                            "; the memory has %zu",
                            size, offset, memory->size);
    if (size > memory->size - memory->used)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "the tensors of one batch ask for more bytes than the "
                            "memory has, %zu",
                            memory->size);
    memory->used += size;
    tensor->data = memory->data + offset;
    return 0;
}

static int
convert_tensor(const msgpack_object *map, struct value_memory *memory,
               msgpack_zone *zone, struct lighter_value *ret_value,
               struct lighter_error *err)
{
    const msgpack_object *data = params_find(map, "data"), *at = params_find(map, "at");
    struct lighter_tensor tensor = {0};
    int r;

    r = convert_dtype(map, &tensor.dtype, err);
    if (r == 0)
        r = convert_shape(map, zone, &tensor, err);
    if (r < 0)
        return r;
    if (data && at)
        return lighter_fail(err, LIGHTER_E_VALUE,
                            "a tensor has 'data' and 'at'; expected one of them");
    r = at ? convert_at(at, memory, &tensor, err) : convert_data(data, &tensor, err);
    if (r < 0)
        return r;
    *ret_value = (struct lighter_value){.type = LIGHTER_TENSOR, .as.tensor = tensor};
    return 0;
}

static bool
is_tensor(const msgpack_object *map)
{
    const msgpack_object *mark = params_find(map, "nd");

    return mark && mark->type == MSGPACK_OBJECT_BOOLEAN && mark->via.boolean;
}

/* What most values are, and so without a stack frame of its own. */
static inline int
convert_scalar(const msgpack_object *object, struct lighter_value *ret_value,
               struct lighter_error *err)
{
    ret_value->count = 0;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        ret_value->type = LIGHTER_NIL;
        return 0;
    case MSGPACK_OBJECT_BOOLEAN:
        ret_value->type = LIGHTER_BOOL;
        ret_value->as.boolean = object->via.boolean;
        return 0;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        ret_value->type = object->via.u64 <= INT64_MAX ? LIGHTER_INT : LIGHTER_UINT;
        ret_value->as.uinteger = object->via.u64;
        return 0;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        ret_value->type = LIGHTER_INT;
        ret_value->as.integer = object->via.i64;
        return 0;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        ret_value->type = LIGHTER_FLOAT;
        ret_value->as.real = object->via.f64;
        return 0;
    case MSGPACK_OBJECT_STR:
        if (!utf8_valid(object->via.str.ptr, object->via.str.size))
            return lighter_fail(err, LIGHTER_E_VALUE, "a string that is not UTF-8");
        ret_value->type = LIGHTER_STRING;
        ret_value->as.string.data = object->via.str.ptr;
        ret_value->as.string.size = object->via.str.size;
        return 0;
    case MSGPACK_OBJECT_BIN:
        ret_value->type = LIGHTER_BYTES;
        ret_value->as.string.data = object->via.bin.ptr;
        ret_value->as.string.size = object->via.bin.size;
        return 0;
    default:
        return lighter_fail(err, LIGHTER_E_TYPE, "an extension type");
    }
}

static bool
is_container(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_ARRAY || object->type == MSGPACK_OBJECT_MAP;
}

static int
convert_list(const msgpack_object_array *array, struct value_memory *memory,
             msgpack_zone *zone, struct lighter_value *ret_value,
             struct lighter_error *err)
{
    struct lighter_value *items =
        msgpack_zone_malloc(zone, array->size * sizeof *items);
    int r = items ? 0 : fail_nomem(err);

    for (uint32_t i = 0; i < array->size && r == 0; i++)
        r = is_container(&array->ptr[i])
                ? value_convert(&array->ptr[i], memory, zone, &items[i], err)
                : convert_scalar(&array->ptr[i], &items[i], err);
    *ret_value = (struct lighter_value){
        .type = LIGHTER_LIST, .count = array->size, .as.items = items};
    return r;
}

static int
convert_pairs(const msgpack_object_map *map, struct value_memory *memory,
              msgpack_zone *zone, struct lighter_value *ret_value,
              struct lighter_error *err)
{
    struct lighter_value *items =
        msgpack_zone_malloc(zone, map->size * 2 * sizeof *items);
    int r = items ? 0 : fail_nomem(err);

    for (uint32_t i = 0; i < map->size && r == 0; i++) {
        r = value_convert(&map->ptr[i].key, memory, zone, &items[2 * i], err);
        if (r == 0 && items[2 * i].type == LIGHTER_TENSOR)
            r = lighter_fail(err, LIGHTER_E_TYPE, "a tensor as a map's key");
        if (r == 0)
            r = value_convert(&map->ptr[i].val, memory, zone, &items[2 * i + 1], err);
    }
    *ret_value = (struct lighter_value){
        .type = LIGHTER_MAP, .count = map->size, .as.items = items};
    return r;
}

/* Recursion is bounded: check_object() allows CHECK_MAX_DEPTH containers. */
int
value_convert(const msgpack_object *object, struct value_memory *memory,
              msgpack_zone *zone, struct lighter_value *ret_value,
              struct lighter_error *err)
{
    if (object->type == MSGPACK_OBJECT_ARRAY)
        return convert_list(&object->via.array, memory, zone, ret_value, err);
    if (object->type != MSGPACK_OBJECT_MAP)
        return convert_scalar(object, ret_value, err);
    return is_tensor(object)
               ? convert_tensor(object, memory, zone, ret_value, err)
               : convert_pairs(&object->via.map, memory, zone, ret_value, err);
}
