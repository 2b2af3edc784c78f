/* journal.c - see journal.h. */
#include "daemon/journal.h"

#include "daemon/pool.h"
#include "daemon/storage.h"
#include "util/error.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

/* What stands in the file. The text follows, padded with zeros to 8 bytes. */
struct on_disk {
    uint64_t checksum; /* of all that follows, the text too */
    uint32_t text_size;
    uint32_t kind;
    uint32_t rank, writer;
    uint64_t seq;
    int64_t batch_idx, dataloader_idx;
    uint64_t n_samples, size;
};

_Static_assert(sizeof(struct on_disk) == 64, "a record has 64 bytes");

/* Of a record that is looked for behind damage: so many bytes at most, or that would
 * take for ever. All but the first have less.
 */
#define TEXT_SOUGHT_MAX (1 << 20)

#define PADDING(size) (-(size)&7u)

static const char zeros[8];

/* A record as it goes into the file: head, text, padding. */
struct image {
    struct on_disk head;
    struct iovec parts[3];
    size_t size;
};

static uint64_t
checksum_of(const struct on_disk *head, const void *text, uint64_t place)
{
    uint64_t seed = XXH3_64bits_withSeed(text, head->text_size, place);

    return XXH3_64bits_withSeed(&head->text_size, sizeof *head - sizeof head->checksum,
                                seed);
}

static void
make_image(struct image *image, const struct journal_record *record, uint64_t place)
{
    size_t padding = PADDING(record->text_size);

    image->head = (struct on_disk){.text_size = (uint32_t)record->text_size,
                                   .kind = record->kind,
                                   .rank = record->rank,
                                   .writer = record->writer,
                                   .seq = record->seq,
                                   .batch_idx = record->batch_idx,
                                   .dataloader_idx = record->dataloader_idx,
                                   .n_samples = record->n_samples,
                                   .size = record->size};
    image->head.checksum = checksum_of(&image->head, record->text, place);
    image->parts[0] = (struct iovec){&image->head, sizeof image->head};
    image->parts[1] = (struct iovec){(void *)record->text, record->text_size};
    image->parts[2] = (struct iovec){(void *)zeros, padding};
    image->size = sizeof image->head + record->text_size + padding;
}

void
journal_init(struct journal *journal)
{
    *journal = (struct journal){.fd = -1};
    pthread_mutex_init(&journal->lock, NULL);
}

void
journal_close(struct journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = -1;
}

void
journal_done(struct journal *journal)
{
    journal_close(journal);
    pthread_mutex_destroy(&journal->lock);
}

bool
journal_is_written(enum journal_kind kind)
{
    return kind == JOURNAL_WRITTEN || kind == JOURNAL_ROWS || kind == JOURNAL_FILES;
}

int64_t
journal_boot(void)
{
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (fd >= 0)
        close(fd);
    return size <= 0 ? 0 : (int64_t)XXH3_64bits(text, (size_t)size);
}

/* ---- writing ---- */

static int
write_all(int fd, struct iovec *parts, int n_parts, uint64_t place,
          struct lighter_error *err)
{
    while (n_parts) {
        ssize_t n = pwritev(fd, parts, n_parts, (off_t)place);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && parts->iov_len)
            return lighter_fail_os(err, n < 0 ? errno : EIO, "write the journal");
        place += (uint64_t)n;
        for (; n_parts && (size_t)n >= parts->iov_len; parts++, n_parts--)
            n -= (ssize_t)parts->iov_len;
        if (n_parts) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int
append(struct journal *journal, const struct journal_record *record,
       struct lighter_error *err)
{
    struct image image;
    int r;

    if (journal->broken)
        return lighter_fail_os(err, EIO, "the job's journal was given up");
    make_image(&image, record, journal->size);
    r = write_all(journal->fd, image.parts, 3, journal->size, err);
    if (r == 0)
        journal->size += image.size;
    else if (own_cut(journal->fd, &journal->id, journal->size, NULL) < 0)
        journal->broken = true; /* a torn record may stand there */
    return r;
}

int
journal_append(struct journal *journal, const struct journal_record *record,
               struct lighter_error *err)
{
    int r;

