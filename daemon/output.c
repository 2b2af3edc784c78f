/* output.c - see output.h. */
#include "daemon/output.h"

#include "util/error.h"

void
output_init(struct lighter_output *output, struct files *files)
{
    *output = (struct lighter_output){.files = files};
    sink_init(&output->sink);
}

void
output_done(struct lighter_output *output)
{
    sink_done(&output->sink);
    free(output->names);
    output->names = NULL;
}

void
output_clear(struct lighter_output *output)
{
    sink_trim(&output->sink);
    output->names_used = 0;
    output->n_bytes = 0;
}

void
output_remove(struct files *files, const char *names, size_t size)
{
    struct filenote note;

    for (size_t at = 0; filenote_next(names, size, true, &at, &note);)
        files_remove(files, &note);
}

void
output_undo(struct lighter_output *output)
{
    output_remove(output->files, output->names, output->names_used);
    output_clear(output);
}

static struct lighter_sink *
get_sink(struct lighter_output *output)
{
    return &output->sink;
}

/* Before the file is made: a name that cannot be remembered could not be taken back. */
static int
reserve_name(struct lighter_output *output, size_t size, struct lighter_error *err)
{
    size_t wanted = output->names_used + size, room;
    char *names;

    if (wanted <= output->names_room)
        return 0;
    room = 2 * wanted;
    names = realloc(output->names, room);
    if (!names)
        return fail_nomem(err);
    output->names = names;
    output->names_room = room;
    return 0;
}

int
output_merge(struct lighter_output *whole, struct lighter_output *part,
             struct lighter_error *err)
{
    int r = reserve_name(whole, part->names_used, err);

    if (r < 0)
        return r;
    if (part->names_used)
        memcpy(whole->names + whole->names_used, part->names, part->names_used);
    whole->names_used += part->names_used;
    whole->n_bytes += part->n_bytes;
    part->names_used = 0;
    part->n_bytes = 0;
    return 0;
}

static int
store(struct lighter_output *output, const char *name, size_t size, const char *suffix,
      struct lighter_error *err)
{
    size_t suffix_size = strlen(suffix) + 1, n_bytes = output->sink.size;
    uint64_t inode;
    char *note;
    int r;

    if (!output->files)
        return lighter_fail(err, LIGHTER_E_INTERNAL, "a table's writer stored a file");
    r = reserve_name(output, FILENOTE_HEAD + size + suffix_size, err);
    if (r == 0)
        r = files_store(output->files, name, size, suffix, &output->sink, &inode, err);
    if (r < 0)
        return r;
    note = output->names + output->names_used;
    filenote_put_head(note, n_bytes, inode);
    memcpy(note + FILENOTE_HEAD, name, size);
    memcpy(note + FILENOTE_HEAD + size, suffix, suffix_size);
    output->names_used += FILENOTE_HEAD + size + suffix_size;
    output->n_bytes += n_bytes;
    return 0;
}

const struct lighter_services output_services = {
    .size = sizeof(struct lighter_services),
    .reserve = sink_reserve,
    .commit = sink_commit,
    .lend = sink_lend,
    .sink = get_sink,
    .store = store,
};
