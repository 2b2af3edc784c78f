/* background.c - see background.h. */
#include "daemon/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first process: the second one's fate is its own. */
static void
await(int fd, pid_t child)
{
    char ready;
    int status;

    if (read(fd, &ready, 1) == 1)
        _exit(0);
    if (waitpid(child, &status, 0) == child && WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    _exit(1);
}

int
background_begin(int *ret_fd, struct lighter_error *err)
{
    int fds[2];
    pid_t child;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return lighter_fail_os(err, errno, "make a pipe");
    child = fork();
    if (child < 0) {
        close(fds[0]);
        close(fds[1]);
        return lighter_fail_os(err, errno, "go into the background");
    }
    if (child > 0) {
        close(fds[1]);
        await(fds[0], child);
    }
    close(fds[0]);
    setsid();
    *ret_fd = fds[1];
    return 0;
}

int
background_ready(int fd, const char *log_path, struct lighter_error *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log =
        open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (null < 0 || log < 0) {
        int errnum = errno;

        if (null >= 0)
            close(null);
        return lighter_fail_os(err, errnum, "open the log '%s'", log_path);
    }
    /* keep no file system busy, unless the socket's name is relative to this place */
    if (log_path[0] == '/' && chdir("/") < 0)
        return lighter_fail_os(err, errno, "change to /");
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(null);
    close(log);
    if (write(fd, "", 1) < 0) {
        /* the first process is gone: nobody waits */
    }
    close(fd);
    return 0;
}
