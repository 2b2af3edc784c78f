/* file.c - the writer `file`: one file for each sample.
 *
 * In: batches of outputs. Out: for each sample the bytes that an encoder makes of its
 * value, stored under a name that is another output of the sample, or its number. What
 * is a sample, and when a batch is refused, is as in lighter's FileWriter.
 * Workers of the pool, any number at once, each with its own range of samples: nothing
 * here is changed after `open`.
 */
#include "config.h"

#include "plugins/pytext/pytext.h"

#include <lighter/plugin.h>

/* No path that the system takes is longer. */
#define NAME_MAX_SIZE 4096

struct file_options {
    const char *directory;
    const char *value_key;
    struct lighter_encoding writer_fn;
    const char *name_key; /* NULL: files are numbered */
};

static const struct lighter_option file_options[] = {
    {.name = "directory",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct file_options, directory),
     .help = "Where the files go"},
    {.name = "value_key",
     .type = LIGHTER_OPTION_STRING,
     .required = true,
     .offset = offsetof(struct file_options, value_key),
     .help = "Key of the outputs that holds what to write"},
    {.name = "writer_fn",
     .type = LIGHTER_OPTION_ENCODER,
     .required = true,
     .offset = offsetof(struct file_options, writer_fn),
     .help = "What makes a file's bytes of a value"},
    {.name = "name_key",
     .type = LIGHTER_OPTION_STRING,
     .offset = offsetof(struct file_options, name_key),
     .help = "Key of the outputs that holds the files' names; without it they are "
             "numbered"},
    {.name = NULL},
};

static int
find_output(const struct lighter_batch *batch, const char *key,
            const struct lighter_value **ret_value, struct lighter_error *err)
{
    const struct lighter_value *value = lighter_map_get(batch->outputs, key);

    if (!value)
        return lighter_fail(
            err, LIGHTER_E_KEY,
            "FileWriter expected key '%s' in outputs but it was missing.", key);
    *ret_value = value;
    return 0;
}

/* Tensors are split along their first axis and lists are their items; whatever else
 * there is, is a single sample.
 */
static uint64_t
count_samples(const struct lighter_value *value)
{
    if (value->type == LIGHTER_LIST)
        return value->count;
    if (value->type == LIGHTER_TENSOR && value->as.tensor.ndim)
        return value->as.tensor.shape[0];
    return 1;
}

static void
take_sample(const struct lighter_value *value, uint64_t sample,
            struct lighter_value *ret_item)
{
    if (value->type == LIGHTER_LIST)
        *ret_item = value->as.items[sample];
    else if (value->type == LIGHTER_TENSOR && value->as.tensor.ndim)
        lighter_tensor_item(&value->as.tensor, sample, ret_item);
    else
        *ret_item = *value;
}

static int
file_check(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
           struct lighter_error *err)
{
    const struct file_options *file = state;
    const struct lighter_value *values, *names;
    uint64_t n_values, n_names;
    int r;

    r = find_output(batch, file->value_key, &values, err);
    if (r < 0)
        return r;

    n_values = count_samples(values);
    if (n_values && file->name_key) { /* an empty batch needs no names */
        r = find_output(batch, file->name_key, &names, err);
        if (r < 0)
            return r;
        n_names = count_samples(names);
        if (n_names != n_values)
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "Length mismatch between value key '%s' (%llu) and "
                                "name key '%s' (%llu).",
                                file->value_key, (unsigned long long)n_values,
                                file->name_key, (unsigned long long)n_names);
    }
    *ret_samples = n_values;
    return 0;
}

/* The ranks of a job take turns, so that numbers come once: rank + k * world_size. */
static int
number_sample(const struct lighter_task *task, uint64_t sample,
              struct lighter_value *ret_number, struct lighter_error *err)
{
    int64_t number;

    if (__builtin_add_overflow(task->index, sample, &number) ||
        __builtin_mul_overflow(number, task->world_size, &number) ||
        __builtin_add_overflow(number, task->rank, &number))
        return lighter_fail(err, LIGHTER_E_VALUE, "files are numbered below 2**63");
    *ret_number = (struct lighter_value){.type = LIGHTER_INT, .as.integer = number};
    return 0;
}

/* Store what the task's sink holds under str(name); `text` is room for it. */
static int
store(const struct file_options *file, const struct lighter_task *task,
      const struct lighter_value *name, struct lighter_output *output,
      struct pytext *text, struct lighter_error *err)
{
    const char *data = name->as.string.data;
    size_t size = name->as.string.size;
    int r;

    if (name->type != LIGHTER_STRING) {
        pytext_clear(text);
        r = pytext_str(text, name, err);
        if (r < 0)
            return r;
        data = text->start;
        size = (size_t)(text->at - text->start);
    }
    return task->services->store(output, data, size, file->writer_fn.suffix, err);
}

/* names: NULL where files are numbered. */
static int
write_sample(const struct file_options *file, const struct lighter_task *task,
             uint64_t sample, const struct lighter_value *values,
             const struct lighter_value *names, struct lighter_output *output,
             struct pytext *text, struct lighter_error *err)
{
    const struct lighter_encoding *encoding = &file->writer_fn;
    struct lighter_value value, name;
    int r = 0;

    if (names)
        take_sample(names, sample, &name);
    else
        r = number_sample(task, sample, &name, err);
    if (r < 0)
        return r;

    take_sample(values, sample, &value);
    r = encoding->encoder->encode(encoding->options, &value,
                                  task->services->sink(output), task->services, err);
    if (r < 0)
        return r;
    return store(file, task, &name, output, text, err);
}

static int
file_write(void *state, const struct lighter_task *task, struct lighter_output *output,
           struct lighter_error *err)
{
    const struct file_options *file = state;
    const struct lighter_value *values, *names = NULL;
    struct pytext text;
    int r;

    r = find_output(task->batch, file->value_key, &values, err);
    if (r >= 0 && file->name_key)
        r = find_output(task->batch, file->name_key, &names, err);
    if (r < 0)
        return r;

    pytext_init_memory(&text, NAME_MAX_SIZE);
    for (uint64_t i = task->first; i < task->first + task->count && r >= 0; i++) {
        r = write_sample(file, task, i, values, names, output, &text, err);
        if (r < 0)
            lighter_fail_at(err, i, r);
    }
    pytext_done(&text);
    return r;
}

static const struct lighter_writer file_writer = {
    .size = sizeof(struct lighter_writer),
    .name = "file",
    .summary = "one file for each sample",
    .kind = LIGHTER_KIND_FILES,
    .threads = LIGHTER_THREADS_SAMPLES,
    .options = file_options,
    .options_size = sizeof(struct file_options),
    .check = file_check,
    .write = file_write,
};

static const struct lighter_writer *const writers[] = {&file_writer, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "file",
    .version = PACKAGE_VERSION,
    .writers = writers,
};
