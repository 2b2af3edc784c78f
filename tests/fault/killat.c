/* killat.c - run a daemon, and kill it at one system call.
 *
 * killat REPORT FROM N COMMAND...
 *
 * Counts the system calls that COMMAND enters, in all of its threads together, from the
 * first FROM that has succeeded ("accept4" or "flock") on, and kills it as it enters
 * the N-th: that one is not done any more. 0: it lives. REPORT is a file that says so
 * all the time: struct report. The exit status is the command's, 128 more than its
 * signal's number where one ended it. COMMAND dies with us.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
    uint64_t pid;     /* of COMMAND */
    uint64_t n_calls; /* that were counted */
    uint64_t number;  /* of the last one */
};

struct trace {
    struct report *report;
    uint64_t from, kill_at;
    uint64_t leaders_last; /* the first thread's call */
    bool counting;
};

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static struct report *
open_report(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct report *report;

    if (fd < 0 || ftruncate(fd, sizeof *report) < 0)
        fail(path);
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (report == MAP_FAILED)
        fail(path);
    close(fd);
    return report;
}

/* It runs only when it is watched. */
static pid_t
start(char **command)
{
    int gate[2];
    pid_t pid;

    if (pipe2(gate, O_CLOEXEC) < 0)
        fail("pipe");
    pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        char open_now;

        if (read(gate[0], &open_now, 1) == 1)
            execvp(command[0], command);
        fail(command[0]);
    }
    if (ptrace(PTRACE_SEIZE, pid, NULL,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) < 0 ||
        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || write(gate[1], "", 1) < 0)
        fail("ptrace");
    close(gate[0]);
    close(gate[1]);
    return pid;
}

static void
on_entry(struct trace *trace, pid_t thread, uint64_t number)
{
    if ((uint64_t)thread == trace->report->pid)
        trace->leaders_last = number;
    if (!trace->counting)
        return;
    trace->report->number = number;
    if (++trace->report->n_calls == trace->kill_at)
        kill((pid_t)trace->report->pid, SIGKILL);
}

static void
on_call(struct trace *trace, pid_t thread)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) < 0)
        return; /* it is dead */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        on_entry(trace, thread, info.entry.nr);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT && !info.exit.is_error &&
             (uint64_t)thread == trace->report->pid &&
             trace->leaders_last == trace->from)
        trace->counting = true;
}

/* Return: what the command ended with. */
static int
watch(struct trace *trace)
{
    for (;;) {
        int status, signal = 0;
        pid_t thread = waitpid(-1, &status, __WALL);

        if (thread < 0)
            fail("waitpid");
        if (!WIFSTOPPED(status)) {
            if ((uint64_t)thread == trace->report->pid)
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            on_call(trace, thread);
        else if (status >> 16 == 0)
            signal = WSTOPSIG(status);
        ptrace(PTRACE_SYSCALL, thread, NULL, signal);
    }
}

int
main(int argc, char **argv)
{
    struct trace trace = {0};

    if (argc < 5) {
        fprintf(stderr, "usage: killat REPORT accept4|flock N COMMAND...\n");
        return EXIT_FAILURE;
    }
    trace.report = open_report(argv[1]);
    trace.from = strcmp(argv[2], "accept4") == 0 ? SYS_accept4 : SYS_flock;
    trace.kill_at = strtoull(argv[3], NULL, 10);
    trace.report->pid = (uint64_t)start(argv + 4);
    return watch(&trace);
}
