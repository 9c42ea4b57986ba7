#!/bin/sh
# The bench of slow links, its short version: every mode ends and sends what it
# must between namespaces. Skipped where none can be made.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:?}"
rm -rf ./*
"$PYTHON" "$WEFT_SOURCE_DIR/tests/bench/link/link.py" --weft "$WEFT" --short || {
    code=$?
    [ "$code" = 77 ] && exit 77
    fail "link.py: exit $code"
}
finish
