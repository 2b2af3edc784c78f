/* test_value.c - wire/value.c: what the wire brings to what plugins see. */
#include "tests/unit/pack.h"
#include "tests/unit/unit.h"
#include "wire/value.h"

/* A body, unpacked as the daemon does it, and one value of it. */
struct wire {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_unpacked unpacked;
    struct value_memory *memory; /* NULL: there is none */
    struct lighter_value value;
    struct lighter_error err;
};

static void
wire_begin(struct wire *wire)
{
    *wire = (struct wire){.err = LIGHTER_ERROR_INIT};
    msgpack_sbuffer_init(&wire->buffer);
    msgpack_packer_init(&wire->packer, &wire->buffer, msgpack_sbuffer_write);
    msgpack_unpacked_init(&wire->unpacked);
    msgpack_pack_array(&wire->packer, 1); /* so that there is a zone */
}

static int
wire_convert(struct wire *wire)
{
    ck_assert_int_eq(msgpack_unpack_next(&wire->unpacked, wire->buffer.data,
                                         wire->buffer.size, NULL),
                     MSGPACK_UNPACK_SUCCESS);
    return value_convert(&wire->unpacked.data.via.array.ptr[0], wire->memory,
                         wire->unpacked.zone, &wire->value, &wire->err);
}

static void
wire_end(struct wire *wire)
{
    msgpack_unpacked_destroy(&wire->unpacked);
    msgpack_sbuffer_destroy(&wire->buffer);
}

static void
pack_tensor(struct wire *wire, const char *type, const uint64_t *shape, uint32_t ndim,
            size_t size)
{
    char zeros[4096] = {0};

    ck_assert_uint_le(size, sizeof zeros);
    msgpack_pack_map(&wire->packer, 4);
    pack_key_bool(&wire->packer, "nd", 1);
    pack_key_text(&wire->packer, "type", type);
    pack_key(&wire->packer, "shape");
    msgpack_pack_array(&wire->packer, ndim);
    for (uint32_t i = 0; i < ndim; i++)
        msgpack_pack_uint64(&wire->packer, shape[i]);
    pack_key(&wire->packer, "data");
    msgpack_pack_bin_with_body(&wire->packer, zeros, size);
}

static void
expect_tensor(const char *type, uint32_t dtype, const uint64_t *shape, uint32_t ndim,
              size_t size)
{
    const struct lighter_tensor *tensor;
    struct wire wire;

    wire_begin(&wire);
    pack_tensor(&wire, type, shape, ndim, size);
    ck_assert_msg(wire_convert(&wire) == 0, "%s", wire.err.message);
    ck_assert_uint_eq(wire.value.type, LIGHTER_TENSOR);
    tensor = &wire.value.as.tensor;
    ck_assert_uint_eq(tensor->dtype, dtype);
    ck_assert_uint_eq(tensor->ndim, ndim);
    ck_assert_uint_eq(tensor->size, size);
    for (uint32_t i = 0; i < ndim; i++)
        ck_assert_uint_eq(tensor->shape[i], shape[i]);
    wire_end(&wire);
}

static void
expect_refused(struct wire *wire, uint32_t code, const char *message)
{
    ck_assert_int_lt(wire_convert(wire), 0);
    ck_assert_uint_eq(wire->err.code, code);
    ck_assert_str_eq(wire->err.message, message);
    wire_end(wire);
}

static void
expect_tensor_refused(const char *type, const uint64_t *shape, uint32_t ndim,
                      size_t size, uint32_t code, const char *message)
{
    struct wire wire;

    wire_begin(&wire);
    pack_tensor(&wire, type, shape, ndim, size);
    expect_refused(&wire, code, message);
}

static void
expect_json_refused(const char *json, uint32_t code, const char *message)
{
    struct wire wire;

    wire_begin(&wire);
    pack_json(&wire.packer, json);
    expect_refused(&wire, code, message);
}

/* ---- tensors ------------------------------------------------------------------- */

