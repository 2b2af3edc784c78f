/* verb_tail.c - what a job has written last, and what it writes, until it is over.
 *
 * The daemon tells where the ranks write, and up to where that is committed; it is read
 * from there, and never what is behind. When the job is published all of it is.
 */
#include "client/ctl/follow.h"
#include "client/ctl/output.h"
#include "client/ctl/rows.h"
#include "client/ctl/terminal.h"
#include "client/ctl/verbs.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: lighterctl [--socket PATH] [--json] tail JOB [-n N] [--stage STAGE]\n"
    "                  [--wait] [--once]\n"
    "\n"
    "Prints the last lines of what a job has written, then what it writes, until it\n"
    "is over: rows of tables, names and sizes of files. Only what is committed: it\n"
    "will be in the outputs if the job is published. Where there are several outputs\n"
    "or ranks, a line says from which the next lines are. You need to be allowed to\n"
    "read the outputs yourself. A cell may have several lines.\n"
    "\n"
    "  -n N, --lines N  begin with so many lines of each, 10 by default\n"
    "  --once           end after those\n"
    "  --wait           where no live job has this name, wait for one\n"
    "\n"
    "example:\n"
    "  $ lighterctl tail -n 2 predictions\n"
    "  scan-00310,0.9314159\n"
    "  scan-00311,0.0271828\n"
    "\n"
    "exit codes: 0 published, or told --once; the others are those of lighterctl\n"
    "watch.\n";

/* What one rank writes for one writer. */
struct source {
    size_t writer;
    json_int_t rank;
    struct rows rows; /* of a table */
    json_int_t files; /* ... else: so many of them were told of */
};

struct tail {
    struct follow follow;
    const struct options *options;
    bool is_terminal, has_begun, has_titles;
    struct source *sources; /* owned */
    size_t n_sources;
    const struct source *last; /* whose lines were printed last */
};

/* ---- sources ------------------------------------------------------------------- */

static struct source *
find_source(struct tail *tail, size_t writer, json_int_t rank)
{
    for (size_t i = 0; i < tail->n_sources; i++)
        if (tail->sources[i].writer == writer && tail->sources[i].rank == rank)
            return &tail->sources[i];
    return NULL;
}

static struct source *
add_source(struct tail *tail, size_t writer, json_int_t rank)
{
    size_t n = tail->n_sources;

    tail->sources = must(reallocarray(tail->sources, n + 1, sizeof *tail->sources));
    tail->sources[n] =
        (struct source){.writer = writer, .rank = rank, .rows = {.fd = -1}};
    tail->n_sources++;
    tail->last = NULL; /* they have moved */
    return &tail->sources[n];
}

static const json_t *
writer_of(const struct tail *tail, const struct source *source)
{
    return json_array_get(json_object_get(tail->follow.job, "writers"), source->writer);
}

static const char *
target_of(const struct tail *tail, const struct source *source)
{
    const char *target =
        json_string_value(json_object_get(writer_of(tail, source), "target"));

    return target ? target : "?";
}

/* As tail(1) does. */
static void
print_title(struct tail *tail, const struct source *source)
{
    AUTO(free_bytes) char *target = printable(target_of(tail, source));

    if (tail->last != source && tail->has_titles)
        printf("==> %s (rank %" JSON_INTEGER_FORMAT ") <==\n", target, source->rank);
    tail->last = source;
}

/* ---- rows ---------------------------------------------------------------------- */

static void
print_rows(struct tail *tail, struct source *source, uint64_t end)
{
    json_t *line;

    if (source->rows.fd < 0 || end <= source->rows.read)
        return;
    if (!tail->options->json) {
        print_title(tail, source);
        rows_print(&source->rows, end, stdout, tail->is_terminal);
        return;
    }
    line = json_pack("{s:s, s:I, s:o*}", "target", target_of(tail, source), "rank",
                     source->rank, "rows", rows_list(&source->rows, end));
    output_json_line(stdout, line);
    json_decref(line);
}

static enum ctl_exit
open_rows(struct tail *tail, struct source *source, const json_t *part)
{
    const char *path = json_string_value(json_object_get(part, "path"));
    json_int_t header = json_integer_value(json_object_get(part, "header")),
               size = json_integer_value(json_object_get(part, "size"));
    int r = path ? rows_open(&source->rows, path, (uint64_t)header) : -ENOENT;

    if (r == -ENOENT && path)
        return CTL_DONE; /* it has just been published, or is being made */
    if (r < 0) {
        complain("%s: %s", path ? path : "?", strerror(-r));
        return CTL_FAILED;
    }
    if (tail->has_begun)
        source->rows.read = source->rows.header;
    else
        rows_skip(&source->rows, (uint64_t)size, tail->options->n_lines);
    return CTL_DONE;
}

