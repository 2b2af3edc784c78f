/* rows.c - see rows.h. */
#include "client/ctl/rows.h"

#include "client/ctl/output.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_SIZE 65536

int
rows_open(struct rows *rows, const char *path, uint64_t header)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    *rows = (struct rows){.fd = fd, .header = header};
    return 0;
}

void
rows_close(struct rows *rows)
{
    if (rows->fd >= 0)
        close(rows->fd);
    rows->fd = -1;
}

uint64_t
rows_size(const struct rows *rows)
{
    struct stat status;

    return fstat(rows->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* Where the line begins before which there are `*n_lines` newlines in this chunk, seen
 * from its end; else *n_lines are fewer, and the chunk's beginning.
 */
static uint64_t
find_line(const char *chunk, uint64_t size, int *n_lines)
{
    for (uint64_t at = size; at > 0; at--)
        if (chunk[at - 1] == '\n' && (*n_lines)-- == 0)
            return at;
    return 0;
}

void
rows_skip(struct rows *rows, uint64_t end, int n_lines)
{
    static char chunk[CHUNK_SIZE];
    uint64_t start = end;

    while (start > rows->header && n_lines >= 0) {
        uint64_t below = start - rows->header,
                 size = below < CHUNK_SIZE ? below : CHUNK_SIZE, at;

        if (pread(rows->fd, chunk, size, (off_t)(start - size)) != (ssize_t)size)
            break;
        at = find_line(chunk, size, &n_lines);
        start = start - size + at;
    }
    rows->read = start > rows->header ? start : rows->header;
}

/* Up to one chunk of what is to be read. Return: bytes, 0 at the end; -errno. */
static ssize_t
read_chunk(struct rows *rows, uint64_t end, char *chunk)
{
    uint64_t left = end > rows->read ? end - rows->read : 0;
    ssize_t n = pread(rows->fd, chunk, left < CHUNK_SIZE ? left : CHUNK_SIZE,
                      (off_t)rows->read);

    if (n < 0)
        return -errno;
    rows->read += (uint64_t)n;
    return n;
}

/* A line without its end, for people. */
static void
print_line(const char *line, FILE *file)
{
    AUTO(free_bytes) char *shown = printable(line);

    fprintf(file, "%s\n", shown);
}

static int
print_shown(struct rows *rows, uint64_t end, FILE *file)
{
    json_t *lines = rows_list(rows, end), *line;
    size_t i;

    if (!lines)
        return -EIO;
    json_array_foreach (lines, i, line)
        print_line(json_string_value(line), file);
    json_decref(lines);
    return 0;
}

int
rows_print(struct rows *rows, uint64_t end, FILE *file, bool is_terminal)
{
    static char chunk[CHUNK_SIZE];
    ssize_t n;

    if (is_terminal)
        return print_shown(rows, end, file);
    while ((n = read_chunk(rows, end, chunk)) > 0)
        fwrite(chunk, 1, (size_t)n, file);
    return n < 0 ? (int)n : 0;
}

/* Bytes that are no UTF-8 become numbers. */
static void
append(json_t *lines, const char *text, size_t size)
{
    AUTO(free_bytes) char *line = formatted("%.*s", (int)size, text), *shown = NULL;
    json_t *string;

    if (size && line[strlen(line) - 1] == '\r')
        line[strlen(line) - 1] = '\0';
    string = json_string(line);
    if (!string) {
        shown = printable(line);
        string = json_string(shown);
    }
    json_array_append_new(lines, string);
}

/* What a text cannot hold is shown as something else. */
static void
replace_nuls(char *chunk, size_t size)
{
    for (char *nul; (nul = memchr(chunk, '\0', size));)
        *nul = '?';
}

json_t *
rows_list(struct rows *rows, uint64_t end)
{
    static char chunk[CHUNK_SIZE];
    json_t *lines = json_array();
    char *rest = formatted("%s", ""), *all, *line, *newline;
    ssize_t n;

    while ((n = read_chunk(rows, end, chunk)) > 0) {
        replace_nuls(chunk, (size_t)n);
        all = formatted("%s%.*s", rest, (int)n, chunk);
        line = all;
        for (; (newline = strchr(line, '\n')); line = newline + 1)
            append(lines, line, (size_t)(newline - line));
        free(rest);
        rest = formatted("%s", line);
        free(all);
    }
    if (*rest)
        append(lines, rest, strlen(rest));
    free(rest);
    if (n == 0)
        return lines;
    json_decref(lines);
    return NULL;
}
