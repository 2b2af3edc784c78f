/* job_surgery.c - see job_surgery.h. */
#include "tests/unit/job_surgery.h"

#include "tests/unit/job_clients.h"

#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

struct surgery {
    struct state state;
    struct journal journal;
};

static int
ignore(void *data, const struct journal_record *record, uint64_t next,
       struct lighter_error *ret_err)
{
    (void)data, (void)record, (void)next, (void)ret_err;
    return 0;
}

static void
open_up(struct surgery *surgery)
{
    char path[512];

    snprintf(path, sizeof path, "%s/state", directory);
    ck_assert_int_eq(state_open(&surgery->state, path, "/s", &err), 0);
    journal_init(&surgery->journal);
    ck_assert_msg(journal_open(&surgery->journal, surgery->state.fd, JOURNAL, &err) ==
                      0,
                  "%s", err.message);
    ck_assert_int_eq(journal_read(&surgery->journal, UINT64_MAX, ignore, NULL, &err),
                     0);
}

static void
sew_up(struct surgery *surgery)
{
    journal_done(&surgery->journal);
    state_done(&surgery->state);
}

void
append_record(struct journal_record record)
{
    struct surgery surgery;

    open_up(&surgery);
    ck_assert_int_eq(journal_append(&surgery.journal, &record, &err), 0);
    sew_up(&surgery);
}

struct copying {
    edit *change;
    struct journal *to;
};

static int
copy_edited(void *data, const struct journal_record *record, uint64_t next,
            struct lighter_error *ret_err)
{
    const struct copying *copying = data;
    struct journal_record edited = *record;

    (void)next;
    return copying->change(&edited) ? journal_append(copying->to, &edited, ret_err) : 0;
}

void
edit_journal(edit *change)
{
    struct copying copying = {change, NULL};
    struct surgery surgery;
    struct journal fresh;

    open_up(&surgery);
    journal_init(&fresh);
    copying.to = &fresh;
    ck_assert_int_eq(journal_begin(&fresh, surgery.state.fd, JOURNAL, &err), 0);
    ck_assert_int_eq(
        journal_read(&surgery.journal, UINT64_MAX, copy_edited, &copying, &err), 0);
    ck_assert_int_eq(journal_replace(&fresh, surgery.state.fd, JOURNAL, false, &err),
                     0);
    journal_done(&fresh);
    sew_up(&surgery);
}

void
tear_journal(off_t n_bytes)
{
    struct surgery surgery;

    open_up(&surgery);
    ck_assert_int_eq(
        ftruncate(surgery.journal.fd, (off_t)surgery.journal.size - n_bytes), 0);
    sew_up(&surgery);
}

/* It is not even read. */
static void
open_shut(struct surgery *surgery)
{
    char path[512];

    snprintf(path, sizeof path, "%s/state", directory);
    ck_assert_int_eq(state_open(&surgery->state, path, "/s", &err), 0);
    journal_init(&surgery->journal);
    ck_assert_int_eq(journal_open(&surgery->journal, surgery->state.fd, JOURNAL, &err),
                     0);
}

void
damage_journal(off_t place)
{
    struct surgery surgery;
    uint8_t byte;

    open_shut(&surgery);
    ck_assert_int_eq(pread(surgery.journal.fd, &byte, 1, place), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(surgery.journal.fd, &byte, 1, place), 1);
    sew_up(&surgery);
}

off_t
journal_size_on_disk(void)
{
    char path[PATH_MAX];
    struct state state;
    struct stat status;

    snprintf(path, sizeof path, "%s/state", directory);
    if (state_open(&state, path, "/s", &err) == 0)
        state_done(&state);
    strncat(state.path, "/" JOURNAL, sizeof state.path - strlen(state.path) - 1);
    ck_assert_int_eq(stat(state.path, &status), 0);
    return status.st_size;
}

bool
place_elsewhere(struct journal_record *record)
{
    if (record->kind == JOURNAL_PLACE)
        record->batch_idx++; /* another boot */
    return true;
}

void
cut_file(const char *name, off_t size)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert_int_eq(truncate(path, size), 0);
}

void
rename_file(const char *from, const char *to)
{
    char paths[2][512];

    snprintf(paths[0], sizeof paths[0], "%s/%s", directory, from);
    snprintf(paths[1], sizeof paths[1], "%s/%s", directory, to);
    ck_assert_int_eq(rename(paths[0], paths[1]), 0);
}

void
remove_file(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert_int_eq(remove(path), 0);
}

/* Journals of the state directory. */
static int
count_one(void *data, const char *name, struct lighter_error *ret_err)
{
    (void)name, (void)ret_err;
    ++*(int *)data;
    return 0;
}

int
n_journals(void)
{
    int n = 0;

    ck_assert_int_eq(state_each(jobs.state, count_one, &n, &err), 0);
    return n;
}

static int
count_kind(void *data, const struct journal_record *record, uint64_t next,
           struct lighter_error *ret_err)
{
    struct journal_record *counted = data;

    (void)next, (void)ret_err;
    counted->size += record->kind == counted->kind;
    return 0;
}

int
n_records(enum journal_kind kind)
{
    struct journal_record counted = {.kind = kind};
    struct journal journal;

    journal_init(&journal);
    ck_assert_int_eq(journal_open(&journal, jobs.state->fd, JOURNAL, &err), 0);
    ck_assert_int_eq(journal_read(&journal, UINT64_MAX - 1, count_kind, &counted, &err),
                     0);
    journal_done(&journal);
    return (int)counted.size;
}

int
lock_file(const char *name)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}
