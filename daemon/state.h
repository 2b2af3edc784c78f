/* state.h - the directory in which the daemon remembers its jobs: a journal a job.
 *
 * DIR/HOST/SOCKET/NAME.STAGE.journal, where DIR is the setting `state_dir`, else
 * $STATE_DIRECTORY (systemd), else $XDG_STATE_HOME/lighterd, else
 * ~/.local/state/lighterd; where none of these can be made, SOCKET.state beside the
 * socket. HOST and SOCKET keep daemons apart that share a home.
 */
#ifndef DAEMON_STATE_H
#define DAEMON_STATE_H

#include <lighter/error.h>

#include <linux/limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct state {
    int fd;               /* the directory, locked; the same number for its life */
    pthread_mutex_t lock; /* held while it is made anew */
    char path[PATH_MAX];
};

/* Find, make and lock it. `directory`: the setting, or NULL; `socket`: absolute or not.
 * Return: 0; -EBUSY where another daemon has it; -errno.
 */
int state_open(struct state *state, const char *directory, const char *socket,
               struct lighter_error *err);

/* Where it was removed meanwhile it is made anew, and locked; the log says so: what it
 * remembered is lost. Before anything is made in it; any worker.
 * Return: 0; -EBUSY where another daemon has it by now; -errno.
 */
int state_ensure(struct state *state, struct lighter_error *err);

/* Let go of it; an empty one is removed. */
void state_done(struct state *state);

/* "NAME.STAGE.journal". */
void state_journal_name(char ret_name[NAME_MAX + 1], const char *job,
                        const char *stage);

/* ... and back. Return: false where it is no such name, or there is no room. */
bool state_split_name(const char *name, char *ret_job, size_t job_room, char *ret_stage,
                      size_t stage_room);

/* Called with the name of each journal, the one that changed last at the end.
 * Return: 0; what `visit` gave; -errno.
 */
int state_each(const struct state *state,
               int (*visit)(void *data, const char *name, struct lighter_error *err),
               void *data, struct lighter_error *err);

#endif
