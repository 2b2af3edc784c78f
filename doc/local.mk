# Documents for people, the scripts, and the examples.
dist_man_MANS += doc/lighterd.8 doc/lighterd.json.5
pkgdata_DATA = doc/lighterd.schema.json
dist_doc_DATA += doc/differences.md doc/outputs.md doc/plugins.md doc/protocol.md doc/service.md
EXTRA_DIST += debian doc/benchmark.svg doc/flow.svg doc/lighterd.schema.json doc/top.svg \
	doc/watch.svg examples/plugin/example.c tools/debian tools/lib.sh tools/manual \
	tools/picture tools/quickstart tools/test

# What is Python goes along as it is: examples, and the end-to-end tests.
dist-hook:
	to=$$(cd $(distdir) && pwd) && cd $(srcdir) && \
	  find examples tests/e2e tests/fault tests/siege \( -name '*.py' -o -name '*.yaml' -o \
	  -name requirements.txt \) -exec cp --parents {} "$$to" \;

# Two documents are manuals too, where lowdown is there to turn them.
if HAVE_LOWDOWN
man_MANS = doc/lighterd-protocol.7 doc/lighterd-plugins.7
CLEANFILES += $(man_MANS)
endif

doc/lighterd-protocol.7: doc/protocol.md tools/manual
	$(AM_V_GEN)$(MKDIR_P) doc && $(srcdir)/tools/manual lighterd-protocol 7 \
	  "how a process hands its outputs to lighterd" $(srcdir)/doc/protocol.md >$@.tmp && \
	  mv $@.tmp $@
doc/lighterd-plugins.7: doc/plugins.md tools/manual
	$(AM_V_GEN)$(MKDIR_P) doc && $(srcdir)/tools/manual lighterd-plugins 7 \
	  "writers, encoders and policies for lighterd, in C" $(srcdir)/doc/plugins.md >$@.tmp && \
	  mv $@.tmp $@
