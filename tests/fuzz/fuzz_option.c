/* fuzz_option.c - daemon/writer.c: one of the `writers` of an `open` to a writer. */
#include "daemon/writer.h"
#include "tests/fuzz/fuzz.h"
#include "wire/check.h"

#include <stdlib.h>

const char fuzz_name[] = "option";

/* ---- a plugin with every type of option ---- */

struct encoder_options {
    const char *suffix;
    int64_t level;
};

static const struct lighter_option encoder_table[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".x",
     .offset = offsetof(struct encoder_options, suffix)},
    {.name = "level",
     .type = LIGHTER_OPTION_INT,
     .fallback = "3",
     .offset = offsetof(struct encoder_options, level),
     .max = 9},
    {.name = NULL},
};

struct writer_options {
    const char *path, *title;
    struct lighter_strings keys;
    struct lighter_encoding encoding;
    int64_t number;
    bool flag;
};

static const struct lighter_option writer_table[] = {
    {.name = "path",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct writer_options, path)},
    {.name = "title",
     .type = LIGHTER_OPTION_STRING,
     .offset = offsetof(struct writer_options, title)},
    {.name = "keys",
     .type = LIGHTER_OPTION_STRINGS,
     .offset = offsetof(struct writer_options, keys)},
    {.name = "encoder",
     .type = LIGHTER_OPTION_ENCODER,
     .offset = offsetof(struct writer_options, encoding)},
    {.name = "number",
     .type = LIGHTER_OPTION_INT,
     .offset = offsetof(struct writer_options, number),
     .min = INT64_MIN,
     .max = INT64_MAX},
    {.name = "flag",
     .type = LIGHTER_OPTION_BOOL,
     .offset = offsetof(struct writer_options, flag)},
    {.name = NULL},
};

static int
encode(const void *options, const struct lighter_value *sample,
       struct lighter_sink *sink, const struct lighter_services *services,
       struct lighter_error *err)
{
    (void)options, (void)sample, (void)sink, (void)services, (void)err;
    return 0;
}

static int
check(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
      struct lighter_error *err)
{
    (void)state, (void)batch, (void)ret_samples, (void)err;
    return 0;
}

static int
write_nothing(void *state, const struct lighter_task *task,
              struct lighter_output *output, struct lighter_error *err)
{
    (void)state, (void)task, (void)output, (void)err;
    return 0;
}

static const struct lighter_encoder encoder = {.size = sizeof encoder,
                                               .name = "e",
                                               .options = encoder_table,
                                               .options_size =
                                                   sizeof(struct encoder_options),
                                               .encode = encode};
static const struct lighter_writer writer_type = {.size = sizeof writer_type,
                                                  .name = "w",
                                                  .options = writer_table,
                                                  .options_size =
                                                      sizeof(struct writer_options),
                                                  .check = check,
                                                  .write = write_nothing};
static const struct lighter_encoder *const encoders[] = {&encoder, NULL};
static const struct lighter_writer *const writers[] = {&writer_type, NULL};
static const struct lighter_plugin plugin = {LIGHTER_PLUGIN_HEADER, .name = "fuzz",
                                             .writers = writers, .encoders = encoders};

/* ---- */

static void
expect_sound(const struct writer *writer)
{
    const struct writer_options *options = writer->options;

    FUZZ_EXPECT(writer->target && writer->target[0] == '/');
    FUZZ_EXPECT(options->path == writer->target);
    for (size_t i = 0; i < options->keys.count; i++)
        FUZZ_EXPECT(options->keys.items[i] != NULL);
    if (options->encoding.encoder)
        FUZZ_EXPECT(options->encoding.suffix && !strchr(options->encoding.suffix, '/'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct registry registry;
    struct lighter_error err = LIGHTER_ERROR_INIT;
    msgpack_unpacked unpacked;
    struct writer writer;

    if (!registry.n_plugins)
        FUZZ_EXPECT(registry_add(&registry, &plugin, "fuzz", &err) == 0);
    if (check_object(data, size, CHECK_MAX_OBJECTS, NULL, NULL) < 0)
        return 0;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)data, size, NULL) ==
        MSGPACK_UNPACK_SUCCESS) {
        if (writer_init(&writer, &registry, "/cwd", &unpacked.data, &err) == 0) {
            expect_sound(&writer);
            writer_done(&writer);
        } else {
            FUZZ_EXPECT(err.code != LIGHTER_OK && *err.message);
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    return 0;
}
