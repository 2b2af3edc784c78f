# The encoder `video`. Its pixels are those of images.
if PLUGIN_VIDEO
plugin_LTLIBRARIES += plugins/video.la
plugins_video_la_SOURCES = plugins/video/video.c plugins/video/frames.c \
	plugins/video/frames.h plugins/video/movie.c plugins/video/movie.h \
	plugins/image/pixels.c plugins/image/pixels.h
plugins_video_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBAV_CFLAGS)
plugins_video_la_LDFLAGS = $(plugin_module)
plugins_video_la_LIBADD = $(LIBAV_LIBS)
endif
