# All tests: what a module promises (unit), and inputs that were hard (fuzz).
include $(top_srcdir)/tests/unit/local.mk
include $(top_srcdir)/tests/fuzz/local.mk
