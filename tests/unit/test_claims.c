/* test_claims.c - daemon/claims.c: who writes below which directory. */
#include "daemon/claims.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory;
static int directory_fd;
static struct claims claims;
static struct lighter_error err;

static void
begin(void)
{
    directory = unit_tmpdir();
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(mkdirat(directory_fd, "d", 0700), 0);
    ck_assert_int_eq(mkdirat(directory_fd, "d/sub", 0700), 0);
    ck_assert_int_eq(mkdirat(directory_fd, "s", 0700), 0); /* what one of them stages */
    claims_init(&claims);
}

static void
end(void)
{
    claims_done(&claims);
    close(directory_fd);
    unit_tmpdir_remove(directory);
}

static const int job_a, job_b;

/* `table`: NULL: it makes files. */
static int
add(const void *job, const char *where, const char *suffix, const char *names,
    const char *table, struct claim **ret_claim)
{
    struct claim_of of = {.job = job,
                          .job_name = job == &job_a ? "a" : "b",
                          .stage = "predict",
                          .target = where,
                          .suffix = table ? NULL : suffix,
                          .names = names};
    int fd = openat(directory_fd, where, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    r = claims_add(&claims, &of, fd, table, ret_claim, &err);
    close(fd);
    return r;
}

static struct claim *
must_add(const void *job, const char *where, const char *suffix, const char *names,
         const char *table)
{
    struct claim *claim;

    ck_assert_msg(add(job, where, suffix, names, table, &claim) == 0, "%s",
                  err.message);
    return claim;
}

START_TEST(the_same_names_in_one_directory_are_refused)
{
    struct claim *first = must_add(&job_a, "d", ".x", "id", NULL), *other;

    ck_assert_int_eq(add(&job_a, "d/../d", ".x", "id", NULL, &other), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "named by 'id' and end in '.x'"));
    ck_assert_int_eq(add(&job_b, "d", ".x", "id", NULL, &other), -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.message, "job 'a' (predict)"));

    first = claim_free(first);
    claim_free(must_add(&job_b, "d", ".x", "id", NULL));
}
END_TEST

START_TEST(who_makes_other_names_shares_it)
{
    struct claim *first = must_add(&job_a, "d", ".x", "id", NULL), *others[4];

    ck_assert(!claim_is_shared(first));
    others[0] = must_add(&job_a, "d", ".y", "id", NULL);
    others[1] = must_add(&job_a, "d", ".x", "other", NULL);
    others[2] = must_add(&job_b, "d/sub", ".x", "id", NULL);
    others[3] = must_add(&job_a, "d", NULL, NULL, "t.csv");
    ck_assert(claim_is_shared(first));
    for (int i = 0; i < 4; i++)
        claim_free(others[i]);
    ck_assert(!claim_is_shared(first));
    claim_free(first);
}
END_TEST

START_TEST(one_table_has_one_writer)
{
    struct claim *first = must_add(&job_a, "d", NULL, NULL, "t.csv"), *other;

    ck_assert_int_eq(add(&job_a, "d", NULL, NULL, "t.csv", &other), -EINVAL);
    ck_assert_int_eq(add(&job_b, "d", NULL, NULL, "t.csv", &other), -EBUSY);
    claim_free(must_add(&job_b, "d", NULL, NULL, "u.csv"));
    claim_free(must_add(&job_b, "d/sub", NULL, NULL, "t.csv"));
    claim_free(first);
}
END_TEST

/* Is `name` of the writer at `mine` free, where the one at `theirs` has staged what is
 * in "s"?
 */
static bool
is_free(const char *mine, const char *name, const char *theirs)
{
    struct claim *one = must_add(&job_a, mine, ".x", "id", NULL),
                 *other = must_add(&job_b, theirs, ".x", "other", NULL);
    int fd = openat(directory_fd, "s", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    claim_stage(other, fd);
    r = claim_check_name(one, name, &err);
    claim_free(one);
    claim_free(other);
    close(fd);
    return r == 0;
}

START_TEST(a_name_that_another_has_staged_is_taken)
{
    close(openat(directory_fd, "s/a", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    mkdirat(directory_fd, "s/sub", 0700);
    close(openat(directory_fd, "s/sub/b", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

    ck_assert(is_free("d", "c", "d"));
    ck_assert(is_free("d", "sub/a", "d"));
    ck_assert(!is_free("d", "a", "d"));
    ck_assert(!is_free("d", "sub/b", "d"));
    ck_assert(!is_free("d", "sub", "d"));   /* it has a folder there */
    ck_assert(!is_free("d", "a/c", "d"));   /* and a file here */
    ck_assert(!is_free("d/sub", "b", "d")); /* one is in the other */
    ck_assert(is_free("d/sub", "a", "d"));
    ck_assert(!is_free("d", "sub/a", "d/sub"));
    ck_assert(is_free("d", "a", "d/sub"));
    ck_assert(!is_free("d", "sub", "d/sub"));
    ck_assert(is_free("d", "a", "s"));
}
END_TEST

START_TEST(a_name_of_a_table_is_taken)
{
    struct claim *files = must_add(&job_a, "d", "", "id", NULL),
                 *table = must_add(&job_a, "d/sub", NULL, NULL, "t.csv");

    ck_assert_int_eq(claim_check_name(files, "t.csv", &err), 0);
    ck_assert_int_eq(claim_check_name(files, "sub/u.csv", &err), 0);
    ck_assert_int_eq(claim_check_name(files, "sub/t.csv", &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "the table of 'd/sub'"));
    ck_assert_int_eq(claim_check_name(files, "sub/t.csv/x", &err), -EINVAL);
    ck_assert_int_eq(claim_check_name(files, "sub/t.tmp_rank12.csv", &err), -EINVAL);
    ck_assert_int_eq(claim_check_name(files, "sub", &err), -EINVAL);
    claim_free(files);
    claim_free(table);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("claims");
    TCase *tests = unit_case(suite, "claims");

    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, the_same_names_in_one_directory_are_refused);
    tcase_add_test(tests, who_makes_other_names_shares_it);
    tcase_add_test(tests, one_table_has_one_writer);
    tcase_add_test(tests, a_name_that_another_has_staged_is_taken);
    tcase_add_test(tests, a_name_of_a_table_is_taken);
    return unit_main(suite);
}
