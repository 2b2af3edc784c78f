/* test_filter.c - rows that are filtered, and put together again as PNG 9.2 says. */
#include "tests/unit/unit.h"

#include "plugins/image/filter.h"

#include <stdlib.h>

#define MAX_SIZE 200

struct row {
    uint8_t room[FILTER_BEFORE + MAX_SIZE + FILTER_BLOCK];
};

static uint8_t *
bytes_of(struct row *row)
{
    return row->room + FILTER_BEFORE;
}

static struct row
random_row(size_t size)
{
    struct row row = {{0}};

    for (size_t i = 0; i < size; i++)
        bytes_of(&row)[i] = (uint8_t)rand();
    return row;
}

static int
predict_paeth(int a, int b, int c)
{
    int p = a + b - c, from_a = abs(p - a), from_b = abs(p - b), from_c = abs(p - c);

    if (from_a <= from_b && from_a <= from_c)
        return a;
    return from_b <= from_c ? b : c;
}

/* Recon of PNG 9.2: what a decoder adds to a byte. */
static int
prediction(enum filter filter, int a, int b, int c)
{
    switch (filter) {
    case FILTER_SUB:
        return a;
    case FILTER_UP:
        return b;
    case FILTER_AVERAGE:
        return (a + b) / 2;
    case FILTER_PAETH:
        return predict_paeth(a, b, c);
    default:
        return 0;
    }
}

static void
expect_same_row(enum filter filter, size_t size, size_t pixel_size)
{
    struct row row = random_row(size), above = random_row(size), filtered, decoded;
    uint8_t *left = bytes_of(&decoded) - pixel_size,
            *corner = bytes_of(&above) - pixel_size;

    memset(&decoded, 0, sizeof decoded);
    filter_row(filter, bytes_of(&row), bytes_of(&above), size, pixel_size,
               bytes_of(&filtered));

    for (size_t i = 0; i < size; i++)
        bytes_of(&decoded)[i] =
            (uint8_t)(bytes_of(&filtered)[i] +
                      prediction(filter, left[i], bytes_of(&above)[i], corner[i]));
    ck_assert_mem_eq(bytes_of(&decoded), bytes_of(&row), size);
}

START_TEST(a_filtered_row_can_be_put_together_again)
{
    srand(1);
    for (enum filter filter = FILTER_NONE; filter < N_FILTERS; filter++)
        for (size_t pixel_size = 1; pixel_size <= FILTER_BEFORE; pixel_size++)
            for (size_t size = pixel_size; size <= MAX_SIZE; size += pixel_size)
                expect_same_row(filter, size, pixel_size);
}
END_TEST

/* All neighbours that there can be, but every fifth value of each. */
START_TEST(paeth_is_exact)
{
    for (int a = 0; a < 256; a += 5)
        for (int b = 0; b < 256; b += 5)
            for (int c = 0; c < 256; c += 5) {
                struct row row = {{0}}, above = {{0}}, filtered;
                int expected = predict_paeth(a, b, c);

                bytes_of(&row)[0] = (uint8_t)a;
                bytes_of(&above)[0] = (uint8_t)c;
                bytes_of(&above)[1] = (uint8_t)b;
                filter_row(FILTER_PAETH, bytes_of(&row), bytes_of(&above), 2, 1,
                           bytes_of(&filtered));
                ck_assert_uint_eq(bytes_of(&filtered)[1], (uint8_t)-expected);
            }
}
END_TEST

/* A row of which three bytes in four are what `filter` predicts. */
static void
expect_choice(enum filter filter)
{
    struct row above = random_row(MAX_SIZE), row = random_row(MAX_SIZE);
    uint8_t *bytes = bytes_of(&row), *up = bytes_of(&above);

    for (size_t i = 1; i < MAX_SIZE; i++)
        if (i % 4)
            bytes[i] = (uint8_t)prediction(filter, bytes[i - 1], up[i], up[i - 1]);
    ck_assert_uint_eq(filter_choose(bytes, up, MAX_SIZE, 1), filter);
}

START_TEST(the_filter_that_suits_a_row_is_chosen)
{
    srand(2);
    expect_choice(FILTER_SUB);
    expect_choice(FILTER_UP);
    expect_choice(FILTER_AVERAGE);
    expect_choice(FILTER_PAETH);
    expect_choice(FILTER_NONE);
}
END_TEST

START_TEST(differences_count_the_same_up_and_down)
{
    struct row above = {{0}}, row = {{0}};

    for (size_t i = 0; i < MAX_SIZE; i++) { /* Up leaves 255, which is -1 */
        bytes_of(&row)[i] = (uint8_t)(i % 2 ? 20 + i % 7 : 90 + i % 5);
        bytes_of(&above)[i] = (uint8_t)(bytes_of(&row)[i] + 1);
    }
    ck_assert_uint_eq(filter_choose(bytes_of(&row), bytes_of(&above), MAX_SIZE, 1),
                      FILTER_UP);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("filter");
    TCase *tcase = unit_case(suite, "filter");

    tcase_add_test(tcase, a_filtered_row_can_be_put_together_again);
    tcase_add_test(tcase, paeth_is_exact);
    tcase_add_test(tcase, the_filter_that_suits_a_row_is_chosen);
    tcase_add_test(tcase, differences_count_the_same_up_and_down);
    return unit_main(suite);
}
