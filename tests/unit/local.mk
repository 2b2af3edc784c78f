# Unit tests: one program a module. `make -jN check` runs them side by side.
if HAVE_CHECK
check_LTLIBRARIES += libunit.la
libunit_la_SOURCES = tests/unit/pack.c tests/unit/pack.h tests/unit/unit.c \
	tests/unit/unit.h
libunit_la_CPPFLAGS = $(unit_cppflags)
libunit_la_LIBADD = liblighterd.la $(CHECK_LIBS)
unit_cppflags = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(UV_CFLAGS) $(MSGPACK_CFLAGS) \
	$(JANSSON_CFLAGS)

# Some load the plugins as the daemon does.
AM_TESTS_ENVIRONMENT = PLUGIN_DIR='$(abs_top_builddir)/plugins/.libs'; \
	export PLUGIN_DIR;

job_clients = tests/unit/job_clients.c tests/unit/job_clients.h
job_surgery = tests/unit/job_surgery.c tests/unit/job_surgery.h

# util/, wire/ and daemon/
unit_tests = \
	tests/unit/test_address \
	tests/unit/test_bombs \
	tests/unit/test_check \
	tests/unit/test_daemon \
	tests/unit/test_error \
	tests/unit/test_files \
	tests/unit/test_frame \
	tests/unit/test_gzip \
	tests/unit/test_jobs \
	tests/unit/test_journal \
	tests/unit/test_listener \
	tests/unit/test_memory \
	tests/unit/test_message \
	tests/unit/test_metrics_address \
	tests/unit/test_opening \
	tests/unit/test_option \
	tests/unit/test_outbox \
	tests/unit/test_own \
	tests/unit/test_overwrite \
	tests/unit/test_claims \
	tests/unit/test_pace \
	tests/unit/test_pool \
	tests/unit/test_promise \
	tests/unit/test_log \
	tests/unit/test_params \
	tests/unit/test_path \
	tests/unit/test_peer \
	tests/unit/test_pipeline \
	tests/unit/test_receive \
	tests/unit/test_recovery \
	tests/unit/test_registry \
	tests/unit/test_scarce \
	tests/unit/test_settings \
	tests/unit/test_sink \
	tests/unit/test_spec \
	tests/unit/test_state \
	tests/unit/test_stream \
	tests/unit/test_swap \
	tests/unit/test_table \
	tests/unit/test_turns \
	tests/unit/test_admission \
	tests/unit/test_unfinished \
	tests/unit/test_utf8 \
	tests/unit/test_value \
	tests/unit/test_writer
