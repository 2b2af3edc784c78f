/* test_registry.c - daemon/registry.c: what may plug in, and what it leaves if not. */
#include "daemon/registry.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct registry registry;
static struct lighter_error err;

static void
end(void)
{
    registry_done(&registry);
}

/* ---- sound descriptors, to be spoilt by copies ---------------------------------- */

struct options {
    const char *text;
    int64_t number;
};

static const struct lighter_option target_table[] = {
    {.name = "path", .type = LIGHTER_OPTION_TARGET, .required = true}, {.name = NULL}};
static const struct lighter_option suffix_table[] = {
    {.name = "suffix", .type = LIGHTER_OPTION_SUFFIX, .fallback = ".x"},
    {.name = NULL}};

static int
check(void *state, const struct lighter_batch *batch, uint64_t *ret_samples,
      struct lighter_error *error)
{
    (void)state, (void)batch, (void)ret_samples, (void)error;
    return 0;
}

static int
write_nothing(void *state, const struct lighter_task *task,
              struct lighter_output *output, struct lighter_error *error)
{
    (void)state, (void)task, (void)output, (void)error;
    return 0;
}

static int
encode(const void *options, const struct lighter_value *sample,
       struct lighter_sink *sink, const struct lighter_services *services,
       struct lighter_error *error)
{
    (void)options, (void)sample, (void)sink, (void)services, (void)error;
    return 0;
}

static struct lighter_writer
sound_writer(const char *name)
{
    return (struct lighter_writer){.size = sizeof(struct lighter_writer),
                                   .name = name,
                                   .options = target_table,
                                   .options_size = sizeof(struct options),
                                   .check = check,
                                   .write = write_nothing};
}

static struct lighter_encoder
sound_encoder(const char *name)
{
    return (struct lighter_encoder){.size = sizeof(struct lighter_encoder),
                                    .name = name,
                                    .options = suffix_table,
                                    .options_size = sizeof(struct options),
                                    .encode = encode};
}

/* Add a plugin of one or two writers and one encoder; either may be NULL. */
static int
add(const char *name, const struct lighter_writer *writer,
    const struct lighter_writer *second, const struct lighter_encoder *encoder)
{
    const struct lighter_writer *writers[] = {writer, second, NULL};
    const struct lighter_encoder *encoders[] = {encoder, NULL};
    const struct lighter_plugin plugin = {LIGHTER_PLUGIN_HEADER, .name = name,
                                          .version = "1.2", .writers = writers,
                                          .encoders = encoders};

    return registry_add(&registry, &plugin, "/path", &err);
}

static void
expect_writer_refused(const struct lighter_writer *writer, const char *message)
{
    ck_assert_int_eq(add("p", writer, NULL, NULL), -EINVAL);
    ck_assert_str_eq(err.message, message);
    ck_assert_uint_eq(registry.lists[REGISTRY_WRITER].count + registry.n_plugins, 0);
}

static void
expect_encoder_refused(const struct lighter_encoder *encoder, const char *message)
{
    ck_assert_int_eq(add("p", NULL, NULL, encoder), -EINVAL);
    ck_assert_str_eq(err.message, message);
    ck_assert_uint_eq(registry.lists[REGISTRY_ENCODER].count + registry.n_plugins, 0);
}

/* ---- adding -------------------------------------------------------------------- */

START_TEST(what_was_added_is_found_by_name_in_order)
{
    const struct lighter_writer b = sound_writer("b"), a = sound_writer("a"),
                                c = sound_writer("c");
    const struct lighter_encoder z = sound_encoder("z"), y = sound_encoder("y");

    ck_assert_int_eq(add("one", &b, &a, &z), 0);
    ck_assert_int_eq(add("two", &c, NULL, &y), 0);

    ck_assert_ptr_nonnull(registry_writer(&registry, "b", &err));
    ck_assert_str_eq(registry_encoder(&registry, "y", &err)->name, "y");
    ck_assert_str_eq(registry.lists[REGISTRY_WRITER].items[0]->as.writer.name, "a");
    ck_assert_str_eq(registry.lists[REGISTRY_WRITER].items[2]->as.writer.name, "c");
    ck_assert_str_eq(registry.lists[REGISTRY_ENCODER].items[0]->as.encoder.name, "y");
    ck_assert_uint_eq(registry.n_plugins, 2);
    ck_assert_str_eq(
        registry.plugins[registry.lists[REGISTRY_WRITER].items[0]->plugin].name, "one");
    ck_assert_str_eq(
        registry.plugins[registry.lists[REGISTRY_ENCODER].items[0]->plugin].name,
        "two");
    ck_assert_str_eq(registry.plugins[1].version, "1.2");
    ck_assert_str_eq(registry.plugins[1].path, "/path");
}
END_TEST

