/* lighter/client.h - hand predictions to lighterd from C.
 *
 *     struct lighter_error err = LIGHTER_ERROR_INIT;
 *     struct lighter_client *client;
 *     struct lighter_job job;
 *
 *     lighter_connect(&client, NULL, "my-program 1.0", &err);
 *     lighter_open(client, &(struct lighter_job_spec){
 *         .job = "predictions",
 *         .writers_json = "[{\"type\": \"csv\", \"options\":"
 *                         " {\"path\": \"p.csv\", \"keys\": [\"id\", \"score\"]}}]",
 *     }, &job, &err);
 *     for each batch: lighter_outputs_clear(), _ints(), _tensor(), ...; lighter_write()
 *     lighter_end(client, job.handle, true, &err);    <- p.csv is there now, whole
 *     lighter_disconnect(client);
 *
 * examples/c/predict.c is this with every error looked at. Link with
 * `pkg-config --libs liblighter`; this header needs no other library's.
 *
 * Ownership: the client borrows everything for the length of a call and keeps none of
 * it: strings, arrays and tensor bytes may be changed or freed when a call returns.
 *
 * Threads: any thread, one at a time for one client (or one struct lighter_outputs).
 * Two clients have nothing in common. A child of fork() must not use its parent's:
 * calls fail there (LIGHTER_E_STATE). It should call lighter_disconnect(), which says
 * nothing to the daemon: else a parent that dies leaves a connection that seems to
 * live. What is executed has no copy.
 *
 * Errors: a call returns 0 (lighter_skip() 1, too), or a negative errno with `err`
 * filled (it may be NULL).
 * What the daemon refused has the code, the errno and the sample that the daemon gave.
 * Results (ret_*) are untouched then. A connection that broke (LIGHTER_E_PROTOCOL, or
 * LIGHTER_E_OS on a socket) stays broken: each later call answers the same error, and
 * batches without an answer may or may not have been written.
 *
 * A daemon that dies breaks nothing: whichever call notices it looks for the next one,
 * with the same socket path, again and again with pauses of 50 ms to 2 s; opens the
 * client's jobs there, sends again what has no answer, and goes on where it was. Each
 * batch is written once, whatever the daemon had done with it; one of which two daemons
 * have died is refused (LIGHTER_E_STATE). Only where none is there within a limit, or
 * it knows nothing of the jobs (it has another state directory, say), that call fails,
 * and the connection is broken. See lighter_set_reconnect(). This library starts no
 * daemon: systemd can (doc/service.md), or any other supervisor.
 *
 * Calls block, and go on after a signal. There are no time limits but that one: a job's
 * outputs are ready when the disk has taken them. A call that looks for the next daemon
 * blocks meanwhile; which is any with a `client` and an `err`, but lighter_connect()
 * and lighter_abort(). No thread is made, and nothing happens between calls.
 */
#ifndef LIGHTER_CLIENT_H
#define LIGHTER_CLIENT_H

#include <lighter/error.h>
#include <lighter/value.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

struct lighter_client;
struct lighter_outputs;

/* ---- connection ---------------------------------------------------------------- */

/* Find the daemon, connect, and agree on the protocol.
 *
 * `socket_path` NULL: $LIGHTERD_SOCKET, else the usual places (doc/protocol.md).
 * `client_name` is for people who look at the daemon, "my-program 1.0"; may be NULL.
 * *ret_client is owned: lighter_disconnect().
 * Return: 0; -ECONNREFUSED where no daemon listens, and only then; another negative
 *         errno.
 */
int lighter_connect(struct lighter_client **ret_client, const char *socket_path,
                    const char *client_name, struct lighter_error *err);

/* A job of this client waits, or goes on: what the daemon says of it, within whichever
 * call waits, after 10 s and then each minute. All of it is lent. Call no function of
 * this library with that client meanwhile.
 */
struct lighter_notice {
    int64_t handle;      /* of the job; of one that is being opened: what it will have */
    const char *reason;  /* "ranks", "space", "disk", "epoch"; NULL: it goes on */
    const char *message; /* a sentence for the user */
};
typedef void lighter_on_notice(void *context, const struct lighter_notice *notice);

/* Zero and NULL mean what is said here. */
struct lighter_connect_spec {
    const char *socket_path; /* as of lighter_connect() */
    const char *client_name; /* as of lighter_connect() */
    const char *owner; /* the user, by name or number, whose daemon it may be, besides
                          root. NULL: $LIGHTERD_OWNER, else this process's user */
    bool no_reconnect; /* as lighter_set_reconnect(client, 0), from the first word on */
    lighter_on_notice *on_notice; /* NULL: nothing is said. A program that waits without
                                     a word is a riddle: print the message */
    void *notice_context;         /* borrowed until lighter_disconnect() */
};

/* As lighter_connect(). Where another user listens than may be, that is LIGHTER_E_STATE,
 * and nothing was sent. A daemon that dies before it has answered is looked for again.
 */
