# Documents for people, the scripts, and the examples.
dist_man_MANS += doc/lighterd.8 doc/lighterd.json.5
pkgdata_DATA = doc/lighterd.schema.json
dist_doc_DATA += doc/differences.md doc/outputs.md doc/plugins.md doc/protocol.md doc/service.md
EXTRA_DIST += debian doc/benchmark.svg doc/flow.svg doc/lighterd.schema.json doc/top.svg \
	doc/watch.svg examples/plugin/example.c tools/debian tools/lib.sh tools/picture \
	tools/quickstart tools/test

# What is Python goes along as it is: examples, and the end-to-end tests.
dist-hook:
	to=$$(cd $(distdir) && pwd) && cd $(srcdir) && \
	  find examples tests/e2e tests/fault \( -name '*.py' -o -name '*.yaml' -o \
	  -name requirements.txt \) -exec cp --parents {} "$$to" \;
