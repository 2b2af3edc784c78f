/* test_client_outputs.c - what is put into a batch's outputs arrives, or is refused. */
#include "tests/unit/client_peer.h"

#include "wire/value.h"

/* The message stays in peer->request for the test to look at. */
static void
serve_one_write(struct peer *peer)
{
    peer_greet(peer);
    peer_accept_job(peer);
    peer_serve(peer, "write");
}

/* Hand `outputs` to the peer, and see what arrives. */
static struct lighter_value
send_outputs(struct peer *peer, const struct lighter_outputs *outputs)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct lighter_value value;

    peer_start(peer, SIZE_MAX, serve_one_write);
    client = peer_open_job(peer);
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 7, 1, &oops));
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));
    lighter_disconnect(client);
    peer_join(peer);
    ck_assert_int_eq(peer_param(peer, "job"), 3);
    ck_assert_int_eq(peer_param(peer, "seq"), 1);
    ck_assert_int_eq(peer_param(peer, "batch_idx"), 7);
    ck_assert_int_eq(peer_param(peer, "dataloader_idx"), 1);
    ck_assert_msg(value_convert(params_find(peer->request.params, "outputs"), NULL,
                                peer->request.zone, &value, &err) == 0,
                  "%s", err.message);
    return value;
}

static void
assert_string(const struct lighter_value *value, const char *text)
{
    ck_assert_int_eq(value->type, LIGHTER_STRING);
    ck_assert_int_eq(value->as.string.size, strlen(text));
    ck_assert_mem_eq(value->as.string.data, text, strlen(text));
}

START_TEST(lists_arrive_as_they_were_put_in)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    const struct lighter_value *value;
    struct lighter_value map;
    struct peer peer;

    lighter_outputs_strings(outputs, "id", 3, (const char *[]){"0001", NULL, ""});
    lighter_outputs_ints(outputs, "n", 2, (const int64_t[]){INT64_MIN, INT64_MAX});
    lighter_outputs_floats(outputs, "p", 2, (const double[]){0.1, -1e300});
    lighter_outputs_text(outputs, "split", "tr\xc3\xa4in");
    lighter_outputs_ints(outputs, "none", 0, NULL);
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 5);
    value = lighter_map_get(&map, "id");
    ck_assert_int_eq(value->count, 3);
    assert_string(&value->as.items[0], "0001");
    ck_assert_int_eq(value->as.items[1].type, LIGHTER_NIL);
    assert_string(&value->as.items[2], "");
    value = lighter_map_get(&map, "n");
    ck_assert_int_eq(value->as.items[0].as.integer, INT64_MIN);
    ck_assert_int_eq(value->as.items[1].as.integer, INT64_MAX);
    value = lighter_map_get(&map, "p");
    ck_assert_double_eq(value->as.items[0].as.real, 0.1);
    ck_assert_double_eq(value->as.items[1].as.real, -1e300);
    assert_string(lighter_map_get(&map, "split"), "tr\xc3\xa4in");
    ck_assert_int_eq(lighter_map_get(&map, "none")->count, 0);

    lighter_outputs_free(outputs);
    peer_done(&peer);
}
END_TEST

START_TEST(tensors_arrive_as_they_were_put_in)
{
    static const uint8_t bytes[96] = {1, 2, 3, 250};
    const uint64_t shape[] = {3, 2}, empty_shape[] = {2, 0};
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_value map;
    struct peer peer;
    char key[16];

    for (uint32_t dtype = 0; dtype < LIGHTER_N_DTYPES; dtype++) {
        snprintf(key, sizeof key, "t%u", dtype);
        lighter_outputs_tensor(outputs, key, dtype, 2, shape, bytes);
    }
    lighter_outputs_tensor(outputs, "scalar", LIGHTER_FLOAT64, 0, NULL, bytes);
    lighter_outputs_tensor(outputs, "empty", LIGHTER_INT8, 2, empty_shape, NULL);
    map = send_outputs(&peer, outputs);

    for (uint32_t dtype = 0; dtype < LIGHTER_N_DTYPES; dtype++) {
        const struct lighter_tensor *tensor = &map.as.items[2 * dtype + 1].as.tensor;

        ck_assert_int_eq(map.as.items[2 * dtype + 1].type, LIGHTER_TENSOR);
        ck_assert_int_eq(tensor->dtype, dtype);
        ck_assert_int_eq(tensor->ndim, 2);
        ck_assert_mem_eq(tensor->shape, shape, sizeof shape);
        ck_assert_int_eq(tensor->size, 6 * lighter_dtype_size(dtype));
        ck_assert_mem_eq(tensor->data, bytes, tensor->size);
    }
    ck_assert_int_eq(lighter_map_get(&map, "scalar")->as.tensor.ndim, 0);
    ck_assert_int_eq(lighter_map_get(&map, "empty")->as.tensor.size, 0);

    lighter_outputs_free(outputs);
    peer_done(&peer);
}
END_TEST

