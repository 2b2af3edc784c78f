# `make fault`: daemons and ranks that die, in the long form (minutes; HACKING.md). The
# short one runs with the end-to-end tests: tools/test. FAULT_OPTIONS go to pytest.
check_PROGRAMS += tests/fault/killat
tests_fault_killat_SOURCES = tests/fault/killat.c

fault: all tests/fault/killat$(EXEEXT)
	FAULT_LONG=1 \
	LIGHTERD="$${LIGHTERD:-$(abs_top_builddir)/lighterd}" \
	LIGHTERCTL="$${LIGHTERCTL:-$(abs_top_builddir)/lighterctl}" \
	LIGHTERD_PLUGIN_DIR="$${LIGHTERD_PLUGIN_DIR:-$(abs_top_builddir)/plugins/.libs}" \
	  $(PYTHON) -m pytest -q -rA $(srcdir)/tests/fault $(FAULT_OPTIONS)
.PHONY: fault
