#!/bin/sh
# The short form of kill_dataset.sh.
exec "$WEFT_SOURCE_DIR/tests/e2e/kill_dataset.sh" 4 1
