/* control.h - what lighterctl asks: status, jobs, plugins, ping, shutdown. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/daemon.h"

/* Answer a control method. Return: 0; -ENOSYS: there is no such method; -EINVAL. */
int control_handle(struct daemon *daemon, const struct message *message,
                   struct reply *reply, struct lighter_error *err);

#endif