static const char *const dtypes[LIGHTER_N_DTYPES] = {
    [LIGHTER_BOOL8] = "|b1",         [LIGHTER_UINT8] = "|u1",
    [LIGHTER_INT8] = "|i1",          [LIGHTER_INT16] = "<i2",
    [LIGHTER_UINT16] = "<u2",        [LIGHTER_INT32] = "<i4",
    [LIGHTER_UINT32] = "<u4",        [LIGHTER_INT64] = "<i8",
    [LIGHTER_UINT64] = "<u8",        [LIGHTER_FLOAT16] = "<f2",
    [LIGHTER_BFLOAT16] = "bfloat16", [LIGHTER_FLOAT32] = "<f4",
    [LIGHTER_FLOAT64] = "<f8",       [LIGHTER_COMPLEX64] = "<c8",
    [LIGHTER_COMPLEX128] = "<c16",
};

START_TEST(every_dtype_of_the_protocol_is_a_tensor)
{
    for (uint32_t i = 0; i < LIGHTER_N_DTYPES; i++) {
        expect_tensor(dtypes[i], i, (uint64_t[]){2, 3}, 2, 6 * lighter_dtype_size(i));
        ck_assert_int_eq(value_dtype(dtypes[i], strlen(dtypes[i])), (int)i);
        ck_assert_str_eq(value_dtype_text(i), dtypes[i]);
    }
}
END_TEST

START_TEST(other_dtypes_are_refused)
{
    static const char *const others[] = {"",    ">f4", "f4",  "<f",  "<f44", "<f16",
                                         "|S1", "|O",  "<U1", "<M8", "=f4",  "float32"};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_int_eq(value_dtype(others[i], strlen(others[i])), -1);
    expect_tensor_refused(">f4", (uint64_t[]){1}, 1, 4, LIGHTER_E_TYPE,
                          "a tensor of the unknown type '>f4'");
}
END_TEST

START_TEST(a_tensor_of_no_dimensions_is_one_element)
{
    expect_tensor("<f8", LIGHTER_FLOAT64, NULL, 0, 8);
    expect_tensor_refused(
        "<f8", NULL, 0, 0, LIGHTER_E_VALUE,
        "a tensor's 'data' has 0 bytes; its shape and type ask for 8");
}
END_TEST

START_TEST(an_empty_tensor_may_have_any_other_lengths)
{
    expect_tensor("<f4", LIGHTER_FLOAT32, (uint64_t[]){0}, 1, 0);
    expect_tensor("<f4", LIGHTER_FLOAT32, (uint64_t[]){0, UINT64_C(1) << 40}, 2, 0);
    expect_tensor("<f4", LIGHTER_FLOAT32, (uint64_t[]){1 << 22, 0, INT64_MAX}, 3, 0);
}
END_TEST

/* What has no bytes costs its sender nothing, and is still written an item at a time.
 */
START_TEST(an_empty_tensor_has_no_more_items_than_a_frame_has_objects)
{
    expect_tensor_refused("<f4", (uint64_t[]){(1 << 22) + 1, 0}, 2, 0, LIGHTER_E_VALUE,
                          "a tensor of no bytes with 4194305 items; at most 4194304");
    expect_tensor_refused(
        "<f4", (uint64_t[]){INT64_MAX, INT64_MAX, 0, INT64_MAX}, 4, 0, LIGHTER_E_VALUE,
        "a tensor of no bytes with 18446744073709551615 items; at most 4194304");
}
END_TEST

