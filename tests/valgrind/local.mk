# `make valgrind`, in a plain build: rooms that hold memory, descriptors and threads, and
# daemons that serve some of the end-to-end tests. Minutes: it is twenty times slower.
# (Not test_files: it has a bad address written to see what comes of it.)
valgrind_units = client client_answers client_restore daemon frame jobs journal \
	listener memory message outbox peer receive recovery sink state table turns unfinished
valgrind_tests = test_hostile and (descriptors_that or breaks_off or leaves) \
	or test_bounds and large or test_service and serves \
	or test_jobs.py and (killed or abort or fails or follow)
EXTRA_DIST += tests/valgrind/run

valgrind: all
if SANITIZED
	@echo "make valgrind needs a build without sanitizers" >&2; exit 1
else
	$(MAKE) $(AM_MAKEFLAGS) $(valgrind_units:%=tests/unit/test_%$(EXEEXT))
	$(AM_TESTS_ENVIRONMENT) \
	UNITS='$(valgrind_units:%=tests/unit/test_%)' \
	TESTS='$(valgrind_tests)' E2E='$(srcdir)/tests/e2e' PYTHON='$(PYTHON)' \
	LIGHTERD='$(abs_top_builddir)/lighterd' LIGHTERCTL='$(abs_top_builddir)/lighterctl' \
	LIGHTERD_PLUGIN_DIR='$(abs_top_builddir)/plugins/.libs' \
	PYTHONPATH='$(abs_top_srcdir)/client/python' $(srcdir)/tests/valgrind/run
endif
.PHONY: valgrind
