#!/bin/sh
# A model that goes on where another leaves off, SDXL's refiner, against
# diffusers' pipelines (tests/golden/pipelines.py refine), and the same bytes
# however the work is dealt out.
# shellcheck source=tests/e2e/pipelines.sh
. "$(dirname "$0")/pipelines.sh"
rm -rf ./*.png ./*.safetensors ./*.yaml ./*.txt model base .weft

# ---- base and refiner -------------------------------------------------------

"$PIPELINE" "$golden/pipe_sdxl.safetensors" base >out.txt
for name in refine_multistep refine_hand_over; do
    config "$name"
    models='"models": {"base": {"pipeline": "base"}, "refiner": {"pipeline": "model"}}'
    sed "s|\"pipeline\": \"model\"|$models|" "$name.yaml" >two.yaml
    mv two.yaml "$name.yaml"
    sample "$name"
done
same 2 "$name"
same 3 "$name"
same 5 "$name"
same 3 "$name" 'parallel.roles={base: 2, refiner: 1}'
same 4 "$name" 'parallel.roles={base: 1, refiner: 1, text: 1, vae: 1}'

# an image says who drew it
"$WEFT" sample "$name.yaml" sample.steps=5 output.image=one.png || fail "one.png"
"$WEFT" sample one.png output.image=again.png || fail "refined again"
same_file again.png one.png
"$WEFT" inspect one.png >out.txt
grep -q "Refiner switch at: 0.8" out.txt || fail "no refiner in the picture"

# the base's pipeline beside the refiner's
sed 's|"base": {"pipeline": "base"}, ||; s|^{|{"pipeline": "base", |' "$name.yaml" >short.yaml
"$WEFT" plan short.yaml >out.txt || fail "short: $(cat out.txt)"
grep -q "^model  *16 evaluations" out.txt || fail "no model beside the refiner"

# Killed once the first of two images has been kept before step N of 20, of
# which the refiner has the last 4, and gone on with on other ranks.
two() { # RANKS STEM KEY=VALUE...
    n=$1 stem=$2
    shift 2
    ranks "$n" "$WEFT" sample "$name.yaml" sample.seeds=13-14 run.batch=1 \
        output.latents="$stem{seed}.safetensors" "$@" 2>out.txt
}

kept_and_killed() { # N: false if the first image was done before the kill
    rm -rf .weft k1*.safetensors
    "$WEFT" sample "$name.yaml" sample.seeds=13-14 run.batch=1 \
        parallel.flights=1 output.latents='k{seed}.safetensors' \
        run.checkpoint="$1" 2>out.txt &
    pid=$!
    # not a moment's sleep: a step takes some milliseconds
    while [ ! -e .weft/k13.safetensors.checkpoint.0 ] && kill -0 "$pid"; do :; done
    kill -KILL "$pid"
    wait "$pid" || :
    [ ! -e k13.safetensors ]
}

killed() { # N RANKS KEY=VALUE...
    at=$1 on=$2 tries=0
    shift 2
    until kept_and_killed "$at" || [ "$tries" = 20 ]; do
        tries=$((tries + 1))
    done
    [ "$tries" -lt 20 ] || fail "killed at $at: too late, 20 times"
    two "$on" k "$@" || fail "killed at $at and gone on: $(cat out.txt)"
    for seed in 13 14; do same_file "k$seed.safetensors" "w$seed.safetensors"; done
}

two 1 w || fail "two images: $(cat out.txt)"
same_file w13.safetensors a.safetensors
killed 9 2 'parallel.roles={base: 1, refiner: 1}'
killed 17 3
# room for either and not for both, of a rank with several batches; and for none
both="sample.seeds=13-14 run.batch=1"
# shellcheck disable=SC2086 # two keys
"$WEFT" plan "$name.yaml" $both --json >plan.json
"$PYTHON" - >limits.txt <<'END'
import json
plan = json.load(open("plan.json"))
base, refiner = (n["packed_bytes"] for n in plan["nets"][:2])
total = plan["by_patch"][0]["total_bytes"]
print((total - min(base, refiner) / 2) / 2**30, (total - base - refiner) / 2**30)
END
read -r either none <limits.txt
killed 17 1 run.memory="$either"

# ---- never both in memory, unless there is room and several batches -----------

packed() { # WORDS KEY=VALUE...: of the plan; as much is packed at once as it says
    words=$1
    shift
    rm -f p.jsonl
    "$WEFT" sample "$name.yaml" output.report=p.jsonl \
        output.latents='p{index}.safetensors' "$@" 2>out.txt ||
        fail "$*: $(cat out.txt)"
    same_file p000000.safetensors w13.safetensors
    set -- "$name.yaml" output.latents='p{index}.safetensors' "$@"
    "$WEFT" plan "$@" >out.txt
    grep -q "^refiner .* packed; $words\$" out.txt || fail "$*: $(cat out.txt)"
    "$WEFT" plan "$@" --json >plan.json
    "$PYTHON" - "$words" <<'END' || fail "$*: packed otherwise"
import json, sys
packed = json.loads(open("p.jsonl").read().splitlines()[-1])["weights_packed_bytes"]
plan = json.load(open("plan.json"))
base, refiner = (n["packed_bytes"] for n in plan["nets"][:2])
print(packed, "packed at once,", base, "and", refiner)
assert packed == plan["by_patch"][0]["weights_bytes"], plan["by_patch"]
assert packed >= max(base, refiner)
assert (packed >= base + refiner) == sys.argv[1].startswith("beside")
END
}
packed "in place of those before it"
# shellcheck disable=SC2086
packed "beside those before it" $both
# shellcheck disable=SC2086
packed "in place of those before it, in each batch anew" $both run.memory="$either"
# shellcheck disable=SC2086
"$WEFT" plan "$name.yaml" $both run.memory="$either" parallel.roles=auto >out.txt
grep -q "in each batch anew\$" out.txt || fail "auto: $(cat out.txt)"
# shellcheck disable=SC2086
refused 2 "run.memory: a rank may take" "$WEFT" plan "$name.yaml" $both \
    run.memory="$none"
"$WEFT" plan "$name.yaml" --ranks 2 'parallel.roles={base: 1, refiner: 1}' >out.txt
grep -q "^refiner .* packed\$" out.txt || fail "apart: $(cat out.txt)"

refused 2 "handed over at 0.999, the second model has none of the 20 steps" \
    "$WEFT" plan "$name.yaml" sample.refine_from=0.999
refused 2 "handed over at 0.001, the first model has none of the 20 steps" \
    "$WEFT" plan "$name.yaml" sample.refine_from=0.001
refused 2 "leaves the model base none" "$WEFT" plan "$name.yaml" \
    sample.image="$golden/pipe_sd15.png" sample.width=64 sample.height=320 \
    sample.strength=0.1
refused 2 "solver pndm begins by a rule of its own" "$WEFT" plan "$name.yaml" \
    sample.solver=pndm

config refine_picture
sample refine_picture sample.image="$golden/pipe_sd15.png"
same 2 refine_picture sample.image="$golden/pipe_sd15.png"

finish
