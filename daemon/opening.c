/* opening.c - see opening.h. */
#include "daemon/opening.h"

#include "util/error.h"

#include <inttypes.h>
#include <stdlib.h>

#define OBJECT_COST 96 /* bytes, of one that is unpacked, made a text and printed */
#define FRAME_COPIES 3 /* itself, completed, and as it is remembered */

int
opening_read(struct job_spec *ret_spec, const struct pipelines *pipelines,
             const struct registry *registry, struct message *message,
             struct lighter_error *err)
{
    int r = pipelines_resolve(pipelines, registry, message, err);

    if (r == 0)
        r = job_spec_init(ret_spec, registry, message, err);
    if (r < 0 || job_spec_comes_back(ret_spec))
        return r;
    r = job_spec_check(ret_spec, err);
    if (r < 0)
        job_spec_done(ret_spec);
    return r;
}

/* ---- on a worker ---- */

/* Counted before there is memory for any. */
static int
check_size(struct opening *opening, struct lighter_error *err)
{
    uint64_t *n_objects = &opening->size.n_objects;
    int r = check_object(opening->frame.data, opening->frame.size, opening->max_objects,
                         n_objects, err);

    if (r == 0 && *n_objects > OPENING_OBJECTS_MAX)
        return lighter_fail(err, LIGHTER_E_LIMIT,
                            "'open' has %" PRIu64 " keys, parameters and other values; "
                            "the limit is %" PRIu64,
                            *n_objects, OPENING_OBJECTS_MAX);
    return r;
}

static void
run_read(uv_work_t *work)
{
    struct opening *opening = work->data;
    struct lighter_error *err = &opening->error;
    struct message message = {0};
    int r = check_size(opening, err);

    if (r == 0)
        r = message_parse(&message, &opening->frame, OPENING_OBJECTS_MAX, err);
    if (r == 0)
        r = opening_read(&opening->spec, opening->pipelines, opening->registry,
                         &message, err);
    message_done(&message);
    opening->result = r;
}

/* ---- on the loop ---- */

static void
after_read(uv_work_t *work, int status)
{
    struct opening *opening = work->data;
    struct peer *peer = peer_ref(opening->reply.peer);
    size_t charge = opening->charge;

    (void)status;
    if (opening->data)
        opening->on_read(opening->data, opening);
    else if (opening->result == 0)
        job_spec_done(&opening->spec);
    reply_done(&opening->reply);
    pipelines_free(opening->pipelines);
    free(opening->frame.data);
    free(opening);
    peer_release(peer, charge);
    peer_unref(peer);
}

/* Before it is known how many objects there are: an object has a byte at least. */
static size_t
cost_of(size_t n_bytes)
{
    size_t n_objects = n_bytes < OPENING_OBJECTS_MAX ? n_bytes : OPENING_OBJECTS_MAX;

    return FRAME_COPIES * n_bytes + n_objects * OBJECT_COST;
}

int
opening_begin(struct opening **ret_opening, const struct opening_setup *setup,
              struct frame *frame, struct reply *reply, struct lighter_error *err)
{
    struct opening *opening = calloc(1, sizeof *opening);

    if (!opening) {
        free(frame->data);
        *frame = (struct frame){0};
        return fail_nomem(err);
    }
    opening->registry = setup->registry;
    opening->pipelines = pipelines_ref(setup->pipelines);
    opening->frame = *frame; /* moved */
    *frame = (struct frame){0};
    opening->max_objects = setup->max_objects;
    opening->size.n_bytes = opening->frame.size;
    opening->charge = cost_of(opening->frame.size);
    opening->reply = reply_take(reply);
    opening->data = setup->data;
    opening->on_read = setup->on_read;
    peer_charge(opening->reply.peer, opening->charge);
    opening->task.work.data = opening;
    *ret_opening = opening;
    pool_submit(setup->pool, &opening->task, 0, run_read, after_read);
    return 0;
}

void
opening_forget(struct opening *opening)
{
    if (opening)
        opening->data = NULL;
}
