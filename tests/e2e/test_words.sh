#!/bin/sh
# What the program says of itself, and an image that makes itself again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*
small="sample.width=64 sample.height=64 sample.steps=3"

# help and version: on standard output, once for a job, and well
for words in --help --version "sample --help" "plan --help" "bench --help" \
    "inspect --help"; do
    # shellcheck disable=SC2086 # words
    "$WEFT" $words >one.txt || fail "exit $?: $words"
    # shellcheck disable=SC2086
    "$MPIEXEC" -n 3 "$WEFT" $words >three.txt || fail "exit $?: 3 x $words"
    same_file one.txt three.txt
done
for words in --help "inspect $WEFT_SOURCE_DIR/models/demo"; do
    code=0
    # shellcheck disable=SC2086
    "$WEFT" $words >/dev/full 2>out.txt || code=$?
    [ "$code" = 1 ] || fail "exit $code with a full disk: $words"
    grep -q "standard output cannot be written" out.txt || fail "$words"
done
"$WEFT" inspect "$WEFT_SOURCE_DIR/models/demo" >out.txt || fail "inspect"
grep -q "strong: UNet2DModel" out.txt || fail "inspect says nothing of strong"

# an image makes itself again, by another number of ranks, wherever it lies as
# long as its models are found: the same bytes
mkdir -p own/configs else
ln -s "$WEFT_SOURCE_DIR/models" own/art
sed 's:../models/:../art/:' "$configs/demo.yaml" >own/configs/demo.yaml
# shellcheck disable=SC2086
"$WEFT" sample own/configs/demo.yaml $small output.report=else/run.jsonl \
    2>log.txt || fail "sample"
(cd else && ranks 2 "$WEFT" sample ../own/configs/demo-7.png 2>log.txt) ||
    fail "again"
same_file own/configs/demo-7.png own/configs/demo-7-again.png
grep -qx "wrote own/configs/demo-7.png" log.txt || fail "does not say where"
grep -qx "wrote ../own/configs/demo-7-again.png" else/log.txt ||
    fail "does not say where to again"
cp own/configs/demo-7.png else
refused 2 "art/demo/strong" "$WEFT" sample else/demo-7.png
[ ! -e else/demo-7-again.png ] || fail "made without a model"
(cd own && "$WEFT" sample ../else/demo-7.png 2>log.txt) ||
    fail "from the working directory"
same_file else/demo-7.png else/demo-7-again.png
mv own/art own/configs/art
(cd own/configs && "$WEFT" sample ../../else/demo-7.png \
    models.strong.path=art/demo/strong vae.path=./art/demo/vae \
    schedule.path=./art//demo/scheduler/ \
    output.image=third.png 2>log.txt) || fail "with paths"
same_file else/demo-7.png own/configs/third.png
mv own/configs/art own

# of several images, the first and the last
# shellcheck disable=SC2086
ranks 2 "$WEFT" sample own/configs/demo.yaml $small sample.seeds=3-5 \
    2>log.txt || fail "three seeds"
grep -qx "wrote 3 images, own/configs/demo-3.png to own/configs/demo-5.png" \
    log.txt || fail "does not say where they are"

# a report grows, and its last line is the summary
# shellcheck disable=SC2086
"$WEFT" sample own/configs/demo.yaml $small output.report=else/run.jsonl \
    2>log.txt || fail "sample"
[ "$(grep -c '"event": "summary"' else/run.jsonl)" = 2 ] ||
    fail "the report was not appended to"
tail -n 1 else/run.jsonl | grep -q '"event": "summary"' ||
    fail "the last line is not the summary"

# an image that weft did not make
refused 2 "has no \"weft\" text" "$WEFT" sample \
    "$WEFT_SOURCE_DIR/tests/golden/demo_strong.png"

finish
