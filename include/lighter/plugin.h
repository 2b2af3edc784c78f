/* lighter/plugin.h - how a writer, an encoder or a policy plugs into lighterd.
 *
 * A plugin is a shared object in the plugin directory that exports one symbol:
 *
 *     const struct lighter_plugin lighter_plugin = {LIGHTER_PLUGIN_HEADER, ...};
 *
 * It needs this header and lighter/{error,value}.h alone; it imports no symbol of the
 * daemon: what the daemon can do for it comes in as struct lighter_services. Plugins
 * are loaded once, at the daemon's start, and never unloaded. doc/plugins.md is the
 * guide, with the life of a writer drawn and a complete example.
 *
 * ABI: every struct that crosses the border starts with, or is passed along with, its
 * size. The daemon copies a descriptor by the smaller of its size and the plugin's;
 * what an older plugin lacks is zero, and zero always has a documented meaning. Fields
 * and enumerators are only ever added at the end. LIGHTER_PLUGIN_ABI changes when that
 * is not enough, and then old plugins are refused by name.
 *
 * Threads: `open`, `check`, `header`, `write` and `encode` run on workers of the
 * daemon's pool, never on its loop; they may block on the disk and must not keep
 * pointers to what they were lent. Which of them may run at the same time is said by
 * enum lighter_threads.
 *
 * Errors: a callback returns 0, or what lighter_fail() and its kin return. The
 * message goes to the client that sent the batch, with the writer's name beside it: say
 * the key, what was expected and what came; lighter_fail_sample() adds the sample.
 */
#ifndef LIGHTER_PLUGIN_H
#define LIGHTER_PLUGIN_H

#include <lighter/error.h>
#include <lighter/value.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIGHTER_PLUGIN_ABI 1

/* ---- options ------------------------------------------------------------------ */

enum lighter_option_type {
    LIGHTER_OPTION_STRING,  /* const char * */
    LIGHTER_OPTION_STRINGS, /* struct lighter_strings; not empty where required */
    LIGHTER_OPTION_INT,     /* int64_t, within [min, max] */
    LIGHTER_OPTION_BOOL,    /* bool */
    LIGHTER_OPTION_TARGET,  /* const char *: the path that the writer makes, absolute.
                               Every writer has exactly one. */
    LIGHTER_OPTION_SUFFIX,  /* const char *: what an encoder's files end in, ".pt".
                               Every encoder has exactly one, with a default. */
    LIGHTER_OPTION_ENCODER, /* struct lighter_encoding: an encoder by name, with options
                             */
};

struct lighter_strings {
    size_t count;
    const char *const *items;
};

/* One option: the daemon parses, checks, reports and documents it from this line, and
 * puts the value at `offset` of the plugin's own options struct.
 */
struct lighter_option {
    const char *name;
    enum lighter_option_type type;
    bool required;
    const char *fallback; /* as text ("24", "true", ".pt"); NULL: zero, NULL or empty */
    size_t offset;        /* offsetof(struct my_options, field) */
    int64_t min, max;     /* LIGHTER_OPTION_INT only */
    const char *help;     /* one line, without a full stop */
};

/* ---- services ------------------------------------------------------------------ */

struct lighter_sink;   /* bytes on their way to one file; one thread at a time */
struct lighter_output; /* where one task's bytes go */

/* What the daemon does for a plugin; valid for the life of the process, any thread. */
struct lighter_services {
    size_t size;

    /* Room for at least `size` more bytes at the sink's end. Lent until the next call
     * on the sink. NULL where there is no memory; or, for a table, where its shard
     * cannot be written, and then that is the error, whatever `write` says. */
    void *(*reserve)(struct lighter_sink *sink, size_t size);

    /* The first `size` bytes of the room reserved last belong to the sink now. */
    void (*commit)(struct lighter_sink *sink, size_t size);

