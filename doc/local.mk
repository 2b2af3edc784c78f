# Documents for people.
dist_man_MANS += doc/lighterd.8
dist_doc_DATA += doc/protocol.md
EXTRA_DIST += tools/test tools/lib.sh
