/* tensor.c - the encoder `tensor`: one tensor as the file that torch.load reads.
 *
 * In: a tensor. Out: the zip archive that torch.save has made since torch 1.6, with
 * the elements lent from where they are. Records, as torch names them:
 *
 *   archive/data.pkl   what to build, see pickle.c
 *   archive/byteorder  of the elements
 *   archive/version    of the format
 *   archive/data/0     the elements, aligned for torch.load(mmap=True)
 *
 * torch.save puts the version last; a reader goes by the archive's directory, and with
 * the elements last all offsets stay small. Workers of the pool, any number at once.
 */
#include "config.h"

#include "plugins/tensor/pickle.h"
#include "plugins/tensor/zip.h"

#include <lighter/plugin.h>

struct tensor_options {
    const char *suffix;
};

static const struct lighter_option tensor_options[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".pt",
     .offset = offsetof(struct tensor_options, suffix),
     .help = "What the files' names end in"},
    {.name = NULL},
};

static int
tensor_encode(const void *options, const struct lighter_value *sample,
              struct lighter_sink *sink, const struct lighter_services *services,
              struct lighter_error *err)
{
    const struct lighter_tensor *tensor = &sample->as.tensor;
    uint8_t pickle[PICKLE_MAX];
    size_t pickle_size;
    int r;

    (void)options; /* the suffix is the writer's business */
    if (sample->type != LIGHTER_TENSOR)
        return lighter_fail(err, LIGHTER_E_TYPE, "tensor expects a tensor, got %s",
                            lighter_type_name(sample->type));

    r = pickle_tensor(tensor, pickle, &pickle_size, err);
    if (r < 0)
        return r;

    const struct zip_record records[] = {
        {"archive/data.pkl", pickle, pickle_size},
        {"archive/byteorder", "little", 6},
        {"archive/version", "3\n", 2},
        {"archive/data/0", tensor->data, tensor->size},
    };

    return zip_write(records, sizeof records / sizeof *records, sink, services, err);
}

static const struct lighter_encoder tensor_encoder = {
    .size = sizeof(struct lighter_encoder),
    .name = "tensor",
    .summary = "a tensor in the file format of torch.save",
    .options = tensor_options,
    .options_size = sizeof(struct tensor_options),
    .encode = tensor_encode,
    .suffixes = ".pt .pth",
};

static const struct lighter_encoder *const encoders[] = {&tensor_encoder, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "tensor",
    .version = PACKAGE_VERSION,
    .encoders = encoders,
};
