/* batch.c - see batch.h. */
#include "daemon/batch.h"

#include "util/error.h"
#include "wire/params.h"
#include "wire/value.h"

#define ZONE_CHUNK_SIZE 1024 /* of values: a batch of tensors needs no more */

static void
batch_free(struct batch *batch)
{
    if (batch->zone)
        msgpack_zone_free(batch->zone);
    free(batch->frame.data);
    memory_unref(batch->memory);
    free(batch);
}

static int
parse_numbers(struct batch *batch, const msgpack_object *params,
              struct lighter_error *err)
{
    int64_t seq;
    int r =
        params_required(params_int(params, "seq", 1, INT64_MAX, &seq, err), "seq", err);

    if (r < 0)
        return r;
    batch->seq = (uint64_t)seq;
    r = params_int(params, "batch_idx", 0, INT64_MAX, &batch->batch_idx, err);
    if (r >= 0)
        r = params_int(params, "dataloader_idx", 0, INT64_MAX, &batch->dataloader_idx,
                       err);
    return r < 0 ? r : 0;
}

/* Outputs on their way to values. `memory.used`: bytes of client memory that their
 * tensors have, in all.
 */
struct reading {
    struct batch *batch;
    struct value_memory memory;
};

/* `name`: the key that they stand under. */
static int
read_outputs(struct reading *reading, const msgpack_object *object, const char *name,
             struct lighter_value *ret_outputs, struct lighter_error *err)
{
    const struct lighter_value *key;
    int r = value_convert(object, reading->batch->memory ? &reading->memory : NULL,
                          reading->batch->zone, ret_outputs, err);

    if (r < 0)
        return r;
    if (ret_outputs->type != LIGHTER_MAP)
        return lighter_fail(err, LIGHTER_E_TYPE, "'%s' expects a map, got a tensor",
                            name);
    for (uint32_t i = 0; i < ret_outputs->count; i++) {
        key = &ret_outputs->as.items[2 * i];
        if (key->type != LIGHTER_STRING)
            return lighter_fail(err, LIGHTER_E_TYPE, "a key of '%s' is %s", name,
                                lighter_type_name(key->type));
    }
    return 0;
}

static int
read_for_all(struct reading *reading, const msgpack_object *outputs,
             struct lighter_error *err)
{
    struct batch *batch = reading->batch;
    int r = read_outputs(reading, outputs, "outputs", &batch->outputs, err);

    for (unsigned i = 0; i < batch->n_shares && r == 0; i++)
        batch->shares[i].view.outputs = &batch->outputs;
    return r;
}

/* An entry of `only`: a writer's index, and the outputs that are its alone. */
static int
read_for_one(struct reading *reading, const msgpack_object_kv *entry,
             struct lighter_error *err)
{
    const struct batch *batch = reading->batch;
    const msgpack_object *index = &entry->key;
    struct batch_share *share;
    int r;

    if (index->type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
        index->via.u64 >= batch->n_shares)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "a key of 'only' expects the index of a writer, an int "
                            "from 0 to %u",
                            batch->n_shares - 1);
    share = &reading->batch->shares[index->via.u64];
    if (share->view.outputs)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'only' has the writer %u more than once",
                            (unsigned)index->via.u64);
    if (entry->val.type != MSGPACK_OBJECT_MAP)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'only' expects a map for the writer %u, got %s",
                            (unsigned)index->via.u64, params_type_name(&entry->val));
    r = read_outputs(reading, &entry->val, "only", &share->outputs, err);
    if (r == 0)
        share->view.outputs = &share->outputs;
    return r;
}

static int
read_only(struct reading *reading, const msgpack_object *only,
          struct lighter_error *err)
{
    int r = 0;

    for (uint32_t i = 0; i < only->via.map.size && r == 0; i++)
        r = read_for_one(reading, &only->via.map.ptr[i], err);
    return r;
}

static int
parse_outputs(struct reading *reading, const msgpack_object *params,
              struct lighter_error *err)
{
    const msgpack_object *outputs = NULL, *only = NULL;
    int r = params_map(params, "outputs", &outputs, err);