    /* Add bytes without copying them. They must not change until the sink is stored or
     * `write` returns: right for a tensor's bytes. 0, or -ENOMEM. */
    int (*lend)(struct lighter_sink *sink, const void *data, size_t size);

    /* The task's sink. Tables: what it was given is appended to the rank's shard, some
     * of it while `write` goes on; where `write` fails, none of it is there after.
     * Files: filled for one file, emptied by `store`. */
    struct lighter_sink *(*sink)(struct lighter_output *output);

    /* LIGHTER_KIND_FILES: make a file of the sink's bytes, called `name` (size bytes
     * of UTF-8, relative, sub-folders with '/') plus `suffix`. The file appears under
     * its final name when the job is published. Names that leave the directory, and
     * names that came before in this epoch, are refused. */
    int (*store)(struct lighter_output *output, const char *name, size_t size,
                 const char *suffix, struct lighter_error *err);
};

/* Copy bytes to the end of a sink. 0, or -ENOMEM with `err` filled. */
static inline int
lighter_put(const struct lighter_services *services, struct lighter_sink *sink,
            const void *data, size_t size, struct lighter_error *err)
{
    void *room = services->reserve(sink, size);

    if (!room)
        return lighter_fail_os(err, ENOMEM, "hold %zu bytes of output", size);
    if (size)
        memcpy(room, data, size);
    services->commit(sink, size);
    return 0;
}

/* ---- encoders ------------------------------------------------------------------ */

/* Turns one sample's value into the bytes of one file. */
struct lighter_encoder {
    size_t size; /* sizeof(struct lighter_encoder) */
    const char *name;
    const char *summary;                  /* one line for people */
    const struct lighter_option *options; /* ends with a NULL name */
    size_t options_size;                  /* of the options struct, bytes */

    /* Any number of workers at once. Fills `sink` with the whole file. */
    int (*encode)(const void *options, const struct lighter_value *sample,
                  struct lighter_sink *sink, const struct lighter_services *services,
                  struct lighter_error *err);

    /* since 0.2.0 */

    /* Are the options right, all together? Called when a job is opened and when a
     * configuration is checked, on the daemon's loop: must not block. NULL: any are. */
    int (*check_options)(const void *options, struct lighter_error *err);

    /* The suffixes of the formats that it makes, with spaces between: ".png". One that
     * promises another well-known format is refused. NULL: any will do. */
    const char *suffixes;
};

/* What LIGHTER_OPTION_ENCODER gives: lent for the life of the writer. */
struct lighter_encoding {
    const struct lighter_encoder *encoder;
    const void *options;
    const char *suffix;
};

/* ---- writers ------------------------------------------------------------------- */

enum lighter_kind {
    LIGHTER_KIND_TABLE, /* one file; ranks append to shards, joined in rank order */
    LIGHTER_KIND_FILES, /* a directory of files, one or more a sample */
};

enum lighter_threads {
    LIGHTER_THREADS_ORDERED, /* one call a rank at a time, batches in order */
    LIGHTER_THREADS_SAMPLES, /* sample ranges of one batch side by side; needs
                                KIND_FILES */
};

struct lighter_context {
    size_t size;
    const struct lighter_services *services;
    uint32_t rank, world_size; /* rank < world_size */
};

struct lighter_batch {
    size_t size;
    uint64_t seq; /* the rank's running number in this job, from 1 */
    int64_t batch_idx, dataloader_idx;
    const struct lighter_value *outputs; /* a map; its keys are strings */
};

struct lighter_task {
    size_t size;
    const struct lighter_services *services;
    const struct lighter_batch *batch;
    uint64_t first, count; /* samples [first, first + count) of the batch, count > 0 */
    uint64_t index;        /* samples of this rank that were found good before */
    uint32_t rank, world_size;
};

/* One type of output. A stream is one rank's way into one writer of a job; `state` is
 * the stream's own.
 */
