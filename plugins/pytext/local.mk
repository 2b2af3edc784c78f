# Python's text of values: a convenience library of the plugins that write text.
# Who links it adds $(SHORTEST_LIBS): the C++ runtime where configure found no
# dragonbox, else nothing. (libtool drops -lstdc++ from a convenience library of C++.)
noinst_LTLIBRARIES += libpytext.la
libpytext_la_SOURCES = \
	plugins/pytext/number.c plugins/pytext/number.h \
	plugins/pytext/ordinary.c plugins/pytext/ordinary.h \
	plugins/pytext/pytext.c plugins/pytext/pytext.h \
	plugins/pytext/room.c \
	plugins/pytext/shortest.cc plugins/pytext/shortest.h
libpytext_la_CPPFLAGS = $(AM_CPPFLAGS) $(DRAGONBOX_CPPFLAGS)
libpytext_la_CFLAGS = $(AM_CFLAGS) $(UTF8PROC_CFLAGS)
libpytext_la_CXXFLAGS = $(AM_CXXFLAGS) -fno-exceptions -fno-rtti
libpytext_la_LIBADD = $(UTF8PROC_LIBS)