START_TEST(an_unknown_name_lists_what_there_is)
{
    const struct lighter_writer a = sound_writer("a"), b = sound_writer("b");
    const struct lighter_encoder e = sound_encoder("e");

    ck_assert_ptr_null(registry_writer(&registry, "x", &err));
    ck_assert_str_eq(err.message, "no writer is called 'x'; there are: none");
    ck_assert_int_eq(add("p", &b, &a, &e), 0);
    ck_assert_ptr_null(registry_writer(&registry, "x", &err));
    ck_assert_str_eq(err.message, "no writer is called 'x'; there are: 'a', 'b'");
    ck_assert_ptr_null(registry_encoder(&registry, "a", &err));
    ck_assert_str_eq(err.message,
                     "Writer with name 'a' is not registered; there are: 'e'");
}
END_TEST

START_TEST(more_names_than_a_message_holds_are_cut)
{
    static char names[200][16];

    for (int i = 0; i < 200; i++) {
        struct lighter_writer writer;

        snprintf(names[i], sizeof names[i], "writer-%d", i);
        writer = sound_writer(names[i]);
        ck_assert_int_eq(add("p", &writer, NULL, NULL), 0);
    }
    ck_assert_ptr_null(registry_writer(&registry, "x", &err));
    ck_assert_uint_lt(strlen(err.message), 600);
}
END_TEST

START_TEST(another_abi_is_refused)
{
    struct lighter_plugin plugin = {LIGHTER_PLUGIN_HEADER, .name = "p"};

    plugin.abi = LIGHTER_PLUGIN_ABI + 1;
    ck_assert_int_eq(registry_add(&registry, &plugin, "/path", &err), -EINVAL);
    ck_assert_str_eq(err.message, "it has plugin ABI 2; this lighterd has 1");
    plugin.abi = 0;
    ck_assert_int_eq(registry_add(&registry, &plugin, "/path", &err), -EINVAL);
}
END_TEST

START_TEST(an_older_and_smaller_descriptor_lacks_what_came_later)
{
    const struct lighter_encoder *encoders[] = {NULL};
    struct lighter_plugin plugin = {LIGHTER_PLUGIN_HEADER, .name = "p"};

    /* beyond its size there is anything at all */
    plugin.encoders = (void *)(uintptr_t)1;
    plugin.size = offsetof(struct lighter_plugin, encoders);
    ck_assert_int_eq(registry_add(&registry, &plugin, "/path", &err), 0);

    plugin.encoders = encoders;
    plugin.size = sizeof plugin;
    ck_assert_int_eq(registry_add(&registry, &plugin, "/path", &err), 0);
}
END_TEST

START_TEST(a_smaller_writer_has_no_callbacks_beyond_its_size)
{
    struct lighter_writer writer = sound_writer("w");
    const struct lighter_writer *copy;

    writer.close = (void (*)(void *))1;
    writer.size = offsetof(struct lighter_writer, close);
    ck_assert_int_eq(add("p", &writer, NULL, NULL), 0);
    copy = registry_writer(&registry, "w", &err);
    ck_assert(copy->close == NULL);
    ck_assert(copy->write == write_nothing);
}
END_TEST

START_TEST(a_larger_descriptor_is_cut_to_ours)
{
    struct {
        struct lighter_writer writer;
        char later[64];
    } newer = {.writer = sound_writer("w")};

    memset(newer.later, 0xff, sizeof newer.later);
    newer.writer.size = sizeof newer;
    ck_assert_int_eq(add("p", &newer.writer, NULL, NULL), 0);
    ck_assert_ptr_nonnull(registry_writer(&registry, "w", &err));
}
END_TEST

