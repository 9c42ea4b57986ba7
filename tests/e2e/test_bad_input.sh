#!/bin/sh
# What a user can get wrong: said once and clearly, the right exit code on any
# number of ranks, nobody left hanging, and no file under a final name.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:?}"
rm -rf ./*
models=$WEFT_SOURCE_DIR/models/demo

# bad CODE TEXT RANKS [KEY=VALUE...]: without mpirun and on RANKS
bad() {
    want=$1 text=$2 n=$3
    shift 3
    for launcher in env "$MPIEXEC -n $n"; do
        # shellcheck disable=SC2086 # the launcher is words
        refused "$want" "$text" $launcher "$WEFT" sample \
            "$configs/demo.yaml" sample.steps=1 sample.width=64 \
            sample.height=64 output.image=picture.png \
            output.latents=latents.safetensors "$@"
        [ "$want" = 1 ] || [ "$(grep -c '^weft:' out.txt)" = 1 ] ||
            fail "not said once: $text"
    done
}

# model NAME: a copy of the weak model to be spoilt
model() {
    cp -r "$models/weak" "$1"
    chmod -R u+w "$1"
    file=$1/diffusion_pytorch_model.safetensors
}

# header FILE CODE: run Python on the dict `h` of tensors of a safetensors
header() {
    "$PYTHON" - "$@" <<'END'
import json, struct, sys
path, code = sys.argv[1:]
data = open(path, "rb").read()
size, = struct.unpack("<Q", data[:8])
h, body = json.loads(data[8:8 + size]), bytearray(data[8 + size:])
exec(code)
head = json.dumps(h).encode()
head += b" " * (-len(head) % 8)
open(path, "wb").write(struct.pack("<Q", len(head)) + head + body)
END
}

# usage and configs
refused 2 'did you mean "sample"' "$WEFT" smaple
refused 2 "needs a CONFIG" "$WEFT" sample
refused 2 "nothere.yaml: cannot open" "$WEFT" sample nothere.yaml
printf 'models: &a\n  m: *a\n' >cycle.yaml
refused 2 "cycle.yaml:1: " "$WEFT" sample cycle.yaml
printf 'models: [\n' >broken.yaml
refused 2 "broken.yaml:" "$WEFT" sample broken.yaml
bad 2 'did you mean "solver"' 2 sample.sovler=ddim
bad 2 'did you mean "euler"' 2 sample.solver=eular
bad 2 "sample.steps" 2 sample.steps=many
bad 2 "sample.width" 2 sample.width=99999999999
bad 2 "496 and 512 are the nearest" 2 sample.width=500
bad 2 "99 is out of range" 2 sample.label=99
refused 2 "use at most 3 ranks" "$MPIEXEC" -n 4 "$WEFT" sample \
    "$configs/demo.yaml" sample.height=48 output.image=picture.png
refused 2 "do not have the same config" "$MPIEXEC" \
    -n 1 "$WEFT" sample "$configs/demo.yaml" output.image=picture.png : \
    -n 1 "$WEFT" sample "$configs/demo.yaml" output.image=picture.png \
    sample.seed=9

bad 2 "262144 numbers depend on the GPU" 2 sample.rng=torch-cuda \
    sample.width=1024 sample.height=1024

# outputs, tried before the first step
touch file
bad 2 "file: is not a folder" 3 output.image=file/picture.png
bad 2 "is a folder" 2 output.image="$PWD"
bad 2 "/proc/none" 2 output.report=/proc/none/report.jsonl

# models
bad 2 "cannot open the folder" 2 models.strong.path=nothere
model truncated
truncate -s 100000 "$file"
bad 2 "but the file has only" 2 models.strong.path=truncated
model headless
truncate -s 5 "$file"
bad 2 "diffusion_pytorch_model.safetensors" 2 models.strong.path=headless
model missing
header "$file" 'for n in "conv_in.weight", "conv_out.bias": h["no." + n] = h.pop(n)'
bad 2 "conv_in.weight" 3 models.strong.path=missing
grep -q "conv_out.bias" out.txt || fail "not all missing tensors are named"
model shape
header "$file" 'h["conv_in.bias"]["shape"] = [8, h["conv_in.bias"]["shape"][0] // 8]'
bad 2 "conv_in.bias" 2 models.strong.path=shape
model dtype
header "$file" 'h["conv_in.bias"]["dtype"] = "I16"'
bad 2 "conv_in.bias" 2 models.strong.path=dtype
model overlap
header "$file" 'h["conv_in.bias"]["data_offsets"] = h["conv_out.bias"]["data_offsets"]'
bad 2 "safetensors" 2 models.strong.path=overlap
model huge
sed 's/"block_out_channels": \[/&2147483647,/' "$models/weak/config.json" \
    >huge/config.json
bad 2 "block_out_channels" 2 models.strong.path=huge
# what nothing uses is told, not refused
model spare
header "$file" 'h["zz.spare"] = {"dtype": "F32", "shape": [1],
    "data_offsets": [len(body), len(body) + 4]}; body += bytes(4)'
"$MPIEXEC" -n 2 "$WEFT" sample "$configs/demo.yaml" sample.steps=1 \
    sample.width=64 sample.height=64 output.latents=spare.safetensors \
    output.image=spare.png models.strong.path=spare 2>out.txt || fail "a spare tensor"
[ "$(grep -c '^weft: spare: 1 tensor of the file is not used, the first is zz' \
    out.txt)" = 1 ] || fail "does not tell a spare tensor: $(cat out.txt)"
"$WEFT" inspect spare | grep -q "^  1 tensor of the file is not used, .*zz.spare" ||
    fail "inspect does not tell a spare tensor"
model option
sed 's/"act_fn": "silu"/"act_fn": "snake"/' "$models/weak/config.json" \
    >option/config.json
bad 2 "snake" 2 models.strong.path=option

# nodes with copies of their own, which differ in one tensor
copy() { # FOLDER: the command of a rank whose `copy` is in FOLDER
    echo "cd $1 && exec '$WEFT' sample '$configs/demo.yaml' sample.steps=1 \
        sample.width=64 sample.height=64 output.image=../picture.png \
        models.strong.path=copy"
}
mkdir here there
model here/copy
model there/copy
"$MPIEXEC" -n 1 sh -c "$(copy here)" : -n 2 sh -c "$(copy there)" >out.txt 2>&1 ||
    fail "copies that are alike: $(cat out.txt)"
rm picture.png
header "$file" 'a, b = h["mid_block.resnets.0.conv1.weight"]["data_offsets"]
body[a:b] = body[b - 1:a - 1:-1]'
refused 2 "copy: ranks 0 and 1 find different weights there" \
    "$MPIEXEC" -n 1 sh -c "$(copy here)" : -n 2 sh -c "$(copy there)"

# numbers that go wrong within a step: every rank that sees it may say so
model nan
header "$file" 'o = h["conv_out.bias"]["data_offsets"][0]; body[o:o+2] = b"\0\x7e"'
bad 1 "not a number" 2 models.strong.path=nan
bad 1 "step 1 of " 2 models.strong.path=nan
! grep -q "step 1 of 1: step" out.txt || fail "says where twice: $(cat out.txt)"
model deep
header "$file" 'o = h["conv_in.bias"]["data_offsets"][0]; body[o:o+2] = b"\0\x7e"'
bad 1 "down_blocks.0.resnets.0.norm1" 2 models.strong.path=deep

for left in picture* latents* .picture* .latents*; do
    if [ -e "$left" ]; then fail "$left was left behind"; fi
done
finish
