/* test_tensor.c - the encoder `tensor`: the zip archive and the pickle in it. That
 * torch loads them is shown end to end.
 */
#include "tests/unit/unit.h"

#include "daemon/sink.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct lighter_sink sink;
static struct lighter_error err;
static const struct {
    const char *suffix;
} options = {".pt"};

static void
set_up(void)
{
    sink_init(&sink);
    err = (struct lighter_error)LIGHTER_ERROR_INIT;
}

static void
tear_down(void)
{
    sink_done(&sink);
}

static int
encode(struct lighter_value value)
{
    sink_clear(&sink);
    return lighter_plugin.encoders[0]->encode(&options, &value, &sink, &unit_services,
                                              &err);
}

/* ---- a reader of archives ------------------------------------------------------ */

static uint64_t
number_at(const uint8_t *at, size_t size)
{
    uint64_t number = 0;

    while (size-- > 0)
        number = number << 8 | at[size];
    return number;
}

struct record {
    char name[64];
    const uint8_t *data;
    uint64_t offset, size; /* of the data */
};

/* The record of one central header (APPNOTE 4.3.12), compared with its local one. */
static size_t
read_record(const uint8_t *archive, const uint8_t *central, struct record *ret_record)
{
    size_t name_size = number_at(central + 28, 2), extra_size;
    const uint8_t *local = archive + number_at(central + 42, 4);

    ck_assert_uint_eq(number_at(central, 4), 0x02014b50);
    ck_assert_uint_eq(number_at(local, 4), 0x04034b50);
    ck_assert_mem_eq(local + 4, central + 6, 24);   /* version to length of the name */
    ck_assert_uint_eq(number_at(local + 10, 2), 0); /* stored */
    ck_assert_uint_eq(number_at(central + 30, 2), 0); /* extra field, and comment: */
    ck_assert_uint_eq(number_at(central + 32, 2), 0);
    ck_assert_mem_eq(local + 30, central + 46, name_size);
    ck_assert_uint_eq(number_at(local + 18, 4), number_at(local + 22, 4));

    extra_size = number_at(local + 28, 2);
    ck_assert_uint_lt(name_size, sizeof ret_record->name);
    memcpy(ret_record->name, local + 30, name_size);
    ret_record->name[name_size] = '\0';
    ret_record->size = number_at(local + 22, 4);
    ret_record->data = local + 30 + name_size + extra_size;
    ret_record->offset = (uint64_t)(ret_record->data - archive);
    ck_assert_uint_eq(number_at(local + 14, 4),
                      libdeflate_crc32(0, ret_record->data, ret_record->size));
    return 46 + name_size;
}

#define N_RECORDS 4

/* The records of an archive in the order of its directory (APPNOTE 4.3.16). */
static void
read_archive(const uint8_t *archive, size_t size, struct record *ret_records)
{
    const uint8_t *end = archive + size - 22;
    const uint8_t *central = archive + number_at(end + 16, 4);

    ck_assert_uint_eq(number_at(end, 4), 0x06054b50);
    ck_assert_uint_eq(number_at(end + 8, 2), N_RECORDS);
    ck_assert_uint_eq(number_at(end + 10, 2), N_RECORDS);
    ck_assert_uint_eq(number_at(end + 20, 2), 0);
    ck_assert_ptr_eq(central + number_at(end + 12, 4), end);
    for (size_t i = 0; i < N_RECORDS; i++)
        central += read_record(archive, central, &ret_records[i]);
    ck_assert_ptr_eq(central, end);
}

/* All bytes of the archive that a value becomes; returns owned. */
static uint8_t *
archive_of(struct lighter_value value, struct record *ret_records)
{
    uint8_t *archive;
    size_t size;

    ck_assert_msg(encode(value) == 0, "%s", err.message);
    archive = (uint8_t *)unit_sink_bytes(&sink, &size);
    read_archive(archive, size, ret_records);
    return archive;
}