START_TEST(any_value_arrives_as_it_was_put_in)
{
    const uint64_t shape[] = {2};
    struct lighter_value pair[] = {unit_string("t"),
                                   unit_tensor(LIGHTER_INT8, 1, shape, "\x05\x06")};
    struct lighter_value items[] = {
        unit_nil(),
        unit_bool(true),
        unit_map(pair, 1),
        {.type = LIGHTER_UINT, .as.uinteger = UINT64_MAX},
        {.type = LIGHTER_BYTES, .as.string = {"\xff\0", 2}}};
    struct lighter_value list = unit_list(items, 5), map;
    struct lighter_outputs *outputs = lighter_outputs_new();
    const struct lighter_value *value;
    struct peer peer;

    lighter_outputs_value(outputs, "all", &list);
    lighter_outputs_ints(outputs, "behind", 1, (const int64_t[]){4});
    map = send_outputs(&peer, outputs);

    value = lighter_map_get(&map, "all");
    ck_assert_int_eq(value->as.items[0].type, LIGHTER_NIL);
    ck_assert(value->as.items[1].as.boolean);
    ck_assert_mem_eq(value->as.items[2].as.items[1].as.tensor.data, "\x05\x06", 2);
    ck_assert_uint_eq(value->as.items[3].as.uinteger, UINT64_MAX);
    ck_assert_int_eq(value->as.items[4].type, LIGHTER_BYTES);
    ck_assert_mem_eq(value->as.items[4].as.string.data, "\xff\0", 2);
    ck_assert_int_eq(lighter_map_get(&map, "behind")->as.items[0].as.integer, 4);

    lighter_outputs_free(outputs);
    peer_done(&peer);
}
END_TEST

/* Three times IOV_MAX parts, and keys that make the map's head a long one. */
START_TEST(any_number_of_tensors_arrives)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    const uint64_t shape[] = {1};
    struct lighter_value map;
    uint16_t numbers[1500];
    struct peer peer;
    char key[16];

    for (int i = 0; i < 1500; i++) {
        numbers[i] = (uint16_t)i;
        snprintf(key, sizeof key, "t%d", i);
        lighter_outputs_tensor(outputs, key, LIGHTER_UINT16, 1, shape, &numbers[i]);
    }
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 1500);
    for (int i = 0; i < 1500; i++)
        ck_assert_mem_eq(map.as.items[2 * i + 1].as.tensor.data, &numbers[i], 2);

    lighter_outputs_free(outputs);
    peer_done(&peer);
}
END_TEST

START_TEST(cleared_outputs_are_as_new)
{
    struct lighter_outputs *outputs = peer_outputs();
    struct lighter_value map;
    struct peer peer;

    lighter_outputs_text(outputs, "id", "a second time");
    lighter_outputs_clear(outputs);
    lighter_outputs_text(outputs, "id", "a first time");
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 1);
    assert_string(lighter_map_get(&map, "id"), "a first time");

    lighter_outputs_free(outputs);
    peer_done(&peer);
}
END_TEST

struct bad_outputs {
    void (*put)(struct lighter_outputs *outputs);
    int r;
    const char *message;
};

static void
put_twice(struct lighter_outputs *outputs)
{
    lighter_outputs_text(outputs, "a", "1");
    lighter_outputs_text(outputs, "b", "2");
    lighter_outputs_text(outputs, "a", "3");
    lighter_outputs_text(outputs, "b", "4");
}

