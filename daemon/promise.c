/* promise.c - see promise.h. */
#include "daemon/promise.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Suffixes that programs go by when they choose how to read a file. */
static const char *const formats[] = {
    ".7z",    ".arrow", ".avi",   ".avro",    ".bmp",     ".bz2",         ".csv",
    ".db",    ".dcm",   ".dicom", ".exr",     ".feather", ".gif",         ".gz",
    ".h5",    ".hdf",   ".hdf5",  ".jp2",     ".jpeg",    ".jpg",         ".json",
    ".jsonl", ".lz4",   ".mat",   ".mha",     ".mhd",     ".mkv",         ".mov",
    ".mp4",   ".mpg",   ".nc",    ".ndjson",  ".nii",     ".npy",         ".npz",
    ".nrrd",  ".ods",   ".orc",   ".parquet", ".pdf",     ".pickle",      ".pkl",
    ".png",   ".ppm",   ".pt",    ".pth",     ".rar",     ".safetensors", ".sqlite",
    ".svg",   ".tar",   ".tgz",   ".tif",     ".tiff",    ".tsv",         ".wav",
    ".webm",  ".webp",  ".xls",   ".xlsx",    ".xml",     ".xz",          ".yaml",
    ".yml",   ".zarr",  ".zip",   ".zst"};

static const char *
find_format(const char *suffix)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcasecmp(formats[i], suffix) == 0)
            return formats[i];
    return NULL;
}

/* `list` has spaces between its words. */
static bool
has_word(const char *list, const char *word)
{
    size_t size = strlen(word);

    while (*list) {
        size_t length = strcspn(list, " ");

        if (length == size && strncmp(list, word, size) == 0)
            return true;
        list += length + (list[length] == ' ');
    }
    return false;
}

int
promise_check_suffix(const char *name, const char *what, const char *suffixes,
                     struct lighter_error *err)
{
    const char *dot = strrchr(name, '.');
    const char *format = dot ? find_format(dot) : NULL;

    if (!suffixes || !format || has_word(suffixes, format))
        return 0;
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "'%.300s' promises the format %s, and %s does not make it: end "
                        "the name in %s, or in something that names no format",
                        name, format, what, suffixes);
}

/* "s3:", of "s3://bucket", whose empty parts are gone by now. */
static bool
is_scheme(const char *part, size_t size)
{
    if (size < 3 || part[size - 1] != ':' || !isalpha((unsigned char)*part))
        return false;
    for (size_t i = 1; i < size - 1; i++)
        if (!isalnum((unsigned char)part[i]) && !strchr("+.-", part[i]))
            return false;
    return true;
}

static const char *
find_placeholder(const char *target)
{
    static const char *const placeholders[] = {"{stage}", "{epoch}", "{dataloader}",
                                               "{rank}", "{index}"};

    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
        if (strstr(target, placeholders[i]))
            return placeholders[i];
    return NULL;
}

int
promise_check_path(const char *target, struct lighter_error *err)
{
    const char *placeholder = find_placeholder(target);

    if (placeholder)
        return lighter_fail(err, LIGHTER_E_PARAMS,
                            "the path '%.300s' has %s, which lighterd does not fill "
                            "in: give the path as it is to be",
                            target, placeholder);
    for (const char *part = target; *part;) {
        size_t size = strcspn(part, "/");

        if (is_scheme(part, size))
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "the path '%.300s' names another storage, '%.*s//': "
                                "lighterd writes to directories of this machine",
                                target, (int)size, part);
        if (size == 1 && *part == '~')
            return lighter_fail(err, LIGHTER_E_PARAMS,
                                "the path '%.300s' has '~', which shells and the "
                                "Python client replace, and lighterd does not: give "
                                "the home directory itself",
                                target);
        part += size + (part[size] == '/');
    }
    return 0;
}
