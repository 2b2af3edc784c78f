/* ending.c - see ending.h. */
#include "daemon/ending.h"

#include "daemon/job_internal.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* What the record's text begins with. The reason follows, with its NUL, and then for
 * each writer a struct counts. Numbers of states never change.
 */
struct head {
    uint32_t state, n_ended;
    uint64_t n_batches;
};

struct counts {
    uint64_t n_samples, n_bytes, n_refused;
};

struct job_ending {
    struct head head;
    char reason[LIGHTER_ERROR_TEXT_MAX];
    size_t n_counts;
    struct counts counts[];
};

static const enum job_state states[] = {
    [1] = JOB_PUBLISHED, JOB_FAILED, JOB_INTERRUPTED, JOB_ABORTED};

#define N_STATES (sizeof states / sizeof *states)

static uint32_t
number_of(enum job_state state)
{
    uint32_t number = 1;

    while (number < N_STATES && states[number] != state)
        number++;
    return number;
}

int
ending_append(struct job *job, enum job_state state, struct lighter_error *err)
{
    const char *reason = state == JOB_PUBLISHED ? "" : job->error.message;
    size_t reason_size = strlen(reason) + 1,
           size = sizeof(struct head) + reason_size +
                  job->n_outputs * sizeof(struct counts);
    struct head head = {number_of(state), job->n_ended, job->n_batches};
    struct journal_record over = {
        .kind = JOURNAL_OVER, .seq = job->is_inherited, .text_size = size};
    AUTO(free_bytes) char *text = malloc(size);
    char *at = text;

    if (!text)
        return fail_nomem(err);
    memcpy(at, &head, sizeof head);
    memcpy(at += sizeof head, reason, reason_size);
    at += reason_size;
    for (uint32_t i = 0; i < job->n_outputs; i++) {
        const struct job_output *output = &job->outputs[i];
        struct counts counts = {output->n_samples, output->n_bytes, output->n_refused};

        memcpy(at, &counts, sizeof counts);
        at += sizeof counts;
    }
    over.text = text;
    return journal_append(&job->journal, &over, err);
}

int
ending_keep(struct job *job, const struct journal_record *record,
            struct lighter_error *err)
{
    size_t left = record->text_size, n_counts;
    const char *at = record->text;
    struct job_ending *ending;
    const char *end;

    ending_forget(job);
    job->was_live = false;
    job->is_inherited |= record->seq != 0;
    end = left > sizeof ending->head
              ? memchr(at + sizeof ending->head, 0, left - sizeof ending->head)
              : NULL;
    if (!end)
        return lighter_fail(err, LIGHTER_E_PROTOCOL,
                            "a record of an end has no reason");
    n_counts = (size_t)(at + left - (end + 1)) / sizeof *ending->counts;
    ending = calloc(1, sizeof *ending + n_counts * sizeof *ending->counts);
    if (!ending)
        return fail_nomem(err);
    memcpy(&ending->head, at, sizeof ending->head);
    snprintf(ending->reason, sizeof ending->reason, "%s", at + sizeof ending->head);
    ending->n_counts = n_counts;
    memcpy(ending->counts, end + 1, n_counts * sizeof *ending->counts);
    job->ending = ending;
    return 0;
}

void
ending_forget(struct job *job)
{
    free(job->ending);
    job->ending = NULL;
}

static void
show_published(struct job *job, const struct job_ending *ending)
{
    job->n_ended = ending->head.n_ended;
    job->n_batches = ending->head.n_batches;
    for (size_t i = 0; i < job->n_outputs && i < ending->n_counts; i++) {
        job->outputs[i].n_samples = ending->counts[i].n_samples;
        job->outputs[i].n_bytes = ending->counts[i].n_bytes;
        job->outputs[i].n_refused = ending->counts[i].n_refused;
    }
}

bool
ending_show(struct job *job)
{
    const struct job_ending *ending = job->ending;
    uint32_t number = ending ? ending->head.state : 0;

    if (number == 0 || number >= N_STATES ||
        (states[number] == JOB_PUBLISHED) != job->is_published)
        return false;
    job->state = states[number];
    if (job->is_published)
        show_published(job, ending);
    else
        lighter_fail(&job->error, LIGHTER_E_STATE, "%s", ending->reason);
    return true;
}