static void
expect_pickle(struct lighter_value value, const char *bytes, size_t size)
{
    struct record records[N_RECORDS];
    uint8_t *archive = archive_of(value, records);

    ck_assert_uint_eq(records[0].size, size);
    ck_assert_mem_eq(records[0].data, bytes, size);
    free(archive);
}

/* ---- the archive --------------------------------------------------------------- */

START_TEST(the_archive_has_the_records_that_torch_reads)
{
    const uint64_t shape[] = {2, 2};
    const float values[] = {1, 2, 3, 4};
    struct record records[N_RECORDS];
    uint8_t *archive =
        archive_of(unit_tensor(LIGHTER_FLOAT32, 2, shape, values), records);

    ck_assert_str_eq(records[0].name, "archive/data.pkl");
    ck_assert_str_eq(records[1].name, "archive/byteorder");
    ck_assert_str_eq(records[2].name, "archive/version");
    ck_assert_str_eq(records[3].name, "archive/data/0");
    ck_assert_uint_eq(records[1].size, 6);
    ck_assert_mem_eq(records[1].data, "little", 6);
    ck_assert_uint_eq(records[2].size, 2);
    ck_assert_mem_eq(records[2].data, "3\n", 2);
    ck_assert_uint_eq(records[3].size, sizeof values);
    ck_assert_mem_eq(records[3].data, values, sizeof values);
    free(archive);
}
END_TEST

START_TEST(the_elements_begin_on_a_multiple_of_64_whatever_the_shape)
{
    static const uint8_t zeros[16];
    uint64_t shape[LIGHTER_MAX_DIMS];
    struct record records[N_RECORDS];

    for (uint32_t i = 0; i < LIGHTER_MAX_DIMS; i++)
        shape[i] = 1;
    for (uint32_t dtype = 0; dtype < LIGHTER_N_DTYPES; dtype++) {
        for (uint32_t ndim = 0; ndim <= LIGHTER_MAX_DIMS; ndim++) {
            free(archive_of(unit_tensor(dtype, ndim, shape, zeros), records));
            ck_assert_uint_eq(records[3].offset % 64, 0);
            ck_assert_uint_eq(records[3].size, lighter_dtype_size(dtype));
        }
    }
}
END_TEST

START_TEST(the_elements_are_lent_and_all_else_is_two_copied_parts)
{
    const uint64_t shape[] = {3};
    const uint8_t values[] = {1, 0, 1};
    struct iovec *parts;
    size_t n_parts;

    ck_assert_int_eq(encode(unit_tensor(LIGHTER_BOOL8, 1, shape, values)), 0);
    parts = sink_parts(&sink, &n_parts);

    ck_assert_uint_eq(n_parts, 3);
    ck_assert_ptr_eq(parts[1].iov_base, values);
    ck_assert_uint_eq(parts[1].iov_len, 3);
}
END_TEST

START_TEST(a_tensor_without_elements_has_an_empty_record)
{
    const uint64_t shape[] = {(uint64_t)1 << 40, 0};
    struct record records[N_RECORDS];
    struct lighter_value value = unit_tensor(LIGHTER_FLOAT64, 2, shape, NULL);

    free(archive_of(value, records));
    ck_assert_uint_eq(records[3].size, 0);
    ck_assert_uint_eq(records[3].offset % 64, 0);
}
END_TEST

/* A tensor of one dimension over pages that nobody has written to: they are zeros, and
 * take no memory. */