static enum ctl_exit
take_rows(struct tail *tail, struct source *source, const json_t *part)
{
    json_int_t size = json_integer_value(json_object_get(part, "size"));
    enum ctl_exit done = CTL_DONE;

    if (source->rows.fd < 0)
        done = open_rows(tail, source, part);
    if (done == CTL_DONE)
        print_rows(tail, source, (uint64_t)size);
    return done;
}

/* ---- files --------------------------------------------------------------------- */

/* Staged still, or under its final name. -1: it cannot be said. */
static json_int_t
file_size(const char *staging, const char *target, const char *name)
{
    AUTO(free_bytes) char *staged = formatted("%s/%s", staging, name);
    AUTO(free_bytes) char *shown = formatted("%s/%s", target, name);
    struct stat status;

    if (lstat(staged, &status) == 0 || lstat(shown, &status) == 0)
        return (json_int_t)status.st_size;
    return -1;
}

/* Of the last batch the last ones, as many as are new. Returns owned. */
static json_t *
list_files(const struct tail *tail, const struct source *source, const json_t *part,
           json_int_t n_new)
{
    const json_t *names = json_object_get(part, "names");
    const char *staging = json_string_value(json_object_get(part, "path"));
    size_t n = json_array_size(names),
           first = (json_int_t)n > n_new ? n - (size_t)n_new : 0;
    json_t *files = json_array();

    for (size_t i = first; staging && i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));

        if (name)
            json_array_append_new(
                files, json_pack("{s:s, s:I}", "name", name, "size",
                                 file_size(staging, target_of(tail, source), name)));
    }
    return files;
}

static void
print_files(struct tail *tail, const struct source *source, json_t *files,
            json_int_t n_others)
{
    const json_t *file;
    size_t i;

    print_title(tail, source);
    if (n_others > 0)
        printf("... %" JSON_INTEGER_FORMAT " others\n", n_others);
    json_array_foreach (files, i, file) {
        AUTO(free_bytes) char *name = show_text(json_object_get(file, "name"));
        json_int_t size = json_integer_value(json_object_get(file, "size"));
        AUTO(free_bytes)
        char *shown = size < 0 ? formatted("-") : format_size((uint64_t)size);

        printf("%10s  %s\n", shown, name);
    }
}

static void
take_files(struct tail *tail, struct source *source, const json_t *part)
{
    json_int_t n = json_integer_value(json_object_get(part, "files")),
               n_new = n - source->files, n_wanted = n_new;
    json_t *files, *line;

    if (!tail->has_begun && n_wanted > tail->options->n_lines)
        n_wanted = tail->options->n_lines;
    source->files = n;
    if (n_wanted <= 0)
        return;
    files = list_files(tail, source, part, n_wanted);
    n_new = tail->has_begun ? n_new - (json_int_t)json_array_size(files) : 0;
    if (tail->options->json) {
        line = json_pack("{s:s, s:I, s:O, s:I}", "target", target_of(tail, source),
                         "rank", source->rank, "files", files, "others", n_new);
        output_json_line(stdout, line);
        json_decref(line);
    } else {
        print_files(tail, source, files, n_new);
    }
    json_decref(files);
}

/* ---- all of it ----------------------------------------------------------------- */

static enum ctl_exit
take_writer(struct tail *tail, size_t index, const json_t *writer)
{
    const char *kind = json_string_value(json_object_get(writer, "kind"));
    enum ctl_exit done = CTL_DONE;
    const json_t *part;
    size_t i;

    json_array_foreach (json_object_get(writer, "parts"), i, part) {
        json_int_t rank = json_integer_value(json_object_get(part, "rank"));
        struct source *source = find_source(tail, index, rank);

        if (!source)
            source = add_source(tail, index, rank);
        if (kind && strcmp(kind, "table") == 0)
            done = take_rows(tail, source, part);
        else
            take_files(tail, source, part);
        if (done != CTL_DONE)
            break;
    }
    return done;
}

