/* test_utf8.c - util/utf8.c: what is UTF-8, and what of it may be printed. */
#include "tests/unit/unit.h"
#include "util/utf8.h"

#include <stdlib.h>
#include <string.h>

/* On the heap with no byte to spare, so that a sanitizer sees a read past the end. */
static bool
valid(const char *text, size_t size)
{
    char *copy = calloc(1, size ? size : 1);
    bool r;

    if (size)
        memcpy(copy, text, size);
    r = utf8_valid(copy, size);
    free(copy);
    return r;
}

#define VALID(text) ck_assert(valid(text, sizeof text - 1))
#define INVALID(text) ck_assert(!valid(text, sizeof text - 1))

START_TEST(the_first_and_last_of_every_length_are_valid)
{
    VALID("");
    VALID("\0");
    VALID("\x7f");
    VALID("\xc2\x80");
    VALID("\xdf\xbf");
    VALID("\xe0\xa0\x80");
    VALID("\xed\x9f\xbf");
    VALID("\xee\x80\x80");
    VALID("\xef\xbf\xbf");
    VALID("\xf0\x90\x80\x80");
    VALID("\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(their_neighbours_are_not)
{
    INVALID("\x80");
    INVALID("\xbf");
    INVALID("\xc0\x80");
    INVALID("\xc1\xbf");
    INVALID("\xe0\x9f\xbf");
    INVALID("\xed\xa0\x80"); /* the first surrogate */
    INVALID("\xed\xbf\xbf"); /* the last */
    INVALID("\xf0\x8f\xbf\xbf");
    INVALID("\xf4\x90\x80\x80"); /* above U+10FFFF */
    INVALID("\xf5\x80\x80\x80");
    INVALID("\xf8\x88\x80\x80\x80");
    INVALID("\xfe");
    INVALID("\xff");
}
END_TEST

START_TEST(every_byte_of_a_character_must_be_there_and_its_own)
{
    static const char *const characters[] = {"\u00e9", "\u20ac", "\U0001f600"};

    for (size_t i = 0; i < 3; i++) {
        size_t size = strlen(characters[i]);
        char text[5];

        for (size_t cut = 1; cut < size; cut++)
            ck_assert(!valid(characters[i], cut));
        for (size_t at = 1; at < size; at++) {
            static const char others[] = {0x00, 0x41, 0x7f, (char)0xc0, (char)0xff};

            for (size_t k = 0; k < sizeof others; k++) {
                memcpy(text, characters[i], size);
                text[at] = others[k];
                ck_assert(!valid(text, size));
            }
        }
    }
}
END_TEST

/* The decoder by the book: the code point of every sequence of up to 4 bytes. */
START_TEST(all_code_points_round_trip)
{
    for (uint32_t c = 0; c < 0x120000; c++) {
        char text[4];
        size_t size;

        if (c < 0x80) {
            text[0] = (char)c;
            size = 1;
        } else if (c < 0x800) {
            text[0] = (char)(0xc0 | c >> 6);
            size = 2;
        } else if (c < 0x10000) {
            text[0] = (char)(0xe0 | c >> 12);
            size = 3;
        } else {
            text[0] = (char)(0xf0 | c >> 18);
            size = 4;
        }
        for (size_t i = 1; i < size; i++)
            text[i] = (char)(0x80 | (c >> 6 * (size - 1 - i) & 0x3f));
        if (utf8_valid(text, size) != ((c < 0xd800 || c > 0xdfff) && c <= 0x10ffff))
            ck_abort_msg("U+%04X", c);
    }
}
END_TEST

START_TEST(a_bad_byte_is_found_wherever_it_stands)
{
    char text[40];

    for (size_t at = 0; at < sizeof text; at++) {
        memset(text, 'a', sizeof text);
        ck_assert(valid(text, sizeof text));
        text[at] = (char)0xff;
        for (size_t size = at + 1; size <= sizeof text; size++)
            ck_assert(!valid(text, size));
        ck_assert(valid(text, at));
    }
}
END_TEST

START_TEST(nothing_at_all_is_valid)
{
    ck_assert(utf8_valid(NULL, 0));
    ck_assert(utf8_printable(NULL, 0));
}
END_TEST

START_TEST(control_characters_are_not_printable)
{
    for (int c = 0; c < 0x100; c++) {
        char ascii = (char)c, wide[2] = {(char)0xc2, (char)c};

        if (c < 0x80)
            ck_assert_int_eq(utf8_printable(&ascii, 1), c >= 0x20 && c != 0x7f);
        if (c >= 0x80 && c < 0xc0) /* C1, then Latin-1 */
            ck_assert_int_eq(utf8_printable(wide, 2), c >= 0xa0);
    }
}
END_TEST

/* A name that shows "exe.png" and is "gnp.exe". */
START_TEST(what_turns_a_text_is_not_printable)
{
    ck_assert(!utf8_printable("\u2028", 3) && !utf8_printable("\u202e", 3));
    ck_assert(!utf8_printable("\u2066", 3) && !utf8_printable("\u2069", 3));
    ck_assert(!utf8_printable("a\u202egnp.exe", 11));
    ck_assert(utf8_printable("\u2027", 3) && utf8_printable("\u202f", 3));
    ck_assert(utf8_printable("\u2065", 3) && utf8_printable("\u206a", 3));
    ck_assert(utf8_printable("\u20a8\u10ae", 6)); /* the same last bytes */
    ck_assert(utf8_printable("\u05d0\u0628", 4)); /* what is written that way */
}
END_TEST

START_TEST(text_can_be_made_printable)
{
    char mixed[] = "a\n\u00e9\x7f\xc2\x9b\u202e\xff.";
    char good[] = "a \u00e9\u20ac\U0001f600", none[] = "";

    utf8_make_printable(mixed);
    ck_assert_str_eq(mixed, "a?\u00e9???????.");
    utf8_make_printable(good);
    ck_assert_str_eq(good, "a \u00e9\u20ac\U0001f600");
    utf8_make_printable(none);
    ck_assert_str_eq(none, "");
}
END_TEST

START_TEST(printable_text_is_utf8_too)
{
    ck_assert(!utf8_printable("a \u00e9\xc2\x82x", 7));
    ck_assert(utf8_printable("a \u00e9\u20ac\U0001f600", 11));
    ck_assert(!utf8_printable("a\xe9", 2));
    ck_assert(!utf8_printable("a\xc2", 2));
    ck_assert(!utf8_printable("\x9f", 1));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *utf8 = unit_case(suite, "utf8");

    tcase_add_test(utf8, the_first_and_last_of_every_length_are_valid);
    tcase_add_test(utf8, their_neighbours_are_not);
    tcase_add_test(utf8, every_byte_of_a_character_must_be_there_and_its_own);
    tcase_add_test(utf8, all_code_points_round_trip);
    tcase_add_test(utf8, a_bad_byte_is_found_wherever_it_stands);
    tcase_add_test(utf8, nothing_at_all_is_valid);
    tcase_add_test(utf8, control_characters_are_not_printable);
    tcase_add_test(utf8, what_turns_a_text_is_not_printable);
    tcase_add_test(utf8, text_can_be_made_printable);
    tcase_add_test(utf8, printable_text_is_utf8_too);
    return unit_main(suite);
}