START_TEST(shapes_that_overflow_are_refused)
{
    const char *overflow = "a tensor's shape overflows";
    const char *lengths = "a tensor's shape expects lengths of 0 or more";

    expect_tensor_refused("|u1", (uint64_t[]){UINT64_C(1) << 62, 4}, 2, 0,
                          LIGHTER_E_VALUE, overflow);
    expect_tensor_refused("<f4", (uint64_t[]){INT64_MAX}, 1, 4, LIGHTER_E_VALUE,
                          overflow);
    expect_tensor_refused("|u1", (uint64_t[]){INT64_MAX, INT64_MAX}, 2, 1,
                          LIGHTER_E_VALUE, overflow);
    expect_tensor_refused("|u1", (uint64_t[]){UINT64_C(1) << 63, 2}, 2, 0,
                          LIGHTER_E_VALUE, lengths);
    expect_tensor_refused("|u1", (uint64_t[]){UINT64_MAX}, 1, 0, LIGHTER_E_VALUE,
                          lengths);
}
END_TEST

START_TEST(data_must_have_the_bytes_that_the_shape_asks_for)
{
    expect_tensor_refused(
        "<f4", (uint64_t[]){2, 3}, 2, 23, LIGHTER_E_VALUE,
        "a tensor's 'data' has 23 bytes; its shape and type ask for 24");
    expect_tensor_refused(
        "<f4", (uint64_t[]){2, 3}, 2, 25, LIGHTER_E_VALUE,
        "a tensor's 'data' has 25 bytes; its shape and type ask for 24");
    expect_tensor_refused(
        "<f4", (uint64_t[]){0}, 1, 4, LIGHTER_E_VALUE,
        "a tensor's 'data' has 4 bytes; its shape and type ask for 0");
}
END_TEST

START_TEST(a_tensor_has_64_dimensions_at_most)
{
    uint64_t shape[LIGHTER_MAX_DIMS + 1];

    for (int i = 0; i <= LIGHTER_MAX_DIMS; i++)
        shape[i] = 1;
    expect_tensor("<i2", LIGHTER_INT16, shape, LIGHTER_MAX_DIMS, 2);
    expect_tensor_refused("<i2", shape, LIGHTER_MAX_DIMS + 1, 2, LIGHTER_E_VALUE,
                          "a tensor of 65 dimensions; at most 64");
}
END_TEST

START_TEST(what_a_tensor_lacks_is_named)
{
    expect_json_refused("{'nd': true}", LIGHTER_E_PARAMS, "'type' is missing");
    expect_json_refused("{'nd': true, 'type': 3}", LIGHTER_E_PARAMS,
                        "'type' expects a string, got an int");
    expect_json_refused("{'nd': true, 'type': '|u1'}", LIGHTER_E_PARAMS,
                        "'shape' is missing");
    expect_json_refused("{'nd': true, 'type': '|u1', 'shape': 3}", LIGHTER_E_PARAMS,
                        "'shape' expects an array, got an int");
    expect_json_refused("{'nd': true, 'type': '|u1', 'shape': [-1]}", LIGHTER_E_VALUE,
                        "a tensor's shape expects lengths of 0 or more");
    expect_json_refused("{'nd': true, 'type': '|u1', 'shape': ['1']}", LIGHTER_E_VALUE,
                        "a tensor's shape expects lengths of 0 or more");
    expect_json_refused("{'nd': true, 'type': '|u1', 'shape': [1]}", LIGHTER_E_VALUE,
                        "a tensor's 'data' expects bytes, got nothing");
    expect_json_refused("{'nd': true, 'type': '|u1', 'shape': [1], 'data': 'x'}",
                        LIGHTER_E_VALUE,
                        "a tensor's 'data' expects bytes, got a string");
}
END_TEST

START_TEST(a_tensors_bytes_are_those_of_the_frame)
{
    struct wire wire;

    wire_begin(&wire);
    pack_json(&wire.packer,
              "{'nd': true, 'type': '|u1', 'shape': [3], 'data': 'bin:abc'}");
    ck_assert_int_eq(wire_convert(&wire), 0);
    ck_assert_int_eq(memcmp(wire.value.as.tensor.data, "abc", 3), 0);
    wire_end(&wire);
}
END_TEST

/* ---- tensors in client memory -------------------------------------------------- */

static const uint8_t shared[16] = "0123456789abcdef";

