# Fuzzers: each is a libFuzzer program with --enable-fuzzers (CC=clang), and, whatever
# the compiler, a check program that runs the inputs in corpus/ that it is named after.
fuzz_cppflags = $(AM_CPPFLAGS) $(UV_CFLAGS) $(MSGPACK_CFLAGS) $(JANSSON_CFLAGS) \
	-DFUZZ_PLUGIN_DIR='"$(abs_top_builddir)/plugins/.libs"'
fuzz_main = tests/fuzz/corpus_main.c tests/fuzz/fuzz.h
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/make-corpus.py tests/fuzz/run \
	tests/fuzz/words

fuzz_checks = tests/fuzz/check_frame tests/fuzz/check_message tests/fuzz/check_option \
	tests/fuzz/check_value
tests_fuzz_check_frame_SOURCES = tests/fuzz/fuzz_frame.c $(fuzz_main)
tests_fuzz_check_frame_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_frame_LDADD = liblighterd.la
tests_fuzz_check_message_SOURCES = tests/fuzz/fuzz_message.c $(fuzz_main)
tests_fuzz_check_message_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_message_LDADD = liblighterd.la
tests_fuzz_check_option_SOURCES = tests/fuzz/fuzz_option.c $(fuzz_main)
tests_fuzz_check_option_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_option_LDADD = liblighterd.la
tests_fuzz_check_value_SOURCES = tests/fuzz/fuzz_value.c $(fuzz_main)
tests_fuzz_check_value_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_value_LDADD = liblighterd.la

# A daemon without a writer has no sessions to speak of.
if PLUGIN_CSV
fuzz_checks += tests/fuzz/check_session
tests_fuzz_check_session_SOURCES = tests/fuzz/fuzz_session.c $(fuzz_main)
tests_fuzz_check_session_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_session_LDADD = liblighterd.la
endif
check_PROGRAMS += $(fuzz_checks)
TESTS += $(fuzz_checks)

# `make fuzz`: FUZZ_RUNS inputs in all, 10 million unless told.
if FUZZERS
fuzzers = tests/fuzz/fuzz_frame tests/fuzz/fuzz_message tests/fuzz/fuzz_option \
	tests/fuzz/fuzz_session tests/fuzz/fuzz_value
noinst_PROGRAMS += $(fuzzers)
tests_fuzz_fuzz_frame_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_frame_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_frame_LDADD = liblighterd.la
tests_fuzz_fuzz_message_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_message_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_message_LDADD = liblighterd.la
tests_fuzz_fuzz_option_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_option_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_option_LDADD = liblighterd.la
tests_fuzz_fuzz_session_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_session_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_session_LDADD = liblighterd.la
tests_fuzz_fuzz_value_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_value_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_value_LDADD = liblighterd.la
endif

fuzz: $(fuzzers) $(plugin_LTLIBRARIES)
if FUZZERS
	FUZZ_RUNS='$(FUZZ_RUNS)' $(srcdir)/tests/fuzz/run
else
	@echo "make fuzz needs a build with --enable-fuzzers" >&2; exit 1
endif
.PHONY: fuzz
