#!/bin/sh
# Patches side by side, and lines of patches whose heights follow weights, make
# the bytes of one rank; and send what the plan says.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*

draw() { # RANKS FOLDER KEY=VALUE...
    n=$1 folder=$2
    shift 2
    ranks "$n" "$WEFT" sample "$configs/demo.yaml" sample.steps=2 \
        sample.width=176 sample.height=112 run.threads=1 \
        output.report="$folder/run.jsonl" output.image="$folder/x.png" \
        output.latents="$folder/x.safetensors" "$@"
    "$WEFT" plan "$configs/demo.yaml" --ranks "$n" --json sample.steps=2 \
        sample.width=176 sample.height=112 run.threads=1 \
        output.latents=x.safetensors "$@" >"$folder/plan.json"
    python3 - "$folder" <<'PYTHON' || fail "$folder: not what the plan says"
import json, sys
plan = json.load(open(sys.argv[1] + "/plan.json"))["group_0_total"]
end = json.loads(open(sys.argv[1] + "/run.jsonl").readlines()[-1])
for kind, planned in plan.items():
    counted = {"messages": end["messages_sent"][kind],
               "bytes": end["bytes_sent"][kind]}
    assert counted == planned, (kind, counted, planned)
sent = {k for k, v in end["messages_sent"].items() if v}
assert sent - {"control"} == set(plan) - {"control"}, (sent, set(plan))
PYTHON
}

same() { # FOLDER...
    for folder in "$@"; do
        same_file one/x.png "$folder/x.png"
        same_file one/x.safetensors "$folder/x.safetensors"
    done
}

draw 1 one
draw 2 wide parallel.patches=1x2
draw 4 square parallel.patches=2x2
draw 4 rows parallel.patches=4x1
draw 6 six parallel.patches=2x3 'parallel.weights=[1, 2.5]'
draw 2 weighed 'parallel.weights=[3, 1]'
ranks 2 "$WEFT" sample "$configs/demo.yaml" sample.steps=2 sample.width=176 \
    sample.height=112 run.threads=1 parallel.weights=auto \
    output.image=measured/x.png output.latents=measured/x.safetensors
same wide square rows six weighed measured

# Another generator, plain kernels, a model without guidance.
for kernels in reference lean; do
    for layout in 1:1 2:1x2 4:2x2; do
        ranks "${layout%:*}" "$WEFT" sample "$configs/demo.yaml" \
            sample.steps=1 sample.width=96 sample.height=48 run.threads=1 \
            sample.rng=torch-cpu sample.guidance=1 run.kernels=$kernels \
            parallel.patches="${layout#*:}" \
            output.image="$kernels-${layout#*:}.png"
    done
    same_file $kernels-1.png $kernels-1x2.png
    same_file $kernels-1.png $kernels-2x2.png
done

# Displaced, an image says how it was cut, and is made again by it.
twice() { # NAME KEY=VALUE...
    name=$1
    shift
    ranks 4 "$WEFT" sample "$configs/demo.yaml" sample.steps=4 \
        sample.width=96 sample.height=96 run.threads=1 parallel.patches=2x2 \
        parallel.exchange=async parallel.warmup=1 output.image="$name.png" "$@"
    ranks 4 "$WEFT" sample "$name.png" run.threads=1
    same_file "$name.png" "$name-again.png"
}
twice displaced
twice weighted 'parallel.weights=[1, 3]'

refuse() { # TEXT RANKS KEY=VALUE...
    text=$1 n=$2
    shift 2
    code=0
    ranks "$n" "$WEFT" sample "$configs/demo.yaml" run.threads=1 \
        sample.width=96 sample.height=96 output.image=no.png "$@" \
        >out 2>&1 || code=$?
    [ "$code" = 2 ] || fail "exit $code, not 2: $*"
    grep -q "$text" out || fail "no \"$text\" in $(cat out)"
}
refuse "4 columns of patches, but 24 latent columns make only 2 of 16" 4 \
    parallel.patches=1x4
refuse "3 ranks are not a multiple of the 2 side by side" 3 \
    parallel.patches=2x2
refuse "need whole rows, as in 2x1" 2 parallel.patches=1x2 \
    sample.guidance_rescale=0.5
sed -e "s,\.\./,$WEFT_SOURCE_DIR/," -e 's/roles: .*/exchange: sync/' \
    "$configs/superdiff-or.yaml" >or.yaml
refused 2 "parallel.patches 1x2: superposed models" \
    "$WEFT" plan or.yaml --ranks 2 parallel.patches=1x2
refuse "has 3 numbers for 2 lines" 2 'parallel.weights=[1, 2, 3]'
finish
