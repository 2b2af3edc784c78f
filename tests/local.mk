# All tests: what a module promises (unit), inputs that were hard (fuzz), and how many
# instructions the hot paths take (guard).
include $(top_srcdir)/tests/unit/local.mk
include $(top_srcdir)/tests/fuzz/local.mk
include $(top_srcdir)/tests/guard/local.mk