/* A tensor of `length` bytes at [offset, size]. */
static void
pack_at(struct wire *wire, uint64_t length, uint64_t offset, uint64_t size)
{
    msgpack_pack_map(&wire->packer, 4);
    pack_key_bool(&wire->packer, "nd", 1);
    pack_key_text(&wire->packer, "type", "|u1");
    pack_key(&wire->packer, "shape");
    msgpack_pack_array(&wire->packer, 1);
    msgpack_pack_uint64(&wire->packer, length);
    pack_key(&wire->packer, "at");
    msgpack_pack_array(&wire->packer, 2);
    msgpack_pack_uint64(&wire->packer, offset);
    msgpack_pack_uint64(&wire->packer, size);
}

START_TEST(a_tensor_in_memory_lies_where_it_says)
{
    static const uint64_t places[][2] = {{0, 16}, {0, 1}, {5, 4}, {15, 1}, {16, 0}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct value_memory memory = {shared, sizeof shared, 0};
        struct wire wire;

        wire_begin(&wire);
        wire.memory = &memory;
        pack_at(&wire, places[i][1], places[i][0], places[i][1]);
        ck_assert_msg(wire_convert(&wire) == 0, "%s", wire.err.message);
        ck_assert_ptr_eq(wire.value.as.tensor.data, shared + places[i][0]);
        ck_assert_uint_eq(wire.value.as.tensor.size, places[i][1]);
        ck_assert_uint_eq(memory.used, places[i][1]);
        wire_end(&wire);
    }
}
END_TEST

START_TEST(a_tensor_that_leaves_the_memory_is_refused)
{
    static const struct {
        uint64_t offset, size;
        const char *message;
    } bad[] = {
        {17, 0, "a tensor's 'at' has 0 bytes at 17; the memory has 16"},
        {16, 1, "a tensor's 'at' has 1 bytes at 16; the memory has 16"},
        {0, 17, "a tensor's 'at' has 17 bytes at 0; the memory has 16"},
        {9, 8, "a tensor's 'at' has 8 bytes at 9; the memory has 16"},
        {UINT64_MAX, 1,
         "a tensor's 'at' has 1 bytes at 18446744073709551615; the memory has 16"},
        {UINT64_MAX - 7, 16,
         "a tensor's 'at' has 16 bytes at 18446744073709551608; the memory has 16"},
        {1, INT64_MAX,
         "a tensor's 'at' has 9223372036854775807 bytes at 1; the memory has 16"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct value_memory memory = {shared, sizeof shared, 0};
        struct wire wire;

        wire_begin(&wire);
        wire.memory = &memory;
        pack_at(&wire, bad[i].size, bad[i].offset, bad[i].size);
        expect_refused(&wire, LIGHTER_E_VALUE, bad[i].message);
        ck_assert_uint_eq(memory.used, 0);
    }
}
END_TEST

START_TEST(a_tensor_in_memory_has_the_bytes_that_its_shape_asks_for)
{
    static const uint64_t sizes[] = {0, 3, 5, UINT64_MAX};
    char message[128];

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct value_memory memory = {shared, sizeof shared, 0};
        struct wire wire;

        wire_begin(&wire);
        wire.memory = &memory;
        pack_at(&wire, 4, 0, sizes[i]);
        snprintf(message, sizeof message,
                 "a tensor's 'at' has %llu bytes; its shape and type ask for 4",
                 (unsigned long long)sizes[i]);
        expect_refused(&wire, LIGHTER_E_VALUE, message);
    }
}
END_TEST

