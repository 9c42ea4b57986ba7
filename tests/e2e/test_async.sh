#!/bin/sh
# Displaced runs: the same bytes every time, other ones than in step; an image
# that repeats itself; as many messages as were planned; what cannot work.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:?}"
rm -rf ./*
size="sample.width=96 sample.height=160 sample.steps=7 run.threads=1"
async="parallel.exchange=async parallel.warmup=2"

draw() { # RANKS NAME [KEY=VALUE...]
    n=$1 name=$2
    shift 2
    # shellcheck disable=SC2086 # words
    ranks "$n" "$WEFT" sample "$configs/demo.yaml" $size \
        output.image="$name.png" output.report="$name.jsonl" "$@"
}

# planned RANKS NAME [KEY=VALUE...]: draw, and compare with the plan
planned() {
    draw "$@"
    n=$1 name=$2
    shift 2
    # shellcheck disable=SC2086 # words
    "$WEFT" plan "$configs/demo.yaml" $size output.image=x.png "$@" \
        --ranks "$n" --json >"$name.json"
    "$PYTHON" - "$name" <<'END' || fail "$name: not as planned"
import json, sys
name = sys.argv[1]
plan = json.load(open(name + ".json"))["group_0_total"]
run = json.loads(open(name + ".jsonl").readlines()[-1])
for what in "bytes", "messages":
    for kind, n in run[what + "_sent"].items():
        planned = plan.get(kind, {}).get(what, 0)
        if n != planned:
            sys.exit(f"{kind}: {planned} {what} planned, {n} sent")
END
}

# shellcheck disable=SC2086 # words
{
    draw 3 sync
    planned 3 one $async
    draw 3 two $async
    same_file one.png two.png
    if cmp -s sync.png one.png; then fail "displaced, but as in step"; fi
    grep -q '"max_age": 1' one.jsonl || fail "not of age 1"
    grep -q '"max_age": 0' sync.jsonl || fail "in step, but old"

    # An image says what defines it: who held which rows, too.
    ranks 3 "$WEFT" sample one.png
    same_file one.png one-again.png
    refused 2 "parallel.patches" "$WEFT" sample one.png
    draw 3 thread $async parallel.progress=thread
    same_file one.png thread.png
    draw 1 alone $async
    draw 1 alone-sync
    same_file alone.png alone-sync.png

    # A lane for each of Heun's stages; lag 2; every way of the norm.
    planned 2 heun $async sample.solver=heun
    draw 2 heun-two $async sample.solver=heun
    same_file heun.png heun-two.png
    for norm in corrected stale fresh local; do
        planned 3 "$norm" $async parallel.lag=2 parallel.norm=$norm
    done
    if cmp -s corrected.png stale.png; then fail "corrected is stale"; fi

    # In step now and then, by count or because much changed.
    planned 3 refresh $async parallel.refresh=3
    planned 3 drift $async parallel.drift=1e-6
    draw 3 drift-two $async parallel.drift=1e-6
    same_file drift.png drift-two.png
    planned 3 drift-lag $async parallel.lag=2 parallel.drift=0.2
    draw 3 no-drift $async parallel.drift=1e6
    grep -q '"drifted": 0' no-drift.jsonl || fail "drifted by less than 1e6"
    grep -q '"drifted": [1-9]' drift.jsonl || fail "nothing in step by drift"
    for name in refresh drift; do
        if cmp -s "$name.png" one.png; then fail "$name: nothing in step"; fi
    done
    ranks 3 "$WEFT" sample drift.png
    same_file drift.png drift-again.png

    # What else is made in the same run does not matter.
    draw 3 batch $async sample.seeds=6,7 run.batch=2 output.image="batch-{seed}.png"
    same_file one.png batch-7.png

    # An evaluation for each step: all in step is in step.
    draw 3 warm parallel.exchange=async parallel.warmup=7
    "$PYTHON" -c 'import sys, zlib
def pixels(path):
    data, at, out = open(path, "rb").read(), 8, b""
    while at < len(data):
        n = int.from_bytes(data[at:at + 4], "big")
        if data[at + 4:at + 8] == b"IDAT": out += data[at + 8:at + 8 + n]
        at += 12 + n
    return zlib.decompress(out)
sys.exit(pixels("warm.png") != pixels("sync.png"))' ||
        fail "a run that is all warm-up is not in step"
}

bad() { # TEXT [KEY=VALUE...]
    text=$1
    shift
    for launcher in env "$MPIEXEC -n 2"; do
        # shellcheck disable=SC2086 # the launcher is words
        refused 2 "$text" $launcher "$WEFT" sample "$configs/demo.yaml" \
            output.image=bad.png "$@"
    done
}
bad "0 is out of range" \
    parallel.exchange=async parallel.warmup=0
bad "parallel.warmup 4 is below the lag of 5" \
    parallel.exchange=async parallel.lag=5
bad "-1 is out of range" parallel.exchange=async parallel.lag=-1
bad "-1 is out of range" parallel.exchange=async parallel.warmup=-1
bad "parallel.lag needs parallel.exchange: async" parallel.lag=1
bad "parallel.norm needs parallel.exchange: async" parallel.norm=stale
bad "parallel.refresh needs parallel.exchange: async" parallel.refresh=2
bad "parallel.drift needs parallel.exchange: async" parallel.drift=0.1
bad "0 is out of range" parallel.exchange=async parallel.refresh=0
bad "-0.5 is out of range" parallel.exchange=async parallel.drift=-0.5
bad "parallel.norm: local does not exchange" parallel.exchange=async \
    parallel.norm=local parallel.drift=0.1
bad "run.batch can only be 1" parallel.exchange=async parallel.drift=0.1 \
    run.batch=2
refused 2 "alone nothing is displaced" "$WEFT" sample "$configs/demo.yaml" \
    parallel.exchange=async parallel.drift=0.1 output.image=bad.png
bad 'unknown progress "threads"' parallel.progress=threads
bad 'did you mean "corrected"' parallel.exchange=async parallel.norm=correct
bad 'unknown exchange "asynch"' parallel.exchange=asynch
finish
