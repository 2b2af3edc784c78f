# The writer `file`.
if PLUGIN_FILE
plugin_LTLIBRARIES += plugins/file.la
endif
plugins_file_la_SOURCES = plugins/file/file.c
plugins_file_la_LDFLAGS = $(plugin_module)
plugins_file_la_LIBADD = libpytext.la $(SHORTEST_LIBS)
