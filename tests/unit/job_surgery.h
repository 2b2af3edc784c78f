/* job_surgery.h - what is done to a job's journal and outputs behind the daemon's back.
 */
#ifndef TESTS_JOB_SURGERY_H
#define TESTS_JOB_SURGERY_H

#include "daemon/journal.h"

#include <sys/types.h>

#define JOURNAL "job.predict.journal"

/* To the journal, while no daemon is there. */
void append_record(struct journal_record record);
void tear_journal(off_t n_bytes); /* off its end */

void damage_journal(off_t place);     /* a byte of it */
off_t journal_size_on_disk(void);

/* May change the record. Return: shall it stay? */
typedef bool edit(struct journal_record *record);
void edit_journal(edit *change);

/* An edit: all disks were mounted in another boot. */
bool place_elsewhere(struct journal_record *record);

/* While a daemon is there. */
int n_journals(void);
int n_records(enum journal_kind kind); /* of the job */

/* Files of the test's directory. */
void cut_file(const char *name, off_t size);
void rename_file(const char *from, const char *to);
void remove_file(const char *name);
int lock_file(const char *name); /* as another daemon does; owned */

#endif
