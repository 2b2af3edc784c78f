/* hot.c - the hot paths of the daemon, each by itself and always the same.
 *
 * hot PATH [TIMES] runs one path, in measured() alone, and prints how many items went
 * through it: rows, cells, files or frames. tests/guard/run counts the instructions
 * that measured() takes, under callgrind; TIMES is for a profiler. The plugins are
 * those that are built, loaded as the daemon loads them, from $PLUGIN_DIR.
 */
#include "daemon/output.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/value.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ROWS 4096u
#define N_FRAMES 256u
#define FRAME_SIZE 1000u
#define N_FILES 256u

/* One path: what is made before, and the work, which returns how many items it did. */
struct path {
    const char *name;
    void (*prepare)(void);
    unsigned (*work)(void);
};

/* Out of line: what callgrind is told to look at. */
static unsigned measured(const struct path *path) __attribute__((noinline));

static void
require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "hot: %s failed\n", what);
    exit(1);
}

/* ---- inputs -------------------------------------------------------------------- */

static uint64_t
random_bits(void)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static float floats[N_ROWS];
static int64_t integers[N_ROWS];
static char names[N_ROWS][16];
static const uint64_t shape[1] = {N_ROWS};

static void
make_inputs(void)
{
    for (unsigned i = 0; i < N_ROWS; i++) {
        floats[i] = (float)(random_bits() >> 40) / (1 << 24);
        integers[i] = (int64_t)(random_bits() % 1000);
        snprintf(names[i], sizeof names[i], "case-000-%06u", i);
    }
}

static void
pack_tensor(msgpack_packer *packer, const char *type, const void *data, size_t size)
{
    msgpack_pack_map(packer, 4);
    pack_key_bool(packer, "nd", true);
    pack_key_text(packer, "type", type);
    pack_key(packer, "shape");
    msgpack_pack_array(packer, 1);
    msgpack_pack_uint64(packer, N_ROWS);
    pack_key(packer, "data");
    msgpack_pack_bin_with_body(packer, data, size);
}

/* ---- a batch: from a frame to values ------------------------------------------- */

static struct frame batch_frame;

static void
prepare_batch(void)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct message_out out;

    message_begin_request(&out, 7, "write");
    msgpack_pack_map(&out.packer, 1);
    pack_key(&out.packer, "outputs");
    msgpack_pack_map(&out.packer, 3);
    pack_key(&out.packer, "id");
    msgpack_pack_array(&out.packer, N_ROWS);
    for (unsigned i = 0; i < N_ROWS; i++)
        pack_text(&out.packer, names[i]);
    pack_key(&out.packer, "pred");
    pack_tensor(&out.packer, "<f4", floats, sizeof floats);
    pack_key(&out.packer, "target");
    pack_tensor(&out.packer, "<i8", integers, sizeof integers);
    require(message_finish(&out, &batch_frame, &err) == 0, "packing a batch");
}

static unsigned
work_batch(void)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame = {malloc(batch_frame.size), batch_frame.size - FRAME_HEAD_SIZE};
    struct lighter_value outputs;
    struct message message;

    require(frame.data, "malloc");
    memcpy(frame.data, batch_frame.data + FRAME_HEAD_SIZE, frame.size);
    require(message_parse(&message, &frame, CHECK_MAX_OBJECTS, &err) == 0 &&
                value_convert(&message.params->via.map.ptr[0].val, NULL, message.zone,
                              &outputs, &err) == 0,
            err.message);
    message_done(&message);
    return N_ROWS;
}

/* ---- frames -------------------------------------------------------------------- */

static uint8_t stream[N_FRAMES * (FRAME_HEAD_SIZE + FRAME_SIZE)];

static void
prepare_frames(void)
{
    for (unsigned i = 0; i < N_FRAMES; i++)
        frame_head(stream + i * (FRAME_HEAD_SIZE + FRAME_SIZE), FRAME_SIZE);
}

static unsigned
take_frames(struct frame_reader *reader)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame frame;
    unsigned n_frames = 0;

    while (frame_next(reader, &frame, &err) == 0) {
        free(frame.data);
        n_frames++;
    }
    return n_frames;
}

static unsigned
work_frames(void)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct frame_reader reader;
    unsigned n_frames = 0;
    uint8_t *room;
    size_t size;

    require(frame_reader_init(&reader, 1 << 20, &err) == 0, "a reader");
    for (size_t at = 0; at < sizeof stream; at += size) {
        require(frame_reader_room(&reader, &room, &size, &err) == 0, "room");
        size = size < sizeof stream - at ? size : sizeof stream - at;
        memcpy(room, stream + at, size);
        frame_reader_fed(&reader, size);
        n_frames += take_frames(&reader);
    }
    frame_reader_done(&reader);
    return n_frames;
}

/* ---- plugins ------------------------------------------------------------------- */

static struct lighter_output output;

static const struct lighter_plugin *
load(const char *name)
{
    const struct lighter_plugin *plugin;
    char path[4096];
    void *object;

    snprintf(path, sizeof path, "%s/%s.so", getenv("PLUGIN_DIR"), name);
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    require(object, path);
    plugin = dlsym(object, "lighter_plugin");
    require(plugin, path);
    return plugin;
}

