# The daemon: all of it in a convenience library, so that tests link what ships.
noinst_LTLIBRARIES += liblighterd.la
liblighterd_la_SOURCES = daemon/admission.c daemon/background.c daemon/background.h \
	daemon/batch.c daemon/batch.h daemon/conn.c daemon/conn.h daemon/control.c \
	daemon/control.h daemon/crash.c daemon/crash.h daemon/daemon.c daemon/daemon.h \
	daemon/disk.c daemon/disk.h daemon/durable.c daemon/durable.h daemon/files.c daemon/files.h \
	daemon/histogram.c daemon/histogram.h daemon/job.c daemon/job.h \
	daemon/job_answers.c daemon/job_begin.c daemon/job_internal.h \
	daemon/job_over.c daemon/jobs.c daemon/journal.c daemon/journal.h \
	daemon/jsonline.c daemon/jsonline.h daemon/listener.c daemon/listener.h \
	daemon/lock.c daemon/lock.h \
	daemon/memory.c daemon/memory.h daemon/metrics.c daemon/metrics.h \
	daemon/metrics_address.c daemon/metrics_address.h daemon/metrics_http.h \
	daemon/opening.c daemon/opening.h daemon/option.c daemon/option.h daemon/outbox.c daemon/outbox.h \
	daemon/output.c daemon/output.h daemon/own.c daemon/own.h daemon/parked.c daemon/ending.c daemon/ending.h daemon/past.c daemon/pace.c daemon/pace.h daemon/path.c \
	daemon/path.h daemon/peer.c daemon/peer.h daemon/pipeline.c daemon/pipeline.h \
	daemon/policy.c daemon/pool.c daemon/pool.h daemon/policy.h daemon/problems.c daemon/problems.h daemon/promise.c \
	daemon/promise.h daemon/publish.c daemon/publish.h \
	daemon/quota.h daemon/rank.c daemon/rank_streams.c daemon/receive.c \
	daemon/receive.h \
	daemon/recovery.c daemon/recovery.h daemon/registry.c daemon/registry.h \
	daemon/replay.c daemon/replay.h daemon/report.c daemon/report.h \
	daemon/report_plugins.c daemon/report_tail.c \
	daemon/resolve.c daemon/seat.c daemon/service.c daemon/service.h daemon/session.c \
	daemon/session.h daemon/settings.c daemon/settings.h daemon/settings_argv.c \
	daemon/settings_file.c daemon/settings_show.c daemon/settings_show.h \
	daemon/settings_table.h daemon/sink.c daemon/sink.h daemon/spec.c \
	daemon/spec.h daemon/state.c daemon/state.h daemon/storage.c daemon/storage.h \
	daemon/stream.c daemon/stream.h daemon/table.c daemon/table.h daemon/shard.c daemon/shard.h \
	daemon/staged.c daemon/staged.h daemon/verify.c daemon/verify.h \
	daemon/gzip.c daemon/gzip.h daemon/turns.c \
	daemon/training.c daemon/turns.h daemon/unfinished.c daemon/visitors.c \
	daemon/visitors.h daemon/waits.c daemon/waits.h daemon/watch.c daemon/worker.c daemon/worker.h daemon/writer.c \
	daemon/writer.h
liblighterd_la_SOURCES += daemon/claims.c daemon/claims.h daemon/committed.c \
	daemon/committed.h daemon/filenote.h daemon/files_compare.c \
	daemon/files_internal.h daemon/files_publish.c daemon/manifest.c \
	daemon/manifest.h daemon/obstacle.c daemon/obstacle.h daemon/overwrite.c \
	daemon/overwrite.h
if HAVE_MICROHTTPD
liblighterd_la_SOURCES += daemon/metrics_http.c
else
liblighterd_la_SOURCES += daemon/metrics_http_none.c
endif
liblighterd_la_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS) $(MSGPACK_CFLAGS) $(JANSSON_CFLAGS) \
	$(XXHASH_CFLAGS) $(DEFLATE_CFLAGS) $(MICROHTTPD_CFLAGS) \
	-DLIGHTERD_PLUGIN_DIR='"$(plugindir)"'
liblighterd_la_LIBADD = libwire.la $(UV_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS) $(DEFLATE_LIBS) $(MICROHTTPD_LIBS) -ldl

sbin_PROGRAMS += lighterd
lighterd_SOURCES = daemon/main.c
lighterd_CPPFLAGS = $(liblighterd_la_CPPFLAGS)
lighterd_LDADD = liblighterd.la
