# The encoder "text".
if PLUGIN_TEXT
plugin_LTLIBRARIES += plugins/text.la
endif

plugins_text_la_SOURCES = plugins/text/text.c
plugins_text_la_CFLAGS = $(AM_CFLAGS) $(UTF8PROC_CFLAGS)
plugins_text_la_LDFLAGS = $(plugin_module)
plugins_text_la_LIBADD = libpytext.la $(UTF8PROC_LIBS) $(SHORTEST_LIBS)