int lighter_connect_as(struct lighter_client **ret_client,
                       const struct lighter_connect_spec *spec,
                       struct lighter_error *err);

/* How long a daemon that goes away is looked for before a call fails; 0 (or less): not
 * at all. Else $LIGHTERD_RECONNECT_SECONDS of the time of lighter_connect() says it, or
 * it is 300.
 */
void lighter_set_reconnect(struct lighter_client *client, double seconds);

/* End the connection, and free the client. A job that was opened and neither ended nor
 * aborted is then interrupted: nothing of it is published, and a process that opens it
 * with `resume` can go on with it. Takes NULL. Returns NULL.
 */
struct lighter_client *lighter_disconnect(struct lighter_client *client);

/* What the daemon said of itself, the last one where there were several. Lent until the
 * next call that may look for another one.
 */
struct lighter_hello {
    const char *socket_path;  /* where it listens */
    const char *server;       /* "lighterd 0.1.0" */
    int64_t pid;              /* of the daemon */
    int64_t max_frame_bytes;  /* of one batch on the wire */
    int64_t max_client_bytes; /* of batches without an answer */
    int64_t n_reconnects;     /* how often a daemon went away, and the next one came */
};

const struct lighter_hello *lighter_hello(const struct lighter_client *client);

/* The socket, to wait for its end with poll(). Lent, as lighter_hello(): it is another
 * one with another daemon, and -1 where none was found. Do not read, write or close it.
 */
int lighter_fd(const struct lighter_client *client);

/* ---- outputs of one batch ------------------------------------------------------ */

/* Outputs are keys with values, in the order in which they were put in. Nothing needs
 * a check here: the first thing that goes wrong (no memory, a key that came before, a
 * value too large for the wire) is kept, and lighter_write() returns it.
 *
 * Bytes of tensors are *lent*, from the call to the return of lighter_write(), which
 * copies them: large ones to memory that the daemon reads, the others to a frame, which
 * is kept until the daemon has answered. All else is copied at the call.
 */
struct lighter_outputs *lighter_outputs_new(void); /* returns owned; NULL: no memory */

/* Takes NULL. Returns NULL. */
struct lighter_outputs *lighter_outputs_free(struct lighter_outputs *outputs);

/* Forget all keys and what went wrong; keeps the memory for the next batch. */
void lighter_outputs_clear(struct lighter_outputs *outputs);

/* A tensor: the first axis counts the samples. `dtype` is an enum lighter_dtype.
 * `shape` has ndim (0 to LIGHTER_MAX_DIMS) lengths and is copied; ndim 0 is a scalar.
 * `data` is row-major, contiguous and little-endian: as many bytes as shape and dtype
 * ask for.
 */
void lighter_outputs_tensor(struct lighter_outputs *outputs, const char *key,
                            uint32_t dtype, uint32_t ndim, const uint64_t *shape,
                            const void *data);

/* A list, one item a sample. Texts are UTF-8; NULL among them is nil (Python's None).
 */
void lighter_outputs_strings(struct lighter_outputs *outputs, const char *key,
                             size_t count, const char *const *texts);
void lighter_outputs_ints(struct lighter_outputs *outputs, const char *key,
                          size_t count, const int64_t *values);
void lighter_outputs_floats(struct lighter_outputs *outputs, const char *key,
                            size_t count, const double *values);

/* One text for every sample of the batch. */
void lighter_outputs_text(struct lighter_outputs *outputs, const char *key,
                          const char *text);

/* Anything else that the wire can say: lists in lists, maps, bytes, bools, nil. Tensors
 * in it are lent, as above; the rest is copied. At most 29 lists and maps inside one
 * another; a tensor counts for two.
 */
void lighter_outputs_value(struct lighter_outputs *outputs, const char *key,
                           const struct lighter_value *value);

/* ---- jobs ---------------------------------------------------------------------- */

/* One epoch of one stage under a name (doc/protocol.md, "open"). Zero and NULL mean
 * what is said here, so that `= {.job = ..., .writers_json = ...}` is enough.
 */
struct lighter_job_spec {
    const char *job;          /* its name. Required */
    const char *stage;        /* NULL: "predict" */
    uint32_t rank;            /* below world_size */
    uint32_t world_size;      /* 0: 1 */
    const char *cwd;          /* that relative paths start from. NULL: getcwd() */
    const char *writers_json; /* the outputs, a JSON array of {"type": ..., "options":
                                 {...}}; `lighterctl plugins csv` shows the options.
                                 Required, or `pipeline` */
    bool resume;              /* go on where an earlier process was interrupted, if one
                                 was; else begin anew */
    const char *pipeline;     /* instead of writers: those that the daemon's
                                 configuration has under this name; relative paths in it
                                 start from cwd */
    const char *attempt;      /* which start of the program this is, and which epoch of
                                 it: the same for all ranks, and never the same twice; 1
                                 to 64 of A-Z a-z 0-9 . _ -. NULL: nobody knows */
    const char *fingerprint;  /* what the outputs are computed with, a digest of the model
                                 say: the same for all ranks, and where `resume` goes on.
                                 NULL: not compared */
    double rank_wait;         /* seconds to wait for ranks that do not come. 0: as the
                                 daemon is set; below: for ever */
};

