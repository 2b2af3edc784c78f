/* zip.c - see zip.h.
 *
 * Section numbers are those of PKWARE's APPNOTE.TXT 6.3.10. A size or offset that 32
 * bits cannot hold is all ones there and stands in 64 bits elsewhere (4.4.1.4). As the
 * big record comes last, only its own size and the place of the central directory can
 * grow so far.
 */
#include "plugins/tensor/zip.h"

#include <libdeflate.h>

#define LOCAL_HEADER 0x04034b50u      /* 4.3.7 */
#define CENTRAL_HEADER 0x02014b50u    /* 4.3.12 */
#define ZIP64_END 0x06064b50u         /* 4.3.14 */
#define ZIP64_END_LOCATOR 0x07064b50u /* 4.3.15 */
#define END 0x06054b50u               /* 4.3.16 */

#define LOCAL_HEADER_SIZE 30 /* without name and extra field, as the next */
#define CENTRAL_HEADER_SIZE 46
#define ZIP64_END_SIZE 56
#define ZIP64_END_LOCATOR_SIZE 20
#define END_SIZE 22

#define EXTRA_HEADER_SIZE 4  /* 4.5.1: a 2-byte id, a 2-byte size */
#define EXTRA_ZIP64 0x0001   /* 4.5.3 */
#define EXTRA_PADDING 0x4246 /* "FB": what torch.save calls its padding */
#define ZIP64_SIZES_SIZE (EXTRA_HEADER_SIZE + 16)
#define PADDING_MAX (EXTRA_HEADER_SIZE + ZIP_ALIGNMENT - 1)

#define VERSION_STORED 10 /* 4.4.3.2: what a reader must know, 1.0 and 4.5 */
#define VERSION_ZIP64 45
#define DATE_1980_01_01 0x0021 /* 4.4.6: the earliest day there is */

struct entry {
    const struct zip_record *record;
    uint64_t offset; /* of the local header */
    uint32_t crc;
};

/* Each put_ function writes at *at and moves it on. */

static void
put(uint8_t **at, const void *data, size_t size)
{
    if (size)
        memcpy(*at, data, size);
    *at += size;
}

static void
put16(uint8_t **at, unsigned value)
{
    *(*at)++ = (uint8_t)value;
    *(*at)++ = (uint8_t)(value >> 8);
}

static void
put32(uint8_t **at, uint32_t value)
{
    put16(at, value & 0xffff);
    put16(at, value >> 16);
}

static void
put64(uint8_t **at, uint64_t value)
{
    put32(at, (uint32_t)value);
    put32(at, (uint32_t)(value >> 32));
}

static bool
needs_zip64(uint64_t value)
{
    return value >= UINT32_MAX;
}

static void
put32_or_ones(uint8_t **at, uint64_t value)
{
    put32(at, needs_zip64(value) ? UINT32_MAX : (uint32_t)value);
}

static size_t
zip64_sizes_size(const struct zip_record *record)
{
    return needs_zip64(record->size) ? ZIP64_SIZES_SIZE : 0;
}

static void
put_zip64_sizes(uint8_t **at, const struct zip_record *record)
{
    if (!needs_zip64(record->size))
        return;
    put16(at, EXTRA_ZIP64);
    put16(at, ZIP64_SIZES_SIZE - EXTRA_HEADER_SIZE);
    put64(at, record->size); /* before compression */
    put64(at, record->size); /* after */
}

/* Bytes of padding field that make the data behind `end` aligned; a field that is
 * there has its header at least.
 */
static size_t
padding_size(uint64_t end)
{
    size_t past = (size_t)((end + EXTRA_HEADER_SIZE) % ZIP_ALIGNMENT);

    return EXTRA_HEADER_SIZE + (past ? ZIP_ALIGNMENT - past : 0);
}

static void
put_padding(uint8_t **at, size_t size)
{
    if (!size)
        return;
    put16(at, EXTRA_PADDING);
    put16(at, (unsigned)(size - EXTRA_HEADER_SIZE));
    memset(*at, 'Z', size - EXTRA_HEADER_SIZE);
    *at += size - EXTRA_HEADER_SIZE;
}

/* The fields that local and central headers share, in their order. */
static void
put_description(uint8_t **at, const struct entry *entry, size_t extra_size)
{
    const struct zip_record *record = entry->record;

    put16(at, needs_zip64(record->size) ? VERSION_ZIP64 : VERSION_STORED);
    put16(at, 0); /* flags: sizes and CRC are here, not behind the data */
    put16(at, 0); /* method: stored */
    put16(at, 0); /* time */
    put16(at, DATE_1980_01_01);
    put32(at, entry->crc);
    put32_or_ones(at, record->size); /* after compression */
    put32_or_ones(at, record->size); /* before */
    put16(at, (unsigned)strlen(record->name));
    put16(at, (unsigned)extra_size);
}

static void
put_local_header(uint8_t **at, const struct entry *entry, bool aligned)
{
    const struct zip_record *record = entry->record;
    size_t name_size = strlen(record->name), sizes_size = zip64_sizes_size(record);
    uint64_t end = entry->offset + LOCAL_HEADER_SIZE + name_size + sizes_size;
    size_t padding = aligned ? padding_size(end) : 0;

    put32(at, LOCAL_HEADER);
    put_description(at, entry, sizes_size + padding);
    put(at, record->name, name_size);
    put_zip64_sizes(at, record);
    put_padding(at, padding);
}

