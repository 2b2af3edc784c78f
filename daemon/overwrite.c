/* overwrite.c - see overwrite.h. */
#include "daemon/overwrite.h"

#include "util/error.h"

static const char option_name[] = "overwrite";
static const char *const words[] = {"replace", "error", "exchange"};

#define N_WORDS (sizeof words / sizeof *words)

static const struct lighter_option *
find(const struct lighter_option *options)
{
    while (options->name && strcmp(options->name, option_name) != 0)
        options++;
    return options->name ? options : NULL;
}

static size_t
count(const struct lighter_option *options)
{
    size_t n = 0;

    while (options[n].name)
        n++;
    return n;
}

int
overwrite_add_option(const struct lighter_writer *writer,
                     struct lighter_option **ret_options, size_t *ret_size,
                     struct lighter_error *err)
{
    const size_t align = sizeof(const char *);
    size_t n = count(writer->options),
           offset = (writer->options_size + align - 1) / align * align;
    struct lighter_option *options;

    if (find(writer->options))
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "writer '%s' has an option '%s', which is the daemon's",
                            writer->name, option_name);
    options = calloc(n + 2, sizeof *options); /* the last has no name */
    if (!options)
        return fail_nomem(err);
    memcpy(options, writer->options, n * sizeof *options);
    options[n] = (struct lighter_option){
        .name = option_name,
        .type = LIGHTER_OPTION_STRING,
        .fallback = words[OVERWRITE_REPLACE],
        .offset = offset,
        .help = writer->kind == LIGHTER_KIND_FILES
                    ? "What becomes of what is there: replace (files of the same "
                      "names), error, exchange (the whole directory; the old one is "
                      "kept)"
                    : "What becomes of a table that is there: replace, error"};
    *ret_options = options;
    *ret_size = offset + align;
    return 0;
}

int
overwrite_read(const struct lighter_writer *writer, const void *options,
               enum overwrite *ret_overwrite, struct lighter_error *err)
{
    const struct lighter_option *option = find(writer->options);
    bool is_table = writer->kind == LIGHTER_KIND_TABLE;
    const char *word = words[OVERWRITE_REPLACE];

    if (option)
        word = *(const char *const *)((const char *)options + option->offset);
    for (size_t i = 0; i < N_WORDS; i++)
        if (strcmp(word, words[i]) == 0 && !(is_table && i == OVERWRITE_EXCHANGE)) {
            *ret_overwrite = (enum overwrite)i;
            return 0;
        }
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'%s': '%s' expects 'replace' or 'error'%s, got '%.80s'%s",
                        writer->name, option_name, is_table ? "" : " or 'exchange'",
                        word,
                        is_table && strcmp(word, words[OVERWRITE_EXCHANGE]) == 0
                            ? ", which is for writers of files alone: a table is "
                              "always replaced by one rename"
                            : "");
}
