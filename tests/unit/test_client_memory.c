/* test_client_memory.c - slots of memory, and what liblighter says of them. */
#include "client/c/memory.h"
#include "tests/unit/client_peer.h"

#include <poll.h>
#include <stdlib.h>

#define PAGE ((size_t)4096)
#define N_PAGES 16

/* ---- slots --------------------------------------------------------------------- */

static struct client_memory memory;

static void
open_memory(void)
{
    ck_assert_ok(memory_open(&memory, N_PAGES * PAGE, &oops));
}

static struct slot
take(size_t size)
{
    struct slot slot;

    ck_assert_ok(memory_take(&memory, size, &slot, &oops));
    return slot;
}

START_TEST(the_lowest_slot_that_is_free_is_taken)
{
    struct slot first, second, third;

    open_memory();
    first = take(1);
    second = take(PAGE + 1);
    third = take((N_PAGES - 3) * PAGE);
    ck_assert_uint_eq(first.start, 0);
    ck_assert_uint_eq(second.start, PAGE);
    ck_assert_uint_eq(third.start, 3 * PAGE);
    ck_assert_int_eq(memory_take(&memory, 1, &first, &oops), MEMORY_FULL);

    memory_give_back(&memory, second);
    ck_assert_int_eq(memory_take(&memory, 2 * PAGE + 1, &first, &oops), MEMORY_FULL);
    ck_assert_uint_eq(take(2 * PAGE).start, PAGE);

    memory_close(&memory);
}
END_TEST

static bool
bears(struct slot slot, uint8_t mark)
{
    size_t at = slot.start;

    while (at < slot.start + slot.size && memory.bytes[at] == mark)
        at++;
    return at == slot.start + slot.size;
}

/* Each slot bears its own number, to its last byte, until it is given back. */
START_TEST(slots_never_overlap)
{
    struct slot held[N_PAGES];
    uint8_t marks[N_PAGES];
    size_t n_held = 0;

    open_memory();
    srand(7);
    for (int round = 0; round < 5000; round++) {
        size_t i = n_held ? (size_t)rand() % n_held : 0;

        if (n_held && rand() % 2) {
            ck_assert(bears(held[i], marks[i]));
            memory_give_back(&memory, held[i]);
            n_held--;
            held[i] = held[n_held];
            marks[i] = marks[n_held];
        } else if (memory_take(&memory, 1 + (size_t)rand() % (4 * PAGE), &held[n_held],
                               NULL) == 0) {
            marks[n_held] = (uint8_t)round;
            memset(memory.bytes + held[n_held].start, round, held[n_held].size);
            n_held++;
        }
    }
    while (n_held)
        memory_give_back(&memory, held[--n_held]);
    ck_assert_uint_eq(take(N_PAGES * PAGE).start, 0);

    memory_close(&memory);
}
END_TEST

START_TEST(the_size_follows_the_first_batch_and_the_limit)
{
    size_t mib = (size_t)1 << 20;

    ck_assert_uint_eq(memory_size_for(1, 1024 * mib), 64 * mib);
    ck_assert_uint_eq(memory_size_for(20 * mib + 1, 1024 * mib), 160 * mib + PAGE);
    ck_assert_uint_eq(memory_size_for(200 * mib, 1024 * mib), 1024 * mib);
    ck_assert_uint_eq(memory_size_for(PAGE, 5 * PAGE), 5 * PAGE);
    ck_assert_uint_eq(memory_room(5 * PAGE + 1), 5 * PAGE);
    ck_assert_uint_eq(memory_room(PAGE - 1), 0);
}
END_TEST

/* ---- with a daemon ------------------------------------------------------------- */

static uint8_t large[2 * MEMORY_WORTH];

/* What the request says of the tensor under "x"; nil where it says nothing. */
static const msgpack_object *
said_of_x(const struct peer *peer, const char *key)
{
    const msgpack_object *outputs = params_find(peer->request.params, "outputs");

    return params_find(params_find(outputs, "x"), key);
}

static void
expect_place(struct peer *peer, uint64_t offset, uint64_t size)
{
    const msgpack_object *at;

    peer_expect(peer, "write");
    at = said_of_x(peer, "at");
    ck_assert_ptr_nonnull(at);
    ck_assert_ptr_null(said_of_x(peer, "data"));
    ck_assert_uint_eq(at->via.array.ptr[0].via.u64, offset);
    ck_assert_uint_eq(at->via.array.ptr[1].via.u64, size);
}

