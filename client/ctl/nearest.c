/* nearest.c - see nearest.h. */
#include "client/ctl/nearest.h"

#include <string.h>

#define MAX_SLIPS 2
#define NAME_MAX_SIZE 128 /* bytes; a longer name is near to nothing */

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Slips between two names of at most NAME_MAX_SIZE bytes (optimal string alignment). */
static size_t
count_slips(const char *a, size_t a_size, const char *b, size_t b_size)
{
    static size_t slips[NAME_MAX_SIZE + 1][NAME_MAX_SIZE + 1];

    for (size_t i = 0; i <= a_size; i++)
        for (size_t j = 0; j <= b_size; j++) {
            if (i == 0 || j == 0) {
                slips[i][j] = i + j;
                continue;
            }
            slips[i][j] = smaller(slips[i - 1][j], slips[i][j - 1]) + 1;
            slips[i][j] =
                smaller(slips[i][j], slips[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                slips[i][j] = smaller(slips[i][j], slips[i - 2][j - 2] + 1);
        }
    return slips[a_size][b_size];
}

void
nearest_begin(struct nearest *nearest, const char *wanted)
{
    *nearest = (struct nearest){.wanted = wanted, .slips = MAX_SLIPS + 1};
}

void
nearest_try(struct nearest *nearest, const char *name)
{
    size_t size = strlen(nearest->wanted), name_size = strlen(name), slips;

    if (size < 2 || size > NAME_MAX_SIZE || name_size > NAME_MAX_SIZE)
        return;
    slips = strncmp(name, nearest->wanted, size) == 0
                ? 0 /* the rest was not typed */
                : count_slips(nearest->wanted, size, name, name_size);
    if (slips >= nearest->slips || 2 * slips >= size)
        return;
    nearest->slips = slips;
    nearest->name = name;
}
