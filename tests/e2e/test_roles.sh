#!/bin/sh
# Wherever roles are, alone or shared, on equal or unequal numbers of ranks, one
# batch in flight or several: the same bytes, in just the messages that the plan
# counts, and no rank holds the weights of others' roles.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*

small="sample.steps=2 sample.width=64 sample.height=64 run.threads=1"

draw() { # CONFIG RANKS ROLES FOLDER [KEY=VALUE...]
    config=$configs/$1.yaml n=$2 roles=$3 folder=$4
    shift 4
    # shellcheck disable=SC2086 # keys
    ranks "$n" "$WEFT" sample "$config" $small "parallel.roles=$roles" \
        output.image="$folder/{seed}.png" \
        output.latents="$folder/{seed}.safetensors" \
        output.report="$folder/run.jsonl" "$@"
    # shellcheck disable=SC2086 # keys
    "$WEFT" plan "$config" --ranks "$n" --json $small "parallel.roles=$roles" \
        output.image="$folder/{seed}.png" \
        output.latents="$folder/{seed}.safetensors" "$@" >"$folder/plan.json"
    "$PYTHON" - "$folder" <<'END' || fail "$folder: not as the plan says"
import json, sys
lines = open(sys.argv[1] + "/run.jsonl").read().splitlines()
summary = json.loads(lines[-1])
plan = json.load(open(sys.argv[1] + "/plan.json"))
bad = 0
for kind in ("bytes", "messages"):
    for name, sent in summary[kind + "_sent"].items():
        planned = plan["group_0_total"].get(name, {}).get(kind, 0)
        if plan["groups"] == 1 and sent != planned:
            print(f"{name}: {sent} {kind}, planned {planned}")
            bad = 1
sys.exit(bad)
END
}

same() { # FOLDER...
    for folder in "$@"; do
        for file in one/*.png one/*.safetensors; do
            same_file "$file" "$folder/${file#one/}"
        done
    done
}

two=sample.seeds=7,8
draw cfg-split 1 shared one $two
draw cfg-split 2 shared together $two
draw cfg-split 2 '{cond: 1, uncond: 1}' apart $two
draw cfg-split 3 '{cond: 2, uncond: 1}' unequal $two
draw cfg-split 5 '{cond: 2, uncond: 3}' five $two run.batch=1
draw cfg-split 1 '{cond: 1, uncond: 1}' sharing $two
draw cfg-split 2 '{cond: 2, uncond: 1}' partly $two run.batch=1
draw cfg-split 3 '{cond: 1, uncond: 1, vae: 1}' decoder $two \
    run.batch=1 parallel.flights=2
draw cfg-split 3 auto chosen $two
same together apart unequal five sharing partly decoder chosen

# A rank maps the weights of its roles and of no other.
"$PYTHON" - <<'END' || fail "weights of others are mapped"
import json
s = json.loads(open("decoder/run.jsonl").read().splitlines()[-1])
cond, uncond, vae = s["weights_mapped_by_rank"]
assert cond == uncond > 4 * vae > 0, s["weights_mapped_by_rank"]
s = json.loads(open("one/run.jsonl").read().splitlines()[-1])
assert s["weights_mapped_by_rank"] == [cond + vae]
END
finish
