/* test_overwrite.c - daemon/overwrite.c: the option that every writer has. */
#include "daemon/overwrite.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

struct words {
    const char *path;
    bool odd; /* so that what stands behind it must be aligned */
};

static const struct lighter_option words_options[] = {
    {.name = "path",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct words, path)},
    {.name = "odd", .type = LIGHTER_OPTION_BOOL, .offset = offsetof(struct words, odd)},
    {.name = NULL},
};

static const struct lighter_option taken_options[] = {
    {.name = "path",
     .type = LIGHTER_OPTION_TARGET,
     .required = true,
     .offset = offsetof(struct words, path)},
    {.name = "overwrite", .type = LIGHTER_OPTION_STRING, .offset = 0},
    {.name = NULL},
};

static struct lighter_error err;

static struct lighter_writer
writer(enum lighter_kind kind, const struct lighter_option *options)
{
    return (struct lighter_writer){.name = "words",
                                   .kind = kind,
                                   .options = options,
                                   .options_size = offsetof(struct words, odd) + 1};
}

/* What the value `word` (NULL: none) is for a writer of that kind. */
static int
read_word(enum lighter_kind kind, const char *word, enum overwrite *ret)
{
    struct lighter_writer with = writer(kind, words_options);
    struct lighter_option *options;
    char *values;
    int r;

    ck_assert_int_eq(overwrite_add_option(&with, &options, &with.options_size, &err),
                     0);
    with.options = options;
    values = calloc(1, with.options_size);
    *(const char **)(values + options[2].offset) = word ? word : options[2].fallback;
    r = overwrite_read(&with, values, ret, &err);
    free(values);
    free(options);
    return r;
}

START_TEST(it_stands_behind_the_writers_own_options)
{
    struct lighter_writer plain = writer(LIGHTER_KIND_TABLE, words_options);
    struct lighter_option *options;
    size_t size;

    ck_assert_int_eq(overwrite_add_option(&plain, &options, &size, &err), 0);

    ck_assert_str_eq(options[0].name, "path");
    ck_assert_str_eq(options[1].name, "odd");
    ck_assert_str_eq(options[2].name, "overwrite");
    ck_assert_ptr_null(options[3].name);
    ck_assert_uint_ge(options[2].offset, plain.options_size);
    ck_assert_uint_eq(options[2].offset % sizeof(char *), 0);
    ck_assert_uint_eq(size, options[2].offset + sizeof(char *));
    free(options);
}
END_TEST

START_TEST(a_writer_that_has_such_an_option_is_refused)
{
    struct lighter_writer taken = writer(LIGHTER_KIND_TABLE, taken_options);
    struct lighter_option *options;
    size_t size;

    ck_assert_int_eq(overwrite_add_option(&taken, &options, &size, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "'words' has an option 'overwrite'"));
}
END_TEST

START_TEST(who_says_nothing_replaces)
{
    enum overwrite found = OVERWRITE_ERROR;

    ck_assert_int_eq(read_word(LIGHTER_KIND_TABLE, NULL, &found), 0);
    ck_assert_int_eq(found, OVERWRITE_REPLACE);
    ck_assert_int_eq(read_word(LIGHTER_KIND_FILES, "error", &found), 0);
    ck_assert_int_eq(found, OVERWRITE_ERROR);
    ck_assert_int_eq(read_word(LIGHTER_KIND_FILES, "exchange", &found), 0);
    ck_assert_int_eq(found, OVERWRITE_EXCHANGE);
}
END_TEST

START_TEST(other_words_are_refused_and_a_table_is_not_exchanged)
{
    enum overwrite found;

    ck_assert_int_eq(read_word(LIGHTER_KIND_FILES, "yes", &found), -EINVAL);
    ck_assert_str_eq(err.message,
                     "'words': 'overwrite' expects 'replace' or 'error' or "
                     "'exchange', got 'yes'");
    ck_assert_int_eq(read_word(LIGHTER_KIND_TABLE, "exchange", &found), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "which is for writers of files alone"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("overwrite");
    TCase *tests = unit_case(suite, "overwrite");

    tcase_add_test(tests, it_stands_behind_the_writers_own_options);
    tcase_add_test(tests, a_writer_that_has_such_an_option_is_refused);
    tcase_add_test(tests, who_says_nothing_replaces);
    tcase_add_test(tests, other_words_are_refused_and_a_table_is_not_exchanged);
    return unit_main(suite);
}
