# lib.sh - end-to-end tests whose lighterd runs under another program.
# Sourced with $BUILD, a build directory, and $PYTHON, which has pytest.

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

die()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need()
{
    command -v "$1" >/dev/null || die "there is no $1"
}

# Let $folder look like the build, with a lighterd that runs the words of $1 before the
# real one, and run the tests of $2/tests/e2e; what follows is for pytest.
run_under()
{
    ln -s "$BUILD/.libs" "$BUILD/tests" "$folder"
    printf '#!/bin/sh\nexec %s "%s/lighterd" "$@"\n' "$1" "$BUILD" >"$folder/lighterd"
    chmod +x "$folder/lighterd"
    tests=$2/tests/e2e
    shift 2
    LIGHTERD=$folder/lighterd "$PYTHON" -m pytest -q "$tests" "$@"
}
