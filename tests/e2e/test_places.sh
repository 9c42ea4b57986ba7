#!/bin/sh
# Streams that are closed or full, and places that cannot be written: said in
# words, never waited for, nothing written where it does not belong.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*
small="$configs/demo.yaml sample.steps=1 sample.width=64 sample.height=64"
picture="output.image=picture.png"

# full COMMAND...: exit 1 when standard output takes nothing
full() {
    code=0
    "$WEFT" "$@" >/dev/full 2>out.txt || code=$?
    [ "$code" = 1 ] || fail "exit $code with a full disk: $*"
    grep -q "standard output cannot be written" out.txt ||
        fail "does not say that output is full: $*"
}
# shellcheck disable=SC2086 # words, here and below
full plan $small
# shellcheck disable=SC2086
full plan $small --json
# shellcheck disable=SC2086
full bench $small bench.runs=1 bench.what=unet_eval
# shellcheck disable=SC2086
full bench $small bench.runs=1 bench.what=layers

# a closed stream's number must not go to the report: progress would be in it
# shellcheck disable=SC2086
"$WEFT" sample $small "$picture" output.report=closed.jsonl 2>&- ||
    fail "exit $? with a closed stream"
# shellcheck disable=SC2086
"$WEFT" sample $small "$picture" output.report=closed.jsonl <&- >&- 2>&- ||
    fail "exit $? with closed streams"
[ "$(grep -c '^{"event"' closed.jsonl)" = "$(wc -l <closed.jsonl)" ] ||
    fail "lines in the report that are no events"
rm -f picture.png

# places
mkdir folder
mkfifo pipe
for launcher in env "$MPIEXEC -n 3"; do
    # shellcheck disable=SC2086
    refused 2 "pipe: is a pipe that nobody reads" $launcher "$WEFT" sample \
        $small "$picture" output.report=pipe
    # shellcheck disable=SC2086
    refused 2 "folder: cannot open: Is a directory" $launcher "$WEFT" sample \
        $small "$picture" output.report=folder
    # shellcheck disable=SC2086
    refused 2 "/sys/picture.png: cannot create: " $launcher "$WEFT" sample \
        $small output.image=/sys/picture.png
    grep -q "; output.image=FILE writes elsewhere" out.txt ||
        fail "does not say how to write elsewhere"
    # shellcheck disable=SC2086
    refused 2 "/sys/run.jsonl" $launcher "$WEFT" sample $small "$picture" \
        output.report=/sys/run.jsonl
done

# a report into a pipe that is read
cat pipe >piped.jsonl &
# shellcheck disable=SC2086
"$WEFT" sample $small "$picture" output.report=pipe 2>out.txt ||
    fail "exit $? with a report into a pipe"
wait
grep -q '"event": "summary"' piped.jsonl || fail "no summary in the pipe"
rm -f picture.png

# outputs on inputs and on each other, by whatever name
cp -r "$WEFT_SOURCE_DIR/models/demo" own
chmod -R u+w own
sed 's:\.\./models/demo/:own/:' "$configs/demo.yaml" >own.yaml
cp own.yaml own.before
ln -s picture.png link.png
ln -s "$PWD" here
touch picture.png
# falls TEXT KEY=VALUE...
falls() {
    text=$1
    shift
    for launcher in env "$MPIEXEC -n 3"; do
        # shellcheck disable=SC2086
        refused 2 "$text" $launcher "$WEFT" sample own.yaml sample.steps=1 \
            sample.width=64 sample.height=64 "$picture" "$@"
    done
}
falls "here/own.yaml is the config" output.image=here/own.yaml
falls "own.yaml is the config" output.report=./own.yaml
falls "config.json is a file of a model" \
    output.latents=own/strong/config.json
falls "model.safetensors is a file of a model" \
    output.latents=own/vae/../vae/diffusion_pytorch_model.safetensors
falls "_config.json is a file of a model" \
    output.report=own/scheduler/scheduler_config.json
falls "output.latents: here/picture.png is output.image" \
    output.latents=here/picture.png
falls "output.latents: link.png is output.image" output.latents=link.png
falls "output.image: picture.png is output.report" output.report=here/picture.png
falls "output.latents: new/b is output.report" output.report=new/b \
    output.latents=new/b
same_file own.yaml own.before
for file in $(cd own && find . -name '*.json' -o -name '*.safetensors'); do
    same_file "own/$file" "$WEFT_SOURCE_DIR/models/demo/$file"
done
if [ -s picture.png ]; then fail "written although refused"; fi
rm picture.png

# in a step: exit 1 whatever it is, and no temporary file stays
code=0
# shellcheck disable=SC2086
(ulimit -f 8 && exec "$WEFT" sample $small sample.width=256 "$picture") \
    >out.txt 2>&1 || code=$?
[ "$code" = 1 ] || fail "exit $code, not 1: a file that grows too large"
grep -q "picture.png: cannot write: File too large" out.txt ||
    fail "does not say which file is too large"

# shellcheck disable=SC2086
"$WEFT" sample $small sample.steps=500 output.image=gone/picture.png \
    output.report=gone.jsonl >out.txt 2>&1 &
until [ -s gone.jsonl ]; do sleep 0.01; done
rm -r gone
code=0
wait $! || code=$?
[ "$code" = 1 ] || fail "exit $code, not 1: a folder that vanishes"
grep -q "gone/picture.png" out.txt || fail "does not say what vanished"

for left in picture* gone; do
    if [ -e "$left" ]; then fail "$left was left behind"; fi
done
finish
