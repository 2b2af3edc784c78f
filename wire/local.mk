# The codec that daemon, C client and tests link, and what every room may use.
noinst_LTLIBRARIES += libutil.la libwire.la
libutil_la_SOURCES = util/error.c util/error.h util/log.c util/log.h util/utf8.c \
	util/utf8.h
libwire_la_SOURCES = wire/address.c wire/address.h wire/check.c wire/check.h \
	wire/frame.c wire/frame.h wire/json.c wire/json.h wire/message.c wire/message.h wire/params.c \
	wire/params.h wire/value.c wire/value.h
libwire_la_CPPFLAGS = $(AM_CPPFLAGS) $(MSGPACK_CFLAGS) $(JANSSON_CFLAGS)
libwire_la_LIBADD = libutil.la $(MSGPACK_LIBS) $(JANSSON_LIBS)
