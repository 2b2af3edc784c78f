# Fuzzers: each is a libFuzzer program with --enable-fuzzers (CC=clang), and, whatever
# the compiler, a check program that runs the inputs in corpus/ that it is named after.
fuzz_cppflags = $(AM_CPPFLAGS) $(UV_CFLAGS) $(MSGPACK_CFLAGS) $(JANSSON_CFLAGS)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/make-corpus.py

fuzz_checks = tests/fuzz/check_frame tests/fuzz/check_message tests/fuzz/check_option
check_PROGRAMS += $(fuzz_checks)
TESTS += $(fuzz_checks)
tests_fuzz_check_frame_SOURCES = tests/fuzz/corpus_main.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_frame.c
tests_fuzz_check_frame_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_frame_LDADD = liblighterd.la
tests_fuzz_check_message_SOURCES = tests/fuzz/corpus_main.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_message.c
tests_fuzz_check_message_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_message_LDADD = liblighterd.la
tests_fuzz_check_option_SOURCES = tests/fuzz/corpus_main.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_option.c
tests_fuzz_check_option_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_check_option_LDADD = liblighterd.la

if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz_frame tests/fuzz/fuzz_message tests/fuzz/fuzz_option
tests_fuzz_fuzz_frame_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_frame_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_frame_LDADD = liblighterd.la
tests_fuzz_fuzz_message_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_message_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_message_LDADD = liblighterd.la
tests_fuzz_fuzz_option_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_option_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_option_LDADD = liblighterd.la
endif