static void
put_unknown_dtype(struct lighter_outputs *outputs)
{
    lighter_outputs_tensor(outputs, "t", 99, 0, NULL, "");
}

static void
put_many_dimensions(struct lighter_outputs *outputs)
{
    lighter_outputs_tensor(outputs, "t", LIGHTER_INT8, 65, NULL, "");
}

static void
put_overflow(struct lighter_outputs *outputs)
{
    const uint64_t shape[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};

    lighter_outputs_tensor(outputs, "t", LIGHTER_INT8, 2, shape, "");
}

static void
put_many_values(struct lighter_outputs *outputs)
{
    lighter_outputs_ints(outputs, "n", (size_t)1 << 22, NULL);
}

static void
put_nested(struct lighter_outputs *outputs, int depth)
{
    struct lighter_value lists[32] = {{.type = LIGHTER_LIST}};

    for (int i = 1; i < depth; i++)
        lists[i] = unit_list(&lists[i - 1], 1);
    lighter_outputs_value(outputs, "deep", &lists[depth - 1]);
}

static void
put_too_deep(struct lighter_outputs *outputs)
{
    put_nested(outputs, 30);
}

static void
put_unknown_type(struct lighter_outputs *outputs)
{
    lighter_outputs_value(outputs, "v", &(struct lighter_value){.type = 77});
}

static const struct bad_outputs bad_outputs[] = {
    {put_twice, -EINVAL, "batch 4: 'a': a key that is in the outputs already"},
    {put_unknown_dtype, -EDOM, "batch 4: 't': a tensor of the unknown dtype 99"},
    {put_many_dimensions, -EINVAL, "batch 4: 't': a tensor of 65 dimensions"},
    {put_overflow, -EDQUOT, "batch 4: 't': a value of 18446744073709551615 bytes"},
    {put_many_values, -EDQUOT, "batch 4: 'n': more than 4194240 values"},
    {put_too_deep, -EINVAL, "batch 4: 'deep': more than 29 lists and maps"},
    {put_unknown_type, -EDOM, "batch 4: 'v': a value of the unknown type 77"},
};

#define N_BAD_OUTPUTS (int)(sizeof bad_outputs / sizeof *bad_outputs)

START_TEST(what_went_wrong_with_outputs_is_said_by_write)
{
    const struct bad_outputs *bad = &bad_outputs[_i];
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct lighter_client *client;
    struct peer peer;

    peer_start(&peer, SIZE_MAX, peer_greet_and_accept_job);
    client = peer_open_job(&peer);
    bad->put(outputs);

    ck_assert_int_eq(lighter_write(client, PEER_HANDLE, outputs, 4, 0, &err), bad->r);
    ck_assert_contains(err.message, bad->message);

    lighter_disconnect(client);
    lighter_outputs_free(outputs);
    peer_finish(&peer);
}
END_TEST

START_TEST(values_may_be_nested_as_deep_as_the_header_says)
{
    struct lighter_outputs *outputs = lighter_outputs_new();
    struct lighter_value map;
    struct peer peer;

    put_nested(outputs, 29);
    map = send_outputs(&peer, outputs);

    ck_assert_int_eq(map.count, 1);

    lighter_outputs_free(outputs);
    peer_done(&peer);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client_outputs");
    TCase *tcase;

    tcase = unit_case(suite, "outputs");
    tcase_add_test(tcase, lists_arrive_as_they_were_put_in);
    tcase_add_test(tcase, tensors_arrive_as_they_were_put_in);
    tcase_add_test(tcase, any_value_arrives_as_it_was_put_in);
    tcase_add_test(tcase, any_number_of_tensors_arrives);
    tcase_add_test(tcase, cleared_outputs_are_as_new);
    tcase_add_loop_test(tcase, what_went_wrong_with_outputs_is_said_by_write, 0,
                        N_BAD_OUTPUTS);
    tcase_add_test(tcase, values_may_be_nested_as_deep_as_the_header_says);
    return unit_main(suite);
}
