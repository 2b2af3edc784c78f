/* pack.h - messages for tests, written as JSON with ' for ". */
#ifndef TESTS_PACK_H
#define TESTS_PACK_H

#include "wire/message.h"

/* Pack a value. A string that begins with "bin:" becomes bytes of what follows; a key
 * that begins with "int:" a number.
 */
void pack_json(msgpack_packer *packer, const char *json);

/* A request as it comes out of a frame; owned: message_done(). */
void pack_request(struct message *ret_message, uint32_t id, const char *method,
                  const char *params);

/* A message out of a frame with its head, as message_finish() makes it. Takes. */
void pack_parse(struct message *ret_message, struct frame *frame);

/* A text of a map's value, "" where there is none; lent until the next call. */
const char *pack_text_of(const msgpack_object *map, const char *key);

#endif
