/* example.c - a plugin of one's own: the writer `jsonl` and the encoder `raw`.
 *
 * jsonl: a table of JSON Lines, an object a sample. raw: the bytes of a tensor as they
 * are. doc/plugins.md explains it, and how to build it with one command.
 */
#include <lighter/plugin.h>

#include <inttypes.h>
#include <math.h>

/* ---- JSON ---------------------------------------------------------------------- */

/* Where text goes, and where the reason goes if it cannot. */
struct out {
    const struct lighter_services *services;
    struct lighter_sink *sink;
    struct lighter_error *err;
};

static int
put(const struct out *out, const char *text, size_t size)
{
    return lighter_put(out->services, out->sink, text, size, out->err);
}

__attribute__((format(printf, 2, 3))) static int
put_format(const struct out *out, const char *format, ...)
{
    char text[64]; /* the longest number has 25 characters */
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return put(out, text, (size_t)size);
}

static int
put_string(const struct out *out, const char *text, size_t size)
{
    int r = put(out, "\"", 1);

    for (size_t i = 0; r == 0 && i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            r = put_format(out, "\\%c", c);
        else if (c < 0x20)
            r = put_format(out, "\\u%04x", c);
        else
            r = put(out, &text[i], 1); /* UTF-8 already */
    }
    return r < 0 ? r : put(out, "\"", 1);
}

static int
put_float(const struct out *out, double number)
{
    /* JSON has no NaN and no infinity */
    return isfinite(number) ? put_format(out, "%.17g", number) : put(out, "null", 4);
}

static int
put_bool(const struct out *out, bool yes)
{
    return yes ? put(out, "true", 4) : put(out, "false", 5);
}

static int
put_element(const struct out *out, const struct lighter_tensor *tensor)
{
    union {
        int64_t integer;
        double real;
        float single;
    } as;

    memcpy(&as, tensor->data, tensor->size < 8 ? tensor->size : 8); /* not aligned */
    switch (tensor->dtype) {
    case LIGHTER_BOOL8:
        return put_bool(out, tensor->data[0]);
    case LIGHTER_INT64:
        return put_format(out, "%" PRId64, as.integer);
    case LIGHTER_FLOAT32:
        return put_float(out, (double)as.single);
    case LIGHTER_FLOAT64:
        return put_float(out, as.real);
    default:
        return lighter_fail(out->err, LIGHTER_E_TYPE,
                            "jsonl expects tensors of bool, int64, float32 or float64, "
                            "got %s",
                            lighter_dtype_name(tensor->dtype));
    }
}

static uint64_t
length_of(const struct lighter_value *value)
{
    if (value->type == LIGHTER_LIST)
        return value->count;
    /* a tensor without bytes may claim any length, (10^15, 0) say */
    return value->as.tensor.size ? value->as.tensor.shape[0] : 0;
}

static struct lighter_value
item_of(const struct lighter_value *value, uint64_t index)
{
    struct lighter_value item;

    if (value->type == LIGHTER_LIST)
        return value->as.items[index];
    lighter_tensor_item(&value->as.tensor, index, &item);
    return item;
}

static int
put_value(const struct out *out, const struct lighter_value *value)
{
    int r;

    switch (value->type) {
    case LIGHTER_NIL:
        return put(out, "null", 4);
    case LIGHTER_BOOL:
        return put_bool(out, value->as.boolean);
    case LIGHTER_INT:
        return put_format(out, "%" PRId64, value->as.integer);
    case LIGHTER_UINT:
        return put_format(out, "%" PRIu64, value->as.uinteger);
    case LIGHTER_FLOAT:
        return put_float(out, value->as.real);
    case LIGHTER_STRING:
        return put_string(out, value->as.string.data, value->as.string.size);
    case LIGHTER_TENSOR:
        if (value->as.tensor.ndim == 0)
            return put_element(out, &value->as.tensor);
        break;
    case LIGHTER_LIST:
        break;
    default:
        return lighter_fail(out->err, LIGHTER_E_TYPE, "jsonl cannot write %s",
                            lighter_type_name(value->type));
    }
    r = put(out, "[", 1);
    for (uint64_t i = 0; r == 0 && i < length_of(value); i++) {
        struct lighter_value item = item_of(value, i);

        r = put(out, ", ", i ? 2 : 0);
        if (r == 0)
            r = put_value(out, &item);
    }
    return r < 0 ? r : put(out, "]", 1);
}

/* ---- the writer `jsonl` -------------------------------------------------------- */

struct jsonl_options {
    const char *path;
    struct lighter_strings keys;
};