START_TEST(a_taken_name_leaves_nothing_of_its_plugin_behind)
{
    const struct lighter_writer taken = sound_writer("taken"),
                                mine = sound_writer("mine");
    const struct lighter_encoder encoder = sound_encoder("e"),
                                 other = sound_encoder("other");

    ck_assert_int_eq(add("first", &taken, NULL, &encoder), 0);

    ck_assert_int_eq(add("second", &mine, &taken, &other), -EINVAL);
    ck_assert_str_eq(err.message, "writer 'taken' is registered already");
    ck_assert_int_eq(add("third", &mine, NULL, &encoder), -EINVAL);
    ck_assert_str_eq(err.message, "encoder 'e' is registered already");
    ck_assert_int_eq(add("fourth", &mine, &mine, &other), -EINVAL);

    ck_assert_uint_eq(registry.lists[REGISTRY_WRITER].count, 1);
    ck_assert_uint_eq(registry.lists[REGISTRY_ENCODER].count, 1);
    ck_assert_uint_eq(registry.n_plugins, 1);
    ck_assert_ptr_null(registry_writer(&registry, "mine", &err));
    ck_assert_int_eq(add("fifth", &mine, NULL, &other), 0);
    ck_assert_str_eq(
        registry.plugins[registry.lists[REGISTRY_WRITER].items[0]->plugin].name,
        "fifth");
}
END_TEST