tests_unit_test_address_CPPFLAGS = $(unit_cppflags)
tests_unit_test_address_LDADD = libunit.la
tests_unit_test_bombs_CPPFLAGS = $(unit_cppflags)
tests_unit_test_bombs_LDADD = libunit.la
tests_unit_test_check_CPPFLAGS = $(unit_cppflags)
tests_unit_test_check_LDADD = libunit.la
tests_unit_test_daemon_CPPFLAGS = $(unit_cppflags)
tests_unit_test_daemon_LDADD = libunit.la liblighter.la
tests_unit_test_error_CPPFLAGS = $(unit_cppflags)
tests_unit_test_error_LDADD = libunit.la
tests_unit_test_files_CPPFLAGS = $(unit_cppflags)
tests_unit_test_files_LDADD = libunit.la
tests_unit_test_frame_CPPFLAGS = $(unit_cppflags)
tests_unit_test_frame_LDADD = libunit.la
tests_unit_test_gzip_CPPFLAGS = $(unit_cppflags) $(DEFLATE_CFLAGS)
tests_unit_test_gzip_LDADD = libunit.la $(DEFLATE_LIBS)
tests_unit_test_jobs_SOURCES = tests/unit/test_jobs.c $(job_clients)
tests_unit_test_jobs_CPPFLAGS = $(unit_cppflags)
tests_unit_test_jobs_LDADD = libunit.la
tests_unit_test_journal_CPPFLAGS = $(unit_cppflags)
tests_unit_test_journal_LDADD = libunit.la
tests_unit_test_listener_CPPFLAGS = $(unit_cppflags)
tests_unit_test_listener_LDADD = libunit.la
tests_unit_test_memory_CPPFLAGS = $(unit_cppflags)
tests_unit_test_memory_LDADD = libunit.la
tests_unit_test_message_CPPFLAGS = $(unit_cppflags)
tests_unit_test_message_LDADD = libunit.la
tests_unit_test_metrics_address_CPPFLAGS = $(unit_cppflags)
tests_unit_test_metrics_address_LDADD = libunit.la
tests_unit_test_opening_CPPFLAGS = $(unit_cppflags)
tests_unit_test_opening_LDADD = libunit.la
tests_unit_test_option_CPPFLAGS = $(unit_cppflags)
tests_unit_test_option_LDADD = libunit.la
tests_unit_test_outbox_CPPFLAGS = $(unit_cppflags)
tests_unit_test_outbox_LDADD = libunit.la
tests_unit_test_own_CPPFLAGS = $(unit_cppflags)
tests_unit_test_own_LDADD = libunit.la
tests_unit_test_claims_CPPFLAGS = $(unit_cppflags)
tests_unit_test_claims_LDADD = libunit.la
tests_unit_test_overwrite_CPPFLAGS = $(unit_cppflags)
tests_unit_test_overwrite_LDADD = libunit.la
tests_unit_test_pace_CPPFLAGS = $(unit_cppflags)
tests_unit_test_pace_LDADD = libunit.la
tests_unit_test_pool_CPPFLAGS = $(unit_cppflags)
tests_unit_test_pool_LDADD = libunit.la
tests_unit_test_promise_CPPFLAGS = $(unit_cppflags)
tests_unit_test_promise_LDADD = libunit.la
tests_unit_test_log_CPPFLAGS = $(unit_cppflags)
tests_unit_test_log_LDADD = libunit.la
tests_unit_test_params_CPPFLAGS = $(unit_cppflags)
tests_unit_test_params_LDADD = libunit.la
tests_unit_test_path_CPPFLAGS = $(unit_cppflags)
tests_unit_test_path_LDADD = libunit.la
tests_unit_test_peer_CPPFLAGS = $(unit_cppflags)
tests_unit_test_peer_LDADD = libunit.la
tests_unit_test_pipeline_CPPFLAGS = $(unit_cppflags)
tests_unit_test_pipeline_LDADD = libunit.la
tests_unit_test_receive_CPPFLAGS = $(unit_cppflags)
tests_unit_test_receive_LDADD = libunit.la
tests_unit_test_recovery_SOURCES = tests/unit/test_recovery.c $(job_clients) $(job_surgery)
tests_unit_test_recovery_CPPFLAGS = $(unit_cppflags)
tests_unit_test_recovery_LDADD = libunit.la
tests_unit_test_registry_CPPFLAGS = $(unit_cppflags)
tests_unit_test_registry_LDADD = libunit.la
tests_unit_test_scarce_CPPFLAGS = $(unit_cppflags)
tests_unit_test_scarce_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=realloc \
	-Wl,--wrap=strdup,--wrap=msgpack_zone_malloc_expand,--wrap=msgpack_unpack_next
tests_unit_test_scarce_LDADD = libunit.la
tests_unit_test_settings_CPPFLAGS = $(unit_cppflags)
tests_unit_test_settings_LDADD = libunit.la
tests_unit_test_sink_CPPFLAGS = $(unit_cppflags)
tests_unit_test_sink_LDADD = libunit.la
tests_unit_test_spec_CPPFLAGS = $(unit_cppflags)
tests_unit_test_spec_LDADD = libunit.la
tests_unit_test_state_CPPFLAGS = $(unit_cppflags)
tests_unit_test_state_LDADD = libunit.la
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c $(job_clients) $(job_surgery)
tests_unit_test_stream_CPPFLAGS = $(unit_cppflags)
tests_unit_test_stream_LDADD = libunit.la
tests_unit_test_swap_CPPFLAGS = $(unit_cppflags)
tests_unit_test_swap_LDADD = libunit.la
tests_unit_test_table_CPPFLAGS = $(unit_cppflags)
tests_unit_test_table_LDADD = libunit.la
tests_unit_test_turns_CPPFLAGS = $(unit_cppflags)
tests_unit_test_turns_LDADD = libunit.la
tests_unit_test_admission_SOURCES = tests/unit/test_admission.c $(job_clients) \
	$(job_surgery)
tests_unit_test_admission_CPPFLAGS = $(unit_cppflags)
tests_unit_test_admission_LDADD = libunit.la
tests_unit_test_unfinished_SOURCES = tests/unit/test_unfinished.c $(job_clients) \
	$(job_surgery)
tests_unit_test_unfinished_CPPFLAGS = $(unit_cppflags)
tests_unit_test_unfinished_LDADD = libunit.la
tests_unit_test_utf8_CPPFLAGS = $(unit_cppflags)
tests_unit_test_utf8_LDADD = libunit.la
tests_unit_test_value_CPPFLAGS = $(unit_cppflags)
tests_unit_test_value_LDADD = libunit.la
tests_unit_test_writer_CPPFLAGS = $(unit_cppflags)
tests_unit_test_writer_LDADD = libunit.la

# What plugins share.
unit_tests += tests/unit/test_pytext
tests_unit_test_pytext_CPPFLAGS = $(unit_cppflags)
tests_unit_test_pytext_LDADD = libunit.la libpytext.la $(SHORTEST_LIBS)

