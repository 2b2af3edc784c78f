# The policy `freezer`.
if PLUGIN_FREEZER
plugin_LTLIBRARIES += plugins/freezer.la
endif
plugins_freezer_la_SOURCES = plugins/freezer/freezer.c
plugins_freezer_la_LDFLAGS = $(plugin_module)
