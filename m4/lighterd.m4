# lighterd.m4 - the macros of configure.ac: one for each choice that a builder has.

# C17, as gcc and clang spell it.
AC_DEFUN([AX_LIGHTERD_C17], [
    AC_MSG_CHECKING([for C17])
    saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -std=gnu17"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [[_Static_assert(__STDC_VERSION__ >= 201710L, "");]])],
        [AC_MSG_RESULT([yes])], [AC_MSG_ERROR([$CC does not know -std=gnu17])])
    CFLAGS=$saved_CFLAGS
    STD_CFLAGS="-std=gnu17"
    AC_SUBST([STD_CFLAGS])
    WARN_CFLAGS="-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wno-missing-field-initializers"
])

AC_DEFUN([AX_LIGHTERD_CXX17], [
    AC_MSG_CHECKING([for C++17 with std::to_chars of double])
    saved_CXXFLAGS=$CXXFLAGS
    CXXFLAGS="$CXXFLAGS -std=c++17"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <charconv>]],
            [[char b[32]; std::to_chars(b, b + 32, 0.1, std::chars_format::scientific);]])],
        [AC_MSG_RESULT([yes])], [AC_MSG_ERROR([$CXX lacks it; g++ 11 and later have it])])
    CXXFLAGS=$saved_CXXFLAGS
])

# The header of dragonbox, which Debian keeps in a directory of its version.
AC_DEFUN([LIGHTERD_DRAGONBOX], [
    float_text="std::to_chars"
    SHORTEST_LIBS="-lstdc++"
    for dir in "" /usr/include/dragonbox-*; do
        AS_IF([test "$float_text" != dragonbox], [
            saved_CPPFLAGS=$CPPFLAGS
            AS_IF([test -n "$dir"], [DRAGONBOX_CPPFLAGS="-isystem $dir"])
            CPPFLAGS="$CPPFLAGS $DRAGONBOX_CPPFLAGS"
            AS_UNSET([ac_cv_header_dragonbox_dragonbox_h])
            AC_CHECK_HEADERS([dragonbox/dragonbox.h], [
                float_text=dragonbox
                SHORTEST_LIBS=])
            CPPFLAGS=$saved_CPPFLAGS])
    done
    AS_IF([test "$float_text" != dragonbox], [DRAGONBOX_CPPFLAGS=])
    AC_SUBST([DRAGONBOX_CPPFLAGS])
    AC_SUBST([SHORTEST_LIBS])
])

# LIGHTERD_MISSING(what, Debian package): told together with all else that is missing.
AC_DEFUN([LIGHTERD_MISSING], [
    missing="$missing
  $1"
    missing_packages="$missing_packages $2"
])

# LIGHTERD_LIBRARY(PKG_PREFIX, module, Debian package): one that cannot be left out.
AC_DEFUN([LIGHTERD_LIBRARY], [
    PKG_CHECK_MODULES([$1], [$2], [], [LIGHTERD_MISSING([$2], [$3])])
])

AC_DEFUN([LIGHTERD_FAIL_IF_MISSING], [
    AS_IF([test -n "$missing"], [AC_MSG_ERROR([pkg-config does not find these:
$missing

On Debian: apt install$missing_packages
Libraries in a place of their own: see PKG_CONFIG_PATH in ./configure --help.])])
])

# LIGHTERD_PLUGIN(name, help[, PKG_PREFIX, modules]): --enable-plugin-NAME=yes|no|auto.
# Sets the conditional PLUGIN_NAME, have_plugin_NAME and plugin_NAME_why.
AC_DEFUN([LIGHTERD_PLUGIN], [
    AC_ARG_ENABLE([plugin-$1],
        [AS_HELP_STRING([--disable-plugin-$1], [leave out $2]m4_ifnblank([$4], [ (needs $4)]))],
        [], [enable_plugin_$1=auto])
    plugin_$1_why="--disable-plugin-$1"
    have_plugin_$1=no
    AS_IF([test "x$enable_plugin_$1" != xno],
        m4_ifblank([$4], [[have_plugin_$1=yes]],
            [[PKG_CHECK_MODULES([$3], [$4], [have_plugin_$1=yes],
                [plugin_$1_why="$4 not found"
                 AS_IF([test "x$enable_plugin_$1" = xyes],
                     [LIGHTERD_MISSING([$4 (--enable-plugin-$1)], [])])])]]))
    AM_CONDITIONAL(m4_toupper([PLUGIN_$1]), [test "$have_plugin_$1" = yes])
    lighterd_plugins="$lighterd_plugins $1"
])