struct lighter_writer {
    size_t size; /* sizeof(struct lighter_writer) */
    const char *name;
    const char *summary;
    enum lighter_kind kind;
    enum lighter_threads threads;
    const struct lighter_option *options; /* ends with a NULL name */
    size_t options_size;

    /* A rank has opened the job. `options` is lent until `close`.
     * NULL: the state is the options. */
    int (*open)(void **ret_state, const void *options,
                const struct lighter_context *context, struct lighter_error *err);

    /* Look at a whole batch before any of it is written, and say how many samples it
     * has; 0 skips it. Called once a batch, before its `write`. Required. */
    int (*check)(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
                 struct lighter_error *err);

    /* LIGHTER_KIND_TABLE: the bytes that a shard begins with; they stand once in the
     * joined table. NULL: none. */
    int (*header)(void *state, struct lighter_sink *sink,
                  const struct lighter_services *services, struct lighter_error *err);

    /* Write the samples of one task. On failure nothing of the task is kept. Required.
     */
    int (*write)(void *state, const struct lighter_task *task,
                 struct lighter_output *output, struct lighter_error *err);

    /* The stream is over, well or not. NULL: nothing to free. */
    void (*close)(void *state);

    /* since 0.2.0; as an encoder's. A table's target is what must not promise another
     * format. */
    int (*check_options)(const void *options, struct lighter_error *err);
    const char *suffixes;
};

/* ---- policies ------------------------------------------------------------------ */

/* What a training process does with one parameter. Where several policies of a job have
 * decided, the largest wins.
 */
enum lighter_action {
    LIGHTER_KEEP,   /* leave requires_grad as it is */
    LIGHTER_TRAIN,  /* requires_grad = True */
    LIGHTER_FREEZE, /* requires_grad = False */
};

struct lighter_step {
    size_t size;
    int64_t global_step, epoch; /* as the trainer counts them, from 0 */
};

/* Filled by `decide`; at the call all is kept, for good. */
struct lighter_decision {
    size_t size;
    uint8_t *actions;   /* an enum lighter_action for each parameter, in their order */
    int64_t until_step; /* it holds below this global step; INT64_MAX: at all of them */
    int64_t until_epoch; /* and below this epoch */
};

/* Answers training steps. One instance serves all ranks of a job. */
struct lighter_policy {
    size_t size; /* sizeof(struct lighter_policy) */
    const char *name;
    const char *summary;
    const struct lighter_option *options; /* ends with a NULL name; needs no target */
    size_t options_size;

    /* On a worker. `options` and the names of the model's `parameters` are lent until
     * `close`. Required. */
    int (*open)(void **ret_state, const void *options,
                const struct lighter_strings *parameters, struct lighter_error *err);

    /* On the daemon's loop: must not block. Steps may come again, one a rank, and out
     * of order by as much as ranks are apart. Required. */
    int (*decide)(void *state, const struct lighter_step *step,
                  struct lighter_decision *decision, struct lighter_error *err);

    /* NULL: nothing to free. */
    void (*close)(void *state);
};

/* ---- the plugin ---------------------------------------------------------------- */

#define LIGHTER_PLUGIN_HEADER                                                          \
    .abi = LIGHTER_PLUGIN_ABI, .size = sizeof(struct lighter_plugin)

struct lighter_plugin {
    uint32_t abi; /* LIGHTER_PLUGIN_ABI */
    uint32_t size;
    const char *name;
    const char *version;
    const struct lighter_writer *const *writers;   /* ends with NULL; NULL: none */
    const struct lighter_encoder *const *encoders; /* ends with NULL; NULL: none */
    const struct lighter_policy *const *policies;  /* ends with NULL; NULL: none */
};

#ifdef __GNUC__
#define LIGHTER_EXPORT __attribute__((visibility("default")))
#else
#define LIGHTER_EXPORT
#endif

extern LIGHTER_EXPORT const struct lighter_plugin lighter_plugin;

#ifdef __cplusplus
}
#endif

#endif
