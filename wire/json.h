/* json.h - what was parsed as JSON, for the wire.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include <jansson.h>
#include <msgpack.h>

/* A key is packed as text. Its depth is the caller's to bound. */
void json_pack_value(msgpack_packer *packer, const json_t *json);

#endif
