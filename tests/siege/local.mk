# `make siege`: slow clients, crowds, starters, restarts and a long life, in the long form
# (minutes; HACKING.md). tools/test runs the short one. SIEGE_OPTIONS go to pytest.
siege: all
	SIEGE_LONG=1 \
	LIGHTERD="$${LIGHTERD:-$(abs_top_builddir)/lighterd}" \
	LIGHTERCTL="$${LIGHTERCTL:-$(abs_top_builddir)/lighterctl}" \
	LIGHTERD_PLUGIN_DIR="$${LIGHTERD_PLUGIN_DIR:-$(abs_top_builddir)/plugins/.libs}" \
	  $(PYTHON) -m pytest -q -rA $(srcdir)/tests/siege $(SIEGE_OPTIONS)
.PHONY: siege