START_TEST(a_batch_cannot_name_more_bytes_than_the_memory_has)
{
    for (unsigned n = 4; n <= 5; n++) {
        struct value_memory memory = {shared, sizeof shared, 0};
        struct wire wire;

        wire_begin(&wire);
        wire.memory = &memory;
        msgpack_pack_array(&wire.packer, n);
        for (unsigned i = 0; i < n; i++)
            pack_at(&wire, 4, 2, 4);
        if (n == 4) {
            ck_assert_int_eq(wire_convert(&wire), 0);
            ck_assert_uint_eq(memory.used, 16);
            wire_end(&wire);
        } else
            expect_refused(&wire, LIGHTER_E_VALUE,
                           "the tensors of one batch ask for more bytes than the "
                           "memory has, 16");
    }
}
END_TEST

START_TEST(a_place_that_is_none_is_refused)
{
    static const char *const places[] = {"1",       "'0'",     "{}",      "[]",
                                         "[0]",     "[0,1,2]", "[0,-1]",  "[-1,1]",
                                         "['0',1]", "[0,1.0]", "[null,1]"};
    struct value_memory memory = {shared, sizeof shared, 0};
    struct wire wire;
    char json[128];

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        wire_begin(&wire);
        wire.memory = &memory;
        snprintf(json, sizeof json,
                 "{'nd': true, 'type': '|u1', 'shape': [1], 'at': %s}", places[i]);
        pack_json(&wire.packer, json);
        expect_refused(&wire, LIGHTER_E_VALUE,
                       "a tensor's 'at' expects [offset, bytes]");
    }
    wire_begin(&wire);
    wire.memory = &memory;
    pack_json(&wire.packer, "{'nd': true, 'type': '|u1', 'shape': [1], 'at': [0, 1],"
                            " 'data': 'bin:a'}");
    expect_refused(&wire, LIGHTER_E_VALUE,
                   "a tensor has 'data' and 'at'; expected one of them");
}
END_TEST

START_TEST(without_a_memory_no_tensor_is_in_it)
{
    expect_json_refused("{'nd': true, 'type': '|u1', 'shape': [1], 'at': [0, 1]}",
                        LIGHTER_E_VALUE,
                        "a tensor's 'at' on a connection without a memory");
}
END_TEST

START_TEST(a_map_with_another_nd_is_a_map)
{
    static const char *const maps[] = {"{'nd': false}", "{'nd': 1}", "{'nd': null}",
                                       "{'nd': 'true'}", "{'bin:nd': true}"};

    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        struct wire wire;

        wire_begin(&wire);
        pack_json(&wire.packer, maps[i]);
        ck_assert_int_eq(wire_convert(&wire), 0);
        ck_assert_uint_eq(wire.value.type, LIGHTER_MAP);
        ck_assert_uint_eq(wire.value.count, 1);
        wire_end(&wire);
    }
}
END_TEST

/* ---- all others ---------------------------------------------------------------- */

START_TEST(every_kind_of_value_is_converted)
{
    const struct lighter_value *items;
    struct wire wire;

    wire_begin(&wire);
    pack_json(&wire.packer, "[null, true, false, 7, -7, 0.5, 'a\\u00e9', 'bin:xy',"
                            " [1, 2], {'k': 'v'}, [], {}]");
    ck_assert_int_eq(wire_convert(&wire), 0);
    ck_assert_uint_eq(wire.value.type, LIGHTER_LIST);
    ck_assert_uint_eq(wire.value.count, 12);
    items = wire.value.as.items;

    ck_assert_uint_eq(items[0].type, LIGHTER_NIL);
    ck_assert(items[1].type == LIGHTER_BOOL && items[1].as.boolean);
    ck_assert(items[2].type == LIGHTER_BOOL && !items[2].as.boolean);
    ck_assert(items[3].type == LIGHTER_INT && items[3].as.integer == 7);
    ck_assert(items[4].type == LIGHTER_INT && items[4].as.integer == -7);
    ck_assert(items[5].type == LIGHTER_FLOAT && items[5].as.real == 0.5);
    ck_assert_uint_eq(items[6].type, LIGHTER_STRING);
    ck_assert_uint_eq(items[6].as.string.size, 3);
    ck_assert_int_eq(memcmp(items[6].as.string.data, "a\u00e9", 3), 0);
    ck_assert_uint_eq(items[7].type, LIGHTER_BYTES);
    ck_assert_uint_eq(items[7].as.string.size, 2);
    ck_assert_uint_eq(items[8].count, 2);
    ck_assert_int_eq(items[8].as.items[1].as.integer, 2);
    ck_assert_uint_eq(items[9].type, LIGHTER_MAP);
    ck_assert_ptr_nonnull(lighter_map_get(&items[9], "k"));
    ck_assert(items[10].type == LIGHTER_LIST && items[10].count == 0);
    ck_assert(items[11].type == LIGHTER_MAP && items[11].count == 0);
    wire_end(&wire);
}
END_TEST

