#!/bin/sh
# Install a build into an empty folder, then use it from outside, by CMake and
# by pkg-config, after the folder was moved: nothing may remember the old place.
#   check.sh BUILD_DIR LIBDIR GENERATOR CC
set -eu

build=$1 libdir=$2 generator=$3 cc=$4
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

quietly() {
    "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
}

DESTDIR=$tmp/dest
export DESTDIR
quietly cmake --install "$build" --prefix /opt/weft
mv "$tmp/dest/opt/weft" "$tmp/moved"

quietly cmake -G "$generator" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_PREFIX_PATH="$tmp/moved" -S "$here" -B "$tmp/cmake"
quietly cmake --build "$tmp/cmake"
"$tmp/cmake/consumer"

PKG_CONFIG_PATH=$tmp/moved/$libdir/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # flags are words
"$cc" -std=c11 -Wall -Wextra -Werror "$here/consumer.c" -o "$tmp/consumer" \
    $(pkg-config --cflags --libs weft-core)
"$tmp/consumer"

if [ -e "$build/weft" ]; then
    "$tmp/moved/bin/weft" --version
    "$tmp/moved/bin/weft" plan "$tmp/moved/share/weft/configs/demo.yaml" \
        >/dev/null
fi
