/* test_promise.c - names that promise what is not done. */
#include "tests/unit/unit.h"

#include "daemon/promise.h"

static struct lighter_error err;

static void
expect_refused(int r, const char *message)
{
    ck_assert_int_lt(r, 0);
    ck_assert_uint_eq(err.code, LIGHTER_E_PARAMS);
    ck_assert_str_eq(err.message, message);
}

START_TEST(suffixes_of_the_format_that_is_made_are_taken)
{
    static const char *const names[] = {
        "x.csv", "x.CSV", "x", "x.", ".hidden", "1.2.840.10008", "x.txt", "x.v2", ""};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(promise_check_suffix(names[i], "csv", ".csv", &err), 0);
    ck_assert_int_eq(promise_check_suffix("_seg.nii", "text", NULL, &err), 0);
}
END_TEST

START_TEST(suffixes_of_other_formats_are_refused)
{
    expect_refused(promise_check_suffix("x.parquet", "csv", ".csv", &err),
                   "'x.parquet' promises the format .parquet, and csv does not make "
                   "it: end the name in .csv, or in something that names no format");
    expect_refused(promise_check_suffix("_seg.JPG", "image_2d", ".png", &err),
                   "'_seg.JPG' promises the format .jpg, and image_2d does not make "
                   "it: end the name in .png, or in something that names no format");
    ck_assert_int_lt(promise_check_suffix("x.xlsx", "csv", ".csv", &err), 0);
    ck_assert_int_lt(promise_check_suffix(".nii.gz", "tensor", ".pt .pth", &err), 0);
    ck_assert_int_eq(promise_check_suffix(".pth", "tensor", ".pt .pth", &err), 0);
}
END_TEST

START_TEST(paths_that_ask_for_what_nobody_does_are_refused)
{
    static const char *const refused[] = {
        "/w/s3:/bucket/x.csv", "/w/gs:/b",     "/w/hdfs+x:/b",   "/w/~/x.csv",
        "/w/{epoch}.csv",      "/w/{stage}/x", "/w/x_{rank}.csv"};
    static const char *const taken[] = {"/w/x.csv",  "/w/a:b/x",   "/w/c:/x",
                                        "/w/~ann/x", "/w/{x}.csv", "/w/12:/x"};

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_msg(promise_check_path(refused[i], &err) < 0, "%s", refused[i]);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        ck_assert_msg(promise_check_path(taken[i], &err) == 0, "%s: %s", taken[i],
                      err.message);
    expect_refused(promise_check_path("/w/s3:/bucket", &err),
                   "the path '/w/s3:/bucket' names another storage, 's3://': lighterd "
                   "writes to directories of this machine");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("promise");
    TCase *names = unit_case(suite, "names");

    tcase_add_test(names, suffixes_of_the_format_that_is_made_are_taken);
    tcase_add_test(names, suffixes_of_other_formats_are_refused);
    tcase_add_test(names, paths_that_ask_for_what_nobody_does_are_refused);
    return unit_main(suite);
}
