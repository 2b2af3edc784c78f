# All tests with lighterd under another program, in a plain build: `make valgrind` looks
# for leaks and descriptors that stay open, `make calls` for system calls that the systemd
# units do not allow. Long: valgrind alone makes all of it ten times slower. What is in
# UNDER_OPTIONS goes to pytest.
EXTRA_DIST += tests/under/calls tests/under/lib.sh tests/under/valgrind

under_environment = BUILD='$(abs_top_builddir)' PYTHON='$(PYTHON)' \
	LIGHTERCTL='$(abs_top_builddir)/lighterctl' \
	LIGHTERD_PLUGIN_DIR='$(abs_top_builddir)/plugins/.libs' \
	PYTHONPATH='$(abs_top_srcdir)/client/python'

# Not test_files: it has a bad address written to see what comes of it. Nor test_bombs:
# valgrind's memory is not this program's.
valgrind: all plain-build
	not='test_files test_bombs'; units=; \
	for unit in $(TESTS); do \
	  case " $$not " in *" $${unit##*/} "*) ;; *) units="$$units $$unit" ;; esac; \
	done; \
	CK_TIMEOUT_MULTIPLIER=60 $(MAKE) $(AM_MAKEFLAGS) check TESTS="$$units" \
	  LOG_COMPILER='$(srcdir)/tests/under/valgrind --program'
	$(under_environment) $(srcdir)/tests/under/valgrind '$(srcdir)' $(UNDER_OPTIONS)

calls: all plain-build tests/e2e/c_client$(EXEEXT)
	$(under_environment) $(srcdir)/tests/under/calls '$(srcdir)' $(UNDER_OPTIONS)

plain-build:
if SANITIZED
	@echo "this needs a build without sanitizers" >&2; exit 1
endif
.PHONY: calls plain-build valgrind