    if (r >= 0)
        r = params_map(params, "only", &only, err);
    if (r < 0)
        return r;
    if (outputs && only)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "'outputs' and 'only' came together: 'outputs' is for all "
                            "writers, 'only' for those that it names");
    if (!outputs && !only)
        return params_required(PARAMS_ABSENT, "outputs", err);
    return outputs ? read_for_all(reading, outputs, err)
                   : read_only(reading, only, err);
}

/* The frame, its values, and what a batch of one number takes. A list of small numbers
 * takes forty times the bytes that it had on the wire.
 */
static size_t
size_of(const struct batch *batch, const struct message *message)
{
    return sizeof *batch + batch->n_shares * sizeof *batch->shares + ZONE_CHUNK_SIZE +
           message->frame.size + message->n_objects * sizeof(struct lighter_value);
}

static int
parse(struct reading *reading, const msgpack_object *params, struct lighter_error *err)
{
    struct batch *batch = reading->batch;
    int r = parse_numbers(batch, params, err);

    if (r < 0)
        return r;
    batch->zone = msgpack_zone_new(ZONE_CHUNK_SIZE);
    return batch->zone ? parse_outputs(reading, params, err) : fail_nomem(err);
}

/* *ret_used: bytes of client memory that its tensors have. */
static void
read_message(struct batch *batch, const msgpack_object *params, size_t *ret_used)
{
    struct reading reading = {.batch = batch};

    if (batch->memory)
        reading.memory =
            (struct value_memory){batch->memory->data, batch->memory->size, 0};
    batch->is_unreadable = parse(&reading, params, &batch->error) < 0;
    *ret_used = batch->is_unreadable ? 0 : reading.memory.used;
    for (unsigned i = 0; i < batch->n_shares; i++) {
        struct lighter_batch *view = &batch->shares[i].view;

        batch->shares[i].batch = batch;
        view->size = sizeof *view;
        view->seq = batch->seq;
        view->batch_idx = batch->batch_idx;
        view->dataloader_idx = batch->dataloader_idx;
    }
}

/* What is left of the message: the bytes that the values point into. Its objects go at
 * once, so that the next message has theirs, still warm in a cache.
 */
static void
take_frame(struct batch *batch, struct message *message)
{
    batch->frame = message->frame;
    message->frame = (struct frame){0};
    message_done(message);
}

int
batch_new(struct batch **ret_batch, struct message *message, struct memory *memory,
          struct reply *reply, unsigned n_shares, struct lighter_error *err)
{
    struct batch *batch = calloc(1, sizeof *batch + n_shares * sizeof *batch->shares);
    size_t used;

    if (!batch) {
        message_done(message);
        return fail_nomem(err);
    }
    batch->n_shares = n_shares;
    batch->memory = memory_ref(memory);
    read_message(batch, message->params, &used);
    batch->charge = size_of(batch, message) + used;
    take_frame(batch, message);
    batch->reply = reply_take(reply);
    peer_charge(batch->reply.peer, batch->charge);
    *ret_batch = batch;
    return 0;
}

void
batch_refuse(struct batch_share *share, const struct lighter_error *error)
{
    struct batch *batch = share->batch;

    if (batch->refuser)
        return;
    batch->refuser = share;
    if (!batch->is_unreadable) /* else it says so already */
        batch->error = *error;
}

uint64_t
batch_share_numbers(const struct batch_share *share)
{
    return share->batch->is_checked ? share->n_samples : 0;
}

static void
answer(struct batch *batch, const char *writer)
{
    if (batch->is_unreadable)
        reply_error(&batch->reply, &batch->error, NULL);
    else if (batch->refuser)
        reply_error(&batch->reply, &batch->error, writer);
    else
        reply_empty(&batch->reply);
}

void
batch_answer(struct batch *batch, const char *writer)
{
    struct peer *peer = peer_ref(batch->reply.peer);

    answer(batch, writer);
    peer_release(peer, batch->charge);
    peer_unref(peer);
    batch_free(batch);
}
