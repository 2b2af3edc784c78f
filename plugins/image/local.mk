# The encoders `image_2d` and `image_3d`.
if PLUGIN_IMAGE
plugin_LTLIBRARIES += plugins/image.la
plugins_image_la_SOURCES = plugins/image/image.c plugins/image/pixels.c \
	plugins/image/pixels.h plugins/image/png.c plugins/image/png.h
plugins_image_la_CPPFLAGS = $(AM_CPPFLAGS) $(SPNG_CFLAGS)
plugins_image_la_LDFLAGS = $(plugin_module)
plugins_image_la_LIBADD = $(SPNG_LIBS)
endif