static struct lighter_value
zeros_of(const uint64_t *size)
{
    void *data = mmap(NULL, *size, PROT_READ,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(data, MAP_FAILED);
    return unit_tensor(LIGHTER_UINT8, 1, size, data);
}

static void
unmap(struct lighter_value value)
{
    munmap((void *)value.as.tensor.data, value.as.tensor.size);
}

START_TEST(sizes_that_32_bits_cannot_hold_stand_in_64)
{
    const uint64_t size = UINT32_MAX;
    const struct lighter_value value = zeros_of(&size);
    const uint8_t *front, *local, *tail, *end64;
    struct iovec *parts;
    size_t n_parts;

    ck_assert_int_eq(encode(value), 0);
    parts = sink_parts(&sink, &n_parts);
    ck_assert_uint_eq(n_parts, 3);
    ck_assert_uint_eq(parts[0].iov_len % 64, 0);
    front = parts[0].iov_base;
    local = memmem(front, parts[0].iov_len, "archive/data/0", 14);
    ck_assert_ptr_nonnull(local);
    local -= 30;
    tail = parts[2].iov_base;

    /* local header: 4.4.3.2, 4.5.3 */
    ck_assert_uint_eq(number_at(local + 4, 2), 45);
    ck_assert_uint_eq(number_at(local + 18, 4), UINT32_MAX);
    ck_assert_uint_eq(number_at(local + 22, 4), UINT32_MAX);
    ck_assert_uint_eq(number_at(local + 44, 4), 16 << 16 | 1);
    ck_assert_uint_eq(number_at(local + 48, 8), size);
    ck_assert_uint_eq(number_at(local + 56, 8), size);

    /* the last central header, then 4.3.14, 4.3.15 and 4.3.16 */
    end64 = tail + parts[2].iov_len - 22 - 20 - 56;
    ck_assert_uint_eq(number_at(end64 - 20, 4), 16 << 16 | 1);
    ck_assert_uint_eq(number_at(end64 - 16, 8), size);
    ck_assert_uint_eq(number_at(end64, 4), 0x06064b50);
    ck_assert_uint_eq(number_at(end64 + 4, 8), 44);
    ck_assert_uint_eq(number_at(end64 + 32, 8), N_RECORDS);
    ck_assert_uint_eq(number_at(end64 + 40, 8), (uint64_t)(end64 - tail));
    ck_assert_uint_eq(number_at(end64 + 48, 8), parts[0].iov_len + size);
    ck_assert_uint_eq(number_at(end64 + 56, 4), 0x07064b50);
    ck_assert_uint_eq(number_at(end64 + 64, 8),
                      parts[0].iov_len + size + (uint64_t)(end64 - tail));
    ck_assert_uint_eq(number_at(end64 + 76, 4), 0x06054b50);
    ck_assert_uint_eq(number_at(end64 + 76 + 16, 4), UINT32_MAX);
    unmap(value);
}
END_TEST

START_TEST(a_directory_beyond_4_gib_has_its_place_in_64_bits)
{
    const uint64_t size = UINT32_MAX - 64; /* fits, what follows does not */
    const struct lighter_value value = zeros_of(&size);
    const uint8_t *local, *end64;
    struct iovec *parts;
    size_t n_parts;

    ck_assert_int_eq(encode(value), 0);
    parts = sink_parts(&sink, &n_parts);
    local = memmem(parts[0].iov_base, parts[0].iov_len, "archive/data/0", 14);
    end64 = (uint8_t *)parts[2].iov_base + parts[2].iov_len - 22 - 20 - 56;

    ck_assert_uint_eq(number_at(local - 30 + 22, 4), size);
    ck_assert_uint_eq(number_at(end64, 4), 0x06064b50);
    ck_assert_uint_eq(number_at(end64 + 48, 8), parts[0].iov_len + size);
    unmap(value);
}
END_TEST

START_TEST(the_same_tensor_makes_the_same_bytes)
{
    const uint64_t shape[] = {5};
    struct record records[N_RECORDS];
    struct lighter_value value = unit_tensor(LIGHTER_UINT8, 1, shape, "hello");
    uint8_t *first = archive_of(value, records);
    size_t size = sink.size;
    uint8_t *second = archive_of(value, records);

    ck_assert_uint_eq(sink.size, size);
    ck_assert_mem_eq(first, second, size);
    free(first);
    free(second);
}
END_TEST

/* ---- the pickle ---------------------------------------------------------------- */

#define BYTES(text) text, sizeof text - 1
#define STORAGE(class)                                                                 \
    "c" class "\nX\1\0\0\0"                                                            \
              "0X\3\0\0\0"                                                             \
              "cpu"
#define V2 "\x80\2ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
#define V3 "\x80\2ctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storage"
#define HOOKS                                                                          \
    "\x89"                                                                             \
    "ccollections\nOrderedDict\n)R"

START_TEST(a_tensor_is_pickled_as_torch_rebuilds_it)
{
    const uint64_t shape[] = {2, 3};
    const float values[6] = {0};

    expect_pickle(unit_tensor(LIGHTER_FLOAT32, 2, shape, values),
                  BYTES(V2 STORAGE(
                      "torch\nFloatStorage") "K\6tQK\0(K\2K\3t(K\3K\1t" HOOKS "tR."));
    expect_pickle(
        unit_tensor(LIGHTER_BFLOAT16, 2, shape, values),
        BYTES(V2 STORAGE("torch\nBFloat16Storage") "K\6tQK\0(K\2K\3t(K\3K\1t" HOOKS
                                                   "tR."));
}
END_TEST

START_TEST(a_scalar_has_empty_tuples)
{
    expect_pickle(unit_tensor(LIGHTER_BOOL8, 0, NULL, "\1"),
                  BYTES(V2 STORAGE("torch\nBoolStorage") "K\1tQK\0))" HOOKS "tR."));
}
END_TEST

START_TEST(a_dtype_without_a_storage_class_is_named_itself)
{
    const uint64_t shape[] = {6};
    const uint16_t values[6] = {0};

    expect_pickle(
        unit_tensor(LIGHTER_UINT16, 1, shape, values),
        BYTES(V3 STORAGE("torch.storage\nUntypedStorage") "K\14tQK\0(K\6t(K\1t" HOOKS
                                                          "ctorch\nuint16\ntR."));
}
END_TEST

START_TEST(lengths_of_every_size_are_written)
{
    static const struct {
        uint64_t length;
        const char *pickled;
        size_t size;
    } cases[] = {
        {255, BYTES("K\xff")},
        {256, BYTES("M\0\1")},
        {65535, BYTES("M\xff\xff")},
        {65536, BYTES("J\0\0\1\0")},
        {INT32_MAX, BYTES("J\xff\xff\xff\x7f")},
        {(uint64_t)INT32_MAX + 1, BYTES("\x8a\5\0\0\0\x80\0")},
        {(uint64_t)1 << 38, BYTES("\x8a\5\0\0\0\0\x40")},
        {(uint64_t)1 << 39, BYTES("\x8a\6\0\0\0\0\x80\0")},
        {INT64_MAX, BYTES("\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f")},
    };
    static const char before[] = V2 STORAGE("torch\nCharStorage") "K\0tQK\0(",
                      after[] = "K\0t(K\1K\1t" HOOKS "tR.";

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t shape[] = {cases[i].length, 0};
        char expected[256];
        size_t size = 0;

        memcpy(expected + size, before, sizeof before - 1);
        size += sizeof before - 1;
        memcpy(expected + size, cases[i].pickled, cases[i].size);
        size += cases[i].size;
        memcpy(expected + size, after, sizeof after - 1);
        size += sizeof after - 1;
        expect_pickle(unit_tensor(LIGHTER_INT8, 2, shape, NULL), expected, size);
    }
}
END_TEST

