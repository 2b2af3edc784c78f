# The writer "csv".
if PLUGIN_CSV
plugin_LTLIBRARIES += plugins/csv.la
endif

plugins_csv_la_SOURCES = \
	plugins/csv/cell.c plugins/csv/cell.h \
	plugins/csv/column.c plugins/csv/column.h \
	plugins/csv/csv.c
plugins_csv_la_LDFLAGS = $(plugin_module)
plugins_csv_la_LIBADD = libpytext.la $(SHORTEST_LIBS)
