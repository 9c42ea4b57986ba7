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

# Sums over the whole image, and roles of their own ranks: the same bytes, log
# densities too.
small="sample.width=176 sample.height=112 sample.steps=2 run.threads=1"
sums() { # CONFIG RANKS FOLDER KEY=VALUE...
    config=$configs/$1.yaml n=$2 folder=$3
    shift 3
    # shellcheck disable=SC2086
    ranks "$n" "$WEFT" sample "$config" $small output.image="$folder/x.png" \
        output.report="$folder/run.jsonl" \
        output.latents="$folder/x.safetensors" "$@"
    grep -o '"log_density": {[^}]*}' "$folder/run.jsonl" \
        >"$folder/densities" || :
}
one_sum() { # CONFIG KEY=VALUE...
    one=$1
    shift
    sums "$one" 1 "$one" parallel.roles=shared "$@"
}
same_sum() { # RANKS LAYOUT ROLES [KEY=VALUE...]: as the last one_sum
    at=$one-$2-$(echo "$3" | tr -c 'a-z0-9\n' -)
    n=$1 layout=$2 roles=$3
    shift 3
    sums "$one" "$n" "$at" parallel.patches="$layout" \
        parallel.roles="$roles" "$@"
    for file in x.png x.safetensors densities; do
        same_file "$one/$file" "$at/$file"
    done
}
one_sum superdiff-or
for layout in 3:1x3 4:2x2 6:3x2; do
    same_sum "${layout%:*}" "${layout#*:}" shared
done
same_sum 6 3x2 '{half_a: 2, half_b: 4}'
one_sum superdiff-and
same_sum 6 3x2 shared
[ -s superdiff-or/densities ] || fail "no densities are reported"
if cmp -s superdiff-or/densities superdiff-and/densities; then
    fail "both superpositions have the same densities"
fi
rescaled=sample.guidance_rescale=0.7
one_sum cfg-split $rescaled
same_sum 4 2x2 shared $rescaled
same_sum 4 2x2 auto $rescaled
same_sum 4 2x2 '{cond: 2, uncond: 2}' $rescaled
same_sum 6 3x2 '{cond: 4, uncond: 2}' $rescaled

# Displaced, an image says how it was cut, and is made again by it.
twice() { # RANKS NAME KEY=VALUE...
    n=$1 name=$2
    shift 2
    ranks "$n" "$WEFT" sample "$configs/demo.yaml" sample.steps=4 \
        sample.width=96 sample.height=96 run.threads=1 \
        parallel.exchange=async parallel.warmup=1 output.image="$name.png" "$@"
    ranks "$n" "$WEFT" sample "$name.png" run.threads=1
    same_file "$name.png" "$name-again.png"
}
twice 4 displaced parallel.patches=2x2
twice 4 weighted parallel.patches=2x2 'parallel.weights=[1, 3]'
twice 6 apart parallel.patches=3x2 'parallel.roles={cond: 4, uncond: 2}'

refuse() { # TEXT RANKS KEY=VALUE...
    text=$1 n=$2
    shift 2
    refused 2 "$text" "$MPIEXEC" -n "$n" "$WEFT" sample "$configs/demo.yaml" \
        run.threads=1 sample.width=96 sample.height=96 output.image=no.png "$@"
}
refuse "4 columns of patches, but 24 latent columns make only 2 of 16" 4 \
    parallel.patches=1x4
refuse "3 ranks are not a multiple of the 2 side by side" 3 \
    parallel.patches=2x2
refused 2 "parallel.roles.cond: 1 rank is no multiple of the 2 side by side" \
    "$WEFT" plan "$configs/cfg-split.yaml" --ranks 4 parallel.patches=2x2 \
    'parallel.roles={cond: 1, uncond: 3}'
refuse "has 3 numbers for 2 lines" 2 'parallel.weights=[1, 2, 3]'
finish