START_TEST(an_empty_dimension_counts_as_one_in_the_strides)
{
    const uint64_t shape[] = {2, 0, 5};

    expect_pickle(
        unit_tensor(LIGHTER_INT64, 3, shape, NULL),
        BYTES(V2 STORAGE("torch\nLongStorage") "K\0tQK\0(K\2K\0K\5t(K\5K\5K\1t" HOOKS
                                               "tR."));
}
END_TEST

START_TEST(the_longest_pickle_fits)
{
    uint64_t shape[LIGHTER_MAX_DIMS] = {0};
    struct record records[N_RECORDS];

    /* strides below 2**63 of which as many as can be are long */
    for (uint32_t i = 1; i < LIGHTER_MAX_DIMS; i++)
        shape[i] = 1;
    shape[LIGHTER_MAX_DIMS - 1] = INT64_MAX;
    free(archive_of(unit_tensor(LIGHTER_UINT32, LIGHTER_MAX_DIMS, shape, NULL),
                    records));
    ck_assert_uint_gt(records[0].size, 63 * 10);
}
END_TEST

START_TEST(strides_that_torch_cannot_hold_are_refused)
{
    const uint64_t big = (uint64_t)1 << 40;
    const uint64_t shapes[][3] = {{0, big, big}, {5, UINT64_MAX, 0}};

    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_lt(encode(unit_tensor(LIGHTER_UINT8, 3, shapes[i], NULL)), 0);
        ck_assert_uint_eq(err.code, LIGHTER_E_VALUE);
        ck_assert_uint_eq(sink.size, 0);
    }
    ck_assert_str_eq(err.message,
                     "tensor expects strides below 2**63, as torch does, and dimension "
                     "1 of 3 is 18446744073709551615 long");
}
END_TEST

