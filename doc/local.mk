# Documents for people, the scripts, and the examples.
dist_man_MANS += doc/lighterd.8
dist_doc_DATA += doc/outputs.md doc/plugins.md doc/protocol.md
EXTRA_DIST += tools/quickstart tools/test tools/lib.sh examples/digits/digits.py \
	examples/digits/train.py examples/digits/predict.py examples/digits/accuracy.py \
	examples/plugin/example.c
