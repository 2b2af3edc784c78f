/* address.h - where the daemon listens (doc/protocol.md, section 1). */
#ifndef WIRE_ADDRESS_H
#define WIRE_ADDRESS_H

#include <lighter/error.h>

#include <sys/un.h>

/* `wanted` is what the user said, NULL where nothing; then the environment decides.
 * Return: 0; -ENAMETOOLONG where the path does not fit; -EPERM where the directory
 * below /tmp is somebody else's.
 */
int address_find(const char *wanted, struct sockaddr_un *ret_address,
                 struct lighter_error *err);

#endif
