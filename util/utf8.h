/* utf8.h - is this UTF-8? (Unicode 15, section 3.9, table 3-7) */
#ifndef UTIL_UTF8_H
#define UTIL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* No overlong forms, no surrogates, nothing above U+10FFFF. Any thread. */
bool utf8_valid(const char *text, size_t size);

/* Put a '?' for each byte that is not part of a character. */
void utf8_repair(char *text);

/* Valid, and without control characters: C0, DEL, C1, ends of lines, and what turns a
 * text's direction (U+202E and its like). Fit for names and for logs.
 */
bool utf8_printable(const char *text, size_t size);

/* Put a '?' for each byte that is not part of such a character. */
void utf8_make_printable(char *text);

#endif
