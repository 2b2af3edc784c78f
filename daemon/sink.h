/* sink.h - bytes on their way to one file, before the system call that writes them.
 *
 * In: a plugin, through lighter_services. Out: an iovec list for storage. Copied
 * bytes live in chunks that the sink owns and keeps for the next file; lent bytes (a
 * tensor's) stay where they are. A table's is drained as it fills: it may be asked for
 * any number of rows. One thread at a time.
 */
#ifndef DAEMON_SINK_H
#define DAEMON_SINK_H

#include <stddef.h>
#include <sys/uio.h>

#define SINK_DRAINED ((size_t)1 << 20)

struct lighter_sink {
    struct iovec *parts; /* in order; owned */
    size_t n_parts, max_parts;
    char *chunk; /* the copied bytes of all parts; owned */
    size_t chunk_used, chunk_size;
    size_t size; /* bytes in all parts */

    /* Takes and clears what is there, when that is SINK_DRAINED; NULL: nothing does. */
    int (*drain)(void *data, struct lighter_sink *sink);
    void *drain_data;
};

void sink_init(struct lighter_sink *sink);
void sink_done(struct lighter_sink *sink);

/* Empty, with its memory kept for the next file. */
void sink_clear(struct lighter_sink *sink);

/* ... and no more of it than SINK_DRAINED. */
void sink_trim(struct lighter_sink *sink);

/* As lighter_services says. NULL also where it could not be drained. */
void *sink_reserve(struct lighter_sink *sink, size_t size);
void sink_commit(struct lighter_sink *sink, size_t size);
int sink_lend(struct lighter_sink *sink, const void *data, size_t size);

/* The parts in order, lent until the next call on the sink. Their addresses may be
 * changed by the caller (a short write moves them on); the sink is to be cleared then.
 */
struct iovec *sink_parts(struct lighter_sink *sink, size_t *ret_n_parts);

#endif
