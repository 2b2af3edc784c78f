/* journal.h - what has happened to a job, in order: one file, only ever appended to.
 *
 * In: records, from any worker. Out: the same, read after the daemon's death, up to the
 * first that is not whole. A record is written after the bytes that it speaks of and
 * before the answer that follows from it: what it says is with the kernel then, and no
 * death of a process takes it back. What a loss of power cannot take back either is
 * said by JOURNAL_DURABLE.
 *
 * A journal stays on its machine: numbers are in the machine's own byte order. Each
 * record is 64 bytes and what it has to say in words, with a checksum (XXH3) over all
 * of it, seeded with its place in the file.
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include "daemon/own.h"

#include <pthread.h>
#include <stddef.h>

/* Numbers are never used again for something else. */
enum journal_kind {
    JOURNAL_JOB = 1,       /* the first. seq: the job's id; size: that of the one before
                              it, where that was published; text: the body of the `open`
                              request that made it */
    JOURNAL_PLACE = 2,     /* writer: its output lies on a disk that is mounted like
                              this. seq: the mount, size: the device, batch_idx: the
                              boot */
    JOURNAL_SHARD = 3,     /* rank, writer: has a shard. size: bytes of its header */
    JOURNAL_WRITTEN = 4,   /* rank, writer, seq, batch_idx, dataloader_idx: this batch.
                              n_samples, size: the stream's, with it; text: the names
                              of its files, each with its NUL */
    JOURNAL_REFUSED = 5,   /* rank, writer, seq: this writer wrote nothing of it. text:
                              a struct lighter_error. Before there was DROPPED */
    JOURNAL_ENDED = 6,     /* rank, writer: no more batches come */
    JOURNAL_DURABLE = 7,   /* size: what is recorded before this place is on the disk */
    JOURNAL_COMPLETE = 8,  /* all outputs are whole and durable: they are to be shown */
    JOURNAL_PUBLISHED = 9, /* they have their final names. The first, OVER follows:
                              seq, text: as of a JOURNAL_JOB; n_samples, size: the
                              job's */
    JOURNAL_RESTED = 11,   /* its ranks have gone; nobody is about to come back. Before
                              there was OVER */
    JOURNAL_CRASHED = 10,  /* rank, writer, seq: the daemon died of this batch */
    JOURNAL_STAGED = 12,   /* writer: this was made for it, and is ours. seq: the inode,
                              0 where its file system does not keep them; size: the
                              device; text: its name. rank: whose shard it is, or
                              JOURNAL_NO_RANK. batch_idx: 0: in the directory of the
                              output; 1: in the one that this is in */
    JOURNAL_ROWS = 13,    /* as WRITTEN, of a table. text: XXH3-64 of the batch's bytes,
                             8 bytes. seq 0: of the shard's header */
    JOURNAL_FILES = 14,   /* as WRITTEN, of files. text: a note of each (filenote.h) */
    JOURNAL_DROPPED = 15, /* rank, seq, batch_idx, dataloader_idx: no writer has any of
                             it, whatever was recorded before. writer: the one that
                             refuses it; n_samples: of this one, that have numbers all
                             the same; text: a struct lighter_error, to the NUL of its
                             message, and such a number for each writer (u64) */
    JOURNAL_ATTEMPT = 16, /* text: the start of the program that has the job from here
                             on; empty: it does not say which it is */
    JOURNAL_POLICY = 17,  /* what people ask of a training's policies. text: an enum
                             lighter_action, one byte, and patterns, each with its NUL;
                             size: 1 where what they had asked before was in force.
                             Without text: seq is the step from which on it holds */
    JOURNAL_OVER = 18,    /* its ranks have gone, as of a RESTED; or it is published,
                             and this is the second record. seq: 1 where it was live
                             when a daemon died; text: how it was over (ending.c) */
};

#define JOURNAL_NO_RANK UINT32_MAX
#define JOURNAL_KINDS 64 /* all are below, also those of later versions */

/* Does it speak of a batch that was written, with its numbers as of a WRITTEN? */
bool journal_is_written(enum journal_kind kind);

/* The boot that the machine is in, as a PLACE has it; 0: it is not known. */
int64_t journal_boot(void);

struct journal_record {
    enum journal_kind kind;
    uint32_t rank, writer;
    uint64_t seq;
    int64_t batch_idx, dataloader_idx;
    uint64_t n_samples, size;
    const void *text; /* lent */
    size_t text_size; /* bytes */
};

struct journal {
    int fd;                  /* -1: there is none */
    struct own_id id;        /* the file that is open */
    _Atomic uint64_t size;   /* bytes of whole records */
    uint64_t durable_behind; /* JOURNAL_DAMAGED: as of a JOURNAL_DURABLE, the most that
                                is said behind the damage */
    bool broken;             /* its end is not known any more: nothing is appended */
    pthread_mutex_t lock;
};

void journal_init(struct journal *journal);
void journal_done(struct journal *journal);
void journal_close(struct journal *journal);

/* Begin a new one beside the old one of that name, append to it, and then let it take
 * the old one's place, for good where it shall be `durable`. Return: 0; -errno, and
 * journal_close() is to follow.
 */
int journal_begin(struct journal *journal, int directory, const char *name,
                  struct lighter_error *err);
int journal_replace(struct journal *journal, int directory, const char *name,
                    bool durable, struct lighter_error *err);

/* One that is there, to be read and then appended to. Return: 0; -errno. */
int journal_open(struct journal *journal, int directory, const char *name,
                 struct lighter_error *err);

/* Called with each record and the place where the next one begins; `record->text` is
 * lent for the call. Return: 0; < 0 ends the reading.
 */
typedef int journal_visit(void *data, const struct journal_record *record, uint64_t end,
                          struct lighter_error *err);

/* Read the records below `limit` (UINT64_MAX: all, and what is torn behind the last
 * whole one is cut off).
 * Return: 0; JOURNAL_DAMAGED: what ends at journal_size() is followed by something that
 *         is no record, and that by sound ones, so that it is not a torn end; nothing
 * is cut off then; what `visit` gave; -errno.
 */
int journal_read(struct journal *journal, uint64_t limit, journal_visit *visit,
                 void *data, struct lighter_error *err);

#define JOURNAL_DAMAGED 1

/* Cut off what is behind journal_size(). Return: 0; -errno. */
int journal_cut(struct journal *journal, struct lighter_error *err);

/* The same of the file `fd`, of which `size` bytes are looked at: it stays as it is. */
int journal_look(int fd, uint64_t size, journal_visit *visit, void *data,
                 struct lighter_error *err);

/* Any number of workers at once. On failure the journal is as it was, or broken.
 * Return: 0; -errno.
 */
int journal_append(struct journal *journal, const struct journal_record *record,
                   struct lighter_error *err);

/* Bytes of whole records, for a JOURNAL_DURABLE. Any thread; it does not wait. */
uint64_t journal_size(const struct journal *journal);

/* Nothing is appended any more: what would follow could not be understood. */
void journal_break(struct journal *journal);

/* All that was appended is on the disk now. A failure is final. Return: 0; -errno. */
int journal_sync(struct journal *journal, struct lighter_error *err);

/* From within the handler of a deadly signal, in a thread that holds no lock. The
 * others may go on meanwhile.
 */
void journal_append_dying(struct journal *journal, const struct journal_record *record);

#endif