static const struct lighter_option jsonl_option_table[] = {
    {.name = "path",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct jsonl_options, path),
     .help = "The file to make"},
    {.name = "keys",
     .type = LIGHTER_OPTION_STRINGS,
     .required = true,
     .offset = offsetof(struct jsonl_options, keys),
     .help = "Keys of the outputs that stand in each object, in this order"},
    {.name = NULL},
};

/* Every key must be there, with one value a sample. There is no `open`: the state is
 * the options.
 */
static int
jsonl_check(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
            struct lighter_error *err)
{
    const struct jsonl_options *options = state;
    uint64_t n_samples = 0;

    for (size_t i = 0; i < options->keys.count; i++) {
        const char *key = options->keys.items[i];
        const struct lighter_value *value = lighter_map_get(batch->outputs, key);

        if (!value)
            return lighter_fail(err, LIGHTER_E_KEY, "jsonl expects the key '%s'", key);
        if (value->type != LIGHTER_LIST &&
            (value->type != LIGHTER_TENSOR || value->as.tensor.ndim == 0))
            return lighter_fail(err, LIGHTER_E_TYPE,
                                "jsonl expects one value a sample for '%s', got %s",
                                key, lighter_type_name(value->type));
        if (i > 0 && length_of(value) != n_samples)
            return lighter_fail(err, LIGHTER_E_VALUE,
                                "jsonl expects %" PRIu64
                                " values for '%s', got %" PRIu64,
                                n_samples, key, length_of(value));
        n_samples = length_of(value);
    }
    *ret_samples = n_samples;
    return 0;
}

static int
put_object(const struct out *out, const struct jsonl_options *options,
           const struct lighter_value *outputs, uint64_t sample)
{
    int r = put(out, "{", 1);

    for (size_t i = 0; r == 0 && i < options->keys.count; i++) {
        const char *key = options->keys.items[i];
        struct lighter_value item = item_of(lighter_map_get(outputs, key), sample);

        r = put(out, ", ", i ? 2 : 0);
        if (r == 0)
            r = put_string(out, key, strlen(key));
        if (r == 0)
            r = put(out, ": ", 2);
        if (r == 0)
            r = put_value(out, &item);
    }
    return r < 0 ? r : put(out, "}\n", 2);
}

static int
jsonl_write(void *state, const struct lighter_task *task, struct lighter_output *output,
            struct lighter_error *err)
{
    const struct out out = {task->services, task->services->sink(output), err};

    for (uint64_t i = task->first; i < task->first + task->count; i++) {
        int r = put_object(&out, state, task->batch->outputs, i);

        if (r < 0)
            return lighter_fail_at(err, i, r); /* nothing of the batch is kept */
    }
    return 0;
}

static const struct lighter_writer jsonl = {
    .size = sizeof(struct lighter_writer),
    .name = "jsonl",
    .summary = "a table of JSON Lines, an object a sample",
    .kind = LIGHTER_KIND_TABLE,
    .threads = LIGHTER_THREADS_ORDERED,
    .options = jsonl_option_table,
    .options_size = sizeof(struct jsonl_options),
    .check = jsonl_check,
    .write = jsonl_write,
};

/* ---- the encoder `raw` --------------------------------------------------------- */

struct raw_options {
    const char *suffix;
};

static const struct lighter_option raw_option_table[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".bin",
     .offset = offsetof(struct raw_options, suffix),
     .help = "What the names of the files end in"},
    {.name = NULL},
};

static int
raw_encode(const void *options, const struct lighter_value *sample,
           struct lighter_sink *sink, const struct lighter_services *services,
           struct lighter_error *err)
{
    (void)options; /* the suffix is the writer's business */
    if (sample->type != LIGHTER_TENSOR)
        return lighter_fail(err, LIGHTER_E_TYPE, "raw expects a tensor, got %s",
                            lighter_type_name(sample->type));
    /* lent, not copied: the batch outlives the file's writing */
    if (services->lend(sink, sample->as.tensor.data, sample->as.tensor.size) < 0)
        return lighter_fail_os(err, ENOMEM, "hold a tensor");
    return 0;
}

static const struct lighter_encoder raw = {
    .size = sizeof(struct lighter_encoder),
    .name = "raw",
    .summary = "the elements of a tensor, row-major, little-endian",
    .options = raw_option_table,
    .options_size = sizeof(struct raw_options),
    .encode = raw_encode,
};

/* ---- the plugin ---------------------------------------------------------------- */

static const struct lighter_writer *const writers[] = {&jsonl, NULL};
static const struct lighter_encoder *const encoders[] = {&raw, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER, .name = "example",    .version = "1",
    .writers = writers,    .encoders = encoders,
};