/* Are there several of them? Then there will always be. */
static bool
has_several_parts(const json_t *job)
{
    const json_t *writer;
    size_t i, n = 0;

    json_array_foreach (json_object_get(job, "writers"), i, writer)
        n += json_array_size(json_object_get(writer, "parts"));
    return n > 1;
}

static enum ctl_exit
take(struct tail *tail)
{
    enum ctl_exit done = CTL_DONE;
    const json_t *writer;
    size_t i;

    tail->has_titles |= has_several_parts(tail->follow.job);
    json_array_foreach (json_object_get(tail->follow.job, "writers"), i, writer)
        if (done == CTL_DONE)
            done = take_writer(tail, i, writer);
    tail->has_begun = true;
    fflush(stdout);
    return done;
}

/* The rows that were joined onto the first shard of a table, from all others. */
static uint64_t
count_joined(const struct tail *tail, const struct source *first)
{
    uint64_t joined = 0;

    for (size_t i = 0; i < tail->n_sources; i++) {
        const struct source *each = &tail->sources[i];

        if (each != first && each->writer == first->writer && each->rows.fd >= 0)
            joined += rows_size(&each->rows) - each->rows.header;
    }
    return joined;
}

static bool
is_first(const struct tail *tail, const struct source *source)
{
    for (size_t i = 0; i < tail->n_sources; i++)
        if (tail->sources[i].writer == source->writer &&
            tail->sources[i].rank < source->rank)
            return false;
    return true;
}

/* It is published: all that the shards have is committed. */
static void
take_rest(struct tail *tail)
{
    for (size_t i = 0; i < tail->n_sources; i++) {
        struct source *source = &tail->sources[i];
        uint64_t size, joined;

        if (source->rows.fd < 0)
            continue;
        size = rows_size(&source->rows);
        joined = is_first(tail, source) ? count_joined(tail, source) : 0;
        print_rows(tail, source, size > joined ? size - joined : 0);
    }
    fflush(stdout);
}

/* Its tables are there, whole; of files nobody knows which were the last. */
static void
take_published(struct tail *tail)
{
    const json_t *writer;
    size_t i;

    json_array_foreach (json_object_get(tail->follow.job, "writers"), i, writer) {
        const char *kind = json_string_value(json_object_get(writer, "kind"));
        const char *target = json_string_value(json_object_get(writer, "target"));
        struct source *source;

        if (!kind || !target || strcmp(kind, "table") != 0)
            continue;
        source = add_source(tail, i, 0);
        if (rows_open(&source->rows, target, 0) < 0)
            continue;
        rows_skip(&source->rows, rows_size(&source->rows), tail->options->n_lines);
        print_rows(tail, source, rows_size(&source->rows));
    }
}

static bool
is_published(const struct tail *tail)
{
    const char *state = json_string_value(json_object_get(tail->follow.job, "state"));

    return state && strcmp(state, "published") == 0;
}

static enum ctl_exit
look_on(struct tail *tail)
{
    enum ctl_exit done = CTL_DONE;

    if (follow_is_over(&tail->follow)) {
        if (is_published(tail))
            take_published(tail);
        return follow_outcome(&tail->follow);
    }
    done = take(tail);
    if (tail->options->given & TAKES_ONCE)
        return done;
    while (done == CTL_DONE && !follow_is_over(&tail->follow)) {
        done = follow_next(&tail->follow);
        if (done == CTL_DONE)
            done = take(tail);
    }
    if (done == CTL_DONE && is_published(tail))
        take_rest(tail);
    return done == CTL_DONE ? follow_outcome(&tail->follow) : done;
}

static enum ctl_exit
run(const struct options *options)
{
    struct tail tail = {.options = options, .is_terminal = terminal_is_there()};
    enum ctl_exit done = follow_begin(&tail.follow, options, "tail");

    if (done != CTL_DONE)
        return done;
    done = look_on(&tail);
    for (size_t i = 0; i < tail.n_sources; i++)
        rows_close(&tail.sources[i].rows);
    free(tail.sources);
    follow_end(&tail.follow);
    return done;
}

const struct verb verb_tail = {.name = "tail",
                               .summary = "what a job has written last, and writes",
                               .help = help,
                               .min_arguments = 1,
                               .max_arguments = 1,
                               .takes =
                                   TAKES_STAGE | TAKES_WAIT | TAKES_LINES | TAKES_ONCE,
                               .run = run};
