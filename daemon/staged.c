/* staged.c - see staged.h. */
#include "daemon/staged.h"

#include "daemon/journal.h"
#include "util/error.h"

#include <stdlib.h>

void
staged_done(struct staged_list *list)
{
    free(list->items);
    *list = (struct staged_list){0};
}

static int
add(struct staged_list *list, const struct staged *item, struct lighter_error *err)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        void *items = reallocarray(list->items, room, sizeof *list->items);

        if (!items)
            return fail_nomem(err);
        list->items = items;
        list->room = room;
    }
    list->items[list->n++] = *item;
    return 0;
}

/* The record of a shard comes right behind that of its file. */
static bool
is_known(const struct staged_list *list, const struct journal_record *shard)
{
    for (size_t i = list->n; i > 0; i--)
        if (list->items[i - 1].rank == shard->rank &&
            list->items[i - 1].writer == shard->writer)
            return true;
    return false;
}

static int
visit(void *data, const struct journal_record *record, uint64_t end,
      struct lighter_error *err)
{
    struct staged_list *list = data;
    struct staged item = {.rank = record->rank, .writer = record->writer};

    (void)end;
    if (record->kind == JOURNAL_SHARD)
        return is_known(list, record) ? 0 : add(list, &item, err);
    if (record->kind != JOURNAL_STAGED || record->text_size >= sizeof item.mark.name)
        return 0;
    memcpy(item.mark.name, record->text, record->text_size);
    item.mark.id = (struct own_id){.device = record->size, .inode = record->seq};
    return add(list, &item, err);
}

int
staged_read(struct staged_list *ret_list, int state_fd, const char *name,
            struct lighter_error *err)
{
    struct lighter_error why = LIGHTER_ERROR_INIT;
    struct journal journal;
    int r;

    *ret_list = (struct staged_list){0};
    journal_init(&journal);
    r = journal_open(&journal, state_fd, name, &why);
    if (r == 0)
        r = journal_read(&journal, UINT64_MAX - 1, visit, ret_list, &why);
    journal_done(&journal);
    return r == -ENOMEM ? fail_nomem(err) : 0;
}
