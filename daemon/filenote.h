/* filenote.h - the files of a batch, as a journal has them: one note each, one after
 * the other. Pure; any thread.
 *
 * A note is the file's size and inode, 8 bytes each, and its name with its NUL. A
 * JOURNAL_WRITTEN of 0.1.0 has the names alone.
 */
#ifndef DAEMON_FILENOTE_H
#define DAEMON_FILENOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FILENOTE_UNKNOWN_SIZE UINT64_MAX

struct filenote {
    uint64_t size;    /* bytes; FILENOTE_UNKNOWN_SIZE */
    uint64_t inode;   /* 0: it is not known, or not to be relied on there */
    const char *name; /* with its suffix; lent */
};

#define FILENOTE_HEAD (2 * sizeof(uint64_t)) /* bytes before the name */

static inline void
filenote_put_head(char *bytes, uint64_t size, uint64_t inode)
{
    memcpy(bytes, &size, sizeof size);
    memcpy(bytes + sizeof size, &inode, sizeof inode);
}

/* The note at *at of `bytes` (n_bytes), which may be torn; *at moves behind it.
 * `heads`: do they have sizes and inodes? Return: false: there is none.
 */
static inline bool
filenote_next(const void *bytes, size_t n_bytes, bool heads, size_t *at,
              struct filenote *ret_note)
{
    size_t room = n_bytes - *at, length;
    const char *head, *name;

    if (room <= (heads ? FILENOTE_HEAD : 0)) /* also where there are no bytes at all */
        return false;
    head = name = (const char *)bytes + *at;
    *ret_note = (struct filenote){.size = FILENOTE_UNKNOWN_SIZE};
    if (heads) {
        memcpy(&ret_note->size, head, sizeof ret_note->size);
        memcpy(&ret_note->inode, head + sizeof ret_note->size, sizeof ret_note->inode);
        name = head + FILENOTE_HEAD;
        room -= FILENOTE_HEAD;
    }
    length = strnlen(name, room);
    if (length == room)
        return false;
    ret_note->name = name;
    *at = (size_t)(name - (const char *)bytes) + length + 1;
    return true;
}

#endif
