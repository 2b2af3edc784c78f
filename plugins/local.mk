# Plugins: one folder and one shared object each. pytext is what several of them share.
plugin_module = $(AM_LDFLAGS) -module -avoid-version -shared \
	-export-symbols-regex '^lighter_plugin$$'

include $(top_srcdir)/plugins/pytext/local.mk
include $(top_srcdir)/plugins/csv/local.mk
include $(top_srcdir)/plugins/file/local.mk
include $(top_srcdir)/plugins/tensor/local.mk
include $(top_srcdir)/plugins/image/local.mk
include $(top_srcdir)/plugins/text/local.mk
include $(top_srcdir)/plugins/freezer/local.mk
include $(top_srcdir)/plugins/video/local.mk