    if (record->text_size > UINT32_MAX - 8)
        return lighter_fail_os(err, EFBIG, "a record of the journal");
    pool_enter_journal();
    pthread_mutex_lock(&journal->lock);
    r = append(journal, record, err);
    pthread_mutex_unlock(&journal->lock);
    pool_leave_journal();
    return r;
}

uint64_t
journal_size(const struct journal *journal)
{
    return journal->size;
}

void
journal_break(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->broken = true;
    pthread_mutex_unlock(&journal->lock);
}

int
journal_sync(struct journal *journal, struct lighter_error *err)
{
    int r;

    pool_enter_journal();
    r = storage_sync_data(journal->fd, "the job's journal", err);
    pool_leave_journal();
    if (r < 0)
        journal_break(journal);
    return r;
}

/* Whoever dies in a plugin holds no lock; another thread may, for as long as it writes
 * a record. It goes on for a while yet, and shall not write over ours.
 */
static bool
lock_dying(struct journal *journal)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < 1000; i++) {
        if (pthread_mutex_trylock(&journal->lock) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

void
journal_append_dying(struct journal *journal, const struct journal_record *record)
{
    bool is_locked = lock_dying(journal);
    struct image image;

    make_image(&image, record, journal->size);
    if (pwrite(journal->fd, &image.head, sizeof image.head, (off_t)journal->size) ==
        sizeof image.head)
        journal->size += sizeof image.head; /* else there is nobody to tell */
    if (is_locked)
        pthread_mutex_unlock(&journal->lock);
}

static void
name_new(char ret_name[NAME_MAX + 1], const char *name)
{
    snprintf(ret_name, NAME_MAX + 1, "%s.new", name);
}

/* One that a dead daemon had begun: nobody else makes files in the state directory. */
static int
remove_begun(int directory, const char *fresh, struct lighter_error *err)
{
    struct own_id id;
    int r = own_adopt(directory, fresh, S_IFREG, &id, err);

    if (r == 0)
        r = own_remove(directory, fresh, &id, err);
    if (r == OWN_OTHER)
        return lighter_fail(err, LIGHTER_E_STATE, "'%s' is in the way: it is no file",
                            fresh);
    return r < 0 ? r : 0;
}

int
journal_begin(struct journal *journal, int directory, const char *name,
              struct lighter_error *err)
{
    char fresh[NAME_MAX + 1];
    int r;

    name_new(fresh, name);
    journal->size = 0;
    journal->broken = false;
    r = remove_begun(directory, fresh, err);
    if (r == 0)
        r = own_create(directory, fresh, 0600, &journal->fd, err);
    if (r == 0)
        r = own_of(journal->fd, &journal->id, err);
    return r < 0 ? error_wrap(err, r, "make the journal '%s'", fresh) : 0;
}

int
journal_replace(struct journal *journal, int directory, const char *name, bool durable,
                struct lighter_error *err)
{
    char fresh[NAME_MAX + 1];
    int r = durable ? journal_sync(journal, err) : 0;

    name_new(fresh, name);
    if (r == 0)
        r = own_rename(directory, fresh, directory, name, 0, &journal->id,
                       journal->size, err);
    if (r == 0 && durable)
        r = storage_sync_names(directory, "the state directory", err);
    return r;
}

/* ---- reading ---- */

int
journal_open(struct journal *journal, int directory, const char *name,
             struct lighter_error *err)
{
    struct stat status;

    journal->broken = false; /* reading tells where it ends */
    journal->fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (journal->fd < 0 || fstat(journal->fd, &status) < 0)
        return lighter_fail_os(err, errno, "open the journal '%s'", name);
    journal->id = own_of_status(&status);
    journal->size = (uint64_t)status.st_size;
    journal->broken = false; /* it is read again: where it ends will be known */
    return 0;
}

/* The record at `place`, NULL where no whole one is. *ret_end: where the next is. */
static const struct on_disk *
record_at(const uint8_t *bytes, uint64_t size, uint64_t place, uint64_t *ret_end)
{
    const struct on_disk *head;
    uint64_t text_size;

    if (size - place < sizeof *head) /* also where there are no bytes at all */
        return NULL;
    head = (const void *)(bytes + place);
    text_size = (uint64_t)head->text_size + PADDING(head->text_size);
    if (size - place - sizeof *head < text_size ||
        checksum_of(head, head + 1, place) != head->checksum)
        return NULL;
    *ret_end = place + sizeof *head + text_size;
    return head;
}

/* Not worth a checksum, where the numbers cannot be those of a record. */
static bool
may_begin_at(const uint8_t *bytes, uint64_t size, uint64_t place)
{
    const struct on_disk *head;

    if (size - place < sizeof *head)
        return false;
    head = (const void *)(bytes + place);
    return head->kind > 0 && head->kind < JOURNAL_KINDS &&
           head->text_size < TEXT_SOUGHT_MAX;
}

static int
visit_all(const uint8_t *bytes, uint64_t size, journal_visit *visit, void *data,
          uint64_t *ret_end, struct lighter_error *err)
{
    const struct on_disk *head;
    uint64_t place = 0, end;
    int r = 0;

    while (r == 0 && (head = record_at(bytes, size, place, &end))) {
        struct journal_record record = {.kind = head->kind,
                                        .rank = head->rank,
                                        .writer = head->writer,
                                        .seq = head->seq,
                                        .batch_idx = head->batch_idx,
                                        .dataloader_idx = head->dataloader_idx,
                                        .n_samples = head->n_samples,
                                        .size = head->size,
                                        .text = head + 1,
                                        .text_size = head->text_size};

        r = visit(data, &record, end, err);
        place = end;
    }
    *ret_end = place;
    return r;
}

/* *ret_bytes: to be unmapped, NULL where there are none. */
static int
map(int fd, uint64_t limit, const uint8_t **ret_bytes, uint64_t *ret_size,
    struct lighter_error *err)
{
    struct stat status;
    void *bytes;

    *ret_bytes = NULL;
    *ret_size = 0;
    if (fstat(fd, &status) < 0)
        return lighter_fail_os(err, errno, "read the journal");
    if (status.st_size == 0 || limit == 0)
        return 0;
    *ret_size = (uint64_t)status.st_size < limit ? (uint64_t)status.st_size : limit;
    bytes = mmap(NULL, *ret_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return lighter_fail_os(err, errno, "read the journal");
    *ret_bytes = bytes;
    return 0;
}

static void
unmap(const uint8_t *bytes, uint64_t size)
{
    if (bytes)
        munmap((void *)bytes, size);
}

/* Is a record behind `place`, where there is none that is whole? *ret_durable: the most
 * that one of them says is on the disk.
 */
static bool
look_behind(const uint8_t *bytes, uint64_t size, uint64_t place, uint64_t *ret_durable)
{
    const struct on_disk *head;
    uint64_t end, step;
    bool found = false;

    *ret_durable = 0;
    for (place += 8; place < size; place += step) {
        step = 8;
        if (!may_begin_at(bytes, size, place) ||
            !(head = record_at(bytes, size, place, &end)))
            continue;
        found = true;
        step = end - place;
        if (head->kind == JOURNAL_DURABLE && head->size > *ret_durable)
            *ret_durable = head->size;
        if (head->kind == JOURNAL_COMPLETE)
            *ret_durable = place;
    }
    return found;
}

int
journal_cut(struct journal *journal, struct lighter_error *err)
{
    int r = own_cut(journal->fd, &journal->id, journal->size, err);

    return r < 0 ? error_wrap(err, r, "cut what is torn off the journal") : r;
}

int
journal_look(int fd, uint64_t size, journal_visit *visit, void *data,
             struct lighter_error *err)
{
    const uint8_t *bytes;
    uint64_t end;
    int r = map(fd, size, &bytes, &size, err);

    if (r == 0)
        r = visit_all(bytes, size, visit, data, &end, err);
    unmap(bytes, size);
    return r;
}

int
journal_read(struct journal *journal, uint64_t limit, journal_visit *visit, void *data,
             struct lighter_error *err)
{
    const uint8_t *bytes;
    uint64_t size, end = 0;
    int r = map(journal->fd, limit, &bytes, &size, err);

    journal->size = 0;
    if (r == 0)
        r = visit_all(bytes, size, visit, data, &end, err);
    journal->size = end;
    if (r == 0 && limit == UINT64_MAX && end < size)
        r = look_behind(bytes, size, end, &journal->durable_behind)
                ? JOURNAL_DAMAGED
                : journal_cut(journal, err);
    unmap(bytes, size);
    return r;
}
