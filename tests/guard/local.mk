# `make guard`: have the hot paths become longer? Instructions are counted, not time, so
# a busy machine does no harm; valgrind does the counting. Not a part of `make check`:
# another compiler counts otherwise, and that is no bug. GUARD_UPDATE=1 sets the limits.
EXTRA_PROGRAMS = tests/guard/hot
tests_guard_hot_SOURCES = tests/guard/hot.c
tests_guard_hot_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS) $(MSGPACK_CFLAGS) $(JANSSON_CFLAGS)
tests_guard_hot_LDADD = liblighterd.la
EXTRA_DIST += tests/guard/limits tests/guard/run
CLEANFILES += tests/guard/hot$(EXEEXT)

guard: tests/guard/hot$(EXEEXT) plugins/csv.la plugins/tensor.la
if SANITIZED
	@echo "make guard needs a build without sanitizers" >&2; exit 1
else
	HOT='$(abs_builddir)/tests/guard/hot' GUARD_UPDATE='$(GUARD_UPDATE)' \
	PLUGIN_DIR='$(abs_builddir)/plugins/.libs' $(srcdir)/tests/guard/run
endif
.PHONY: guard
