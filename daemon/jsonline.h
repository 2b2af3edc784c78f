/* jsonline.h - where in a JSON text something stands, for messages: jansson keeps no
 * lines.
 */
#ifndef DAEMON_JSONLINE_H
#define DAEMON_JSONLINE_H

#include <jansson.h>

/* The line, from 1 on, of the member that the path of keys leads to; in an array a key
 * is an index, as in "2". NULL ends the path. Where it leads nowhere, the line of the
 * last member that it found. `text` is sound JSON.
 */
__attribute__((sentinel)) int json_line(const char *text, ...);

/* "a string", "a whole number", ... Static text. */
const char *json_type_text(const json_t *value);

#endif
