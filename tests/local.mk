# All tests: what a module promises (unit), inputs that were hard (fuzz), how many
# instructions the hot paths take (guard), processes that die (fault), and clients that are
# slow, many or gone (siege).
include $(top_srcdir)/tests/unit/local.mk
include $(top_srcdir)/tests/fuzz/local.mk
include $(top_srcdir)/tests/guard/local.mk
include $(top_srcdir)/tests/fault/local.mk
include $(top_srcdir)/tests/siege/local.mk
include $(top_srcdir)/tests/under/local.mk
