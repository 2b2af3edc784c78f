/* pool.h - the workers: threads that may compute for long, or wait for a disk.
 *
 * In: tasks, from the loop thread. Out: `run` on a worker, then `after` on the loop
 * thread. At most n_threads tasks count at a time. One that has not moved for five
 * seconds, because its disk does not answer, does not count any more: another thread
 * takes its place, so that those of other disks go on. Of a disk on which one is stuck
 * no more than POOL_STUCK_MAX begin; the others wait here, and take no thread.
 *
 * libuv's own pool would do, but for the disks; the callbacks are its. A task belongs
 * to the pool until `after` is called, and is the caller's again then.
 */
#ifndef DAEMON_POOL_H
#define DAEMON_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#define POOL_STUCK_MAX 4 /* tasks that may wait for one disk that does not answer */
#define POOL_STUCK_MS 5000
#define POOL_SPARE_MAX 64 /* threads in place of those that are stuck */

struct pool_task {
    uv_work_t work;         /* .data is the caller's */
    uint64_t disk;          /* disk.h; 0: several, or none */
    atomic_bool stuck;      /* loop thread: it has not moved, and is not back */
    atomic_bool in_journal; /* it is at the journal, whatever its disk is */

    /* the pool's */
    uv_work_cb run;
    uv_after_work_cb after;
    TAILQ_ENTRY(pool_task) link;
    pid_t tid; /* of its worker */
    uint64_t
        n_switches;    /* of that thread, when it was looked at; UINT64_MAX: not yet */
    uint64_t moved_at; /* uv_hrtime() */
};

TAILQ_HEAD(pool_tasks, pool_task);

struct pool {
    uv_loop_t *loop;
    uv_async_t async; /* keeps the loop alive while there is something to do */
    unsigned n_threads, stuck_ms;
    unsigned n_outstanding; /* loop thread: tasks that are not back */
    bool stopping;          /* loop thread: the last one back closes the handle */

    pthread_mutex_t lock; /* all that follows; nothing else is taken within */
    pthread_cond_t wake;
    struct pool_tasks waiting, running, done;
    unsigned n_counting, n_stuck; /* together: those that run */
    pthread_t *threads;           /* owned */
    unsigned n_made;
    bool ending;
};

/* Return: 0; -EAGAIN where there is not one thread; -ENOMEM. */
int pool_init(struct pool *pool, uv_loop_t *loop, unsigned n_threads);

/* No task is submitted any more but by tasks that come back: lets go of the loop with
 * the last one.
 */
void pool_stop(struct pool *pool);

/* After the loop has ended. */
void pool_done(struct pool *pool);

void pool_submit(struct pool *pool, struct pool_task *task, uint64_t disk,
                 uv_work_cb run, uv_after_work_cb after);

/* Once a second: who has moved? */
void pool_watch(struct pool *pool);

/* On a worker, around what waits for the journal's disk. Elsewhere nothing. */
void pool_enter_journal(void);
void pool_leave_journal(void);

#endif
