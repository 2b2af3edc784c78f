/* corpus_main.c - runs a fuzzer on the files of the corpus that bear its name.
 *
 * In: FUZZ_CORPUS, or tests/fuzz/corpus below $srcdir, as `make check` sets it. A file
 * is an input of the fuzzer whose name it begins with: frame-empty is fuzz_frame's.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX ((size_t)1 << 20)

static int
run_file(const char *directory, const char *name)
{
    uint8_t *bytes = malloc(INPUT_MAX), *input;
    char *path = NULL;
    size_t size;
    FILE *file;

    if (!bytes || asprintf(&path, "%s/%s", directory, name) < 0)
        abort();
    file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    input = malloc(size ? size : 1); /* no byte to spare, for sanitizers */
    if (!input)
        abort();
    memcpy(input, bytes, size);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
    free(path);
    free(bytes);
    return 1;
}

int
main(void)
{
    const char *corpus = getenv("FUZZ_CORPUS"), *source = getenv("srcdir");
    char directory[4096];
    struct dirent *entry;
    int n_run = 0;
    DIR *dir;

    snprintf(directory, sizeof directory, "%s/tests/fuzz/corpus",
             source ? source : ".");
    if (!corpus)
        corpus = directory;
    dir = opendir(corpus);
    if (!dir) {
        perror(corpus);
        return EXIT_FAILURE;
    }
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, fuzz_name, strlen(fuzz_name)) == 0)
            n_run += run_file(corpus, entry->d_name);
    closedir(dir);
    printf("%d inputs of %s\n", n_run, corpus);
    return n_run ? EXIT_SUCCESS : EXIT_FAILURE; /* an empty corpus tests nothing */
}