START_TEST(what_has_no_name_is_refused)
{
    struct lighter_encoder encoder = sound_encoder("");
    struct lighter_writer writer = sound_writer(NULL);

    expect_writer_refused(&writer, "a writer has no name");
    expect_encoder_refused(&encoder, "an encoder has no name");
    ck_assert_int_eq(add(NULL, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(add("", NULL, NULL, NULL), -EINVAL);
    ck_assert_str_eq(err.message, "the plugin has no name");
}
END_TEST

START_TEST(missing_callbacks_are_refused)
{
    struct lighter_encoder encoder = sound_encoder("e");
    struct lighter_writer writer = sound_writer("w");

    writer.check = NULL;
    expect_writer_refused(&writer, "writer 'w' has no check or no write");
    writer = sound_writer("w");
    writer.write = NULL;
    expect_writer_refused(&writer, "writer 'w' has no check or no write");
    encoder.encode = NULL;
    expect_encoder_refused(&encoder, "encoder 'e' has no encode");
}
END_TEST

START_TEST(a_writer_of_tables_cannot_split_batches)
{
    struct lighter_writer writer = sound_writer("w");

    writer.threads = LIGHTER_THREADS_SAMPLES;
    expect_writer_refused(&writer, "writer 'w' splits batches, which only writers of "
                                   "files may");
    writer.kind = LIGHTER_KIND_FILES;
    ck_assert_int_eq(add("p", &writer, NULL, NULL), 0);
}
END_TEST

static void
expect_table_refused(const struct lighter_option *table)
{
    struct lighter_writer writer = sound_writer("w");

    writer.options = table;
    expect_writer_refused(&writer,
                          "writer 'w' needs a sound option table with one target");
}

START_TEST(a_writer_has_exactly_one_target)
{
    static const struct lighter_option none[] = {{.name = NULL}};
    static const struct lighter_option two[] = {
        {.name = "a", .type = LIGHTER_OPTION_TARGET},
        {.name = "b", .type = LIGHTER_OPTION_TARGET, .offset = 8},
        {.name = NULL}};

    expect_table_refused(NULL);
    expect_table_refused(none);
    expect_table_refused(two);
}
END_TEST

START_TEST(options_of_unknown_types_are_refused)
{
    static const struct lighter_option table[] = {
        {.name = "path", .type = LIGHTER_OPTION_TARGET},
        {.name = "odd", .type = (enum lighter_option_type)77},
        {.name = NULL}};

    expect_table_refused(table);
}
END_TEST

/* Else filling it writes past the struct that the daemon made for it. */
START_TEST(options_that_reach_past_their_struct_are_refused)
{
    static const struct lighter_option beyond[] = {
        {.name = "path", .type = LIGHTER_OPTION_TARGET},
        {.name = "n", .type = LIGHTER_OPTION_INT, .offset = sizeof(struct options)},
        {.name = NULL}};
    static const struct lighter_option across[] = {
        {.name = "path", .type = LIGHTER_OPTION_TARGET},
        {.name = "n", .type = LIGHTER_OPTION_INT, .offset = sizeof(struct options) - 1},
        {.name = NULL}};
    static const struct lighter_option large[] = {
        {.name = "path", .type = LIGHTER_OPTION_TARGET},
        {.name = "e", .type = LIGHTER_OPTION_ENCODER, .offset = 8},
        {.name = NULL}};

    expect_table_refused(beyond);
    expect_table_refused(across);
    expect_table_refused(large);
}
END_TEST

/* Else a client that says nothing of it would have files without a suffix at all. */
START_TEST(an_encoders_suffix_needs_a_default)
{
    static const struct lighter_option table[] = {
        {.name = "suffix", .type = LIGHTER_OPTION_SUFFIX}, {.name = NULL}};
    struct lighter_encoder encoder = sound_encoder("e");

    encoder.options = table;
    ck_assert_int_eq(add("p", NULL, NULL, &encoder), -EINVAL);
    ck_assert_uint_eq(registry.lists[REGISTRY_ENCODER].count, 0);
}
END_TEST

/* ---- loading ------------------------------------------------------------------- */

static const char *
plugin_dir(void)
{
    const char *path = getenv("PLUGIN_DIR");

    ck_assert_msg(path != NULL, "PLUGIN_DIR must be set, as `make check` does");
    return path;
}

static void
copy_file(const char *from, const char *to)
{
    char command[4096];

    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(our_own_plugins_are_loaded)
{
    ck_assert_msg(registry_load(&registry, plugin_dir(), &err) == 0, "%s", err.message);
    ck_assert_uint_ge(registry.n_plugins, 1);
    for (size_t i = 0; i < registry.n_refusals; i++)
        ck_abort_msg("%s: %s", registry.refusals[i].path, registry.refusals[i].reason);
}
END_TEST

START_TEST(what_is_no_plugin_is_refused_and_the_rest_is_loaded)
{
    char *directory = unit_tmpdir(), path[4096];
    struct registry ours = {0};
    size_t n_ours;

    ck_assert_int_eq(registry_load(&ours, plugin_dir(), &err), 0);
    n_ours = ours.n_plugins;
    for (size_t i = 0; i < n_ours; i++) {
        snprintf(path, sizeof path, "%s/m%zu.so", directory, i);
        copy_file(ours.plugins[i].path, path);
    }
    snprintf(path, sizeof path, "%s/a-text.so", directory);
    copy_file("/proc/self/cmdline", path);
    snprintf(path, sizeof path, "%s/b-foreign.so", directory);
    copy_file("/proc/self/exe", path); /* a program, and no library at all */
    snprintf(path, sizeof path, "%s/readme.txt", directory);
    copy_file("/proc/self/cmdline", path);
    snprintf(path, sizeof path, "%s/.hidden.so", directory);
    copy_file("/proc/self/cmdline", path);

    ck_assert_int_eq(registry_load(&registry, directory, &err), 0);
    ck_assert_uint_eq(registry.n_plugins, n_ours);
    ck_assert_uint_eq(registry.n_refusals, 2);
    ck_assert_ptr_nonnull(strstr(registry.refusals[0].path, "/a-text.so"));
    ck_assert_ptr_nonnull(strstr(registry.refusals[0].reason, "it cannot be loaded: "));
    ck_assert_ptr_nonnull(strstr(registry.refusals[1].path, "/b-foreign.so"));
    registry_done(&ours);
    unit_tmpdir_remove(directory);
}
END_TEST

/* A real library of the system, from where the C library itself lies. */
static int
find_library(const char *name, char path[4096])
{
    static const char *const folders[] = {"/lib/x86_64-linux-gnu",
                                          "/lib/aarch64-linux-gnu", "/lib64", "/lib",
                                          "/usr/lib"};

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, 4096, "%s/%s", folders[i], name);
        if (access(path, R_OK) == 0)
            return 1;
    }
    return 0;
}

START_TEST(a_library_that_is_no_plugin_of_ours_is_refused)
{
    char *directory = unit_tmpdir(), path[4096], library[4096];

    if (find_library("libm.so.6", library)) {
        snprintf(path, sizeof path, "%s/libm.so", directory);
        copy_file(library, path);
        ck_assert_int_eq(registry_load(&registry, directory, &err), 0);
        ck_assert_uint_eq(registry.n_plugins, 0);
        ck_assert_uint_eq(registry.n_refusals, 1);
        ck_assert_str_eq(registry.refusals[0].reason,
                         "it is no plugin of lighterd: it has no symbol "
                         "lighter_plugin");
    }
    unit_tmpdir_remove(directory);
}
END_TEST

START_TEST(a_plugin_that_is_there_twice_is_refused_once)
{
    char *directory = unit_tmpdir(), path[4096];
    struct registry ours = {0};

    ck_assert_int_eq(registry_load(&ours, plugin_dir(), &err), 0);
    ck_assert_uint_ge(ours.n_plugins, 1);
    snprintf(path, sizeof path, "%s/one.so", directory);
    copy_file(ours.plugins[0].path, path);
    snprintf(path, sizeof path, "%s/two.so", directory);
    copy_file(ours.plugins[0].path, path);

    ck_assert_int_eq(registry_load(&registry, directory, &err), 0);
    ck_assert_uint_eq(registry.n_plugins, 1);
    ck_assert_uint_eq(registry.n_refusals, 1);
    ck_assert_ptr_nonnull(strstr(registry.plugins[0].path, "/one.so"));
    ck_assert_ptr_nonnull(strstr(registry.refusals[0].reason, "is registered already"));
    registry_done(&ours);
    unit_tmpdir_remove(directory);
}
END_TEST

START_TEST(a_directory_without_plugins_has_none)
{
    char *directory = unit_tmpdir();

    ck_assert_int_eq(registry_load(&registry, directory, &err), 0);
    ck_assert_uint_eq(registry.n_plugins + registry.n_refusals, 0);
    unit_tmpdir_remove(directory);
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_os_error)
{
    ck_assert_int_eq(registry_load(&registry, "/nowhere", &err), -ENOENT);
    ck_assert_str_eq(err.message, "read the plugin directory '/nowhere': No such file "
                                  "or directory");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("registry");
    TCase *adding = unit_case(suite, "adding");
    TCase *loading = unit_case(suite, "loading");

    tcase_add_checked_fixture(adding, NULL, end);
    tcase_add_test(adding, what_was_added_is_found_by_name_in_order);
    tcase_add_test(adding, an_unknown_name_lists_what_there_is);
    tcase_add_test(adding, more_names_than_a_message_holds_are_cut);
    tcase_add_test(adding, another_abi_is_refused);
    tcase_add_test(adding, an_older_and_smaller_descriptor_lacks_what_came_later);
    tcase_add_test(adding, a_smaller_writer_has_no_callbacks_beyond_its_size);
    tcase_add_test(adding, a_larger_descriptor_is_cut_to_ours);
    tcase_add_test(adding, a_taken_name_leaves_nothing_of_its_plugin_behind);
    tcase_add_test(adding, what_has_no_name_is_refused);
    tcase_add_test(adding, missing_callbacks_are_refused);
    tcase_add_test(adding, a_writer_of_tables_cannot_split_batches);
    tcase_add_test(adding, a_writer_has_exactly_one_target);
    tcase_add_test(adding, options_of_unknown_types_are_refused);
    tcase_add_test(adding, options_that_reach_past_their_struct_are_refused);
    tcase_add_test(adding, an_encoders_suffix_needs_a_default);
    tcase_add_checked_fixture(loading, NULL, end);
    tcase_add_test(loading, our_own_plugins_are_loaded);
    tcase_add_test(loading, what_is_no_plugin_is_refused_and_the_rest_is_loaded);
    tcase_add_test(loading, a_library_that_is_no_plugin_of_ours_is_refused);
    tcase_add_test(loading, a_plugin_that_is_there_twice_is_refused_once);
    tcase_add_test(loading, a_directory_without_plugins_has_none);
    tcase_add_test(loading, a_directory_that_is_not_there_is_an_os_error);
    return unit_main(suite);
}
