/* text.c - the encoder "text": str() of a sample, one file each.
 *
 * The bytes are those of Python's open(path, "w", encoding=...).write(str(value)).
 * There is no state; any number of workers at once.
 */
#include "plugins/pytext/pytext.h"

#include <lighter/plugin.h>
#include <strings.h>
#include <utf8proc.h>

struct text_options {
    const char *suffix;
    const char *encoding;
};

static const struct lighter_option text_option_table[] = {
    {.name = "suffix",
     .type = LIGHTER_OPTION_SUFFIX,
     .fallback = ".txt",
     .offset = offsetof(struct text_options, suffix),
     .help = "What the names of the files end in"},
    {.name = "encoding",
     .type = LIGHTER_OPTION_STRING,
     .fallback = "utf-8",
     .offset = offsetof(struct text_options, encoding),
     .help = "utf-8, latin-1 or ascii"},
    {.name = NULL},
};

/* The characters of `ascii` and `latin-1` are the first ones of Unicode. */
struct encoding {
    const char *alias;
    const char *name;
    utf8proc_int32_t n_characters;
};

#define N_UNICODE 0x110000

static const struct encoding encodings[] = {
    {"utf-8", "utf-8", N_UNICODE}, {"utf8", "utf-8", N_UNICODE},
    {"ascii", "ascii", 128},       {"us-ascii", "ascii", 128},
    {"latin-1", "latin-1", 256},   {"latin1", "latin-1", 256},
    {"iso-8859-1", "latin-1", 256}};

static const struct encoding *
find_encoding(const char *alias)
{
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (strcasecmp(encodings[i].alias, alias) == 0)
            return &encodings[i];
    return NULL;
}

static int
fail_character(const struct encoding *encoding, utf8proc_int32_t c, size_t position,
               struct lighter_error *err)
{
    char letter = c > 0xffff ? 'U' : c > 0xff ? 'u' : 'x';
    int n_digits = c > 0xffff ? 8 : c > 0xff ? 4 : 2;

    return lighter_fail(err, LIGHTER_E_VALUE,
                        "'%s' codec can't encode character '\\%c%0*x' in position "
                        "%zu: ordinal not in range(%d)",
                        encoding->name, letter, n_digits, (unsigned)c, position,
                        (int)encoding->n_characters);
}

/* UTF-8 in [data, end) as one byte a character. */
static int
put_narrow(struct pytext *file, const char *data, const char *end,
           const struct encoding *encoding, struct lighter_error *err)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t size;
    char byte;
    int r = 0;

    for (size_t position = 0; r == 0 && data < end; position++, data += size) {
        size = utf8proc_iterate((const utf8proc_uint8_t *)data, end - data, &c);
        if (size <= 0)
            return lighter_fail(err, LIGHTER_E_VALUE, "the text is not UTF-8");
        if (c >= encoding->n_characters)
            return fail_character(encoding, c, position, err);
        byte = (char)c;
        r = pytext_put(file, &byte, 1, err);
    }
    return r;
}

static int
encode_narrow(struct pytext *file, const struct lighter_value *sample,
              const struct encoding *encoding, struct lighter_error *err)
{
    struct pytext text;
    int r;

    pytext_init_memory(&text, PYTEXT_MAX_SIZE);
    r = pytext_str(&text, sample, err);
    if (r == 0)
        r = put_narrow(file, text.start, text.at, encoding, err);
    pytext_done(&text);
    return r;
}

static int
text_encode(const void *options, const struct lighter_value *sample,
            struct lighter_sink *sink, const struct lighter_services *services,
            struct lighter_error *err)
{
    const struct text_options *chosen = options;
    const struct encoding *encoding = find_encoding(chosen->encoding);
    struct pytext file;
    int r;

    if (!encoding)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "unknown encoding '%.100s'; there are utf-8, latin-1 and "
                            "ascii",
                            chosen->encoding);
    pytext_init(&file, services, sink);
    r = encoding->n_characters == N_UNICODE
            ? pytext_str(&file, sample, err)
            : encode_narrow(&file, sample, encoding, err);
    if (r == 0)
        pytext_flush(&file);
    return r;
}

static const struct lighter_encoder text_encoder = {
    .size = sizeof(struct lighter_encoder),
    .name = "text",
    .summary = "the text that Python's str() gives",
    .options = text_option_table,
    .options_size = sizeof(struct text_options),
    .encode = text_encode,
};

static const struct lighter_encoder *const text_encoders[] = {&text_encoder, NULL};

const struct lighter_plugin lighter_plugin = {
    LIGHTER_PLUGIN_HEADER,
    .name = "text",
    .version = "0.1.0",
    .encoders = text_encoders,
};
