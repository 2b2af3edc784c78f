/* output.h - what a plugin's `write` writes to, and the services that let it.
 *
 * In: calls of a plugin through struct lighter_services. Out: bytes in a sink (tables),
 * files in the staging directory (files). One per worker that a stream uses at a time;
 * kept with its memory for the next batch.
 */
#ifndef DAEMON_OUTPUT_H
#define DAEMON_OUTPUT_H

#include "daemon/files.h"
#include "daemon/sink.h"

#include <lighter/plugin.h>

struct lighter_output {
    struct lighter_sink sink;
    struct files *files;           /* borrowed; NULL: this is a table's */
    char *names;                   /* a note of each file stored; owned */
    size_t names_used, names_room; /* bytes */
    uint64_t n_bytes;              /* stored since output_clear() */
};

extern const struct lighter_services output_services;

void output_init(struct lighter_output *output, struct files *files);
void output_done(struct lighter_output *output);

/* What `part` has stored becomes `whole`'s. Return: 0; -ENOMEM. */
int output_merge(struct lighter_output *whole, struct lighter_output *part,
                 struct lighter_error *err);

/* The task is over: forget what it stored. */
void output_clear(struct lighter_output *output);

/* Remove stored files: `names` are notes of them. Workers only. */
void output_remove(struct files *files, const char *names, size_t size);

/* The task failed: take back what it stored, then forget it. Workers only. */
void output_undo(struct lighter_output *output);

#endif
