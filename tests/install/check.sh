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
# Each header stands alone, in plain C11.
for header in $(cd "$tmp/moved/include/weft" && find core -name '*.h'); do
    echo "#include <$header>" >"$tmp/alone.c"
    # shellcheck disable=SC2046 # flags are words
    quietly "$cc" -std=c11 -Wall -Wextra -Werror -fsyntax-only \
        $(pkg-config --cflags weft-core) "$tmp/alone.c"
done
# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Werror "$here/consumer.c" -o "$tmp/consumer" \
    $(pkg-config --cflags --libs weft-core)
"$tmp/consumer"

if [ -e "$build/weft" ]; then
    weft=$tmp/moved/bin/weft share=$tmp/moved/share/weft
    "$weft" --version
    "$weft" plan "$share/configs/demo.yaml" >/dev/null
    for script in "$share"/slurm/*.sbatch; do
        [ -x "$script" ] || { echo "installed: $script cannot run"; exit 1; }
    done
    "$here/manual.sh" "$tmp/moved"
    drawn=$(find "$share" -name '*.png')
    [ -z "$drawn" ] || { echo "installed: $drawn"; exit 1; }

    # An image far from the models makes itself again: weft brought them.
    cd "$tmp"
    quietly "$weft" sample "$share/configs/demo.yaml" sample.steps=1 \
        sample.width=64 sample.height=64 output.image=one.png
    quietly "$weft" sample one.png
    cmp one.png one-again.png
fi
