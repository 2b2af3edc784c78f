# The encoders `image_2d` and `image_3d`.
image_codecs = plugins/image/codec.h plugins/image/codec_zlib.c
if HAVE_ISAL
image_codecs += plugins/image/codec_igzip.c
endif
if PLUGIN_IMAGE
plugin_LTLIBRARIES += plugins/image.la
plugins_image_la_SOURCES = plugins/image/image.c plugins/image/pixels.c \
	plugins/image/pixels.h plugins/image/filter.c plugins/image/filter.h \
	plugins/image/png.c plugins/image/png.h $(image_codecs)
plugins_image_la_CPPFLAGS = $(AM_CPPFLAGS) $(ZLIB_CFLAGS) $(ISAL_CFLAGS)
plugins_image_la_LDFLAGS = $(plugin_module)
plugins_image_la_LIBADD = $(ZLIB_LIBS) $(ISAL_LIBS)
endif