# The hot path of the Python client in C: --enable-python-native=yes|no|auto.
AC_DEFUN([LIGHTERD_PYTHON_NATIVE], [
    AC_ARG_ENABLE([python-native],
        [AS_HELP_STRING([--disable-python-native],
            [all of the Python client in Python (else needs Python.h)])],
        [], [enable_python_native=auto])
    python_native="no (--disable-python-native)"
    AS_IF([test "$PYTHON" = :], [python_native="no (there is no Python)"],
        [test "x$enable_python_native" != xno], [
            ask_python() { $PYTHON -c "import sysconfig as s; print(s.$[]1)"; }
            PYTHON_CPPFLAGS="-isystem `ask_python 'get_path("include")'`"
            PYTHON_EXT_SUFFIX=`ask_python 'get_config_var("EXT_SUFFIX")'`
            saved_CPPFLAGS=$CPPFLAGS
            CPPFLAGS="$CPPFLAGS $PYTHON_CPPFLAGS"
            AC_CHECK_HEADER([Python.h], [python_native=yes],
                [python_native="no (Python.h not found: python3-dev)"])
            CPPFLAGS=$saved_CPPFLAGS])
    AS_IF([test "x$enable_python_native" = xyes && test "$python_native" != yes],
        [AC_MSG_ERROR([--enable-python-native: $python_native])])
    AC_SUBST([PYTHON_CPPFLAGS])
    AC_SUBST([PYTHON_EXT_SUFFIX])
    AM_CONDITIONAL([HAVE_PYTHON_NATIVE], [test "$python_native" = yes])
])

# Flags are probed one by one: clang and old compilers lack some.
AC_DEFUN([LIGHTERD_TRY_FLAG], [
    AC_MSG_CHECKING([whether $CC takes $2])
    saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
    CFLAGS=$saved_CFLAGS
])

AC_DEFUN([LIGHTERD_HARDENING], [
    AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening],
        [no stack protector, fortified libc, immediate binding, ...])], [], [enable_hardening=yes])
    AS_IF([test "$enable_hardening" = yes && test -z "$enable_sanitizers"], [
        LIGHTERD_TRY_FLAG([HARDEN_CFLAGS], [-fstack-protector-strong])
        LIGHTERD_TRY_FLAG([HARDEN_CFLAGS], [-fstack-clash-protection])
        LIGHTERD_TRY_FLAG([HARDEN_CFLAGS], [-fcf-protection])
        LIGHTERD_TRY_FLAG([HARDEN_LDFLAGS], [-Wl,-z,relro])
        LIGHTERD_TRY_FLAG([HARDEN_LDFLAGS], [-Wl,-z,now])
        HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"
    ])
    AC_SUBST([HARDEN_CFLAGS])
    AC_SUBST([HARDEN_CPPFLAGS])
    AC_SUBST([HARDEN_LDFLAGS])
])

# --enable-sanitizers[=address,undefined]
AC_DEFUN([LIGHTERD_SANITIZERS], [
    AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@],
        [build with sanitizers, by default address,undefined])], [], [enable_sanitizers=no])
    AS_IF([test "x$enable_sanitizers" = xyes], [enable_sanitizers=address,undefined])
    AS_IF([test "x$enable_sanitizers" != xno], [
        SANITIZE_CFLAGS="-fsanitize=$enable_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"
        HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE"
        AC_DEFINE([LIGHTERD_SANITIZED], [1], [Define to 1 when built with a sanitizer.])])
    AC_SUBST([SANITIZE_CFLAGS])
    AM_CONDITIONAL([SANITIZED], [test "x$enable_sanitizers" != xno])
])

AC_DEFUN([LIGHTERD_COVERAGE], [
    AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage],
        [build for gcov: run `make check`, then gcov or gcovr])],
        [], [enable_coverage=no])
    AS_IF([test "$enable_coverage" = yes], [COVERAGE_CFLAGS="--coverage -O0"])
    AC_SUBST([COVERAGE_CFLAGS])
    AM_CONDITIONAL([COVERAGE], [test "$enable_coverage" = yes])
])

AC_DEFUN([LIGHTERD_FUZZERS], [
    AC_ARG_ENABLE([fuzzers], [AS_HELP_STRING([--enable-fuzzers],
        [build tests/fuzz with libFuzzer (CC=clang)])], [], [enable_fuzzers=no])
    AS_IF([test "$enable_fuzzers" = yes], [
        saved_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS -fsanitize=fuzzer-no-link"
        AC_LINK_IFELSE([AC_LANG_PROGRAM()], [],
            [AC_MSG_ERROR([--enable-fuzzers needs clang with libFuzzer: configure with CC=clang])])
        CFLAGS=$saved_CFLAGS
        FUZZ_CFLAGS="-fsanitize=fuzzer-no-link"])
    AC_SUBST([FUZZ_CFLAGS])
    AM_CONDITIONAL([FUZZERS], [test "$enable_fuzzers" = yes])
])

AC_DEFUN([LIGHTERD_SUMMARY], [
    echo
    echo "lighterd $PACKAGE_VERSION"
    echo
    echo "  prefix         $prefix"
    echo "  compiler       $CC $CFLAGS"
    echo "  hardening      $enable_hardening"
    echo "  sanitizers     $enable_sanitizers"
    echo "  coverage       $enable_coverage"
    echo "  fuzzers        $enable_fuzzers"
    echo "  unit tests     $have_check (Check)"
    echo "  Python         $PYTHON"
    echo "  its hot path   in C: $python_native"
    echo "  float text     $float_text"
    echo "  PNG images     by $png_codec"
    echo "  metrics        by HTTP: $metrics_http"
    echo "  manuals        of documents: $have_lowdown"
    echo
    echo "  plugins"
    for plugin in $lighterd_plugins; do
        eval "have=\$have_plugin_$plugin; why=\$plugin_${plugin}_why"
        AS_IF([test "$have" = yes], [why=""], [why=" ($why)"])
        printf '    %-12s %s%s\n' "$plugin" "$have" "$why"
    done
    echo
])
