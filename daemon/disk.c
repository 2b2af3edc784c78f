/* disk.c - see disk.h. */
#include "daemon/disk.h"

#include "util/error.h"

#include <stdio.h>
#include <string.h>

/* A mount point stands there with blanks and the like as \040. Return: how much of
 * `path` it is, or 0: it is not on the way to it. `end` is behind the mount point.
 */
static size_t
length_below(const char *point, const char *end, const char *path)
{
    size_t n = 0;

    for (; point < end; point++, n++) {
        unsigned char c = (unsigned char)*point;

        if (c == '\\' && end - point > 3) {
            c = (unsigned char)((point[1] - '0') << 6 | (point[2] - '0') << 3 |
                                (point[3] - '0'));
            point += 3;
        }
        if (!path[n] || (unsigned char)path[n] != c)
            return 0;
    }
    /* "/" is on every way; else a whole name */
    return n == 1 || path[n] == '/' || !path[n] ? n : 0;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime ...": the last one of the longest is on top. */
uint64_t
disk_find(const char *mounts, const char *path)
{
    size_t longest = 0;
    uint64_t disk = 0;

    for (const char *line = mounts; *line; line = strchr(line, '\n') + 1) {
        unsigned major, minor;
        size_t length;
        int at = 0, end = 0;

        if (sscanf(line, "%*d %*d %u:%u %*s %n%*s%n", &major, &minor, &at, &end) == 2 &&
            end > at) {
            length = length_below(line + at, line + end, path);
            if (length && length >= longest) {
                longest = length;
                disk = (uint64_t)major << 32 | minor;
            }
        }
        if (!strchr(line, '\n'))
            break;
    }
    return disk;
}

uint64_t
disk_of(const char *path)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    AUTO(free_bytes) char *text = NULL;
    size_t room = 0;
    ssize_t n = file ? getdelim(&text, &room, '\0', file) : -1;

    if (file)
        fclose(file);
    return n > 0 ? disk_find(text, path) : 0;
}
