/* jsonwire.h - JSON texts to what the wire carries, and back.
 */
#ifndef CLIENT_JSONWIRE_H
#define CLIENT_JSONWIRE_H

#include <lighter/error.h>

#include <jansson.h>
#include <msgpack.h>

/* Containers inside one another: the wire's 32, less a message and its params. */
#define JSONWIRE_MAX_DEPTH 30

/* Parse a text that must be of `type` (JSON_OBJECT or JSON_ARRAY). `what` names it in
 * errors. *ret_json is owned: json_decref(). Return: 0; -EINVAL.
 */
int jsonwire_parse(const char *text, json_type type, const char *what,
                   json_t **ret_json, struct lighter_error *err);

/* The text of an object: keys sorted, one line. Text that is not UTF-8 gets U+FFFD for
 * each bad byte, numbers that JSON has no word for are null. *ret_text is owned.
 * Return: 0; -EPROTO for what JSON cannot say; -ENOMEM.
 */
int jsonwire_text(const msgpack_object *object, char **ret_text,
                  struct lighter_error *err);

#endif