START_TEST(integers_above_the_signed_ones_keep_their_value)
{
    struct wire wire;

    wire_begin(&wire);
    msgpack_pack_uint64(&wire.packer, (uint64_t)INT64_MAX + 1);
    ck_assert_int_eq(wire_convert(&wire), 0);
    ck_assert_uint_eq(wire.value.type, LIGHTER_UINT);
    ck_assert_uint_eq(wire.value.as.uinteger, (uint64_t)INT64_MAX + 1);
    wire_end(&wire);

    wire_begin(&wire);
    msgpack_pack_uint64(&wire.packer, INT64_MAX);
    ck_assert_int_eq(wire_convert(&wire), 0);
    ck_assert_uint_eq(wire.value.type, LIGHTER_INT);
    wire_end(&wire);
}
END_TEST

START_TEST(floats_of_32_bits_are_widened_exactly)
{
    struct wire wire;

    wire_begin(&wire);
    msgpack_pack_float(&wire.packer, 0.1f);
    ck_assert_int_eq(wire_convert(&wire), 0);
    ck_assert(wire.value.as.real == (double)0.1f);
    wire_end(&wire);
}
END_TEST

START_TEST(strings_that_are_not_utf8_are_refused_wherever_they_are)
{
    static const char *const kinds[] = {"value", "item", "key", "map value"};

    for (int i = 0; i < 4; i++) {
        struct wire wire;

        wire_begin(&wire);
        if (i == 1)
            msgpack_pack_array(&wire.packer, 1);
        if (i >= 2)
            msgpack_pack_map(&wire.packer, 1);
        if (i == 3)
            msgpack_pack_nil(&wire.packer);
        msgpack_pack_str_with_body(&wire.packer, "a\xff", 2);
        if (i == 2)
            msgpack_pack_nil(&wire.packer);
        ck_assert_msg(wire_convert(&wire) == -EINVAL, "%s", kinds[i]);
        ck_assert_str_eq(wire.err.message, "a string that is not UTF-8");
        wire_end(&wire);
    }
}
END_TEST

START_TEST(a_maps_keys_may_be_anything_but_tensors)
{
    struct wire wire;

    wire_begin(&wire);
    msgpack_pack_map(&wire.packer, 2);
    msgpack_pack_int(&wire.packer, 1);
    msgpack_pack_nil(&wire.packer);
    msgpack_pack_array(&wire.packer, 0);
    msgpack_pack_nil(&wire.packer);
    ck_assert_int_eq(wire_convert(&wire), 0);
    ck_assert_uint_eq(wire.value.as.items[0].type, LIGHTER_INT);
    ck_assert_uint_eq(wire.value.as.items[2].type, LIGHTER_LIST);
    wire_end(&wire);

    wire_begin(&wire);
    msgpack_pack_map(&wire.packer, 1);
    pack_tensor(&wire, "|u1", (uint64_t[]){1}, 1, 1);
    msgpack_pack_nil(&wire.packer);
    expect_refused(&wire, LIGHTER_E_TYPE, "a tensor as a map's key");
}
END_TEST

