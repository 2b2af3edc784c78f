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
    batch->view.seq = (uint64_t)seq;
    r = params_int(params, "batch_idx", 0, INT64_MAX, &batch->view.batch_idx, err);
    if (r >= 0)
        r = params_int(params, "dataloader_idx", 0, INT64_MAX,
                       &batch->view.dataloader_idx, err);
    return r < 0 ? r : 0;
}

/* *ret_used: bytes of client memory that its tensors have. */
static int
parse_outputs(struct batch *batch, const msgpack_object *params, size_t *ret_used,
              struct lighter_error *err)
{
    struct value_memory memory = {0};
    const msgpack_object *outputs;
    int r =
        params_required(params_map(params, "outputs", &outputs, err), "outputs", err);

    if (batch->memory)
        memory = (struct value_memory){batch->memory->data, batch->memory->size, 0};
    if (r == 0)
        r = value_convert(outputs, batch->memory ? &memory : NULL, batch->zone,
                          &batch->outputs, err);
    if (r < 0)
        return r;
    if (batch->outputs.type != LIGHTER_MAP)
        return lighter_fail(err, LIGHTER_E_TYPE,
                            "'outputs' expects a map, got a tensor");
    for (uint32_t i = 0; i < batch->outputs.count; i++)
        if (batch->outputs.as.items[2 * i].type != LIGHTER_STRING)
            return lighter_fail(err, LIGHTER_E_TYPE, "a key of 'outputs' is %s",
                                lighter_type_name(batch->outputs.as.items[2 * i].type));
    batch->view.outputs = &batch->outputs;
    *ret_used = memory.used;
    return 0;
}

/* The frame, its values, and what a batch of one number takes. A list of small numbers
 * takes forty times the bytes that it had on the wire.
 */
static size_t
size_of(const struct message *message)
{
    return sizeof(struct batch) + ZONE_CHUNK_SIZE + message->frame.size +
           message->n_objects * sizeof(struct lighter_value);
}

static int
parse(struct batch *batch, const msgpack_object *params, size_t *ret_used,
      struct lighter_error *err)
{
    int r = parse_numbers(batch, params, err);

    if (r < 0)
        return r;
    batch->zone = msgpack_zone_new(ZONE_CHUNK_SIZE);
    return batch->zone ? parse_outputs(batch, params, ret_used, err) : fail_nomem(err);
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
          struct reply *reply, unsigned n_streams, struct lighter_error *err)
{
    struct batch *batch = calloc(1, sizeof *batch);
    size_t used = 0;

    if (!batch) {
        message_done(message);
        return fail_nomem(err);
    }
    batch->memory = memory_ref(memory);
    batch->view.size = sizeof batch->view;
    batch->is_refused = parse(batch, message->params, &used, &batch->error) < 0;
    batch->charge = size_of(message) + used;
    take_frame(batch, message);
    batch->n_waiting = n_streams;
    batch->reply = reply_take(reply);
    peer_charge(batch->reply.peer, batch->charge);
    *ret_batch = batch;
    return 0;
}

static void
answer(struct batch *batch)
{
    if (batch->is_refused)
        reply_error(&batch->reply, &batch->error, NULL);
    else if (batch->failed_writer)
        reply_error(&batch->reply, &batch->error, batch->failed_writer);
    else
        reply_empty(&batch->reply);
}

void
batch_done(struct batch *batch, int r, const struct lighter_error *error,
           const char *writer)
{
    struct peer *peer;

    if (r < 0 && !batch->is_refused && !batch->failed_writer) {
        batch->failed_writer = writer;
        batch->error = *error;
    }
    if (--batch->n_waiting)
        return;
    peer = peer_ref(batch->reply.peer);
    answer(batch);
    peer_release(peer, batch->charge);
    peer_unref(peer);
    batch_free(batch);
}
