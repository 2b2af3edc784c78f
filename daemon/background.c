/* background.c - see background.h. */
#include "daemon/background.h"

#include "util/log.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
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

/* "2026-11-30T22:05:19.123Z info ...": 0.1.0's logs begin so, too. */
static bool
is_log_line(const char *line)
{
    static const char form[] = "0000-00-00T00:00:00.000Z ";

    for (size_t i = 0; form[i]; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)line[i]) : line[i] != form[i])
            return false;
    return true;
}

/* Return: LOG_EMPTY; 0: it is a log of ours; -EINVAL. */
enum { LOG_EMPTY = 1 };

static int
look_at_log(int fd, const char *path, struct lighter_error *err)
{
    char line[32] = "";
    struct stat status;

    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        if (status.st_size == 0)
            return LOG_EMPTY;
        if (pread(fd, line, sizeof line - 1, 0) > 0 && is_log_line(line))
            return 0;
    }
    return lighter_fail(err, LIGHTER_E_PARAMS,
                        "the log '%s' is there and is none of lighterd's, which does "
                        "not write to it: move it away, or choose another socket",
                        path);
}

/* Return: as look_at_log(); -errno. */
static int
open_log(const char *path, int *ret_fd, struct lighter_error *err)
{
    /* O_NONBLOCK: a pipe without a reader; on a file it is nothing */
    int fd = open(path,
                  O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                  0600),
        r;

    if (fd < 0)
        return lighter_fail_os(err, errno, "open the log '%s'", path);
    r = look_at_log(fd, path, err);
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int
background_ready(int fd, const char *log_path, struct lighter_error *err)
{
    int null, log = -1, is_empty = open_log(log_path, &log, err);

    if (is_empty < 0)
        return is_empty;
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) {
        close(log);
        return lighter_fail_os(err, errno, "open /dev/null");
    }
    /* keep no file system busy, unless the socket's name is relative to this place */
    if (log_path[0] == '/' && chdir("/") < 0)
        return lighter_fail_os(err, errno, "change to /");
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(null);
    close(log);
    if (is_empty)
        log_always("the log begins"); /* whatever a library may write there first */
    if (write(fd, "", 1) < 0) {
        /* the first process is gone: nobody waits */
    }
    close(fd);
    return 0;
}
