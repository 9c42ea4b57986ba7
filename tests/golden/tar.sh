#!/bin/sh
# Write tests/golden/members.tar by GNU tar: what tests/core/test_tar.c writes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '{"id": "a"}\n' >a.json
printf 'picture' >a.png
head -c 512 /dev/zero | tr '\0' 'x' >b.png
: >b.txt
tar --format=ustar --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0444 \
    -b1 -cf "$here/members.tar" a.json a.png b.png b.txt
