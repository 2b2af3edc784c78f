/* crash.h - which batch a worker has in hand, in case that the daemon dies of it.
 *
 * The daemon is crash-only: a plugin that crashes takes it down, the next one goes on
 * from the journals. So that it does not die of the same batch for ever, the handler of
 * a deadly signal writes down which one it was. A thread's own.
 */
#ifndef DAEMON_CRASH_H
#define DAEMON_CRASH_H

#include "daemon/journal.h"

/* Once, before there are threads. */
void crash_init(void);

/* From here to crash_leave() this thread is in a plugin; `journal` is borrowed. `seq` is
 * 0 outside of a batch.
 */
void crash_enter(struct journal *journal, uint32_t rank, uint32_t writer, uint64_t seq);
void crash_leave(void);

/* What the handler writes down; for a plugin that hangs, and has to be ended. */
void crash_note(struct journal *journal, uint32_t rank, uint32_t writer, uint64_t seq);

#endif