static void
expect_bytes(struct peer *peer, size_t size)
{
    const msgpack_object *data;

    peer_expect(peer, "write");
    data = said_of_x(peer, "data");
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(data->via.bin.size, size);
    ck_assert_mem_eq(data->via.bin.ptr, large, size);
}

static void
write_large(struct lighter_client *client, size_t size)
{
    struct lighter_outputs *outputs = peer_outputs();

    lighter_outputs_tensor(outputs, "x", LIGHTER_UINT8, 1, (const uint64_t[]){size},
                           large);
    lighter_outputs_ints(outputs, "behind", 1, (const int64_t[]){1});
    ck_assert_ok(lighter_write(client, PEER_HANDLE, outputs, 0, 0, &oops));
    lighter_outputs_free(outputs);
}

/* Run `serve` against a client that writes tensors of these sizes. */
static void
write_all(void (*serve)(struct peer *peer), const size_t *sizes, size_t n_sizes)
{
    struct lighter_client *client;
    struct peer peer;

    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i % 251);
    peer_start(&peer, SIZE_MAX, serve);
    client = peer_open_job(&peer);
    for (size_t i = 0; i < n_sizes; i++)
        write_large(client, sizes[i]);
    ck_assert_ok(lighter_commit(client, PEER_HANDLE, &oops));

    lighter_disconnect(client);
    peer_finish(&peer);
}

/* Room for two batches; the third waits. A small tensor needs no memory. */
static void
serve_full(struct peer *peer)
{
    struct pollfd poll_fd = {.fd = peer->fd, .events = POLLIN};
    uint32_t first, second;

    peer->max_memory_bytes = 2 * MEMORY_WORTH + 1;
    peer_greet_and_accept_job(peer);
    expect_bytes(peer, MEMORY_WORTH - 1);
    peer_answer(peer, peer->request.id);
    peer_expect(peer, "memory");
    ck_assert_int_eq(peer_param(peer, "size"), 2 * MEMORY_WORTH);
    peer_answer(peer, peer->request.id);
    expect_place(peer, 0, MEMORY_WORTH);
    first = peer->request.id;
    expect_place(peer, MEMORY_WORTH, MEMORY_WORTH);
    second = peer->request.id;

    ck_assert_int_eq(poll(&poll_fd, 1, 30), 0);
    peer_answer(peer, second);
    expect_place(peer, MEMORY_WORTH, MEMORY_WORTH);
    peer_answer(peer, peer->request.id);
    peer_answer(peer, first);
}

START_TEST(a_batch_has_its_slot_until_it_is_answered)
{
    const size_t sizes[] = {MEMORY_WORTH - 1, MEMORY_WORTH, MEMORY_WORTH, MEMORY_WORTH};

    write_all(serve_full, sizes, 4);
}
END_TEST

static void
serve_without(struct peer *peer)
{
    peer->max_memory_bytes = 1 << 20;
    peer_greet_and_accept_job(peer);
    peer_expect(peer, "memory");
    peer_refuse(peer, peer->request.id,
                (struct lighter_error){LIGHTER_E_LIMIT, 0, -1, "no"});
    for (int i = 0; i < 2; i++) { /* it is not asked again */
        expect_bytes(peer, 2 * MEMORY_WORTH);
        peer_answer(peer, peer->request.id);
    }
}

START_TEST(without_memory_all_goes_through_the_socket)
{
    const size_t sizes[] = {2 * MEMORY_WORTH, 2 * MEMORY_WORTH};

    write_all(serve_without, sizes, 2);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("client_memory");
    TCase *tcase;

    tcase = unit_case(suite, "slots");
    tcase_add_test(tcase, the_lowest_slot_that_is_free_is_taken);
    tcase_add_test(tcase, slots_never_overlap);
    tcase_add_test(tcase, the_size_follows_the_first_batch_and_the_limit);

    tcase = unit_case(suite, "with a daemon");
    tcase_add_test(tcase, a_batch_has_its_slot_until_it_is_answered);
    tcase_add_test(tcase, without_memory_all_goes_through_the_socket);
    return unit_main(suite);
}
