/* spec.h - what a rank brings to `open`: which job, which rank, and what it writes.
 *
 * In: the request. Out: a checked description, from which a job is made, or with which
 * it is compared. The request's bytes stay with it: they are what a journal remembers
 * of a job, so that what was said to one daemon can be said to the next.
 */
#ifndef DAEMON_SPEC_H
#define DAEMON_SPEC_H

#include "daemon/policy.h"
#include "daemon/writer.h"
#include "wire/message.h"

#define JOB_NAME_MAX 100 /* bytes */
#define JOB_STAGE_SIZE 16
#define JOB_ATTEMPT_SIZE 65 /* bytes, with its NUL */
#define JOB_FINGERPRINT_MAX 1024
#define JOB_WRITERS_MAX 64
#define JOB_WORLD_MAX 65536

/* Writers, policies and request move to the job that is made of it. */
struct job_spec {
    char name[JOB_NAME_MAX + 1];
    char stage[JOB_STAGE_SIZE];
    uint32_t rank, world_size;
    uint64_t total; /* batches of this rank; 0: it does not say */
    int64_t
        rank_wait_ms; /* for ranks that do not come; 0: for ever; -1: as it is set */
    char attempt[JOB_ATTEMPT_SIZE]; /* which start of the program; "": nobody knows */
    char *fingerprint; /* of what it computes with, or NULL; owned, and moves too */
    struct writer *writers; /* owned */
    uint32_t n_writers;
    struct policies policies; /* owned */
    struct frame request;     /* the body of the `open`; owned */
    struct frame asked;       /* the writers that its pipeline stands for, packed; empty
                                 where it lists them itself. Owned, and moves too */
    bool moved;               /* the job has them now */

    bool again;        /* sent before, to a daemon that died */
    bool resume;       /* go on where the job was left, if it was */
    uint64_t id;       /* of that job; 0: whichever it is */
    uint64_t answered; /* seq of the last batch that the client knows the fate of */
    int64_t handle;    /* what the client wants to call it; 0: the session says */
    uint64_t follows;  /* id of the job in which this rank has ended, and after which it
                          waits to come: admission.c says; 0: there is none */
};

/* Read the request `message`, which stays the caller's.
 * Return: 0; -EINVAL or another that option_parse() gives; -ENOMEM.
 */
int job_spec_init(struct job_spec *spec, const struct registry *registry,
                  const struct message *message, struct lighter_error *err);
void job_spec_done(struct job_spec *spec);

/* Are its writers what they say (writer_check())? Return: 0; -EINVAL. */
int job_spec_check(const struct job_spec *spec, struct lighter_error *err);

/* Is it of a client that has opened this very job before? Its writers are the job's,
 * whatever the configuration says by now.
 */
bool job_spec_comes_back(const struct job_spec *spec);

#endif
