# liblighter: the C client. It holds the codec (and with it util/), and shows only what
# the map names.
lib_LTLIBRARIES += liblighter.la
lighterinclude_HEADERS += include/lighter/client.h
pkgconfig_DATA += client/c/liblighter.pc
EXTRA_DIST += client/c/liblighter.map
liblighter_la_SOURCES = client/c/answer.c client/c/answer.h client/c/channel.c \
	client/c/owner.c client/c/owner.h \
	client/c/channel.h client/c/client.c client/c/client.h client/c/job.c \
	client/c/jsonwire.c client/c/jsonwire.h client/c/memory.c client/c/memory.h client/c/outputs.c \
	client/c/outputs.h client/c/past.c client/c/past.h client/c/restore.c \
	client/c/session.c client/c/session.h client/c/write.c
liblighter_la_CPPFLAGS = $(AM_CPPFLAGS) $(MSGPACK_CFLAGS) $(JANSSON_CFLAGS)
liblighter_la_LIBADD = libwire.la $(JANSSON_LIBS)
liblighter_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(top_srcdir)/client/c/liblighter.map
EXTRA_liblighter_la_DEPENDENCIES = client/c/liblighter.map

# lighterctl: all but main() in a library, for the tests.
noinst_LTLIBRARIES += libctl.la
libctl_la_SOURCES = client/ctl/ask.c client/ctl/ask.h client/ctl/follow.c \
	client/ctl/follow.h client/ctl/nearest.c client/ctl/nearest.h \
	client/ctl/options.c client/ctl/options.h client/ctl/output.c \
	client/ctl/output.h client/ctl/progress.c client/ctl/progress.h \
	client/ctl/rows.c client/ctl/rows.h client/ctl/screen.c client/ctl/screen.h \
	client/ctl/terminal.c client/ctl/terminal.h client/ctl/verb_config.c \
	client/ctl/verb_flush.c client/ctl/verb_freeze.c client/ctl/verb_jobs.c \
	client/ctl/verb_metrics.c client/ctl/verb_ping.c client/ctl/verb_plugins.c \
	client/ctl/verb_reload.c client/ctl/verb_show.c client/ctl/verb_shutdown.c \
	client/ctl/verb_status.c client/ctl/verb_tail.c client/ctl/verb_top.c \
	client/ctl/verb_unfinished.c client/ctl/verb_watch.c client/ctl/verbs.c \
	client/ctl/verbs.h
libctl_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) -DLIGHTERD='"$(sbindir)/lighterd"'
libctl_la_LIBADD = libutil.la liblighter.la $(JANSSON_LIBS)

bin_PROGRAMS += lighterctl
lighterctl_SOURCES = client/ctl/main.c
lighterctl_LDADD = libctl.la
dist_man_MANS += doc/lighterctl.1

noinst_PROGRAMS += examples/c/predict
examples_c_predict_SOURCES = examples/c/predict.c
examples_c_predict_LDADD = liblighter.la

# What the end-to-end tests run and kill.
noinst_PROGRAMS += tests/e2e/c_client
tests_e2e_c_client_SOURCES = tests/e2e/c_client.c
tests_e2e_c_client_LDADD = liblighter.la

# The Python client, where `make install` finds a Python. `pip install ./client/python`
# does the same for one environment.
if HAVE_PYTHON
lighterdpythondir = $(pythondir)/lighterd
lighterdpython_PYTHON = $(lighterd_python)
lighterdcallbacksdir = $(lighterdpythondir)/callbacks
lighterdcallbacks_PYTHON = $(lighterd_callbacks)
endif

# Its hot path in C. That Python was built without our sanitizers. The name says which
# Python it is for; another one does not take it.
if HAVE_PYTHON_NATIVE
nativedir = $(pythondir)
native_LTLIBRARIES = _lighterd.la
_lighterd_la_SOURCES = $(lighterd_native)
_lighterd_la_CPPFLAGS = -D_GNU_SOURCE $(HARDEN_CPPFLAGS) $(PYTHON_CPPFLAGS)
_lighterd_la_CFLAGS = $(STD_CFLAGS) $(WARN_CFLAGS) $(HARDEN_CFLAGS) -fvisibility=hidden
_lighterd_la_LDFLAGS = $(HARDEN_LDFLAGS) -module -avoid-version \
	-shrext $(PYTHON_EXT_SUFFIX)
else
EXTRA_DIST += $(lighterd_native)
endif
lighterd_native = client/python/native/channel.c client/python/native/functions.h \
	client/python/native/module.c client/python/native/out.c \
	client/python/native/out.h client/python/native/request.c \
	client/python/native/tensor.c client/python/native/tensor.h