# Plugins: each test holds the plugin's own objects, and calls it through its descriptor.
if PLUGIN_CSV
unit_tests += tests/unit/test_csv
tests_unit_test_csv_SOURCES = tests/unit/test_csv.c $(plugins_csv_la_SOURCES)
tests_unit_test_csv_CPPFLAGS = $(unit_cppflags)
tests_unit_test_csv_LDADD = libunit.la libpytext.la $(SHORTEST_LIBS)
endif
if PLUGIN_TEXT
unit_tests += tests/unit/test_text
tests_unit_test_text_SOURCES = tests/unit/test_text.c $(plugins_text_la_SOURCES)
tests_unit_test_text_CPPFLAGS = $(unit_cppflags) $(UTF8PROC_CFLAGS)
tests_unit_test_text_LDADD = libunit.la libpytext.la $(UTF8PROC_LIBS) $(SHORTEST_LIBS)
endif
if PLUGIN_FILE
unit_tests += tests/unit/test_file
tests_unit_test_file_SOURCES = tests/unit/test_file.c $(plugins_file_la_SOURCES)
tests_unit_test_file_CPPFLAGS = $(unit_cppflags)
tests_unit_test_file_LDADD = libunit.la libpytext.la $(SHORTEST_LIBS)
endif
if PLUGIN_TENSOR
unit_tests += tests/unit/test_tensor
tests_unit_test_tensor_SOURCES = tests/unit/test_tensor.c $(plugins_tensor_la_SOURCES)
tests_unit_test_tensor_CPPFLAGS = $(unit_cppflags) $(DEFLATE_CFLAGS)
tests_unit_test_tensor_LDADD = libunit.la $(DEFLATE_LIBS)
endif
if PLUGIN_FREEZER
unit_tests += tests/unit/test_freezer tests/unit/test_policy
tests_unit_test_freezer_SOURCES = tests/unit/test_freezer.c \
	$(plugins_freezer_la_SOURCES)
tests_unit_test_freezer_CPPFLAGS = $(unit_cppflags)
tests_unit_test_freezer_LDADD = libunit.la
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c \
	$(plugins_freezer_la_SOURCES)
tests_unit_test_policy_CPPFLAGS = $(unit_cppflags)
tests_unit_test_policy_LDADD = libunit.la
endif
if PLUGIN_VIDEO
unit_tests += tests/unit/test_video
tests_unit_test_video_SOURCES = tests/unit/test_video.c $(plugins_video_la_SOURCES)
tests_unit_test_video_CPPFLAGS = $(unit_cppflags) $(LIBAV_CFLAGS)
tests_unit_test_video_LDADD = libunit.la $(LIBAV_LIBS) -lm
endif
if PLUGIN_IMAGE
unit_tests += tests/unit/test_filter tests/unit/test_codec
tests_unit_test_filter_SOURCES = tests/unit/test_filter.c plugins/image/filter.c
tests_unit_test_filter_CPPFLAGS = $(unit_cppflags)
tests_unit_test_filter_LDADD = libunit.la
tests_unit_test_codec_SOURCES = tests/unit/test_codec.c $(image_codecs)
tests_unit_test_codec_CPPFLAGS = $(unit_cppflags) $(ZLIB_CFLAGS) $(ISAL_CFLAGS)
tests_unit_test_codec_LDADD = libunit.la $(ZLIB_LIBS) $(ISAL_LIBS)
if HAVE_SPNG
unit_tests += tests/unit/test_image
tests_unit_test_image_SOURCES = tests/unit/test_image.c $(plugins_image_la_SOURCES)
tests_unit_test_image_CPPFLAGS = $(unit_cppflags) $(SPNG_CFLAGS) $(ZLIB_CFLAGS) \
	$(ISAL_CFLAGS)
tests_unit_test_image_LDADD = libunit.la $(SPNG_LIBS) $(ZLIB_LIBS) $(ISAL_LIBS) -lm
endif
endif

check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)

wire_tests = tests/unit/test_check tests/unit/test_frame tests/unit/test_message \
	tests/unit/test_params tests/unit/test_scarce tests/unit/test_value \
	tests/fuzz/check_frame tests/fuzz/check_message tests/fuzz/check_option \
	tests/fuzz/check_value
endif

# `make coverage`: do the tests of wire/ take its branches?
coverage: $(wire_tests)
if COVERAGE
	srcdir='$(srcdir)' $(srcdir)/tests/unit/coverage $(wire_tests)
else
	@echo "make coverage needs a build with --enable-coverage" >&2; exit 1
endif
.PHONY: coverage
EXTRA_DIST += tests/unit/coverage