static const char *const column_names[] = {"a", "b", "c", "d"};
static struct lighter_value columns[8];
static struct lighter_value outputs = {
    .type = LIGHTER_MAP, .count = 4, .as.items = columns};
static const struct lighter_writer *csv;
static void *csv_state;

/* What the daemon makes of options that nobody gives: of the strings among them. */
static void
set_defaults(const struct lighter_option *table, char *options)
{
    for (const struct lighter_option *option = table; option->name; option++)
        if (option->type == LIGHTER_OPTION_STRING)
            memcpy(options + option->offset, &option->fallback,
                   sizeof option->fallback);
}

/* Four columns of the same values: a cell's cost is not hidden by its row's. */
static void
open_csv(const struct lighter_value *column)
{
    static union {
        char bytes[256];
        void *align;
    } options;
    const struct lighter_strings keys = {4, column_names};
    const struct lighter_context context = {
        .size = sizeof context, .services = &output_services, .world_size = 1};
    struct lighter_error err = LIGHTER_ERROR_INIT;
    const struct lighter_option *option;

    csv = load("csv")->writers[0];
    for (option = csv->options; strcmp(option->name, "keys") != 0; option++)
        ;
    require(csv->options_size <= sizeof options, "the room for options");
    set_defaults(csv->options, options.bytes);
    memcpy(options.bytes + option->offset, &keys, sizeof keys);
    for (unsigned i = 0; i < 4; i++) {
        columns[2 * i] = (struct lighter_value){.type = LIGHTER_STRING,
                                                .as.string = {column_names[i], 1}};
        columns[2 * i + 1] = *column;
    }
    require(csv->open(&csv_state, options.bytes, &context, &err) == 0, err.message);
    output_init(&output, NULL);
}

static unsigned
work_csv(void)
{
    const struct lighter_batch batch = {
        .size = sizeof batch, .seq = 1, .outputs = &outputs};
    struct lighter_task task = {.size = sizeof task,
                                .services = &output_services,
                                .batch = &batch,
                                .world_size = 1};
    struct lighter_error err = LIGHTER_ERROR_INIT;

    require(csv->check(csv_state, &batch, &task.count, &err) == 0 &&
                csv->write(csv_state, &task, &output, &err) == 0,
            err.message);
    output_clear(&output);
    return 4 * N_ROWS;
}

static struct lighter_value
column_tensor(uint32_t dtype, const void *data)
{
    return (struct lighter_value){
        .type = LIGHTER_TENSOR,
        .as.tensor = {.dtype = dtype,
                      .ndim = 1,
                      .shape = shape,
                      .data = data,
                      .size = N_ROWS * lighter_dtype_size(dtype)}};
}

static void
prepare_csv_floats(void)
{
    struct lighter_value column = column_tensor(LIGHTER_FLOAT32, floats);

    open_csv(&column);
}

static void
prepare_csv_integers(void)
{
    struct lighter_value column = column_tensor(LIGHTER_INT64, integers);

    open_csv(&column);
}

static void
prepare_csv_strings(void)
{
    static struct lighter_value items[N_ROWS];
    struct lighter_value column = {
        .type = LIGHTER_LIST, .count = N_ROWS, .as.items = items};

    for (unsigned i = 0; i < N_ROWS; i++)
        items[i] = (struct lighter_value){.type = LIGHTER_STRING,
                                          .as.string = {names[i], strlen(names[i])}};
    open_csv(&column);
}

static const struct lighter_encoder *tensor;

static void
prepare_pt(void)
{
    tensor = load("tensor")->encoders[0];
    output_init(&output, NULL);
}

static unsigned
work_pt(void)
{
    static const uint64_t ten[1] = {10};
    struct lighter_value sample = column_tensor(LIGHTER_FLOAT32, floats);
    struct lighter_error err = LIGHTER_ERROR_INIT;

    sample.as.tensor.shape = ten;
    sample.as.tensor.size = 10 * sizeof *floats;
    for (unsigned i = 0; i < N_FILES; i++) {
        require(tensor->encode(NULL, &sample, &output.sink, &output_services, &err) ==
                    0,
                err.message);
        sink_clear(&output.sink);
    }
    return N_FILES;
}

/* ---- main ---------------------------------------------------------------------- */

static const struct path paths[] = {
    {"frame", prepare_frames, work_frames},
    {"batch-row", prepare_batch, work_batch},
    {"csv-float32", prepare_csv_floats, work_csv},
    {"csv-int64", prepare_csv_integers, work_csv},
    {"csv-string", prepare_csv_strings, work_csv},
    {"pt-file", prepare_pt, work_pt},
};
#define N_PATHS (sizeof paths / sizeof *paths)

static unsigned
measured(const struct path *path)
{
    return path->work();
}

int
main(int argc, char **argv)
{
    int times = argc > 2 ? atoi(argv[2]) : 1;
    unsigned n_items = 0;

    make_inputs();
    for (size_t i = 0; argc > 1 && i < N_PATHS; i++) {
        if (strcmp(paths[i].name, argv[1]) != 0)
            continue;
        paths[i].prepare();
        paths[i].work(); /* memory and lazily bound symbols are there afterwards */
        while (times-- > 0)
            n_items += measured(&paths[i]);
        printf("%u\n", n_items);
        return 0;
    }
    fprintf(stderr, "usage: hot PATH [TIMES]\n");
    return 2;
}