/* A job as this connection sees it. Plain data. */
struct lighter_job {
    int64_t handle; /* names the job in the calls below */

    /* With `resume`: batches of this rank that the daemon is done with already, and the
     * samples in them. The next lighter_write() is the batch after them: pass over so
     * many of the same data, with lighter_skip(). Else 0.
     */
    int64_t committed_batches, committed_samples;
    size_t n_warnings;
    const char *const *warnings; /* sentences for the user; lent until the client's next
                                    lighter_open() or its end */
};

/* Open a job, or join one that another rank has opened. Where this rank's last epoch of
 * the job has ended, this waits until that is published.
 */
int lighter_open(struct lighter_client *client, const struct lighter_job_spec *spec,
                 struct lighter_job *ret_job, struct lighter_error *err);

enum { LIGHTER_SKIPPED = 1 };

/* Is the next batch written already? It is passed over then:
 *
 *     for each batch:
 *         r = lighter_skip(client, job.handle, n_samples, batch_idx, 0, &err);
 *         if (r < 0) stop; if (r == 0) compute it, and lighter_write() it
 *
 * It is LIGHTER_E_STATE where it is not the batch that was written then: a resumed run
 * with other batches, or another order, would double some samples and lose others.
 * `n_samples` below 0 is not compared; nor are batches that a program passes over
 * without this. One that begins with it has to pass over all of them so, else
 * lighter_write() and lighter_end() fail, and nothing is written.
 * Return: LIGHTER_SKIPPED: passed over; 0: it is to be written; a negative errno.
 */
int lighter_skip(struct lighter_client *client, int64_t handle, int64_t n_samples,
                 int64_t batch_idx, int64_t dataloader_idx, struct lighter_error *err);

/* Hand a batch to every writer of the job.
 *
 * Returns as soon as the kernel has the bytes; the outputs may then be cleared and used
 * again. Waits only while more than max_client_bytes would be without an answer, or for
 * the next daemon.
 * `batch_idx` and `dataloader_idx` are recorded, and name the batch in errors.
 *
 * An error is this batch's, of which nothing was sent then; or, because the daemon writes
 * while this process goes on, that of an earlier batch of the job ("batch 7: ..."), and
 * then *this* batch was sent: lighter_handed_over() has grown. The job goes on: write the
 * next one, or lighter_abort().
 */
int lighter_write(struct lighter_client *client, int64_t handle,
                  const struct lighter_outputs *outputs, int64_t batch_idx,
                  int64_t dataloader_idx, struct lighter_error *err);

/* How many batches of the job were handed over by this rank; also by an earlier process,
 * with `resume`. -1 where there is no such job.
 */
int64_t lighter_handed_over(const struct lighter_client *client, int64_t handle);

/* Wait until every batch of the job is with the daemon's kernel: no death of a process,
 * this one or the daemon, loses it then. Returns the error of an earlier batch, as
 * lighter_write() does.
 */
int lighter_commit(struct lighter_client *client, int64_t handle,
                   struct lighter_error *err);

/* The same, and wait until they are on the disk: a loss of power does not lose them
 * then. The daemon does it from time to time by itself.
 */
int lighter_flush(struct lighter_client *client, int64_t handle,
                  struct lighter_error *err);

/* This rank has no more batches. First does what lighter_commit() does: where that
 * fails, nothing was ended, and the job is as after lighter_commit(). The same where
 * fewer batches were passed over (lighter_skip()) than are there.
 *
 * With `wait`, returns when every rank has ended and the outputs are published, whole,
 * under their final names; else as soon as the daemon knows. The handle is gone then,
 * also where that failed: the daemon keeps what is there. A daemon that dies meanwhile
 * is waited for, and the next one publishes.
 */
int lighter_end(struct lighter_client *client, int64_t handle, bool wait,
                struct lighter_error *err);

/* The process failed: keep what is there, publish nothing. `reason` (may be NULL) is
 * for people. The handle is gone, also after an error. A handle that was gone before is
 * an error without consequences. A daemon that has gone away is not waited for: it has
 * published nothing, and the next one will not.
 */
int lighter_abort(struct lighter_client *client, int64_t handle, const char *reason,
                  struct lighter_error *err);

/* ---- control ------------------------------------------------------------------- */

/* Any method of the protocol ("status", "jobs", "plugins", ...) in JSON. `params_json`
 * is an object; NULL: {}. *ret_result_json is one too, in a line, its keys sorted;
 * owned: free(). Where the daemon goes away before it answers, the next one is asked,
 * and both may have done it.
 */
int lighter_control(struct lighter_client *client, const char *method,
                    const char *params_json, char **ret_result_json,
                    struct lighter_error *err);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
