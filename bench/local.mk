# `make bench`: lighterd beside what writes predictions in the process, in minutes.
# BENCH_QUICK=1 only shows that it works; PYTHON=... chooses one that has torch.
bench_python = bench/bench.py bench/daemon.py bench/data.py bench/limits.py \
	bench/measure.py bench/peer.py bench/plot.py bench/report.py bench/run.py \
	bench/pairs/__init__.py bench/pairs/blocking.py bench/pairs/files.py \
	bench/pairs/growth.py bench/pairs/images.py bench/pairs/ranks.py \
	bench/pairs/service.py bench/pairs/sweep.py bench/pairs/table.py \
	bench/pairs/whole.py
EXTRA_DIST += bench/README.md $(bench_python)
CLEANFILES += bench/results.json bench/plot.svg

bench: all
	@$(MKDIR_P) bench
	LIGHTERD="$${LIGHTERD:-$(abs_top_builddir)/lighterd}" \
	LIGHTERD_PLUGIN_DIR="$${LIGHTERD_PLUGIN_DIR:-$(abs_top_builddir)/plugins/.libs}" \
	  $(PYTHON) $(srcdir)/bench/run.py --json bench/results.json \
	  --plot bench/plot.svg $(BENCH_OPTIONS)
.PHONY: bench
