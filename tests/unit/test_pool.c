/* test_pool.c - daemon/pool.c and daemon/disk.c: whom a disk that does not answer holds
 * up, and whom not.
 */
#include "daemon/disk.h"
#include "daemon/pool.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <unistd.h>

#define N_TASKS 12
#define HUNG 7 /* the disk */
#define SOUND 8

/* A read from a pipe waits as a call does for a disk. */
struct
try {
    struct pool_task task;
    bool hangs, is_back;
    int pipe;
};

static uv_loop_t loop;
static struct pool pool;
static struct try tries[N_TASKS];
static int ends[2];
static atomic_uint n_hanging;

static void
run(uv_work_t *work)
{
    struct try *try = work->data;
    char byte;

    if (!try->hangs)
        return;
    atomic_fetch_add(&n_hanging, 1);
    if (read(try->pipe, &byte, 1) != 1)
        abort();
    atomic_fetch_sub(&n_hanging, 1);
}

static void
after(uv_work_t *work, int status)
{
    struct try *try = work->data;

    ck_assert_int_eq(status, 0);
    try->is_back = true;
}

static void
begin(unsigned n_threads)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(pool_init(&pool, &loop, n_threads), 0);
    pool.stuck_ms = 50;
    ck_assert_int_eq(pipe(ends), 0);
    for (int i = 0; i < N_TASKS; i++)
        tries[i] = (struct try){.pipe = ends[0]};
}

static void
end(void)
{
    pool_stop(&pool);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    pool_done(&pool);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    close(ends[0]);
    close(ends[1]);
}

static void
submit(int i, uint64_t disk)
{
    tries[i].hangs = disk == HUNG;
    tries[i].task.work.data = &tries[i];
    pool_submit(&pool, &tries[i].task, disk, run, after);
}

/* Look at it, as jobs do once a second, for so long at most. */
static void
look_until(const bool *done)
{
    for (int i = 0; i < 500 && !*done; i++) {
        pool_watch(&pool);
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(10000);
    }
    ck_assert(*done);
}

static void
let_go(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(write(ends[1], "x", 1), 1);
}

START_TEST(tasks_come_back_on_the_loop)
{
    begin(2);
    for (int i = 0; i < N_TASKS; i++)
        submit(i, i % 3);

    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);

    for (int i = 0; i < N_TASKS; i++)
        ck_assert(tries[i].is_back);
    end();
}
END_TEST

START_TEST(a_disk_that_does_not_answer_does_not_hold_up_others)
{
    begin(2);
    submit(0, HUNG);
    submit(1, HUNG);
    submit(2, SOUND);

    look_until(&tries[2].is_back);

    ck_assert(atomic_load(&tries[0].task.stuck));
    ck_assert(!tries[0].is_back);
    let_go(2);
    look_until(&tries[0].is_back);
    look_until(&tries[1].is_back);
    ck_assert(!atomic_load(&tries[0].task.stuck));
    end();
}
END_TEST

START_TEST(it_takes_no_more_threads_than_it_may)
{
    begin(1);
    for (int i = 0; i < N_TASKS - 1; i++)
        submit(i, HUNG);
    for (int i = 0; i < 60; i++) { /* long enough for all of them, one after another */
        pool_watch(&pool);
        usleep(20000);
    }
    ck_assert_uint_eq(atomic_load(&n_hanging), POOL_STUCK_MAX);

    submit(N_TASKS - 1, SOUND);
    look_until(&tries[N_TASKS - 1].is_back);

    let_go(N_TASKS - 1);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0); /* those behind follow */
    for (int i = 0; i < N_TASKS; i++)
        ck_assert(tries[i].is_back);
    end();
}
END_TEST

START_TEST(the_disk_of_a_path_is_that_of_the_mount_it_lies_below)
{
    static const char mounts[] =
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "22 21 0:33 / /data rw - nfs4 host:/data rw\n"
        "23 21 0:34 / /data/my\\040disk rw shared:1 - xfs /dev/sdb rw\n"
        "24 22 0:35 / /data rw - tmpfs on-top rw\n";

    ck_assert_uint_eq(disk_find(mounts, "/home/p.csv"), (uint64_t)8 << 32 | 1);
    ck_assert_uint_eq(disk_find(mounts, "/data/p.csv"), 35);
    ck_assert_uint_eq(disk_find(mounts, "/data"), 35);
    ck_assert_uint_eq(disk_find(mounts, "/database/p.csv"), (uint64_t)8 << 32 | 1);
    ck_assert_uint_eq(disk_find(mounts, "/data/my disk/p.csv"), 34);
    ck_assert_uint_eq(disk_find("", "/p.csv"), 0);
    ck_assert_uint_ne(disk_of("/proc/version"), disk_of("/"));
}
END_TEST

int
main(void)
{
    Suite *suite;
    TCase *tcase;

    uv_loop_init(&loop); /* libuv keeps descriptors */
    uv_loop_close(&loop);
    suite = suite_create("pool");
    tcase = unit_case(suite, "pool");

    tcase_add_test(tcase, tasks_come_back_on_the_loop);
    tcase_add_test(tcase, a_disk_that_does_not_answer_does_not_hold_up_others);
    tcase_add_test(tcase, it_takes_no_more_threads_than_it_may);
    tcase_add_test(tcase, the_disk_of_a_path_is_that_of_the_mount_it_lies_below);
    return unit_main(suite);
}
