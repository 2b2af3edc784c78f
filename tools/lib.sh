# lib.sh - what the scripts of tools/ share: words, and Debian's packages.
# Sourced from the project's root.

DEBIAN_BUILD="autoconf automake libtool make gcc g++ pkg-config libuv1-dev libmsgpack-dev
    libjansson-dev libxxhash-dev libutf8proc-dev libdeflate-dev zlib1g-dev libisal-dev
    libdragonbox-dev libmicrohttpd-dev lowdown"
DEBIAN_TEST="check libspng-dev ffmpeg libavcodec-dev libavformat-dev libavutil-dev
    libswscale-dev python3 python3-dev python3-venv valgrind
    strace tmux xfsprogs xz-utils zsh fish jq clang-14 libclang-rt-14-dev"
DEBIAN_TEST_PYTHON="python3-pytest python3-msgpack python3-numpy python3-torch
    python3-pil"
DEBIAN_PACKAGING="check debhelper debootstrap dh-python dpkg-dev libavcodec-dev
    libavformat-dev libavutil-dev libspng-dev libswscale-dev lintian
    pybuild-plugin-pyproject python3-all-dev python3-setuptools"

say()
{
    printf '\n== %s\n' "$*"
}

die()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Which of these packages are not installed?
missing_packages()
{
    for package; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null |
            grep -q '^install ok installed$' || echo "$package"
    done
}

# Install what is missing. On other systems than Debian: say what is needed, and go on.
need_packages()
{
    if ! command -v apt-get >/dev/null; then
        echo "This is no Debian: install what corresponds to:" "$@"
        return
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "as root, install:" $missing
        sudo=sudo
    fi
    echo "installing:" $missing
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Is there no configure, or has what it is made of changed, by a git pull say?
needs_bootstrap()
{
    [ ! -x configure ] || [ ! -e Makefile.in ] ||
        [ -n "$(find . -name 'build*' -prune -o -newer Makefile.in \( \
            -name configure.ac -o -name Makefile.am -o -name local.mk -o \
            -name lighterd.m4 \) -print)" ]
}
