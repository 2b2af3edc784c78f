/* write.c - batches of a job: written, and committed. See lighter/client.h.
 *
 * A job counts its batches without an answer, and keeps the first error among the
 * answers until a call can return it.
 */
#include "client/c/client.h"

#include "client/c/answer.h"
#include "client/c/outputs.h"
#include "util/error.h"

#include <inttypes.h>

static int
wrap_batch(struct lighter_error *err, int r, int64_t batch_idx, int64_t dataloader_idx)
{
    if (dataloader_idx)
        return error_wrap(err, r, "batch %" PRId64 " of dataloader %" PRId64, batch_idx,
                          dataloader_idx);
    return error_wrap(err, r, "batch %" PRId64, batch_idx);
}

static void
on_batch_answer(const struct request *request, const struct message *answer)
{
    struct client_job *job = request->owner;

    job->n_unanswered--;
    if (answer->error && job->n_failed++ == 0) {
        job->failed = answer_error(answer->error, &job->why);
        wrap_batch(&job->why, 0, request->batch_idx, request->dataloader_idx);
    }
}

/* What earlier batches failed with, once. */
static int
take_failure(struct client_job *job, struct lighter_error *err)
{
    size_t used = strlen(job->why.message);

    if (job->n_failed == 0)
        return 0;
    if (job->n_failed > 1)
        snprintf(job->why.message + used, sizeof job->why.message - used,
                 " (and %u more failed)", job->n_failed - 1);
    if (err)
        *err = job->why;
    job->n_failed = 0;
    return job->failed;
}

/* The envelope with an empty map of outputs is a whole message, so the codec makes and
 * checks it; the map's last byte then gives way to a head with the true count.
 */
static int
pack_write(struct session *session, const struct client_job *job,
           const struct request *batch, struct frame *ret_frame,
           struct lighter_error *err)
{
    struct message_out out;

    message_begin_request(&out, session->next_id, "write");
    msgpack_pack_map(&out.packer, 5);
    pack_key_int(&out.packer, "job", job->handle);
    pack_key_int(&out.packer, "seq", job->seq + 1);
    pack_key_int(&out.packer, "batch_idx", batch->batch_idx);
    pack_key_int(&out.packer, "dataloader_idx", batch->dataloader_idx);
    pack_key(&out.packer, "outputs");
    msgpack_pack_map(&out.packer, 0);
    return message_finish(&out, ret_frame, err);
}

#define MAP_HEAD_SIZE 5

static void
map_head(uint8_t head[MAP_HEAD_SIZE], uint32_t count)
{
    head[0] = 0xdf; /* map 32: a big-endian count follows, as at a frame's head */
    frame_head(head + 1, count);
}

/* With its head, and without what is in memory. */
static size_t
frame_size(const struct frame *envelope, const struct lighter_outputs *outputs)
{
    return envelope->size - 1 + MAP_HEAD_SIZE + outputs_size(outputs);
}

/* Envelope, map head and outputs in one, to be kept until the batch is answered. */
static int
join(const struct frame *envelope, const struct lighter_outputs *outputs,
     struct frame *ret_frame, struct lighter_error *err)
{
    size_t size = frame_size(envelope, outputs), before = envelope->size - 1;
    uint8_t *bytes = malloc(size);

    if (!bytes)
        return fail_nomem(err);
    memcpy(bytes, envelope->data, before);
    map_head(bytes + before, (uint32_t)outputs->n_keys);
    outputs_copy(outputs, bytes + before + MAP_HEAD_SIZE);
    frame_head(bytes, (uint32_t)(size - FRAME_HEAD_SIZE));
    *ret_frame = (struct frame){bytes, size};
    return 0;
}

/* Wait for room, and have the large tensors where the daemon reads them. Without memory
 * they become parts of the frame.
 */
static int
make_room(struct session *session, const struct frame *envelope,
          const struct lighter_outputs *outputs, struct request *batch,
          struct lighter_error *err)
{
    size_t placed = outputs_choose(outputs, session->memory_room);
    int r;

    batch->size = frame_size(envelope, outputs);
    r = session_check_size(session, batch->size, err);
    if (r == 0)
        r = session_check_objects(session, outputs->n_objects, err);
    if (r < 0)
        return wrap_batch(err, r, batch->batch_idx, batch->dataloader_idx);
    batch->size += placed;
    r = session_make_room(session, batch->size, err);
    if (r < 0 || placed == 0)
        return r;
    r = session_take_slot(session, placed, &batch->slot, err);
    if (r == SESSION_NO_MEMORY) /* which is then so for all that follow, this first */
        return make_room(session, envelope, outputs, batch, err);
    if (r == 0)
        outputs_place(outputs, session->memory.bytes, batch->slot.start);
    return r;
}

/* Takes the slot of the batch, also on error. What earlier batches failed with comes
 * when this one is sent.
 */
static int
send_joined(struct session *session, struct client_job *job,
            const struct frame *envelope, const struct lighter_outputs *outputs,
            struct request *batch, struct lighter_error *err)
{
    int r = join(envelope, outputs, &batch->frame, err);

    if (r < 0) {
        if (batch->slot.size)
            memory_give_back(&session->memory, batch->slot);
        return r;
    }
    batch->seq = ++job->seq;
    job->n_unanswered++; /* before it is sent: answers are taken meanwhile */
    r = session_send(session, batch, err);
    return r < 0 ? r : take_failure(job, err);
}

/* Answers are taken before the batch is sent: those that are there, and more of them
 * while there is no room.
 */
static int
send_batch(struct session *session, struct client_job *job,
           const struct lighter_outputs *outputs, struct request *batch,
           struct lighter_error *err)
{
    AUTO(free_bytes) uint8_t *bytes = NULL;
    struct frame envelope;
    size_t placed = outputs_choose(outputs, session->memory_room);
    int r = placed ? session_share_memory(session, placed, err) : 0;

    if (r == 0)
        r = pack_write(session, job, batch, &envelope, err);
    if (r < 0)
        return r;
    bytes = envelope.data;
    r = make_room(session, &envelope, outputs, batch, err);
    return r < 0 ? r : send_joined(session, job, &envelope, outputs, batch, err);
}

int
lighter_write(struct lighter_client *client, int64_t handle,
              const struct lighter_outputs *outputs, int64_t batch_idx,
              int64_t dataloader_idx, struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    struct request batch = {.on_answer = on_batch_answer,
                            .owner = job,
                            .batch_idx = batch_idx,
                            .dataloader_idx = dataloader_idx};
    int r;

    if (!job)
        return -EINVAL;
    r = outputs_check(outputs, err);
    if (r == 0)
        r = past_check_write(&job->past, err);
    if (r < 0)
        return wrap_batch(err, r, batch_idx, dataloader_idx);
    r = session_poll(&client->session, err);
    return r < 0 ? r : send_batch(&client->session, job, outputs, &batch, err);
}

int
job_commit(struct session *session, struct client_job *job, struct lighter_error *err)
{
    int r = 0;

    while (r == 0 && job->n_unanswered)
        r = session_wait(session, err);
    return r < 0 ? r : take_failure(job, err);
}

int
lighter_commit(struct lighter_client *client, int64_t handle, struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);

    return job ? job_commit(&client->session, job, err) : -EINVAL;
}

int64_t
lighter_handed_over(const struct lighter_client *client, int64_t handle)
{
    const struct client_job *job = find_job(client, handle, NULL);

    return job ? job->seq : -1;
}
