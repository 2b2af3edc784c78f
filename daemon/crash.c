/* crash.c - see crash.h. */
#include "daemon/crash.h"

#include <signal.h>

static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

#define N_DEADLY (sizeof deadly / sizeof *deadly)

static struct sigaction before[N_DEADLY]; /* a sanitizer's, else the default */

static _Thread_local struct {
    struct journal *journal; /* NULL: the thread is in no plugin */
    uint32_t rank, writer;
    uint64_t seq;
} at;

void
crash_enter(struct journal *journal, uint32_t rank, uint32_t writer, uint64_t seq)
{
    at.rank = rank;
    at.writer = writer;
    at.seq = seq;
    at.journal = journal;
}

void
crash_leave(void)
{
    at.journal = NULL;
}

void
crash_note(struct journal *journal, uint32_t rank, uint32_t writer, uint64_t seq)
{
    journal_append_dying(journal, &(struct journal_record){.kind = JOURNAL_CRASHED,
                                                           .rank = rank,
                                                           .writer = writer,
                                                           .seq = seq});
}

/* With the old handler back in its place, what has raised the signal raises it again as
 * soon as this returns.
 */
static void
on_deadly_signal(int number)
{
    struct journal *journal = at.journal;

    for (size_t i = 0; i < N_DEADLY; i++)
        if (deadly[i] == number)
            sigaction(number, &before[i], NULL);
    at.journal = NULL;
    if (journal)
        crash_note(journal, at.rank, at.writer, at.seq);
}

void
crash_init(void)
{
    struct sigaction action = {.sa_handler = on_deadly_signal};

    for (size_t i = 0; i < N_DEADLY; i++)
        sigaction(deadly[i], &action, &before[i]);
}