static void
put_central_header(uint8_t **at, const struct entry *entry)
{
    const struct zip_record *record = entry->record;

    put32(at, CENTRAL_HEADER);
    put16(at, VERSION_ZIP64); /* made by: 4.5, and file attributes as of MS-DOS */
    put_description(at, entry, zip64_sizes_size(record));
    put16(at, 0);                       /* comment */
    put16(at, 0);                       /* disk */
    put16(at, 0);                       /* internal attributes */
    put32(at, 0);                       /* external attributes */
    put32(at, (uint32_t)entry->offset); /* small: the big record is the last */
    put(at, record->name, strlen(record->name));
    put_zip64_sizes(at, record);
}

static void
put_zip64_end(uint8_t **at, size_t n_entries, uint64_t offset, size_t size)
{
    put32(at, ZIP64_END);
    put64(at, ZIP64_END_SIZE - 12); /* without this field and the signature */
    put16(at, VERSION_ZIP64);       /* made by */
    put16(at, VERSION_ZIP64);       /* needed */
    put32(at, 0);                   /* this disk */
    put32(at, 0);                   /* the directory's disk */
    put64(at, n_entries);           /* on this disk */
    put64(at, n_entries);
    put64(at, size);
    put64(at, offset);

    put32(at, ZIP64_END_LOCATOR);
    put32(at, 0);             /* the disk of what was just written, ... */
    put64(at, offset + size); /* ... its place, */
    put32(at, 1);             /* and how many disks there are */
}

static void
put_end(uint8_t **at, size_t n_entries, uint64_t offset, size_t size)
{
    put32(at, END);
    put16(at, 0);                   /* this disk */
    put16(at, 0);                   /* the directory's disk */
    put16(at, (unsigned)n_entries); /* on this disk */
    put16(at, (unsigned)n_entries);
    put32(at, (uint32_t)size);
    put32_or_ones(at, offset);
    put16(at, 0); /* comment */
}

/* The central directory, which begins at `offset` of the archive, and what ends it. */
static void
put_directory(uint8_t **at, const struct entry *entries, size_t n_entries,
              uint64_t offset)
{
    const uint8_t *start = *at;
    size_t size;

    for (size_t i = 0; i < n_entries; i++)
        put_central_header(at, &entries[i]);
    size = (size_t)(*at - start);
    if (needs_zip64(offset))
        put_zip64_end(at, n_entries, offset, size);
    put_end(at, n_entries, offset, size);
}

static size_t
front_max(const struct zip_record *records, size_t n_records)
{
    size_t size = ZIP64_SIZES_SIZE + PADDING_MAX;

    for (size_t i = 0; i < n_records; i++) {
        size += LOCAL_HEADER_SIZE + strlen(records[i].name);
        size += i + 1 < n_records ? records[i].size : 0;
    }
    return size;
}

static size_t
directory_max(const struct zip_record *records, size_t n_records)
{
    size_t size = ZIP64_END_SIZE + ZIP64_END_LOCATOR_SIZE + END_SIZE;

    for (size_t i = 0; i < n_records; i++)
        size += CENTRAL_HEADER_SIZE + strlen(records[i].name) + ZIP64_SIZES_SIZE;
    return size;
}

/* All up to the last record's data. Return: bytes written. */
static size_t
write_front(uint8_t *room, const struct zip_record *records, size_t n_records,
            struct entry *ret_entries)
{
    uint8_t *at = room;

    for (size_t i = 0; i < n_records; i++) {
        const struct zip_record *record = &records[i];
        bool last = i + 1 == n_records;

        ret_entries[i].record = record;
        ret_entries[i].offset = (uint64_t)(at - room);
        ret_entries[i].crc = libdeflate_crc32(0, record->data, record->size);
        put_local_header(&at, &ret_entries[i], last);
        if (!last)
            put(&at, record->data, record->size);
    }
    return (size_t)(at - room);
}

static int
no_memory(struct lighter_error *err)
{
    return lighter_fail_os(err, ENOMEM, "hold the frame of a zip archive");
}

int
zip_write(const struct zip_record *records, size_t n_records, struct lighter_sink *sink,
          const struct lighter_services *services, struct lighter_error *err)
{
    const struct zip_record *last = &records[n_records - 1];
    struct entry entries[ZIP_MAX_RECORDS];
    uint8_t *room, *at;
    size_t front_size;

    room = services->reserve(sink, front_max(records, n_records));
    if (!room)
        return no_memory(err);
    front_size = write_front(room, records, n_records, entries);
    services->commit(sink, front_size);

    if (services->lend(sink, last->data, last->size) < 0)
        return no_memory(err);

    at = room = services->reserve(sink, directory_max(records, n_records));
    if (!room)
        return no_memory(err);
    put_directory(&at, entries, n_records, (uint64_t)front_size + last->size);
    services->commit(sink, (size_t)(at - room));
    return 0;
}