START_TEST(tensors_are_found_inside_lists_and_maps)
{
    const struct lighter_value *inner;
    struct wire wire;

    wire_begin(&wire);
    pack_json(&wire.packer, "{'a': [{'nd': true, 'type': '|i1', 'shape': [2, 1],"
                            " 'data': 'bin:ab'}, [[{'nd': true, 'type': '|b1',"
                            " 'shape': [], 'data': 'bin:x'}]]]}");
    ck_assert_int_eq(wire_convert(&wire), 0);
    inner = lighter_map_get(&wire.value, "a")->as.items;
    ck_assert_uint_eq(inner[0].type, LIGHTER_TENSOR);
    ck_assert_uint_eq(inner[1].as.items[0].as.items[0].type, LIGHTER_TENSOR);
    wire_end(&wire);
}
END_TEST

START_TEST(what_is_wrong_deep_inside_fails_the_whole)
{
    expect_json_refused("{'a': [1, {'b': [{'nd': true, 'type': 'x', 'shape': []}]}]}",
                        LIGHTER_E_TYPE, "a tensor of the unknown type 'x'");
    expect_json_refused("[{'nd': true, 'type': 'x', 'shape': []}, 1]", LIGHTER_E_TYPE,
                        "a tensor of the unknown type 'x'");
    expect_json_refused("{'a': {'nd': true, 'type': 'x', 'shape': []}, 'b': 1}",
                        LIGHTER_E_TYPE, "a tensor of the unknown type 'x'");
}
END_TEST

/* Frames cannot have them: check_object() is before. */
START_TEST(extension_types_are_refused)
{
    const msgpack_object object = {.type = MSGPACK_OBJECT_EXT};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_value value;

    ck_assert_int_lt(value_convert(&object, NULL, NULL, &value, &err), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_TYPE);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("value");
    TCase *tensors = unit_case(suite, "tensors");
    TCase *in_memory = unit_case(suite, "in memory");
    TCase *others = unit_case(suite, "others");

    tcase_add_test(tensors, every_dtype_of_the_protocol_is_a_tensor);
    tcase_add_test(tensors, other_dtypes_are_refused);
    tcase_add_test(tensors, a_tensor_of_no_dimensions_is_one_element);
    tcase_add_test(tensors, an_empty_tensor_may_have_any_other_lengths);
    tcase_add_test(tensors, an_empty_tensor_has_no_more_items_than_a_frame_has_objects);
    tcase_add_test(tensors, shapes_that_overflow_are_refused);
    tcase_add_test(tensors, data_must_have_the_bytes_that_the_shape_asks_for);
    tcase_add_test(tensors, a_tensor_has_64_dimensions_at_most);
    tcase_add_test(tensors, what_a_tensor_lacks_is_named);
    tcase_add_test(tensors, a_tensors_bytes_are_those_of_the_frame);
    tcase_add_test(tensors, a_map_with_another_nd_is_a_map);
    tcase_add_test(in_memory, a_tensor_in_memory_lies_where_it_says);
    tcase_add_test(in_memory, a_tensor_that_leaves_the_memory_is_refused);
    tcase_add_test(in_memory, a_tensor_in_memory_has_the_bytes_that_its_shape_asks_for);
    tcase_add_test(in_memory, a_batch_cannot_name_more_bytes_than_the_memory_has);
    tcase_add_test(in_memory, a_place_that_is_none_is_refused);
    tcase_add_test(in_memory, without_a_memory_no_tensor_is_in_it);
    tcase_add_test(others, every_kind_of_value_is_converted);
    tcase_add_test(others, integers_above_the_signed_ones_keep_their_value);
    tcase_add_test(others, floats_of_32_bits_are_widened_exactly);
    tcase_add_test(others, strings_that_are_not_utf8_are_refused_wherever_they_are);
    tcase_add_test(others, a_maps_keys_may_be_anything_but_tensors);
    tcase_add_test(others, tensors_are_found_inside_lists_and_maps);
    tcase_add_test(others, what_is_wrong_deep_inside_fails_the_whole);
    tcase_add_test(others, extension_types_are_refused);
    return unit_main(suite);
}
