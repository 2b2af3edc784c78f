# Units for systemd: a user's own daemon, and one for a node. doc/service.md is the guide.
systemduserunit_DATA = systemd/user/lighterd.service systemd/user/lighterd.socket
systemdsystemunit_DATA = systemd/system/lighterd.service systemd/system/lighterd.socket
sysusers_DATA = systemd/lighterd-sysusers.conf

EXTRA_DIST += systemd/user/lighterd.service.in systemd/user/lighterd.socket \
	systemd/system/lighterd.service.in systemd/system/lighterd.socket \
	systemd/lighterd-sysusers.conf
CLEANFILES += systemd/user/lighterd.service systemd/system/lighterd.service

systemd/user/lighterd.service: $(srcdir)/systemd/user/lighterd.service.in Makefile
systemd/system/lighterd.service: $(srcdir)/systemd/system/lighterd.service.in Makefile
systemd/user/lighterd.service systemd/system/lighterd.service:
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' $(srcdir)/$@.in >$@