/* ---- refusals ------------------------------------------------------------------ */

START_TEST(what_is_not_a_tensor_is_refused)
{
    ck_assert_int_lt(encode(unit_string("0.5")), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_TYPE);
    ck_assert_str_eq(err.message, "tensor expects a tensor, got a string");

    ck_assert_int_lt(encode(unit_float(0.5)), 0);
    ck_assert_str_eq(err.message, "tensor expects a tensor, got a float");
    ck_assert_int_lt(encode(unit_nil()), 0);
    ck_assert_str_eq(err.message, "tensor expects a tensor, got None");
    ck_assert_int_lt(encode(unit_list(NULL, 0)), 0);
    ck_assert_str_eq(err.message, "tensor expects a tensor, got a list");
}
END_TEST

START_TEST(a_dtype_of_a_newer_daemon_is_refused)
{
    struct lighter_value value = unit_tensor(LIGHTER_UINT8, 0, NULL, "a");

    value.as.tensor.dtype = LIGHTER_N_DTYPES;
    ck_assert_int_lt(encode(value), 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_TYPE);
}
END_TEST

START_TEST(wherever_memory_ends_the_error_says_so)
{
    unit_expect_enomem(lighter_plugin.encoders[0], &options,
                       unit_tensor(LIGHTER_UINT8, 0, NULL, "a"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *archive = unit_case(suite, "archive"), *pickle = unit_case(suite, "pickle"),
          *refusal = unit_case(suite, "refusal");

    tcase_add_checked_fixture(archive, set_up, tear_down);
    tcase_add_test(archive, the_archive_has_the_records_that_torch_reads);
    tcase_add_test(archive, the_elements_begin_on_a_multiple_of_64_whatever_the_shape);
    tcase_add_test(archive, the_elements_are_lent_and_all_else_is_two_copied_parts);
    tcase_add_test(archive, a_tensor_without_elements_has_an_empty_record);
    tcase_add_test(archive, sizes_that_32_bits_cannot_hold_stand_in_64);
    tcase_add_test(archive, a_directory_beyond_4_gib_has_its_place_in_64_bits);
    tcase_add_test(archive, the_same_tensor_makes_the_same_bytes);

    tcase_add_checked_fixture(pickle, set_up, tear_down);
    tcase_add_test(pickle, a_tensor_is_pickled_as_torch_rebuilds_it);
    tcase_add_test(pickle, a_scalar_has_empty_tuples);
    tcase_add_test(pickle, a_dtype_without_a_storage_class_is_named_itself);
    tcase_add_test(pickle, lengths_of_every_size_are_written);
    tcase_add_test(pickle, an_empty_dimension_counts_as_one_in_the_strides);
    tcase_add_test(pickle, the_longest_pickle_fits);
    tcase_add_test(pickle, strides_that_torch_cannot_hold_are_refused);

    tcase_add_checked_fixture(refusal, set_up, tear_down);
    tcase_add_test(refusal, what_is_not_a_tensor_is_refused);
    tcase_add_test(refusal, a_dtype_of_a_newer_daemon_is_refused);
    tcase_add_test(refusal, wherever_memory_ends_the_error_says_so);
    return unit_main(suite);
}
