/* pool.c - see pool.h. */
#include "daemon/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* That this worker is at. */
static _Thread_local struct pool_task *in_hand;

static void *work(void *data);

/* ---- which one is next ---- */

/* How many there are on its disk, where one of them is stuck; else 0. */
static unsigned
count_on_stuck_disk(const struct pool *pool, const struct pool_task *task)
{
    const struct pool_task *other;
    unsigned n_there = 0;
    bool is_stuck = false;

    if (!pool->n_stuck || !task->disk)
        return 0;
    TAILQ_FOREACH (other, &pool->running, link) {
        if (other->disk != task->disk)
            continue;
        n_there++;
        is_stuck |= atomic_load(&other->stuck);
    }
    return is_stuck ? n_there : 0;
}

/* Threads for those that count, beside the ones that are stuck. */
static void
make_threads(struct pool *pool)
{
    while (pool->n_made < pool->n_threads + pool->n_stuck &&
           pool->n_made < pool->n_threads + POOL_SPARE_MAX &&
           pthread_create(&pool->threads[pool->n_made], NULL, work, pool) == 0)
        pool->n_made++;
}

/* One whose disk does not answer others either does not count from the beginning. */
static void
begin(struct pool *pool, struct pool_task *task)
{
    bool is_stuck = count_on_stuck_disk(pool, task);

    TAILQ_REMOVE(&pool->waiting, task, link);
    TAILQ_INSERT_TAIL(&pool->running, task, link);
    task->tid = (pid_t)syscall(SYS_gettid);
    task->n_switches = UINT64_MAX;
    task->moved_at = uv_hrtime();
    atomic_store(&task->stuck, is_stuck);
    pool->n_counting += !is_stuck;
    pool->n_stuck += is_stuck;
    if (is_stuck)
        make_threads(pool);
}

static struct pool_task *
take_next(struct pool *pool)
{
    struct pool_task *task;

    if (pool->n_counting >= pool->n_threads)
        return NULL;
    TAILQ_FOREACH (task, &pool->waiting, link)
        if (count_on_stuck_disk(pool, task) < POOL_STUCK_MAX)
            break;
    if (task)
        begin(pool, task);
    return task;
}

/* ---- a worker ---- */

static void
take_back(struct pool *pool, struct pool_task *task)
{
    TAILQ_REMOVE(&pool->running, task, link);
    if (atomic_exchange(&task->stuck, false)) {
        pool->n_stuck--;
        pthread_cond_broadcast(&pool->wake); /* its disk answers: others may begin */
    } else {
        pool->n_counting--;
    }
    TAILQ_INSERT_TAIL(&pool->done, task, link);
}

static void *
work(void *data)
{
    struct pool *pool = data;
    struct pool_task *task;

    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        task = take_next(pool);
        if (!task) {
            pthread_cond_wait(&pool->wake, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        in_hand = task;
        task->run(&task->work);
        in_hand = NULL;
        pthread_mutex_lock(&pool->lock);
        take_back(pool, task);
        uv_async_send(&pool->async); /* within: the last one may close it */
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void
pool_enter_journal(void)
{
    if (in_hand)
        atomic_store(&in_hand->in_journal, true);
}

void
pool_leave_journal(void)
{
    if (in_hand)
        atomic_store(&in_hand->in_journal, false);
}

/* ---- the loop ---- */

static void
close_if_over(struct pool *pool)
{
    if (pool->n_outstanding)
        return;
    uv_unref((uv_handle_t *)&pool->async);
    if (pool->stopping && !uv_is_closing((uv_handle_t *)&pool->async))
        uv_close((uv_handle_t *)&pool->async, NULL);
}

/* Those that are back now. What comes of them has its turn when others had theirs. */
static void
on_done(uv_async_t *async)
{
    struct pool_tasks done = TAILQ_HEAD_INITIALIZER(done);
    struct pool *pool = async->data;
    struct pool_task *task;

    pthread_mutex_lock(&pool->lock);
    TAILQ_CONCAT(&done, &pool->done, link);
    pthread_mutex_unlock(&pool->lock);
    while ((task = TAILQ_FIRST(&done))) {
        TAILQ_REMOVE(&done, task, link);
        pool->n_outstanding--;
        task->after(&task->work, 0); /* it may be gone, or submitted again */
    }
    close_if_over(pool);
}

void
pool_submit(struct pool *pool, struct pool_task *task, uint64_t disk, uv_work_cb run,
            uv_after_work_cb after)
{
    task->disk = disk;
    task->run = run;
    task->after = after;
    atomic_store(&task->in_journal, false);
    if (!pool->n_outstanding++)
        uv_ref((uv_handle_t *)&pool->async);
    pthread_mutex_lock(&pool->lock);
    TAILQ_INSERT_TAIL(&pool->waiting, task, link);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- who does not move ---- */

/* Has the thread been on a processor since it was looked at last? One that waits for a
 * disk that does not answer has not, whatever system call it is in.
 */
static bool
has_moved(struct pool_task *task)
{
    uint64_t n_switches = UINT64_MAX;
    char path[64], line[128], state = 'R';
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)task->tid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "State: %c", &state);
        sscanf(line, "voluntary_ctxt_switches: %lu", &n_switches);
    }
    if (file)
        fclose(file);
    if (state != 'R' && n_switches == task->n_switches)
        return false;
    task->n_switches = n_switches;
    return true;
}

static void
set_stuck(struct pool *pool, struct pool_task *task, bool is_stuck)
{
    atomic_store(&task->stuck, is_stuck);
    pool->n_stuck += is_stuck ? 1 : -1u;
    pool->n_counting += is_stuck ? -1u : 1;
}

static void
look_at(struct pool *pool, struct pool_task *task, uint64_t now)
{
    bool is_first = task->n_switches == UINT64_MAX,
         is_stuck = atomic_load(&task->stuck);

    if (has_moved(task)) {
        task->moved_at = now;
        if (is_stuck && !is_first)
            set_stuck(pool, task, false);
    } else if (!is_stuck &&
               now - task->moved_at >= (uint64_t)pool->stuck_ms * 1000000) {
        set_stuck(pool, task, true);
    }
}

void
pool_watch(struct pool *pool)
{
    uint64_t now = uv_hrtime();
    struct pool_task *task;

    pthread_mutex_lock(&pool->lock);
    TAILQ_FOREACH (task, &pool->running, link)
        if (now - task->moved_at >= (uint64_t)pool->stuck_ms * 200000) /* a fifth */
            look_at(pool, task, now);
    make_threads(pool);
    if (pool->n_stuck)
        pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- its life ---- */

int
pool_init(struct pool *pool, uv_loop_t *loop, unsigned n_threads)
{
    *pool =
        (struct pool){.loop = loop, .n_threads = n_threads, .stuck_ms = POOL_STUCK_MS};
    TAILQ_INIT(&pool->waiting);
    TAILQ_INIT(&pool->running);
    TAILQ_INIT(&pool->done);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->threads = calloc(n_threads + POOL_SPARE_MAX, sizeof *pool->threads);
    if (!pool->threads)
        return -ENOMEM;
    if (uv_async_init(loop, &pool->async, on_done) < 0)
        return -EAGAIN;
    pool->async.data = pool;
    uv_unref((uv_handle_t *)&pool->async);
    make_threads(pool);
    return pool->n_made ? 0 : -EAGAIN;
}

void
pool_stop(struct pool *pool)
{
    pool->stopping = true;
    close_if_over(pool);
}

void
pool_done(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_made; i++)
        pthread_join(pool->threads[i], NULL);
    free(pool->threads);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
}
