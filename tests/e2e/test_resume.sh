#!/bin/sh
# A run that is stopped by SIGUSR1, or killed, and goes on by the same command,
# on any number of ranks, ends with the bytes of one that nobody disturbed.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
: "${PYTHON:?}"
exec "$PYTHON" "$WEFT_SOURCE_DIR/tests/e2e/resume.py"
