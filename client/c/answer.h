/* answer.h - the error of an answer to a struct lighter_error (protocol, section 4). */
#ifndef CLIENT_ANSWER_H
#define CLIENT_ANSWER_H

#include <lighter/error.h>

#include <msgpack.h>

/* `map` is what the daemon sent, of any content. Return: the negative errno that it
 * stands for; never 0.
 */
int answer_error(const msgpack_object *map, struct lighter_error *err);

/* What the daemon sent is not what doc/protocol.md says: `err` has the details already.
 * Return: -EPROTO.
 */
int answer_malformed(const char *method, struct lighter_error *err);

#endif
