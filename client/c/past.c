/* past.c - see past.h, and lighter_skip() in lighter/client.h. */
#include "client/c/past.h"

#include "client/c/answer.h"
#include "client/c/client.h"
#include "util/error.h"
#include "wire/params.h"

#include <inttypes.h>

#define ANOTHER_RUN "this is not the run that was interrupted: "
#define WHAT_TO_DO                                                                     \
    "Give the same batches in the same order as before, or begin anew, without "       \
    "`resume`"

enum { PAST_UNKNOWN = 1 };

void
past_begin(struct past *past, int64_t n_committed)
{
    *past = (struct past){.n_committed = n_committed, .next = 1};
}

void
past_done(struct past *past)
{
    message_done(&past->page);
}

/* ---- what the daemon tells ----------------------------------------------------- */

static int
call_past(struct session *session, int64_t handle, int64_t seq,
          struct message *ret_answer, struct lighter_error *err)
{
    int r;

    do {
        struct message_out out;
        struct frame frame;

        message_begin_request(&out, SESSION_CALL_ID, "past");
        msgpack_pack_map(&out.packer, 2);
        pack_key_int(&out.packer, "job", handle);
        pack_key_int(&out.packer, "seq", seq);
        r = message_finish(&out, &frame, err);
        if (r == 0)
            r = session_call(session, &frame, ret_answer, err); /* takes */
    } while (r == SESSION_LOST);
    return r;
}

static int
ask_page(struct past *past, struct session *session, int64_t handle,
         struct lighter_error *err)
{
    struct message page;
    int64_t next = 0;
    int r = call_past(session, handle, past->next, &page, err);

    if (r < 0)
        return r;
    message_done(&past->page);
    past->page = page; /* moved */
    past->runs = (msgpack_object_array){0};
    r = params_required(params_array(page.result, "runs", &past->runs, err), "runs",
                        err);
    if (r == 0)
        r = params_required(params_int(page.result, "next", 0, INT64_MAX, &next, err),
                            "next", err);
    if (r == 0 && next && next <= past->next)
        r = lighter_fail(err, LIGHTER_E_PROTOCOL,
                         "'next' is %" PRId64 ", of batches from %" PRId64 " on", next,
                         past->next);
    if (r < 0)
        return answer_malformed("past", err);
    past->run = (struct past_run){.first = past->next};
    past->next = next;
    return 0;
}

static bool
read_int(const msgpack_object *object, int64_t min, int64_t *ret)
{
    bool is_small =
        object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX;

    if (!is_small && object->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return false;
    *ret = object->via.i64;
    return *ret >= min;
}

/* [count, batch_idx, dataloader_idx, samples]; the indices may be nil. */
static int
read_run(const msgpack_object *object, struct past_run *run, struct lighter_error *err)
{
    const msgpack_object *items = object->via.array.ptr;
    bool is_array = object->type == MSGPACK_OBJECT_ARRAY && object->via.array.size == 4;

    run->first += run->count;
    run->is_known = is_array && items[1].type != MSGPACK_OBJECT_NIL;
    if (is_array && read_int(&items[0], 1, &run->count) &&
        run->count <= INT64_MAX - run->first &&
        read_int(&items[3], 0, &run->n_samples) &&
        (!run->is_known || (read_int(&items[1], INT64_MIN, &run->batch_idx) &&
                            run->batch_idx <= INT64_MAX - run->count &&
                            read_int(&items[2], INT64_MIN, &run->dataloader_idx))))
        return 0;
    run->count = 0;
    lighter_fail(err, LIGHTER_E_PROTOCOL,
                 "'runs' expects [count, batch_idx, dataloader_idx, samples]");
    return answer_malformed("past", err);
}

/* Let `run` be the one that the batch is in. Return: 0; PAST_UNKNOWN; -errno. */
static int
find_run(struct past *past, struct session *session, int64_t handle, int64_t seq,
         struct lighter_error *err)
{
    int r = 0;

    while (r == 0 && seq >= past->run.first + past->run.count) {
        if (past->runs.size) {
            r = read_run(past->runs.ptr++, &past->run, err);
            past->runs.size--;
        } else if (past->next)
            r = ask_page(past, session, handle, err);
        else
            r = PAST_UNKNOWN;
    }
    return r == 0 && !past->run.is_known ? PAST_UNKNOWN : r;
}

/* ---- what is given now --------------------------------------------------------- */

struct batch {
    int64_t seq, n_samples; /* n_samples below 0: not told */
    int64_t batch_idx, dataloader_idx;
};

/* A batch that was refused has no samples, whatever it had. */
static int
compare(const struct past_run *run, const struct batch *batch,
        struct lighter_error *err)
{
    int64_t batch_idx = run->batch_idx + (batch->seq - run->first);

    if (batch_idx != batch->batch_idx || run->dataloader_idx != batch->dataloader_idx)
        return lighter_fail(
            err, LIGHTER_E_STATE,
            ANOTHER_RUN "batch %" PRId64 " of this rank had batch_idx %" PRId64
                        " of dataloader %" PRId64 ", now it has batch_idx %" PRId64
                        " of dataloader %" PRId64 ". Nothing was written. " WHAT_TO_DO,
            batch->seq, batch_idx, run->dataloader_idx, batch->batch_idx,
            batch->dataloader_idx);
    if (batch->n_samples >= 0 && run->n_samples && run->n_samples != batch->n_samples)
        return lighter_fail(err, LIGHTER_E_STATE,
                            ANOTHER_RUN "batch %" PRId64 " of this rank had %" PRId64
                                        " samples (batch_idx %" PRId64
                                        "), now it has %" PRId64
                                        " samples. Nothing was written. " WHAT_TO_DO,
                            batch->seq, run->n_samples, batch_idx, batch->n_samples);
    return 0;
}

int
lighter_skip(struct lighter_client *client, int64_t handle, int64_t n_samples,
             int64_t batch_idx, int64_t dataloader_idx, struct lighter_error *err)
{
    struct client_job *job = find_job(client, handle, err);
    struct past *past;
    int r = 0;

    if (!job)
        return -EINVAL;
    past = &job->past;
    if (past->n_passed == past->n_committed || job->seq > past->n_committed)
        return 0;
    if (client->tells_past)
        r = find_run(past, &client->session, handle, past->n_passed + 1, err);
    if (r == 0 && past->run.is_known)
        r = compare(
            &past->run,
            &(struct batch){past->n_passed + 1, n_samples, batch_idx, dataloader_idx},
            err);
    if (r < 0)
        return r;
    past->n_passed++;
    return LIGHTER_SKIPPED;
}

static bool
is_all_passed(const struct past *past)
{
    return past->n_passed == 0 || past->n_passed == past->n_committed;
}

int
past_check_write(const struct past *past, struct lighter_error *err)
{
    if (is_all_passed(past))
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        "%" PRId64
                        " batches of this rank are written already, and %" PRId64
                        " of them were passed over: lighter_skip() says of each batch "
                        "whether it is to be written",
                        past->n_committed, past->n_passed);
}

int
past_check_end(const struct past *past, uint32_t rank, struct lighter_error *err)
{
    if (is_all_passed(past))
        return 0;
    return lighter_fail(err, LIGHTER_E_STATE,
                        ANOTHER_RUN "rank %" PRIu32 " had written %" PRId64
                                    " batches, and now only %" PRId64
                                    " came. " WHAT_TO_DO,
                        rank, past->n_committed, past->n_passed);
}
