/* settings_show.h - the method `config`: by what settings the daemon goes. */
#ifndef DAEMON_SETTINGS_SHOW_H
#define DAEMON_SETTINGS_SHOW_H

#include "daemon/daemon.h"

/* Answers. Return: 0. */
int settings_show(struct daemon *daemon, const struct message *message,
                  struct reply *reply, struct lighter_error *err);

#endif