lighterd_python = client/python/lighterd/__init__.py \
	client/python/lighterd/address.py client/python/lighterd/channel.py \
	client/python/lighterd/connection.py client/python/lighterd/encoders.py \
	client/python/lighterd/errors.py client/python/lighterd/job.py \
	client/python/lighterd/launch.py client/python/lighterd/local.py \
	client/python/lighterd/local_job.py client/python/lighterd/memory.py \
	client/python/lighterd/native.py client/python/lighterd/outputs.py \
	client/python/lighterd/owner.py client/python/lighterd/parameters.py \
	client/python/lighterd/past.py client/python/lighterd/pinned.py \
	client/python/lighterd/progress.py client/python/lighterd/registry.py \
	client/python/lighterd/request.py client/python/lighterd/run.py \
	client/python/lighterd/samples.py client/python/lighterd/session.py \
	client/python/lighterd/tensor.py client/python/lighterd/training.py \
	client/python/lighterd/values.py client/python/lighterd/voice.py \
	client/python/lighterd/wire.py client/python/lighterd/world.py \
	client/python/lighterd/writers.py
lighterd_callbacks = client/python/lighterd/callbacks/__init__.py \
	client/python/lighterd/callbacks/base_writer.py \
	client/python/lighterd/callbacks/csv_writer.py \
	client/python/lighterd/callbacks/daemon_writer.py \
	client/python/lighterd/callbacks/file_writer.py \
	client/python/lighterd/callbacks/freezer.py \
	client/python/lighterd/callbacks/pipeline_writer.py
EXTRA_DIST += $(lighterd_python) $(lighterd_callbacks) client/python/README.md client/python/lighterd/py.typed \
	client/python/pyproject.toml client/python/setup.py

if HAVE_CHECK
client_tests = tests/unit/test_client tests/unit/test_client_answers \
	tests/unit/test_client_connect tests/unit/test_client_memory \
	tests/unit/test_client_outputs tests/unit/test_client_past \
	tests/unit/test_client_restore
ctl_tests = tests/unit/test_ctl_options tests/unit/test_ctl_output tests/unit/test_ctl_screen
check_PROGRAMS += $(client_tests) $(ctl_tests)
TESTS += $(client_tests) $(ctl_tests)

client_test_flags = $(AM_CPPFLAGS) $(MSGPACK_CFLAGS) $(CHECK_CFLAGS)
client_test_libs = liblighter.la libunit.la $(MSGPACK_LIBS) $(CHECK_LIBS)
tests_unit_test_client_SOURCES = tests/unit/test_client.c tests/unit/client_peer.c \
	tests/unit/client_peer.h
tests_unit_test_client_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_LDADD = $(client_test_libs)
tests_unit_test_client_answers_SOURCES = tests/unit/test_client_answers.c \
	tests/unit/client_peer.c tests/unit/client_peer.h
tests_unit_test_client_answers_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_answers_LDADD = $(client_test_libs)
tests_unit_test_client_connect_SOURCES = tests/unit/test_client_connect.c \
	tests/unit/client_peer.c tests/unit/client_peer.h
tests_unit_test_client_connect_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_connect_LDADD = $(client_test_libs)
tests_unit_test_client_memory_SOURCES = tests/unit/test_client_memory.c \
	client/c/memory.c client/c/memory.h tests/unit/client_peer.c \
	tests/unit/client_peer.h
tests_unit_test_client_memory_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_memory_LDADD = $(client_test_libs)
tests_unit_test_client_outputs_SOURCES = tests/unit/test_client_outputs.c \
	tests/unit/client_peer.c tests/unit/client_peer.h
tests_unit_test_client_outputs_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_outputs_LDADD = $(client_test_libs)
tests_unit_test_client_past_SOURCES = tests/unit/test_client_past.c \
	tests/unit/client_peer.c tests/unit/client_peer.h
tests_unit_test_client_past_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_past_LDADD = $(client_test_libs)
tests_unit_test_client_restore_SOURCES = tests/unit/test_client_restore.c \
	tests/unit/client_peer.c tests/unit/client_peer.h
tests_unit_test_client_restore_CPPFLAGS = $(client_test_flags)
tests_unit_test_client_restore_LDADD = $(client_test_libs)

ctl_test_flags = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CHECK_CFLAGS)
ctl_test_libs = libctl.la libunit.la $(JANSSON_LIBS) $(CHECK_LIBS)
tests_unit_test_ctl_options_SOURCES = tests/unit/test_ctl_options.c
tests_unit_test_ctl_options_CPPFLAGS = $(ctl_test_flags)
tests_unit_test_ctl_options_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_output_SOURCES = tests/unit/test_ctl_output.c
tests_unit_test_ctl_output_CPPFLAGS = $(ctl_test_flags)
tests_unit_test_ctl_output_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_screen_SOURCES = tests/unit/test_ctl_screen.c
tests_unit_test_ctl_screen_CPPFLAGS = $(ctl_test_flags)
tests_unit_test_ctl_screen_LDADD = $(ctl_test_libs)
endif
