/* job.c - see job.h. What is to be said of one job. */
#include "daemon/job_internal.h"

const char *
job_state_name(const struct job *job)
{
    static const char *const names[] = {"preparing", "open",   "publishing",
                                        "published", "failed", "interrupted",
                                        "aborted"};

    return names[job->doom != JOB_OPEN ? job->doom : job->state];
}

const char *
job_waits(const struct job *job)
{
    if (job->state != JOB_OPEN)
        return NULL;
    for (uint32_t i = 0; i < job->world_size; i++)
        for (uint32_t j = 0; job->ranks[i].streams && j < job->n_outputs; j++)
            if (job->ranks[i].streams[j].full)
                return job->ranks[i].streams[j].parts[0].error.message;
    return NULL;
}

void
job_doom(struct job *job, enum job_state state, const char *format, ...)
{
    char reason[LIGHTER_ERROR_TEXT_MAX];
    va_list args;

    if (job->doom != JOB_OPEN)
        return;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    job->doom = state;
    lighter_fail(&job->error, LIGHTER_E_STATE,
                 "job '%s' is not published: %.800s; what was written stays aside",
                 job->name, reason);
    job_answer_waiting(job, &job->error);
}
