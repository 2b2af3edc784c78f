# The encoder `tensor`.
if PLUGIN_TENSOR
plugin_LTLIBRARIES += plugins/tensor.la
plugins_tensor_la_SOURCES = plugins/tensor/tensor.c plugins/tensor/pickle.c \
	plugins/tensor/pickle.h plugins/tensor/zip.c plugins/tensor/zip.h
plugins_tensor_la_CPPFLAGS = $(AM_CPPFLAGS) $(DEFLATE_CFLAGS)
plugins_tensor_la_LDFLAGS = $(plugin_module)
plugins_tensor_la_LIBADD = $(DEFLATE_LIBS)
endif
